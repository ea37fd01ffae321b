"""The programs `warmup.py`, `bench.py` and `tpm.py`, run against a real HTTP server that answers as each test says."""

import email.parser
import email.policy
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bench
import client
import client_report
import numpy as np
import pytest
import soundfile
import tpm
import warmup

TEST = Path(__file__).parent.parent
CLIP = client.CLIPS / "piper-joe-1.flac"
OTHER_CLIP = client.CLIPS / "piper-joe-2.flac"
SPEECH = json.dumps({"text": "hello there"})
QUEUE_FULL = json.dumps({"error": {"message": "The queue is full.", "type": "x", "param": None, "code": "queue_full"}})
QUEUE_TIMEOUT = QUEUE_FULL.replace("queue_full", "queue_timeout")


@dataclass(frozen=True)
class Received:
    """A request as the server saw it; `number` counts from 0."""

    number: int
    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer of the server; without `status` the connection is closed instead."""

    status: int | None = 200
    body: str = SPEECH
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """A running server: its address, and what it has received."""

    url: str
    received: list[Received] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[Received], Reply] = lambda _: Reply()) -> Iterator[Server]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                request = Received(len(server.received), self.path, self.headers["Content-Type"], body)
                server.received.append(request)
            reply = answer(request)
            self.close_connection = reply.status is None
            if reply.status is not None:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body.encode())), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        request_queue_size = 128

    with Listener(("127.0.0.1", 0), Handler) as listener:
        server = Server(f"http://127.0.0.1:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def unused_url() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def run(main: Callable[[list[str]], int], *arguments: object) -> int:
    return client.run(lambda: main([str(each) for each in arguments]))


def sent_by_warmup(folder: Path, *arguments: object) -> Received:
    with serving() as server:
        assert run(warmup.main, "--url", server.url, "--results", folder, *arguments) == 0
    (request,) = server.received
    assert request.path == "/v1/audio/transcriptions"
    return request


def form_part(request: Received) -> tuple[str, str, bytes]:
    """Return name, content type and content of the one file in a multipart form, as the standard library reads it."""
    head = f"Content-Type: {request.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
    (part,) = message.iter_parts()
    assert part.get_param("name", header="Content-Disposition") == "file"
    return str(part.get_filename()), part.get_content_type(), bytes(part.get_payload(decode=True))


def figures(folder: Path, program: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{program}.json").read_text()))


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_by_default_a_file_is_sent_as_16_khz_mono_pcm16_in_a_wav_in_a_form(tmp_path):
    name, content_type, content = form_part(sent_by_warmup(tmp_path, "--file", CLIP))
    assert (name, content_type) == ("piper-joe-1.wav", "audio/wav")
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.array_equal(samples, soundfile.read(CLIP, dtype="int16")[0])


def test_raw_sends_headerless_pcm16_as_the_body(tmp_path):
    request = sent_by_warmup(tmp_path, "--raw", "--file", CLIP)
    assert request.content_type == "audio/pcm;rate=16000;channels=1"
    assert np.array_equal(np.frombuffer(request.body, "<i2"), soundfile.read(CLIP, dtype="int16")[0])


def test_no_pcm_sends_the_original_file_in_a_form(tmp_path):
    name, content_type, content = form_part(sent_by_warmup(tmp_path, "--no-pcm", "--file", CLIP))
    assert name == CLIP.name
    assert content_type in ("audio/flac", "audio/x-flac")
    assert content == CLIP.read_bytes()


def test_raw_and_no_pcm_together_send_the_original_file_as_the_body(tmp_path):
    unnamed = tmp_path / "recording"
    unnamed.write_bytes(CLIP.read_bytes())
    request = sent_by_warmup(tmp_path, "--raw", "--no-pcm", "--file", unnamed)
    assert request.content_type == "application/octet-stream"
    assert request.body == CLIP.read_bytes()


def test_a_48_khz_stereo_file_is_sent_as_16_khz_mono_as_loud_as_its_loudest_samples(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
    soundfile.write(tmp_path / "loud.wav", np.stack([tone, tone], axis=1), 48000, subtype="FLOAT")
    samples = np.frombuffer(sent_by_warmup(tmp_path, "--raw", "--file", tmp_path / "loud.wav").body, "<i2")
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 32767
    assert len(samples) == 16000
    assert np.abs(samples[500:-500] - expected[500:-500]).max() < 100  # a sample that wrapped around would be 65535 off


@pytest.mark.parametrize(
    ("name", "sent_name"), [('a"b.flac', "a%22b.flac"), ("a\r\nb: c.flac", "a%0D%0Ab: c.flac"), ("ä.flac", "ä.flac")]
)
def test_a_file_name_cannot_break_the_form(tmp_path, name, sent_name):
    (tmp_path / name).write_bytes(CLIP.read_bytes())
    request = sent_by_warmup(tmp_path, "--no-pcm", "--file", tmp_path / name)
    assert f'; filename="{sent_name}"\r\nContent-Type: '.encode() in request.body
    assert form_part(request)[2] == CLIP.read_bytes()


# -- warmup ------------------------------------------------------------------------------------------------------------


def test_warmup_prints_text_and_speed_and_saves_them_with_the_reply(tmp_path, capsys):
    with serving(lambda _: Reply(body='{"text": "caf\\u00e9", "languages": []}')) as server:
        assert run(warmup.main, "--file", CLIP, "--url", server.url, "--results", tmp_path / "new") == 0
    printed = capsys.readouterr().out
    assert "café" in printed
    assert "2.75 s" in printed
    saved = json.loads((tmp_path / "new" / "warmup.txt").read_text(encoding="utf-8"))
    assert (saved["text"], saved["languages"], saved["sent_as"]) == ("café", [], "multipart, PCM16 in WAV")
    assert saved["audio_len_s"] == pytest.approx(2.75, abs=0.01)
    assert saved["rtfx"] == pytest.approx(saved["audio_len_s"] / saved["latency_s"])


def test_the_url_may_end_as_openai_clients_write_it(tmp_path):
    with serving() as server:
        assert run(warmup.main, "--url", server.url + "/v1/", "--results", tmp_path) == 0
    assert server.received[0].path == "/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(503, QUEUE_TIMEOUT), "503 queue_timeout: The queue is full."),
        (Reply(500, "<html>\n  oh no</html>"), "500: <html> oh no</html>"),
        (Reply(502, ""), "502: empty answer"),
        (Reply(400, '{"detail": "no"}'), '400: {"detail": "no"}'),
        (Reply(200, "hello"), "200 without text: hello"),
        (Reply(200, '["text"]'), '200 without text: ["text"]'),
        (Reply(302, "", {"Location": "/elsewhere"}), "302: empty answer"),
        (Reply(None), "disconnected: Server disconnected"),
    ],
)
def test_an_answer_without_text_ends_warmup_with_one_sentence_and_code_1(tmp_path, capsys, reply, words):
    with serving(lambda _: reply) as server:
        assert run(warmup.main, "--url", server.url, "--results", tmp_path) == 1
    assert capsys.readouterr().err == f"{server.url}: {words}\n"
    assert not (tmp_path / "warmup.txt").exists()


def test_an_answer_that_does_not_come_in_time_ends_warmup(tmp_path, capsys):
    over = threading.Event()

    def wait(_: Received) -> Reply:
        over.wait()
        return Reply()

    with serving(wait) as server:
        assert run(warmup.main, "--url", server.url, "--timeout", 0.2, "--results", tmp_path) == 1
        over.set()
    assert "timeout: no answer in time" in capsys.readouterr().err


@pytest.mark.parametrize("program", [warmup, bench, tpm])
def test_without_a_server_a_program_ends_at_once(program, tmp_path, capsys, unused_url):
    for url, sentence in (
        (unused_url, f"No server answers at {unused_url}: start it, or name another with --url\n"),
        ("http://a..b:8000", "There is no host a..b (--url)\n"),
    ):
        assert run(program.main, "--file", CLIP, "--url", url, "--results", tmp_path) == 1
        assert capsys.readouterr().err == sentence


@pytest.mark.parametrize("program", [warmup, bench, tpm])
def test_a_file_that_cannot_be_sent_is_named_in_one_sentence(program, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no audio at all " * 100)
    (tmp_path / "empty.wav").touch()
    for file in (tmp_path / "missing.wav", tmp_path, tmp_path / "text.wav", tmp_path / "empty.wav"):
        assert run(program.main, "--file", file) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"{file}: ")
        assert error.count("\n") == 1


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    with serving() as server:
        assert run(warmup.main, "--url", server.url, "--results", tmp_path / "file") == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


# -- bench -------------------------------------------------------------------------------------------------------------


def test_bench_sends_n_requests_with_the_files_in_turn_and_saves_what_it_prints(tmp_path, capsys):
    with serving() as server:
        options = ("--n", 9, "--concurrency", 3, "--raw", "--url", server.url, "--results", tmp_path)
        assert run(bench.main, "--file", CLIP, OTHER_CLIP, *options) == 0
    sizes = Counter(len(each.body) for each in server.received)
    assert sorted(sizes.values()) == [4, 5]
    saved = figures(tmp_path, "bench")
    assert (saved["requests"], saved["ok"], saved["codes"], saved["retried_429"]) == (9, 9, {"200": 9}, 0)
    audio_s = sum(len(each.body) for each in server.received) / 32000
    assert saved["rtfx"] == pytest.approx(audio_s / saved["window_s"])
    assert saved["requests_per_s"] == pytest.approx(9 / saved["window_s"])
    assert not {"first_delta_s", "final_s"} & {*saved}
    latency_s = saved["latency_s"]
    assert 0 < latency_s["p50"] <= latency_s["p95"] <= latency_s["p99"] <= saved["window_s"]
    printed = capsys.readouterr()
    assert (tmp_path / "bench.txt").read_text() in printed.out
    assert printed.err == ""


def test_bench_without_a_file_sends_bundled_clips(tmp_path):
    with serving() as server:
        assert run(bench.main, "--n", 4, "--url", server.url, "--results", tmp_path) == 0
    assert len({each.body for each in server.received}) == 4


def test_bench_keeps_exactly_the_given_number_of_requests_in_flight(tmp_path):
    meet, lock = threading.Barrier(4), threading.Lock()
    in_flight, peak = 0, 0

    def answer_four_at_once(_: Received) -> Reply:
        nonlocal in_flight, peak
        with lock:
            in_flight += 1
            peak = max(peak, in_flight)
        meet.wait(timeout=300)
        with lock:
            in_flight -= 1
        return Reply()

    with serving(answer_four_at_once) as server:
        options = ("--n", 12, "--concurrency", 4, "--file", CLIP, "--url", server.url, "--results", tmp_path)
        assert run(bench.main, *options) == 0
    assert peak == 4


def test_a_429_is_sent_again_after_the_wait_it_asks_for_and_counted_apart(tmp_path):
    def refuse_two(request: Received) -> Reply:
        wait = {0: "1", 1: "0"}.get(request.number)
        return Reply(429, QUEUE_FULL, {"Retry-After": wait}) if wait else Reply()

    with serving(refuse_two) as server:
        assert run(bench.main, "--n", 5, "--file", CLIP, "--url", server.url, "--results", tmp_path) == 0
    saved = figures(tmp_path, "bench")
    assert (saved["requests"], saved["codes"], saved["retried_429"]) == (5, {"200": 5}, 2)
    assert saved["window_s"] >= 1
    assert saved["latency_s"]["p99"] < saved["window_s"]
    assert len(server.received) == 7


@pytest.mark.parametrize(
    ("flags", "wait"), [(["--no-retry"], "1"), ([], "3600")], ids=["not retried", "asks for an hour"]
)
def test_a_429_that_is_not_retried_is_an_error(tmp_path, flags, wait):
    with serving(lambda _: Reply(429, QUEUE_FULL, {"Retry-After": wait})) as server:
        assert run(bench.main, "--n", 3, "--file", CLIP, "--url", server.url, "--results", tmp_path, *flags) == 1
    assert len(server.received) == 3
    assert figures(tmp_path, "bench")["codes"] == {"429 queue_full": 3}


def test_bench_counts_errors_by_code_and_ends_with_code_1(tmp_path, capsys):
    replies = {0: Reply(500, "oops"), 1: Reply(None), 2: Reply(503, QUEUE_TIMEOUT), 3: Reply(500, "oops")}
    with serving(lambda request: replies.get(request.number, Reply())) as server:
        assert run(bench.main, "--n", 10, "--file", CLIP, "--url", server.url, "--results", tmp_path) == 1
    saved = figures(tmp_path, "bench")
    assert saved["codes"] == {"200": 6, "500": 2, "503 queue_timeout": 1, "disconnected": 1}
    assert saved["messages"]["503 queue_timeout"] == "The queue is full."
    assert (saved["requests"], saved["ok"]) == (10, 6)
    assert saved["requests_per_s"] == pytest.approx(6 / saved["window_s"])
    assert re.search(r"^error 500 +2 +oops$", capsys.readouterr().out, re.MULTILINE)


def test_bench_without_a_single_text_still_reports(tmp_path):
    with serving(lambda _: Reply(500, "oops")) as server:
        assert run(bench.main, "--n", 3, "--file", CLIP, "--url", server.url, "--results", tmp_path) == 1
    saved = figures(tmp_path, "bench")
    assert saved["latency_s"] == {"p50": None, "p95": None, "p99": None, "mean": None}
    assert saved["rtfx"] == 0


def test_check_compares_each_text_with_the_one_of_its_file_sent_alone(tmp_path, capsys):
    def text_of(request: Received) -> Reply:
        text = f"{len(request.body)} bytes" if request.number != 5 else "something else"
        return Reply(body=json.dumps({"text": text}))

    for n, differing in ((3, 0), (8, 1)):
        with serving(text_of) as server:
            options = ("--n", n, "--check", "--raw", "--url", server.url, "--results", tmp_path)
            assert run(bench.main, "--file", CLIP, OTHER_CLIP, *options) == differing
        assert len(server.received) == n + 2
        assert figures(tmp_path, "bench")["requests"] == n
        assert figures(tmp_path, "bench")["differing"] == differing
    assert "something else" in capsys.readouterr().out


def test_check_ends_with_one_sentence_where_a_file_sent_alone_fails(tmp_path, capsys):
    with serving(lambda _: Reply(400, "no")) as server:
        assert run(bench.main, "--check", "--file", CLIP, "--url", server.url, "--results", tmp_path) == 1
    assert capsys.readouterr().err == f"{CLIP} sent alone: 400: no\n"


# -- tpm ---------------------------------------------------------------------------------------------------------------


def test_tpm_sends_for_the_time_it_was_told_and_reports_transactions_per_minute(tmp_path, capsys):
    with serving() as server:
        options = ("--concurrency", 2, "--duration", 0.3, "--url", server.url, "--results", tmp_path)
        assert run(tpm.main, "--file", CLIP, *options) == 0
    saved = figures(tmp_path, "tpm")
    assert saved["requests"] == saved["ok"] == len(server.received) > 2
    assert saved["window_s"] == 0.3
    assert saved["transactions_per_minute"] == pytest.approx(saved["requests_per_s"] * 60)
    assert 0 < saved["requests_per_s"] <= saved["ok"] / 0.3
    assert (tmp_path / "tpm.txt").read_text() in capsys.readouterr().out


def test_tpm_retries_a_429_unless_told_not_to(tmp_path):
    for flags, code, retried in (([], 0, 1), (["--no-retry"], 1, 0)):
        with serving(
            lambda request: Reply(429, QUEUE_FULL, {"Retry-After": "0"}) if request.number == 0 else Reply()
        ) as server:
            options = ("--concurrency", 1, "--duration", 0.2, "--url", server.url, "--results", tmp_path, *flags)
            assert run(tpm.main, "--file", CLIP, *options) == code
        assert figures(tmp_path, "tpm")["retried_429"] == retried


def test_requests_answered_after_the_time_count_in_codes_and_latencies_but_not_in_rates():
    def answer(ended_s: float) -> client.Answer:
        return client.Answer(
            "a.wav", 200, "200", {"text": ""}, latency_s=ended_s, audio_len_s=5.0, ended_s=100 + ended_s
        )

    summary = client_report.summarise([answer(1.0), answer(2.0), answer(9.0)], started_s=100, window_s=2)
    assert (summary.requests, summary.ok) == (3, 3)
    assert (summary.requests_per_s, summary.rtfx) == (1.0, 5.0)
    assert summary.latency_s == {"p50": 2.0, "p95": 9.0, "p99": 9.0, "mean": 4.0}


def test_a_rate_is_sent_whether_or_not_answers_come(tmp_path):
    meet = threading.Barrier(20)

    def answer_when_all_are_here(_: Received) -> Reply:
        meet.wait(timeout=300)
        return Reply()

    with serving(answer_when_all_are_here) as server:
        options = ("--rate", 50, "--duration", 0.4, "--url", server.url, "--results", tmp_path)
        assert run(tpm.main, "--file", CLIP, *options) == 0
    saved = figures(tmp_path, "tpm")
    assert (saved["requests"], saved["ok"], saved["in_flight_max"], saved["rate_per_s"]) == (20, 20, 20, 50)
    assert 0 <= saved["late_p99_s"] <= saved["late_max_s"]


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ([Reply(429, QUEUE_FULL, {"Retry-After": "1"}), Reply(503, QUEUE_TIMEOUT), Reply()], 0),
        ([Reply(500, "oops"), Reply()], 1),
        ([Reply(503, "oops"), Reply()], 1),
        ([Reply(None), Reply()], 1),
    ],
    ids=["refusals", "500", "another 503", "disconnected"],
)
def test_at_a_rate_refusals_are_expected_and_not_retried_but_other_errors_fail_the_run(tmp_path, replies, code):
    with serving(lambda request: replies[request.number % len(replies)]) as server:
        options = ("--rate", 60, "--duration", 0.2, "--url", server.url, "--results", tmp_path)
        assert run(tpm.main, "--file", CLIP, *options) == code
    saved = figures(tmp_path, "tpm")
    assert saved["requests"] == len(server.received) == 12
    assert sum(saved["codes"].values()) == 12
    assert saved["codes"]["200"] == saved["ok"] == 12 // len(replies)


# -- figures, arguments, terminal --------------------------------------------------------------------------------------


def test_a_percentile_is_the_nearest_rank():
    hundred = [float(each) for each in range(1, 101)]
    assert [client_report.percentile(hundred, percent) for percent in (50, 95, 99)] == [50, 95, 99]
    assert [client_report.percentile([1.0, 2.0, 3.0], percent) for percent in (50, 95, 99)] == [2, 3, 3]
    assert client_report.percentile([7.0], 50) == 7
    assert client_report.percentile([], 50) is None


@pytest.mark.parametrize(
    ("program", "arguments", "named"),
    [
        (bench, ["--n", "0"], "--n"),
        (bench, ["--concurrency", "-1"], "--concurrency"),
        (bench, ["--url", "localhost:8000"], "--url"),
        (bench, ["--url", "http://127.0.0.1:none"], "--url"),
        (tpm, ["--duration", "nan"], "--duration"),
        (tpm, ["--rate", "inf"], "--rate"),
        (tpm, ["--rate", "5", "--concurrency", "3"], "--rate"),
        (warmup, ["--timeout", "0"], "--timeout"),
        (warmup, ["--file"], "--file"),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(capsys, program, arguments, named):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert f"error: argument {named}" in capsys.readouterr().err.replace(
        "argument --concurrency: not allowed with ", ""
    )


def test_the_port_of_the_environment_is_the_default_from_any_folder(tmp_path):
    with serving() as server:
        environment = os.environ | {"PARAKEET_PORT": server.url.rsplit(":", 1)[1]}
        command = [sys.executable, str(TEST / "warmup.py"), "--results", "out"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hello there" in done.stdout
    assert json.loads((tmp_path / "out" / "warmup.txt").read_text())["text"] == "hello there"


def test_without_the_packages_a_program_says_what_to_do():
    command = [sys.executable, "-S", str(TEST / "warmup.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"\w+ is not installed: run `bash scripts/setup.sh`.*\n", done.stderr)


def test_no_program_loads_the_model_libraries():
    code = "import sys, bench, tpm, warmup; print({'torch', 'nemo'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=TEST, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_on_a_terminal_bench_draws_a_bar_that_ends_full(tmp_path):
    with serving() as server:
        terminal, its_end = pty.openpty()
        command = [
            sys.executable,
            TEST / "bench.py",
            "--n",
            "5",
            "--file",
            CLIP,
            "--url",
            server.url,
            "--results",
            tmp_path,
        ]
        done = subprocess.run(
            command, stderr=its_end, capture_output=False, stdout=subprocess.PIPE, text=True, check=False
        )
        os.close(its_end)
        with os.fdopen(terminal, "rb", buffering=0) as screen:
            drawn = screen.read(4096).decode()
    assert done.returncode == 0
    assert drawn.splitlines()[-1].endswith(f"[{'#' * 30}] 100% 5 of 5 requests, 0 errors")
    assert "\r" not in done.stdout


def test_ctrl_c_ends_a_run_without_a_traceback(tmp_path):
    arrived, over = threading.Event(), threading.Event()

    def hold(_: Received) -> Reply:
        arrived.set()
        over.wait()
        return Reply()

    with serving(hold) as server:
        command = [sys.executable, TEST / "tpm.py", "--file", CLIP, "--url", server.url, "--results", tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert arrived.wait(timeout=300)
            running.send_signal(signal.SIGINT)
            _, error = running.communicate(timeout=300)
        over.set()
    assert (running.returncode, error) == (130, "")


def test_the_projects_clips_are_read_without_pyav_too(monkeypatch, tmp_path):
    expected = client.samples_of(CLIP)
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    assert np.array_equal(client.samples_of(CLIP), expected)
    not_16_khz = tmp_path / "other.flac"
    soundfile.write(not_16_khz, expected, 8000)
    with pytest.raises(client.Failure, match="without av it must be 16 kHz mono"):
        client.samples_of(not_16_khz)
