"""`warmup.py`, `bench.py` and `tpm.py` with `--ws`, against a real WebSocket server that each test scripts.

The server is a fake of the wire alone: it knows the simple dialect of `/v1/realtime` and the texts of two clips. Tests
with the fixture `listening` run against the service on the bundled model too.
"""

import base64
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bench
import client
import client_ws
import numpy as np
import pytest
import soundfile
import tpm
import warmup
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

CLIP = client.CLIPS / "piper-joe-1.flac"
OTHER_CLIP = client.CLIPS / "piper-joe-2.flac"
LIVE_DELTA = "conversation.item.input_audio_transcription.delta"


@dataclass
class Session:
    """One connection on the server's side. `number` counts from 0; `pieces` is the audio of each append."""

    number: int
    path: str
    headers: Headers
    socket: ServerConnection
    pieces: list[bytes] = field(default_factory=list)
    after_audio: list[str] = field(default_factory=list)

    @property
    def audio(self) -> bytes:
        return b"".join(self.pieces)

    def say(self, kind: str, **fields: object) -> None:
        self.socket.send(json.dumps({"type": kind, "event_id": "event_1"} | fields))

    def read_event(self) -> bool:
        """Read one event, and return whether it was audio."""
        event = json.loads(self.socket.recv())
        if event["type"] == "input_audio_buffer.append":
            self.pieces.append(base64.b64decode(event["audio"], validate=True))
            return True
        self.after_audio.append(event["type"])
        return False

    def read_audio(self) -> None:
        while self.read_event():
            pass

    def answer(self, text: str) -> None:
        self.say("response.created", response={"status": "in_progress"})
        if text:
            self.say("response.output_text.delta", delta=text)
        self.say("response.output_text.done", text=text)
        self.say("response.done", response={"status": "completed"})
        self.say("response.completed", response={"status": "completed", "output_text": text})

    def fail(self, code: str, message: str = "The queue is full.") -> None:
        error = {"type": "server_error", "code": code, "message": message}
        self.say("response.done", response={"status": "failed", "status_details": {"error": error}})
        self.say("error", error=error)


Script = Callable[[Session], None]
Refuse = Callable[[int], Response | None]


@dataclass
class Server:
    """A running server: its address, its sessions, and the number of upgrades that it rejected."""

    url: str
    sessions: list[Session] = field(default_factory=list)
    refused: int = 0


def refusal(status: int, body: str, **headers: str) -> Response:
    sent = Headers({"Content-Length": str(len(body)), "Content-Type": "application/json", **headers})
    return Response(status, "", sent, body.encode())


def error_body(code: str, message: str) -> str:
    return json.dumps({"error": {"message": message, "type": "x", "param": None, "code": code}})


