"""`WS /v1/realtime` on a real port: the connection as a client sees it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fakes import HeldModel, clip
from media import pcm16
from realtime_client import COMPLETED, DELTA, FAILED, HYPOTHESIS, Client, session, speech
from running_service import Service, serving, until
from sdk_realtime import ALAW, FIRST, ULAW, Speech
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from src.metrics.log import metrics_path
from src.settings import Settings

TEXTS = ("piper-joe-1.flac", "flite-slt-1.flac", "rhvoice-bdl-2.flac", "pico-en-us-1.flac", "fsdd-theo-2.flac")


def records(log_dir: Path) -> list[dict[str, Any]]:
    """Return the lines of the metrics log."""
    path = metrics_path(log_dir)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def held(tmp_path) -> Iterator[tuple[Service, HeldModel]]:
    """A service with room for one request, whose model waits until the test releases it."""
    model = HeldModel()
    limits = {"queue_max_factor": 1, "microbatch_max_batch": 1, "lanes": 1, "max_queue_wait_s": 60, "max_sessions": 3}
    settings = Settings(model_id="tiny", log_dir=tmp_path, **limits)
    with serving(settings, lambda _: model) as service:
        try:
            yield service, model
        finally:
            model.release_all()


def ask(client: Client) -> tuple[list[str], str]:
    """Ask for the text in the simple dialect. Return its deltas and the final text."""
    client.send("response.create")
    events = client.until("response.completed")
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    return deltas, events[-1]["response"]["output_text"]


def test_the_simple_client_gets_the_text_of_16_khz_audio_with_any_length_and_again(service, transcripts):
    with session(service) as client:
        client.append(speech("piper-joe-1.flac"), 3200)
        deltas, text = ask(client)
        assert text == "".join(deltas) == transcripts["piper-joe-1.flac"]
        assert ask(client) == ([], "")
        client.append(speech("flite-slt-1.flac")[:3200])
        assert isinstance(ask(client)[1], str)
        client.append(speech("flite-slt-1.flac"))
        assert ask(client)[1] == transcripts["flite-slt-1.flac"]
    with session(service) as client:
        assert ask(client) == ([], "")


def test_a_reply_to_the_simple_client_is_nothing_but_a_response(service):
    with session(service) as client:
        client.append(speech("piper-joe-1.flac"))
        client.send("response.create")
        kinds = [event["type"] for event in client.until("response.completed") if event["type"] != DELTA]
    assert kinds == [
        "response.created",
        "response.output_text.delta",
        "response.output_text.done",
        "response.done",
        "response.completed",
    ]


@pytest.mark.parametrize("ms", [1, 20, 100, 1000, None], ids=lambda ms: f"{ms} ms" if ms else "at once")
def test_the_transcript_does_not_depend_on_the_pieces(service, ms):
    audio = speech("long-30s.flac")
    expected = service.post(audio, "audio/pcm;rate=16000;channels=1").json()["text"]
    with session(service) as client:
        client.append(audio, ms and 32 * ms)
        client.commit()
        assert client.until(COMPLETED)[-1]["transcript"] == expected


@pytest.mark.parametrize("ms", [20, 1000, None], ids=lambda ms: f"{ms} ms" if ms else "at once")
def test_turns_do_not_depend_on_the_pieces(service, ms):
    """Seven sentences of four speakers, with pauses between most of them."""
    audio = speech("long-30s.flac") + bytes(32_000)

    def turns(size: int | None) -> list[tuple[Any, ...]]:
        with session(service, "?intent=transcription&sample_rate=16000") as client:
            client.append(audio, size)
            found: list[tuple[Any, ...]] = []
            while len([turn for turn in found if turn[0] == "text"]) < 6:
                event = client.next()
                match event["type"].rpartition(".")[2]:
                    case "speech_started":
                        found.append(("start", event["audio_start_ms"]))
                    case "speech_stopped":
                        found.append(("stop", event["audio_end_ms"]))
                    case "completed":
                        found.append(("text", event["transcript"]))
        return sorted(found, key=lambda turn: turn[0])

    assert turns(ms and 32 * ms) == turns(3200)


def test_text_comes_while_the_audio_is_still_coming(service):
    """There is no commit, and no audio beyond what a step needs."""
    audio = speech("long-30s.flac")
    settings = Settings()
    needed_s = 0.9 + settings.realtime_chunk_s + settings.realtime_right_s + 1
    with session(service) as client:
        client.append(audio[: round(needed_s) * 32_000], 3200)
        first = client.until(DELTA)[-1]
        client.append(audio[round(needed_s) * 32_000 :], 3200)
        client.commit()
        events = [first, *client.until(COMPLETED)]
        deltas = [event for event in events if event["type"] == DELTA]
        committed = next(event for event in events if event["type"] == "input_audio_buffer.committed")
    assert first["delta"].startswith("Four")
    assert {event["item_id"] for event in deltas} == {committed["item_id"]}
    assert events[-1]["item_id"] == committed["item_id"]


def test_who_asks_gets_provisional_words_while_somebody_speaks_and_none_after_the_text(service):
    audio = speech("long-30s.flac")[: 12 * 32_000]
    with session(service) as client:
        client.send("session.update", session={"include": ["item.input_audio_transcription.hypothesis"]})
        client.append(audio[: 4 * 32_000], 3200)
        spoken = client.until(HYPOTHESIS)
        client.append(audio[4 * 32_000 :], 3200)
        client.commit()
        events = [*spoken, *client.until(COMPLETED)]
        client.send("input_audio_buffer.clear")
        assert client.next()["type"] == "input_audio_buffer.cleared"
    text_events = [event for event in events if event["type"] in (DELTA, HYPOTHESIS, COMPLETED)]
    assert {event["item_id"] for event in text_events} == {events[-1]["item_id"]}
    assert spoken[-1]["text"]
    provisional = [event["text"] for event in text_events if event["type"] == HYPOTHESIS]
    assert all(before != after for before, after in pairwise(provisional))
    assert provisional[-1] == ""


def test_the_text_of_the_stream_may_be_the_final_one(tiny, tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path, max_queue_wait_s=60, realtime_final="stream")
    audio = speech("long-30s.flac")
    texts = set()
    with serving(settings, lambda _: tiny) as service:
        for size in (640, 32_000, None):
            with session(service) as client:
                client.append(audio, size)
                client.commit()
                events = client.until(COMPLETED)
                assert "".join(event["delta"] for event in events if event["type"] == DELTA) == events[-1]["transcript"]
                texts.add(events[-1]["transcript"])
    assert len(texts) == 1
    assert texts.pop().startswith("Four two seven")


def test_partials_can_be_turned_off(tiny, tmp_path, transcripts):
    settings = Settings(model_id="tiny", log_dir=tmp_path, max_queue_wait_s=60, realtime_partials=False)
    with serving(settings, lambda _: tiny) as service, session(service) as client:
        batches = service.scheduler.batches_run
        client.append(speech("long-30s.flac"), 3200)
        client.commit()
        kinds = [event["type"].rpartition(".")[2] for event in client.until(COMPLETED)]
        assert service.scheduler.batches_run == batches + 1
    assert kinds == ["committed", "added", "done", "delta", "completed"]


def test_sessions_side_by_side_get_their_own_texts(service, transcripts):
    texts: dict[int, str] = {}

    def work(number: int) -> None:
        with session(service) as client:
            client.append(speech(TEXTS[number % len(TEXTS)]), 3200)
            client.commit()
            texts[number] = client.until(COMPLETED)[-1]["transcript"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: transcripts[TEXTS[number % len(TEXTS)]] for number in range(15)}


def test_each_committed_item_has_one_line_in_the_metrics(tiny, tmp_path):
    with serving(Settings(model_id="tiny", log_dir=tmp_path), lambda _: tiny) as service:
        with session(service) as client:
            client.append(speech("piper-joe-1.flac"))
            client.commit()
            first = client.until(COMPLETED)[-1]
            client.append(bytes(6400))
            client.commit()
            second = client.until(COMPLETED)[-1]
            client.append(speech("piper-joe-1.flac"))  # never committed
        until(lambda: len(service.sessions) == 0)
    lines = [line for line in records(tmp_path) if line["route"] == "/v1/realtime"]
    assert [line["request_id"] for line in lines] == [first["item_id"], second["item_id"]]
    assert [(line["status"], line["code"], line["error"]) for line in lines] == [("ok", 200, None)] * 2
    assert [line["audio_len_s"] for line in lines] == [pytest.approx(2.75, abs=0.01), 0.2]
    assert lines[0]["batch_size"] == 1
    assert lines[0]["duration_inference_s"] > 0
    assert [line["sessions"] for line in lines] == [1, 1]
    assert lines[0]["process_started"] == lines[1]["process_started"] < lines[0]["ts"]


def test_an_item_that_meets_a_full_queue_fails_and_the_session_goes_on(held):
    service, model = held
    with session(service) as client:
        answers: list[Any] = []

        def upload(number: int) -> None:
            answers.append(service.post(pcm16(clip(number)), "audio/pcm;rate=16000"))

        uploads = [threading.Thread(target=upload, args=(number,)) for number in (1, 2)]
        uploads[0].start()
        assert model.started.acquire(timeout=300)  # the model has it, and its slot is free again
        uploads[1].start()
        until(lambda: service.scheduler.waiting == 1)
        client.append(pcm16(clip(3, 0.5)))
        client.commit()
        failed = client.until(FAILED, COMPLETED)[-1]
        model.release_all()
        for each in uploads:
            each.join()
        client.append(pcm16(clip(4, 0.5)))
        client.commit()
        assert client.until(FAILED, COMPLETED)[-1]["transcript"] == "4"
    assert failed["error"]["code"] == "queue_full"
    assert [answer.status_code for answer in answers] == [200, 200]
    until(lambda: len(records(service.log_dir)) == 4)
    assert ("error", 429, "queue_full") in {
        (line["status"], line["code"], line["error"]) for line in records(service.log_dir)
    }


def test_pings_are_answered_while_the_model_works(held):
    service, model = held
    with session(service) as client:
        client.append(pcm16(clip(1, 0.5)))
        client.commit()
        assert model.started.acquire(timeout=300)
        assert client.ws.ping().wait(300)
        model.release_all()
        assert client.until(COMPLETED)[-1]["transcript"] == "1"


def test_a_client_that_vanishes_leaves_nothing_behind(held):
    service, model = held
    with session(service) as client:
        client.append(pcm16(clip(1, 0.5)))
        client.commit()
        assert model.started.acquire(timeout=300)
        client.append(pcm16(clip(2, 0.5)))
        client.commit()
        client.until("input_audio_buffer.committed")
        client.until("input_audio_buffer.committed")
        client.ws.socket.close()  # no close frame
        until(lambda: len(service.sessions) == 0)
    assert service.scheduler.waiting == 0
    until(lambda: len(records(service.log_dir)) == 2)
    assert [(line["code"], line["error"]) for line in records(service.log_dir)] == [(499, "client_closed")] * 2
    model.release_all()
    until(lambda: service.scheduler.idle)


def test_a_session_beyond_the_limit_is_rejected_before_the_upgrade(held):
    service, _ = held
    with session(service), session(service), session(service):
        with pytest.raises(InvalidStatus) as rejected, session(service):
            pass
        response = rejected.value.response
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert json.loads(response.body)["error"]["code"] == "too_many_sessions"
        asked = service.http.get("/v1/realtime")  # a page cannot read the answer above
        assert (asked.status_code, asked.content) == (503, response.body)
        assert asked.headers["retry-after"] == response.headers["retry-after"]
    until(lambda: len(service.sessions) == 0)
    with session(service):
        pass


def test_sessions_are_rejected_while_the_model_loads(tmp_path):
    loading = threading.Event()

    def load(_: Settings) -> HeldModel:
        loading.wait()
        return HeldModel()

    with serving(Settings(model_id="tiny", log_dir=tmp_path), load, wait=False) as service:
        try:
            with pytest.raises(InvalidStatus) as rejected, session(service):
                pass
            asked = service.http.get("/v1/realtime")
        finally:
            loading.set()
        assert rejected.value.response.status_code == asked.status_code == 503
        assert json.loads(rejected.value.response.body)["error"]["code"] == "model_not_ready"
        assert asked.content == rejected.value.response.body
        assert asked.headers["retry-after"] == rejected.value.response.headers["retry-after"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?sample_rate=4000", 400, "invalid_value"),
        ("?sample_rate=fast", 400, "invalid_value"),
        ("?model=gpt-4o", 404, "model_not_found"),
    ],
)
def test_an_invalid_query_is_rejected_before_the_upgrade(service, query, status, code):
    with pytest.raises(InvalidStatus) as rejected, session(service, query):
        pass
    assert rejected.value.response.status_code == status
    assert json.loads(rejected.value.response.body)["error"]["code"] == code
    asked = service.http.get(f"/v1/realtime{query}")
    assert (asked.status_code, asked.content) == (status, rejected.value.response.body)


@pytest.mark.parametrize("query", ["", "?intent=transcription&model=gpt-4o-transcribe", "?model=gpt-realtime"])
def test_a_plain_request_is_answered_that_this_is_a_websocket(service, query):
    answer = service.http.get(f"/v1/realtime{query}")
    assert answer.status_code == 426
    assert answer.json()["error"]["code"] == "upgrade_required"


def test_the_subprotocol_is_echoed_only_where_it_is_offered(service):
    with session(service) as client:
        assert client.ws.subprotocol is None
    with session(service, subprotocols=["realtime", "openai-insecure-api-key.abc"]) as client:
        assert client.ws.subprotocol == "realtime"


def test_the_path_may_end_with_a_slash(service):
    with connect(f"ws://127.0.0.1:{service.port}/v1/realtime/") as ws:
        assert json.loads(ws.recv())["type"] == "session.created"


@pytest.mark.parametrize(
    ("query", "headers", "rate"),
    [
        ("", {}, 16_000),
        ("?sample_rate=8000", {}, 8_000),
        ("?intent=transcription", {}, 24_000),
        ("?intent=transcription&sample_rate=16000", {}, 16_000),
        ("?sample_rate=null&intent=undefined&model=", {}, 16_000),
        ("?sample_rate=&intent=None", {}, 16_000),
        ("?model=undefined", {}, 24_000),  # OpenAI's SDK, if it is given none
        ("?model=null&intent=transcription&sample_rate=None", {}, 24_000),
        ("", {"OpenAI-Beta": "realtime=v1"}, 24_000),
        ("", {"User-Agent": "AsyncOpenAI/Python 3.54.0"}, 24_000),
        ("", {"X-Stainless-Lang": "js"}, 24_000),
    ],
)
def test_the_rate_is_openais_where_the_client_is(service, query, headers, rate):
    user_agent = headers.pop("User-Agent", None)
    url = f"ws://127.0.0.1:{service.port}/v1/realtime{query}"
    with connect(url, additional_headers=headers, user_agent_header=user_agent) as ws:
        client = Client(ws)
        client.send("session.update", session={})
        state = client.until("session.updated")[-1]["session"]
    if "OpenAI-Beta" in headers:
        assert state["input_audio_format"] == "pcm16"
    else:
        assert state["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": rate}


def test_a_message_that_is_no_event_gets_an_error_and_the_session_lives(service, transcripts):
    with session(service) as client:
        for message in ("", "{", "[]", '"x"', "{}", '{"type":"make.coffee","event_id":"e1"}', b"{}", b"[]"):
            client.ws.send(message)
            assert client.next()["type"] == "error"
        client.send("input_audio_buffer.append", audio="@@@", event_id="e2")
        assert client.next()["error"]["event_id"] == "e2"
        client.ws.send(json.dumps({"type": "input_audio_buffer.append", "audio": ""}).encode())
        client.append(speech("piper-joe-1.flac"))
        assert ask(client)[1] == transcripts["piper-joe-1.flac"]


def test_thousands_of_bad_messages_at_once_are_answered_one_by_one(service):
    """Their answers are sent as they arise, not when the last message has been processed."""
    bad = Frame(Opcode.TEXT, b"{").serialize(mask=True)
    with session(service, compression=None, max_queue=None) as client:
        client.ws.socket.sendall(bad * 12_000)
        for _ in range(12_000):
            assert client.next()["type"] == "error"


def test_a_client_that_pings_and_does_not_read_is_cut(service):
    """Pings are answered at once, and nothing else limits the answers that wait for it."""
    pings = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 1000
    upgrade = (
        "GET /v1/realtime HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.connect(("127.0.0.1", service.port))
        client.sendall(upgrade.encode())
        until(lambda: len(service.sessions) == 1)
        with suppress(ConnectionError):
            for _ in range(500):
                client.sendall(pings)
        until(lambda: len(service.sessions) == 0)


def test_appends_of_15_mib_are_accepted_and_larger_ones_rejected(service):
    silence = bytes(15 * 1024 * 1024)
    with session(service, "?intent=transcription", max_size=None) as client:
        client.append(silence)
        client.append(silence + bytes(2))
        assert "15 MiB" in client.until("error")[-1]["error"]["message"]
        client.send("input_audio_buffer.clear")
        assert client.next()["type"] == "input_audio_buffer.cleared"
        with suppress(ConnectionClosed):
            client.ws.send("x" * (23 * 1024 * 1024))
        assert client.close_code() == 1009


def test_a_client_that_does_not_read_is_closed_with_1013(service):
    """It sends events and leaves the answers in the socket's buffers until those are full."""
    with session(service, max_queue=1, compression=None) as client:
        client.send("session.update", session={"input_audio_transcription": {"prompt": "x " * 8_000}})
        while len(service.sessions):
            client.send("session.update", session={})
        assert client.close_code() == 1013


