"""The benchmarks of speed: what they make of figures, what they compare, and a short run against the real service."""

import argparse
import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import client
import columns
import conversations
import diarize_bench
import doubt_bench
import engine_bench
import keywords_bench
import live_bench
import numpy as np
import overhead_bench
import own_service
import paced_sessions
import pytest
import queue_bench
import sentence_bench
import serve_bench
import session_overhead_bench
import sessions_bench
import siege_bench
import word_delays
from instant_model import InstantModel
from live_session import HeardItem, LiveResult
from word_delays import SpokenWord

from src.audio.decode import decode
from src.audio.samples import SAMPLE_RATE
from src.engine.batch_limits import BatchLimits
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.settings import Settings
from src.text.transcript import WORD_START, Token, Transcript

TEST = Path(__file__).parent.parent


def clip_of(seconds: float) -> np.ndarray:
    return np.ones(round(seconds * SAMPLE_RATE), np.float32)


def test_columns_are_as_wide_as_their_widest_cell_and_figures_stand_right():
    text = columns.columns(["who", "req/s", "p50"], [["the service", 40.125, None], ["me", 1234.5, 3]])
    assert text == "who          req/s  p50\nthe service  40.12    -\nme            1234    3\n"


@pytest.mark.parametrize(
    "program",
    [engine_bench, serve_bench, overhead_bench, session_overhead_bench, keywords_bench, queue_bench, doubt_bench],
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


def speeches_of(*arguments: str) -> list[sessions_bench.Speech]:
    return sessions_bench.speeches_of(sessions_bench.arguments(arguments))


def test_sessions_send_as_much_of_a_file_as_is_asked_for():
    file = ["--file", str(client.CLIPS / "long-30s.flac")]
    [whole], [first] = speeches_of(*file), speeches_of(*file, "--seconds", "2.5")
    assert (len(first.live.frames), first.live.audio_len_s) == (25, 2.5)
    assert first.live.frames == whole.live.frames[:25]
    assert whole.live.audio_len_s == pytest.approx(28.1, abs=0.01)


def test_sessions_without_a_file_say_different_things():
    said = speeches_of("--sessions", "3", "5", "--seconds", "20")
    assert len({each.live.frames for each in said}) == 5
    assert {each.live.audio_len_s for each in said} == {20.0}


def test_a_conversation_is_the_same_each_time_and_has_pauses_that_end_turns():
    said, again = (conversations.conversation(1, 20.0) for _ in range(2))
    assert np.array_equal(said, again)
    assert not np.array_equal(said, conversations.conversation(2, 20.0))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], said == 0, [0]]).astype(int)))
    pauses_s = (edges[1::2] - edges[::2]) / SAMPLE_RATE
    assert np.count_nonzero(pauses_s >= 0.6) >= 3


SPOKEN = [SpokenWord("Set", 0.5), SpokenWord("a", 0.6), SpokenWord("timer", 1.0), SpokenWord("for", 1.5)]


def heard(shown, transcript: str, completed_s: float, read=()) -> HeardItem:
    return HeardItem(list(shown), sorted([*shown, *read]), 2.0, completed_s, transcript)


def test_a_word_is_delayed_until_all_of_it_is_shown_whatever_its_case_and_punctuation():
    item = heard([(1.0, "set a tim"), (2.0, "set a timer, for")], "Set a timer for.", 3.0)
    delays = word_delays.delays_of(LiveResult((item,)), SPOKEN)
    assert delays.shown_s == pytest.approx({0: 0.5, 1: 0.4, 2: 1.0, 3: 0.5})
    assert delays.first_s == [0.5]


def test_a_word_that_no_delta_has_came_with_the_final_text():
    item = heard([(1.0, "sat a")], "Set a timer for", 3.0)
    delays = word_delays.delays_of(LiveResult((item,)), SPOKEN)
    assert delays.shown_s == pytest.approx({0: 2.5, 1: 0.4, 2: 2.0, 3: 1.5})


def test_a_word_of_a_hypothesis_can_be_read_before_it_is_shown():
    item = heard([(2.0, "Set a")], "Set a", 3.0, read=[(0.7, "Set"), (1.1, "Set a time")])
    delays = word_delays.delays_of(LiveResult((item,)), SPOKEN)
    assert delays.shown_s == pytest.approx({0: 1.5, 1: 1.4})
    assert delays.read_s == pytest.approx({0: 0.2, 1: 0.5})