@contextmanager
def serving(script: Script, refuse: Refuse = lambda _: None) -> Iterator[Server]:
    """Run `script` for each connection; `refuse` gets the number of the attempt."""
    lock = threading.Lock()

    def admit(_: ServerConnection, __: Request) -> Response | None:
        with lock:
            response = refuse(server.refused + len(server.sessions))
            server.refused += response is not None
        return response

    def talk(it: ServerConnection) -> None:
        with lock:
            session = Session(len(server.sessions), it.request.path, it.request.headers, it)
            server.sessions.append(session)
        try:
            session.say("session.created", session={})
            script(session)
            while True:
                it.recv()
        except ConnectionClosed:
            pass

    with serve(talk, "127.0.0.1", 0, process_request=admit, max_size=None) as listener:
        server = Server(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def pcm16(file: Path) -> bytes:
    return bytes(soundfile.read(file, dtype="int16")[0].astype("<i2").tobytes())


def hello(session: Session) -> None:
    session.read_audio()
    session.answer("hello there")


@pytest.fixture(params=["fake", "service"])
def listening(request, transcripts) -> Iterator[str]:
    """The address of a server that transcribes the two clips, with live text while audio comes in."""
    texts = {pcm16(each): transcripts[each.name] for each in (CLIP, OTHER_CLIP)}

    def transcribe(session: Session) -> None:
        session.read_event()
        session.say("an.event.that.nobody.knows", delta=7)
        session.say(LIVE_DELTA, item_id="item_1", delta="live")
        session.read_audio()
        session.answer(next(text for speech, text in texts.items() if session.audio.startswith(speech)))

    if request.param == "service":
        yield f"http://127.0.0.1:{request.getfixturevalue('service').port}"
    else:
        with serving(transcribe) as server:
            yield server.url


def run(main: Callable[[list[str]], int], *arguments: object) -> int:
    return client.run(lambda: main(["--ws", *(str(each) for each in arguments)]))


def figures(folder: Path, program: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{program}.json").read_text()))


def write_silence(path: Path, seconds: float) -> Path:
    soundfile.write(path, np.zeros(round(seconds * 16000), np.int16), 16000)
    return path


# -- against a server that transcribes: the fake, or the service -------------------------------------------------------


def test_warmup_prints_text_first_delta_and_final_latency_and_saves_them(listening, transcripts, tmp_path, capsys):
    assert run(warmup.main, "--file", CLIP, "--url", listening, "--results", tmp_path) == 0
    printed = capsys.readouterr().out
    assert transcripts[CLIP.name] in printed
    assert re.search(r"^first delta +\d+\.\d{3} s$", printed, re.MULTILINE)
    assert re.search(r"^final after commit +\d+\.\d{3} s$", printed, re.MULTILINE)
    saved = json.loads((tmp_path / "warmup.txt").read_text(encoding="utf-8"))
    assert (saved["text"], saved["sent_as"]) == (transcripts[CLIP.name], "WebSocket, as fast as possible")
    assert saved["audio_len_s"] == pytest.approx(2.75, abs=0.01)
    assert 0 < saved["first_delta_s"] < saved["latency_s"]
    assert 0 < saved["final_s"] < saved["latency_s"]


def test_in_real_time_the_text_is_asked_for_when_the_audio_has_been_spoken(listening, transcripts, tmp_path):
    options = ("--file", CLIP, "--url", listening, "--results", tmp_path)
    assert run(warmup.main, "--realtime", *options) == 0
    saved = json.loads((tmp_path / "warmup.txt").read_text(encoding="utf-8"))
    assert (saved["text"], saved["sent_as"]) == (transcripts[CLIP.name], "WebSocket, in real time")
    assert saved["first_delta_s"] > 0
    assert saved["latency_s"] - saved["final_s"] >= 2.7  # when its last piece was due; it may be later, never earlier


def test_bench_compares_the_texts_and_reports_both_latencies(listening, tmp_path, capsys):
    options = ("--n", 6, "--concurrency", 3, "--check", "--url", listening, "--results", tmp_path)
    assert run(bench.main, "--file", CLIP, OTHER_CLIP, *options) == 0
    saved = figures(tmp_path, "bench")
    assert (saved["requests"], saved["codes"], saved["differing"]) == (6, {"200": 6}, 0)
    for name in ("latency_s", "first_delta_s", "final_s"):
        assert 0 < saved[name]["p50"] <= saved[name]["p95"] <= saved[name]["p99"] <= saved["window_s"]
    printed = capsys.readouterr().out
    for name in ("latency", "first delta", "final after commit"):
        assert re.search(rf"^{name} +p50 \d.* p95 \d.* p99 \d", printed, re.MULTILINE)
    assert (tmp_path / "bench.txt").read_text() in printed


def test_tpm_sends_for_the_given_time(listening, tmp_path):
    options = ("--concurrency", 2, "--duration", 0.5, "--url", listening, "--results", tmp_path)
    assert run(tpm.main, "--file", CLIP, *options) == 0
    saved = figures(tmp_path, "tpm")
    assert saved["requests"] == saved["ok"] >= 2
    assert 0 < saved["final_s"]["p50"] <= saved["latency_s"]["p50"]
    assert saved["first_delta_s"]["p50"] > 0


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_in_real_time_a_delta_is_read_while_the_audio_goes_in(tmp_path):
    pieces = []

    def transcribe(session: Session) -> None:
        session.read_event()
        session.say(LIVE_DELTA, item_id="item_1", delta="live")
        session.read_audio()
        pieces.extend(session.pieces)
        session.answer("live")

    with serving(transcribe) as server:
        assert run(warmup.main, "--realtime", "--file", CLIP, "--url", server.url, "--results", tmp_path) == 0
    saved = json.loads((tmp_path / "warmup.txt").read_text(encoding="utf-8"))
    assert len(pieces) == 28
    assert saved["first_delta_s"] < saved["latency_s"] - saved["final_s"], "both are read between two pieces"


@pytest.mark.parametrize(("flags", "piece_bytes"), [([], 32000), (["--realtime"], 3200)])
def test_a_file_goes_in_as_pieces_of_16_khz_pcm16_and_is_then_asked_for(tmp_path, flags, piece_bytes):
    with serving(hello) as server:
        assert run(warmup.main, *flags, "--file", CLIP, "--url", server.url + "/v1/", "--results", tmp_path) == 0
    (session,) = server.sessions
    assert session.path == "/v1/realtime?sample_rate=16000"
    assert session.audio == pcm16(CLIP)
    assert {len(each) for each in session.pieces[:-1]} == {piece_bytes}
    assert 0 < len(session.pieces[-1]) <= piece_bytes
    assert session.after_audio == ["response.create"]
    assert "Sec-WebSocket-Extensions" not in session.headers


def test_each_request_has_a_connection_of_its_own(tmp_path):
    with serving(hello) as server:
        options = ("--n", 5, "--concurrency", 2, "--url", server.url, "--results", tmp_path)
        assert run(bench.main, "--file", CLIP, *options) == 0
    assert [len(each.after_audio) for each in server.sessions] == [1] * 5


def test_the_given_number_of_connections_is_open_at_once(tmp_path):
    meet, lock = threading.Barrier(4), threading.Lock()
    counts = {"open": 0, "peak": 0}

    def answer_four_at_once(session: Session) -> None:
        with lock:
            counts["open"] += 1
            counts["peak"] = max(counts.values())
        session.read_audio()
        meet.wait(timeout=300)
        with lock:
            counts["open"] -= 1
        session.answer("four")

    with serving(answer_four_at_once) as server:
        options = ("--n", 8, "--concurrency", 4, "--file", CLIP, "--url", server.url, "--results", tmp_path)
        assert run(bench.main, *options) == 0
    assert counts["peak"] == 4


def test_the_addresses_of_the_websocket_are_those_of_the_url():
    assert client_ws.address("http://host:8000") == "ws://host:8000/v1/realtime?sample_rate=16000"
    assert client_ws.address("https://host/base") == "wss://host/base/v1/realtime?sample_rate=16000"


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_a_clip_without_speech_has_a_text_and_no_first_delta(tmp_path, capsys):
    def hear_nothing(session: Session) -> None:
        session.read_audio()
        session.answer("")

    silence = write_silence(tmp_path / "silence.wav", 0.25)
    with serving(hear_nothing) as server:
        options = ("--file", silence, "--url", server.url, "--results", tmp_path)
        assert run(warmup.main, *options) == 0
        assert re.search(r"^first delta +-$", capsys.readouterr().out, re.MULTILINE)
        assert run(bench.main, "--n", 2, *options) == 0
    assert json.loads((tmp_path / "warmup.txt").read_text())["first_delta_s"] is None
    saved = figures(tmp_path, "bench")
    assert saved["first_delta_s"] == {"p50": None, "p95": None, "p99": None, "mean": None}
    assert saved["final_s"]["p50"] > 0


def test_a_failure_while_audio_goes_in_ends_the_request_at_once(tmp_path, capsys):
    def refuse_the_first_piece(session: Session) -> None:
        session.read_event()
        session.say("error", error={"type": "invalid_request_error", "code": "invalid_value", "message": "Bad audio."})

    long = write_silence(tmp_path / "long.flac", 600)
    with serving(refuse_the_first_piece) as server:
        assert run(warmup.main, "--realtime", "--file", long, "--url", server.url, "--results", tmp_path) == 1
    assert capsys.readouterr().err == f"{server.url}: failed invalid_value: Bad audio.\n"


def test_a_long_file_is_sent_while_the_server_talks_more_than_any_buffer_holds(tmp_path):
    def say_much_before_listening(session: Session) -> None:
        session.read_event()
        for _ in range(30):
            session.say(LIVE_DELTA, item_id="item_1", delta="x" * 1_000_000)
        session.read_audio()
        session.answer("all")

    long = write_silence(tmp_path / "long.flac", 600)
    with serving(say_much_before_listening) as server:
        options = ("--timeout", 60, "--url", server.url, "--results", tmp_path)
        assert run(warmup.main, "--file", long, *options) == 0
    assert len(server.sessions[0].audio) == 600 * 32000


def drop(session: Session) -> None:
    session.socket.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (lambda session: session.fail("queue_full"), "failed queue_full: The queue is full."),
        (lambda session: session.say("error", error={"message": "Oh no."}), "failed: Oh no."),
        (lambda session: session.say("response.done", response={"status": "incomplete"}), "failed: {'type': 'response"),
        (lambda session: session.say("response.completed", response={}), "failed without text: response.completed"),
        (lambda session: session.socket.send("hello"), "failed without sense: a message that is no JSON object: hello"),
        (lambda session: session.socket.send(b"\xff"), "failed without sense: a message that is no JSON object: b'"),
        (lambda session: session.socket.close(1013, "The client reads too slowly."), "closed 1013: The client reads"),
        (lambda session: session.socket.close(1000), "closed 1000: no reason given"),
        (drop, "disconnected: no close frame received or sent"),
    ],
)
@pytest.mark.parametrize("listen_first", [True, False], ids=["after the audio", "at once"])
def test_what_keeps_the_text_from_coming_is_told_in_one_sentence(tmp_path, capsys, script, words, listen_first):
    def end(session: Session) -> None:
        if listen_first:
            session.read_audio()
        script(session)

    with serving(end) as server:
        options = () if listen_first else ("--realtime",)
        assert run(warmup.main, *options, "--file", CLIP, "--url", server.url, "--results", tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{server.url}: {words}")
    assert error.count("\n") == 1
    assert not (tmp_path / "warmup.txt").exists()


def test_a_text_that_nobody_asked_for_yet_is_an_error(tmp_path, capsys):
    def answer_too_early(session: Session) -> None:
        session.answer("early")

    with serving(answer_too_early) as server:
        assert run(warmup.main, "--realtime", "--file", CLIP, "--url", server.url, "--results", tmp_path) == 1
    assert "failed too early: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (refusal(503, error_body("model_not_ready", "The model loads.")), "503 model_not_ready: The model loads."),
        (refusal(404, "no such page"), "404: no such page"),
        (refusal(500, ""), "500: empty answer"),
    ],
)
def test_a_refused_upgrade_is_told_in_the_words_of_the_server(tmp_path, capsys, response, words):
    with serving(hello, lambda _: response) as server:
        assert run(warmup.main, "--url", server.url, "--results", tmp_path) == 1
    assert capsys.readouterr().err == f"{server.url}: {words}\n"