@pytest.mark.parametrize("size", [1, 3_201, 1 << 20])
def test_binary_messages_are_audio_in_the_sessions_format(service, transcripts, size):
    """Also if they are cut within a sample, or are sent in fragments."""
    audio = speech("piper-joe-1.flac")[: 32_000 if size == 1 else None]
    with session(service, "?sample_rate=16000") as client:
        client.ws.send(audio[at : at + size] for at in range(0, len(audio), size))
        by_fragments = ask(client)[1]
        for at in range(0, len(audio), max(size, 500)):
            client.ws.send(audio[at : at + max(size, 500)])
        by_messages = ask(client)[1]
        client.append(audio)
        assert by_fragments == by_messages == ask(client)[1] != ""
    if len(audio) > 32_000:
        assert by_fragments == transcripts["piper-joe-1.flac"]


@pytest.mark.parametrize("encoding", [ULAW, ALAW], ids=lambda each: each.beta)
def test_binary_messages_hold_g711_where_the_session_does(service, encoding):
    spoken = Speech(FIRST, encoding=encoding)
    with session(service) as client:
        client.ws.send(
            json.dumps({"type": "session.update", "session": {"input_audio_format": encoding.beta}}).encode()
        )
        client.until("session.updated")
        client.ws.send(spoken.data)
        client.commit()
        assert client.until(COMPLETED)[-1]["transcript"] == spoken.text(service) != ""