def test_the_words_of_later_items_are_found_behind_those_of_earlier_ones():
    items = heard([(1.0, "Set a")], "Set a", 1.5), heard([(2.0, "timer")], "timer", 2.5), heard([], "for", 4.0)
    delays = word_delays.delays_of(LiveResult(items), SPOKEN)
    assert delays.shown_s == pytest.approx({0: 0.5, 1: 0.4, 2: 1.0, 3: 2.5})
    assert delays.first_s == pytest.approx([0.5, 1.0])


def test_lags_are_those_beyond_the_session_alone_and_texts_are_compared_with_its_own():
    alone = LiveResult((heard([(1.0, "Set a timer for")], "Set a timer for", 3.0),))
    reference = sessions_bench.Reference(SPOKEN, alone.text, word_delays.delays_of(alone, SPOKEN))
    later = LiveResult((heard([(1.2, "Set a"), (1.9, "Set a timer for")], "Set a timer for", 3.1),))
    other = LiveResult((heard([(1.2, "Set")], "Set", 3.1),))
    level = sessions_bench.level_of([later, other], [reference], 1.8, cores=1.0, rss_mb=900.0, grown_mb=20.0)
    assert level.lag_first_half_p95_s == pytest.approx(0.2)
    assert level.lag_second_half_p95_s == pytest.approx(0.9)
    assert (level.sessions, level.kept_up, level.same_text) == (2, 1, 1)
    assert level.final_p50_s == pytest.approx(1.1)


def test_frames_of_a_server_are_found_however_they_arrive():
    payloads = [b"x" * size for size in (0, 125, 126, 70_000)]
    lengths = [b"\x00", b"\x7d", b"\x7e\x00\x7e", b"\x7f" + (70_000).to_bytes(8)]
    sent = b"".join(b"\x81" + length + payload for length, payload in zip(lengths, payloads, strict=True))
    received, taken = bytearray(), []
    for start in range(0, len(sent), 1001):
        received += sent[start : start + 1001]
        taken += paced_sessions.take_frames(received)
    assert taken == [(paced_sessions.TEXT, payload) for payload in payloads]


def test_figures_are_void_if_the_client_or_the_server_did_not_keep_real_time():
    assert session_overhead_bench.too_late(0.01, 0.1, 0.2) is None
    assert "client" in session_overhead_bench.too_late(0.3, 0.1, 0.2)
    assert "client" in session_overhead_bench.too_late(0.01, 2.0, 0.2)
    assert "server" in session_overhead_bench.too_late(0.01, 0.1, 2.0)


def test_what_sessions_cost_is_told_for_a_second_of_audio_and_threads_apart():
    case = session_overhead_bench.Case(100, "manual")
    spent_s = {session_overhead_bench.ALL: 0.05, own_service.EVENT_LOOP: 0.03, "realtime": 0.02}
    reports = [
        paced_sessions.Report(100, 1, 0.1, 0.2, {"session.updated": 50}),
        paced_sessions.Report(100, 0, 0, 0, {}),
    ]
    cost = session_overhead_bench.cost_of("this", case, 5, 2.0, spent_s, reports, None)
    assert (cost.cpu_ms, cost.event_loop_ms, cost.others_ms["realtime"]) == pytest.approx((5.0, 3.0, 2.0))
    assert (cost.appends_per_s, cost.events_per_s, cost.late_percent) == (50, 10, 0.5)
    assert cost.void is None


def test_sessions_that_are_lost_make_figures_void_and_the_table_says_why():
    case = session_overhead_bench.Case(100, "manual")
    cost = session_overhead_bench.cost_of("this", case, 5, 2.0, {}, [], "A session was refused: HTTP/1.1 503")
    header, line, why = session_overhead_bench.table([cost]).splitlines()
    assert header.split()[:2] == ["server", "append"]
    assert line.split()[4:7] == ["void"] * 3
    assert why == "void: this, 100 ms, manual: A session was refused: HTTP/1.1 503"