def test_an_answer_that_does_not_come_in_time_ends_warmup(tmp_path, capsys):
    with serving(lambda session: session.read_audio()) as server:
        options = ("--timeout", 0.2, "--url", server.url, "--results", tmp_path)
        assert run(warmup.main, "--file", CLIP, *options) == 1
    assert "timeout: no answer in time" in capsys.readouterr().err


def test_the_time_that_real_time_audio_takes_is_none_of_the_timeout(tmp_path):
    with serving(hello) as server:
        silence = write_silence(tmp_path / "silence.wav", 1.5)
        options = ("--timeout", 1, "--file", silence, "--url", server.url, "--results", tmp_path)
        assert run(warmup.main, "--realtime", *options) == 0


# -- many requests -----------------------------------------------------------------------------------------------------


def test_a_full_server_is_asked_again_after_the_wait_it_asks_for_and_counted_apart(tmp_path, capsys):
    def fail_one(session: Session) -> None:
        session.read_audio()
        session.fail("queue_full") if session.number == 0 else session.answer("hello")

    def refuse_two(number: int) -> Response | None:
        status = {0: 503, 1: 429}.get(number)
        body = error_body("too_busy", "Full.")
        return refusal(status, body, **{"Retry-After": "0"}) if status else None

    with serving(fail_one, refuse_two) as server:
        assert run(bench.main, "--n", 4, "--file", CLIP, "--url", server.url, "--results", tmp_path) == 0
    saved = figures(tmp_path, "bench")
    assert (saved["requests"], saved["codes"], saved["retried_429"]) == (4, {"200": 4}, 3)
    assert (server.refused, len(server.sessions)) == (2, 5)
    assert re.search(r"^retried +3$", capsys.readouterr().out, re.MULTILINE)


