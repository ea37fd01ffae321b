"""The benchmarks of speed: what they make of figures, what they compare, and a short run against the real service."""

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import client
import columns
import doubt_bench
import engine_bench
import keywords_bench
import numpy as np
import overhead_bench
import own_service
import pytest
import queue_bench
import serve_bench
import sessions_bench

from src.audio.decode import decode
from src.audio.samples import SAMPLE_RATE
from src.engine.batch_limits import BatchLimits

TEST = Path(__file__).parent.parent


def clip_of(seconds: float) -> np.ndarray:
    return np.ones(round(seconds * SAMPLE_RATE), np.float32)


def test_columns_are_as_wide_as_their_widest_cell_and_figures_stand_right():
    text = columns.columns(["who", "req/s", "p50"], [["the service", 40.125, None], ["me", 1234.5, 3]])
    assert text == "who          req/s  p50\nthe service  40.12    -\nme            1234    3\n"


@pytest.mark.parametrize(
    "program", [engine_bench, serve_bench, overhead_bench, keywords_bench, queue_bench, doubt_bench]
)
@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--no-such-option"]])
def test_a_wrong_argument_ends_a_benchmark_before_it_starts_anything(program, wrong, capsys):
    with pytest.raises(SystemExit):
        program.main(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_the_naive_server_is_as_short_as_it_is_said_to_be():
    assert len((TEST / "benches" / "naive_server.py").read_text().splitlines()) < 60


def test_the_clips_of_the_engine_bench_have_the_wanted_lengths_and_are_the_same_each_time():
    clips, again = (engine_bench.random_clips(12, 2.0, 30.0) for _ in range(2))
    assert all(2.0 <= len(clip) / SAMPLE_RATE <= 30.0 for clip in clips)
    assert all(np.array_equal(one, other) for one, other in zip(clips, again, strict=True))


def test_padding_is_the_share_of_batches_that_is_no_audio():
    clips = [clip_of(3), clip_of(1), clip_of(2)]
    assert engine_bench.padding(clips, [[0], [1], [2]]) == 0
    assert engine_bench.padding(clips, [[0, 1], [2]]) == pytest.approx(2 / 8)


def test_the_leaderboards_batches_begin_with_the_longest_clip():
    assert engine_bench.by_length([clip_of(1), clip_of(3), clip_of(2)], 2) == [[1, 2], [0]]


def test_the_schedulers_batches_have_every_clip_once_and_none_too_many():
    clips = [clip_of(seconds) for seconds in (2, 9, 2, 10, 2)]
    groups = engine_bench.scheduled(clips, BatchLimits(max_clips=2))
    assert sorted(number for group in groups for number in group) == list(range(5))
    assert max(map(len, groups)) == 2


def test_texts_are_compared_clip_by_clip_whatever_the_order_of_the_batches():
    way = engine_bench.Way("", [[2, 0], [1]], lambda _: [], {})
    assert engine_bench.others(way, ["c", "a", "b"], ["a", "b", "c"]) == 0
    assert engine_bench.others(way, ["c", "b", "a"], ["a", "b", "c"]) == 2


def answer(text: str, latency_s: float, status: int = 200) -> client.Answer:
    code = "200" if status == 200 else f"{status} queue_full"
    reply = {"text": text} if status == 200 else {"error": {"message": text}}
    return client.Answer("a.wav", status, code, reply, latency_s, audio_len_s=4.0, ended_s=0.0)


def test_figures_of_a_load_count_what_was_refused_and_what_reads_otherwise():
    answers = [answer("one", 0.1), answer("two", 0.3), answer("", 0.0, status=429)]
    total = serve_bench.Round(answers, wall_s=2.0, cpu_s=0.5, batch_sizes=[1, 2, 2])
    figures = serve_bench.figures_of("4 at once", "service", total, {"a.wav": "one"})
    assert (figures.refused, figures.other_texts) == (1, 1)
    assert (figures.requests_per_s, figures.audio_s_per_s, figures.cpu_ms) == (1.0, 4.0, 250.0)
    assert figures.p50_s == 0.1
    assert figures.mean_batch == 1.5


def test_ratios_above_one_are_in_favour_of_the_service():
    rounds = {
        "naive": serve_bench.Round([answer("one", 0.4)], wall_s=1.0),
        "service": serve_bench.Round([answer("one", 0.1), answer("one", 0.1)], wall_s=1.0),
    }
    figures = [serve_bench.figures_of("1 at once", name, each, {"a.wav": "one"}) for name, each in rounds.items()]
    assert serve_bench.ratios(figures).splitlines()[1].split() == ["1", "at", "once", "naive", "2.00", "4.00", "4.00"]


def test_the_lists_of_the_keywords_bench_are_as_long_as_they_may_be_and_differ_each_time():
    upload = client.prepare(client.CLIPS / "piper-joe-1.flac", argparse.Namespace(ws=False, raw=False, pcm=True))
    sent = list(islice(keywords_bench.with_lists(upload, 100), 3))
    lists = [json.loads(each.body.split(b"\r\n")[3]) for each in sent]
    assert all(each.body.endswith(upload.body) and each.content_type == upload.content_type for each in sent)
    assert {len(phrase.strip()) for phrases in lists for phrase in phrases} == {100}
    assert len({phrase for phrases in lists for phrase in phrases}) == 300


def test_lists_may_raise_the_median_of_others_by_a_third_and_no_request_may_fail():
    plain = keywords_bench.figures_of(keywords_bench.PLAIN, [answer("one", 0.2)], [])
    beside = keywords_bench.figures_of(keywords_bench.LISTS, [answer("one", 0.25)], [answer("one", 0.25)])
    assert keywords_bench.raised(plain, beside) == 1.25
    assert keywords_bench.passed([plain, beside], 1.25)
    assert not keywords_bench.passed([plain, beside], 1.35)
    failed = keywords_bench.figures_of(keywords_bench.LISTS, [answer("one", 0.25)], [answer("", 0.25, status=500)])
    assert not keywords_bench.passed([plain, failed], 1.25)


def test_sessions_send_as_much_of_a_file_as_is_asked_for():
    path = client.CLIPS / "long-30s.flac"
    whole, first = (sessions_bench.live_upload(path, seconds) for seconds in (None, 2.5))
    assert (len(first.frames), first.audio_len_s) == (25, 2.5)
    assert first.frames == whole.frames[:25]
    assert whole.audio_len_s == pytest.approx(28.1, abs=0.01)


def test_a_server_is_out_of_reach_of_a_dotenv_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("PARAKEET_PORT=1\n")
    monkeypatch.setattr(client, "TOP", tmp_path)
    program = ("-c", "import os, sys; sys.exit(f'there is {os.listdir()}')")
    with pytest.raises(client.Failure, match=r"there is \['server.log'\]"), own_service.serving("tiny", program):
        pass


def test_a_server_that_ends_at_once_is_told_by_its_last_line():
    program = ("-c", "import sys; sys.exit('out of luck')")
    with pytest.raises(client.Failure, match="out of luck"), own_service.serving("tiny", program):
        pass


def test_a_short_run_against_the_service_tells_the_cost_of_each_form(tmp_path):
    command = [
        sys.executable,
        str(TEST / "benches" / "overhead_bench.py"),
        "--n",
        "40",
        "--rounds",
        "1",
        "--concurrency",
        "2",
    ]
    ran = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr
    costs = json.loads((tmp_path / "overhead_bench.json").read_text())["costs"]
    assert [cost["form"] for cost in costs] == list(overhead_bench.FORMS)
    assert all(cost["cpu_ms"] > 0 for cost in costs)
    assert ran.stdout == (tmp_path / "overhead_bench.txt").read_text()


def test_the_doubt_bench_tells_commands_from_long_speech(tiny):
    command, speech = (decode((client.CLIPS / f"{name}.flac").read_bytes()) for name in ("fsdd-theo-2", "long-30s"))
    assert {len(each) for each in doubt_bench.joined([command, speech])} == {10 * SAMPLE_RATE}
    share = doubt_bench.share_of("", [command, speech[: 10 * SAMPLE_RATE]], tiny, 1, 3)
    assert (share.number, share.doubtful, share.ending_early) == (2, 1, 1)
    assert share.whole_ms > 0
    assert share.early_ms > 0
    assert share.together_ms > 0
    assert doubt_bench.table([share])


def test_a_short_run_of_the_queue_bench_tells_what_a_request_costs_beside_few_and_many(tmp_path):
    command = [sys.executable, str(TEST / "benches" / "queue_bench.py"), "--few", "2", "--many", "60", "--n", "100"]
    options = ["--rounds", "1", "--most", "0.001", "--results", str(tmp_path)]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=500)
    assert ran.returncode == 1, ran.stderr
    costs = json.loads((tmp_path / "queue_bench.json").read_text())["costs"]
    assert [cost["load"] for cost in costs] == [*queue_bench.LOADS, queue_bench.REJECTED]
    assert all(cost["few_us"] > 0 and cost["many_us"] > 0 for cost in costs)
    assert ran.stdout == (tmp_path / "queue_bench.txt").read_text()