def test_a_binary_message_beyond_15_mib_is_rejected_and_the_session_goes_on(service):
    with session(service, "?sample_rate=48000", max_size=None) as client:
        client.ws.send(bytes(15 * 1024 * 1024 + 2))
        error = client.until("error")[-1]["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "audio")
        client.ws.send(bytes(15 * 1024 * 1024))
        client.send("input_audio_buffer.clear")
        assert client.next()["type"] == "input_audio_buffer.cleared"


def test_an_idle_session_and_an_old_one_are_closed_with_1001(tiny, tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_idle_s=0.1, realtime_session_s=60)
    with serving(settings, lambda _: tiny) as service, session(service) as client:
        events, close = client.end()
        assert (events, close.code, "idle" in close.reason) == ([], 1001, True)
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_session_s=3)
    with serving(settings, lambda _: tiny) as service, session(service) as client:
        client.append(speech("piper-joe-1.flac"))
        client.commit()
        events, close = client.end()
        assert events[-1]["type"] == COMPLETED  # a committed item gets its text first
        assert (close.code, "maximum duration" in close.reason) == (1001, True)


def test_a_client_that_waits_for_a_text_is_not_idle(tmp_path, monkeypatch):
    monkeypatch.setattr("src.api.realtime.FINISH_S", 0.0)
    model = HeldModel()
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_idle_s=0.2, realtime_partials=False)
    with serving(settings, lambda _: model) as service, session(service) as client:
        client.append(pcm16(clip(7, 0.5)))
        client.commit()
        client.until("conversation.item.done")
        with pytest.raises(TimeoutError):
            client.ws.recv(timeout=1)
        model.release_all()
        assert client.until(COMPLETED)[-1]["transcript"] == "7"
        assert client.close_code() == 1001


def test_a_stopping_server_finishes_items_and_closes_with_1001(held):
    service, model = held
    with session(service) as client:
        client.append(pcm16(clip(7, 0.5)))
        client.commit()
        assert model.started.acquire(timeout=300)
        service.stop()
        until(lambda: not service.scheduler.ready)
        model.release_all()
        assert client.until(COMPLETED)[-1]["transcript"] == "7"
        assert client.close_code() == 1001