def test_bench_counts_errors_by_code_and_ends_with_code_1(tmp_path):
    def end(session: Session) -> None:
        session.read_audio()
        {0: lambda: session.fail("queue_full"), 1: lambda: session.socket.close(1011, "Oh no.")}.get(
            session.number, lambda: session.answer("hello")
        )()

    with serving(end) as server:
        options = ("--n", 5, "--no-retry", "--file", CLIP, "--url", server.url, "--results", tmp_path)
        assert run(bench.main, *options) == 1
    saved = figures(tmp_path, "bench")
    assert saved["codes"] == {"200": 3, "closed 1011": 1, "failed queue_full": 1}
    assert saved["messages"] == {"closed 1011": "Oh no.", "failed queue_full": "The queue is full."}
    assert (saved["requests"], saved["ok"]) == (5, 3)


def test_check_finds_a_text_that_is_not_that_of_the_file_sent_alone(tmp_path, capsys):
    def differ_once(session: Session) -> None:
        session.read_audio()
        session.answer("something else" if session.number == 3 else f"{len(session.audio)} bytes")

    with serving(differ_once) as server:
        options = ("--n", 4, "--check", "--file", CLIP, OTHER_CLIP, "--url", server.url, "--results", tmp_path)
        assert run(bench.main, *options) == 1
    assert figures(tmp_path, "bench")["differing"] == 1
    assert "something else" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (lambda session: session.fail("queue_full"), 0),
        (lambda session: session.fail("queue_timeout"), 0),
        (lambda session: session.fail("transcription_failed"), 1),
        (lambda session: session.socket.close(1013, "The client reads too slowly."), 1),
    ],
)
def test_at_a_rate_refusals_are_expected_and_not_retried_but_other_errors_fail_the_run(tmp_path, script, code):
    def end(session: Session) -> None:
        session.read_audio()
        script(session) if session.number % 2 else session.answer("hello")

    with serving(end) as server:
        options = ("--rate", 20, "--duration", 0.3, "--url", server.url, "--results", tmp_path)
        assert run(tpm.main, "--file", CLIP, *options) == code
    saved = figures(tmp_path, "tpm")
    assert (saved["requests"], saved["ok"], len(server.sessions)) == (6, 3, 6)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [warmup, bench, tpm])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--ws", "--raw"], "--ws always sends PCM16 over a WebSocket: leave out --raw and --no-pcm"),
        (["--ws", "--no-pcm"], "--ws always sends PCM16 over a WebSocket: leave out --raw and --no-pcm"),
        (["--realtime"], "--realtime paces the audio of a WebSocket: use it with --ws"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(capsys, program, flags, words):
    with pytest.raises(SystemExit) as ended:
        program.main(flags)
    assert ended.value.code == 2
    assert f"error: {words}\n" in capsys.readouterr().err