def test_a_session_that_the_server_refuses_is_lost():
    with own_service.serving("instant", PARAKEET_MAX_SESSIONS="1") as server:
        [(_, script)] = session_overhead_bench.scripts_of([100], ["manual"])
        with pytest.raises(paced_sessions.SessionLost, match="503"), paced_sessions.crowd_of(2, server.url, script):
            pass


def test_the_instant_model_says_in_live_text_what_it_says_of_a_clip():
    settings = Settings(model_id="tiny")
    model = InstantModel(settings, every_s=0.4)
    live, clip = LiveTranscript(Windowing.from_settings(settings)), clip_of(7.3)
    while window := live.next_window(len(clip), ended=True):
        step = live.begin_step(window, clip[window.start : window.stop])
        [result] = model.advance(model.collate_steps([step]))
        live.finish_step(result)
    live.finish()
    [transcript] = model.transcribe(model.collate([clip]))
    assert live.text == transcript.text
    assert len(transcript.text.split()) == 18


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


@pytest.mark.slow
def test_a_short_run_tells_what_sessions_cost_two_checkouts_or_why_not(tmp_path):
    command = [sys.executable, str(TEST / "benches" / "session_overhead_bench.py"), "--sessions", "3", "--seconds", "2"]
    options = ["--rounds", "1", "--append-ms", "50", "--against", str(TEST.parent), "--results", str(tmp_path)]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=500)
    costs = json.loads((tmp_path / "session_overhead_bench.json").read_text())["costs"]
    assert ran.returncode == any(cost["void"] for cost in costs), ran.stderr
    assert [cost["turns"] for cost in costs] == ["manual", "manual", "server_vad", "server_vad"]
    assert [cost["server"].split()[0] for cost in costs] == ["against", "this"] * 2
    assert all(cost["cpu_ms"] > 0 for cost in costs)
    assert all(cost["events_per_s"] > 0 for cost in costs)
    assert ran.stdout == (tmp_path / "session_overhead_bench.txt").read_text()


def test_what_is_no_checkout_of_the_project_is_not_measured(tmp_path, capsys):
    with pytest.raises(client.Failure, match="not a checkout"):
        session_overhead_bench.main(["--against", str(tmp_path)])


@pytest.mark.slow
def test_a_short_run_of_sessions_tells_when_their_words_came_and_that_their_texts_are_right(tmp_path):
    command = [sys.executable, str(TEST / "benches" / "sessions_bench.py"), "--sessions", "2", "--seconds", "7"]
    options = ["--vad", "--hypothesis", "--alone", "1", "--results", str(tmp_path)]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr
    [level] = json.loads((tmp_path / "sessions_bench.json").read_text())["levels"]
    assert (level["server"], level["sessions"], level["same_text"]) == ("this", 2, 2)
    assert level["read_p50_s"] <= level["delay_p50_s"]
    assert level["lag_p50_s"] is not None
    assert level["first_delta_p50_s"] is not None
    assert level["final_p50_s"] > 0
    assert ran.stdout == (tmp_path / "sessions_bench.txt").read_text()


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


@pytest.mark.slow
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
    crowd = ["--idle", "20", "--half", "5", "--slow", "2", "--model", "instant"]
    command = [sys.executable, str(TEST / "benches" / "idle_bench.py"), *crowd, "--n", "8", "--rounds", "1"]
    ran = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=500)
    figures = json.loads((tmp_path / "idle_bench.json").read_text())
    assert [(each["requests"], each["without_text"]) for each in figures["figures"]] == [(8, 0), (8, 0)], ran.stderr
    assert figures["fewest_connections"] > 0
    assert ran.stdout == (tmp_path / "idle_bench.txt").read_text()


def test_a_short_index_bench_counts_every_answer_and_the_service_lives(tmp_path):
    command = [sys.executable, str(TEST / "benches" / "index_bench.py"), "--memory-mb", "0", "--at-once", "8"]
    command += ["--model", "instant"]
    ran = subprocess.run(
        [*command, "--seconds", "3", "--results", str(tmp_path)], capture_output=True, text=True, timeout=500
    )
    assert "the service lives" in ran.stdout, ran.stderr
    assert " got 400" in ran.stdout
    assert ran.stdout == (tmp_path / "index_bench.txt").read_text()