def test_a_short_soak_test_makes_every_fault_and_accounts_for_every_answer(tmp_path):
    command = [sys.executable, str(TEST / "chaos" / "soak.py"), "--minutes", "0.1", "--clips", "4"]
    ran = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures = json.loads((tmp_path / "soak.json").read_text())
    assert figures["findings"] == []
    assert {"SIGTERM", "burst", "gone while uploading", "poison file"} <= set(figures["faults"])
    assert len(figures["lives"]) == 2
    assert ran.stdout == (tmp_path / "soak.txt").read_text()


def test_a_short_idle_bench_sends_the_same_requests_without_and_with_a_crowd(tmp_path):
    crowd = ["--idle", "20", "--half", "5", "--slow", "2"]
    command = [sys.executable, str(TEST / "benches" / "idle_bench.py"), *crowd, "--n", "8", "--rounds", "1"]
    ran = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=500)
    figures = json.loads((tmp_path / "idle_bench.json").read_text())
    assert [(each["requests"], each["without_text"]) for each in figures["figures"]] == [(8, 0), (8, 0)], ran.stderr
    assert figures["fewest_connections"] > 0
    assert ran.stdout == (tmp_path / "idle_bench.txt").read_text()


def test_a_short_index_bench_counts_every_answer_and_the_service_lives(tmp_path):
    command = [sys.executable, str(TEST / "benches" / "index_bench.py"), "--memory-mb", "0", "--at-once", "8"]
    ran = subprocess.run(
        [*command, "--seconds", "3", "--results", str(tmp_path)], capture_output=True, text=True, timeout=500
    )
    assert "the service lives" in ran.stdout, ran.stderr
    assert " got 400" in ran.stdout
    assert ran.stdout == (tmp_path / "index_bench.txt").read_text()


def test_a_short_loop_bench_sends_what_is_asked_for_and_tells_the_longest_probe_beside_it(tmp_path):
    command = [sys.executable, str(TEST / "benches" / "loop_bench.py"), "--seconds", "3", "--rounds", "1"]
    ran = subprocess.run(
        [*command, "--only", "hours", "--results", str(tmp_path)], capture_output=True, text=True, timeout=500
    )
    figures = json.loads((tmp_path / "loop_bench.json").read_text())["figures"]
    expected = "200", "conversation.item.input_audio_transcription.completed"
    assert len(figures) > 5, ran.stderr
    assert all("hours" in each["name"] and each["answer"] in expected for each in figures), ran.stdout
    assert all(each["probe_ms"] > 0 for each in figures)
    assert ran.stdout == (tmp_path / "loop_bench.txt").read_text()