@pytest.mark.parametrize(
    ("is_alive", "statuses", "passes"),
    [(True, [200, 429, 503], True), (True, [429, 503], False), (True, [200, 0], False), (False, [200], False)],
)
def test_a_siege_is_withstood_if_others_are_served_or_told_to_come_back(is_alive, statuses, passes):
    assert siege_bench.passed(is_alive, Counter(statuses)) is passes


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


# The bench of live text.


def test_the_long_dialogue_is_as_long_as_it_should_be_and_the_same_each_time():
    samples = diarize_bench.long_dialogue(2, 0, 90.0)
    assert len(samples) == 90 * SAMPLE_RATE
    assert np.array_equal(samples, diarize_bench.long_dialogue(2, 0, 90.0))


def test_what_speakers_cost_is_told_as_a_ratio():
    plain = diarize_bench.Cost(wall_s=20.0, cpu_s=36.0, peak_mb=900.0, words={})
    diarized = diarize_bench.Cost(wall_s=21.0, cpu_s=40.0, peak_mb=950.0, words={"A": 70, "B": 30})
    *_, last = diarize_bench.table({"json": plain, "diarized_json": diarized}).splitlines()
    assert last.split() == ["diarized_json", "21.00", "1.05", "40.00", "950", "A", "70,", "B", "30"]


def test_words_that_differ_are_the_fewest_changes_from_one_text_to_the_other():
    assert live_bench.distance(["set", "a", "time"], ["set", "the", "timer", "now"]) == 3
    assert live_bench.differing([(["a", "b"], ["a", "c"]), (["d"], ["d", "e"])]) == 50


def test_a_delta_is_broken_if_its_word_goes_on_and_not_if_a_mark_follows():
    assert live_bench.is_broken("for fif", "for fifteen, please")
    assert live_bench.is_broken("it", "it's")
    assert not live_bench.is_broken("for fifteen", "for fifteen, please")
    assert not live_bench.is_broken("for fifteen,", "for fifteen, please")


def test_words_that_the_next_step_replaces_were_taken_back():
    assert live_bench.taken_back([[["one"], ["one", "too"], ["one", "two"], ["one"]]]) == 40


def test_the_ways_of_live_text_are_distinct_and_begin_with_the_default():
    names = [way.name for way in live_bench.ways()]
    assert len(names) == len(set(names))
    assert live_bench.ways()[0].step_s == Settings().realtime_min_chunk_s


def test_live_bench_prints_a_line_for_each_way(tmp_path, capsys, monkeypatch, tiny):
    monkeypatch.setattr(NemoModel, "load", lambda _: tiny)
    monkeypatch.setattr(live_bench, "MAX_CLIP_S", 2.0)
    assert live_bench.main(["--only", "fixed 4.8, 0.96, 0.96", "--results", str(tmp_path)]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.startswith("way")
    assert line.startswith("fixed 4.8, 0.96, 0.96")
    [figures] = json.loads((tmp_path / "live_bench.json").read_text())
    assert figures["broken"] == 0


def test_a_turn_ends_when_its_text_is_known_to_end_a_sentence_and_the_pause_is_over():
    def ended_at(pause_s: float, until_s: float) -> float | None:
        ends = [(1.0, 1.0, True), (1.5, 1.5, False), (2.0, 2.0, True), (2.5, 2.5, True), (3.0, 3.0, False)]
        live = LiveTranscript(Windowing.from_settings(Settings()))
        return sentence_bench.Sentence(clip_of(4), 1.0, 3.0, live, ends).ended_at(1.0, pause_s, until_s)

    assert ended_at(0.2, 4.0) == 1.0  # from the step at 2 s on: that at 1 s had not seen enough
    assert ended_at(1.2, 4.0) == pytest.approx(1.2)
    assert ended_at(1.2, 1.1) is None
    assert ended_at(2.5, 4.0) is None


def test_a_clip_is_cut_at_its_longest_gap_near_the_middle():
    words = [
        Token(0, f"{WORD_START}{number}", at_s, at_s + 0.2, -0.1) for number, at_s in enumerate((0, 0.5, 1, 2, 2.3))
    ]
    assert sentence_bench.middle_of(Transcript("0 1 2 3 4", tuple(words)), 3 * SAMPLE_RATE) == round(1.6 * SAMPLE_RATE)
    assert sentence_bench.middle_of(Transcript("0", tuple(words[:1])), SAMPLE_RATE) is None
