"""How the server ends sessions: what has come is committed and gets its events and its text, then comes 1001."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from fakes import HeldModel, clip
from media import pcm16
from realtime_client import COMPLETED, Client, session, speech
from running_service import Service, serving, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from src.settings import Settings

CLIP = "piper-joe-1.flac"
FRAME = bytes(1600)
"""50 ms of silence."""
SLOW_VAD = {"type": "server_vad", "silence_duration_ms": 30_000}
QUERY = "?intent=transcription&sample_rate=16000"
WAYS: dict[str, dict[str, Any]] = {
    "stop": {},
    "too old": {"realtime_session_s": 1.5},
    "idle": {"realtime_idle_s": 0.5},
    "slot needed": {"max_sessions": 5},
}
REASONS = {"stop": "shutting down", "too old": "duration of 1.5 seconds", "idle": "idle for 0.5 seconds"}


@contextmanager
def clients(service: Service) -> Iterator[dict[str, Client]]:
    """One client of each kind, which has sent a clip and committed nothing."""
    with ExitStack() as stack:
        opened = {
            "GA, turns": stack.enter_context(session(service, QUERY, max_queue=None)),
            "GA, manual": stack.enter_context(session(service, QUERY, max_queue=None)),
            "beta, turns": stack.enter_context(beta(service)),
            "beta, manual": stack.enter_context(beta(service)),
            "simple": stack.enter_context(session(service, max_queue=None)),
        }
        for kind, client in opened.items():
            detection = SLOW_VAD if "turns" in kind else None
            if kind.startswith("GA"):
                client.send("session.update", session={"audio": {"input": {"turn_detection": detection}}})
            elif kind.startswith("beta"):
                client.send("transcription_session.update", session={"turn_detection": detection})
            client.append(speech(CLIP), 3200)
        yield opened


@contextmanager
def beta(service: Service) -> Iterator[Client]:
    headers = {"OpenAI-Beta": "realtime=v1"}
    with connect(f"ws://127.0.0.1:{service.port}/v1/realtime{QUERY}", additional_headers=headers, max_queue=None) as ws:
        client = Client(ws)
        assert client.next()["type"] == "transcription_session.created"
        yield client


@contextmanager
def sending_on(clients: dict[str, Client]) -> Iterator[None]:
    """Let all clients go on sending silence, as from a microphone, until the connections are closed."""
    done = threading.Event()

    def send(client: Client) -> None:
        with suppress(ConnectionClosed):
            while not done.wait(0.05):
                client.append(FRAME)

    threads = [threading.Thread(target=send, args=(client,)) for client in clients.values()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def take_slots(service: Service, clients: dict[str, Client], stack: ExitStack) -> None:
    """Open sessions until those of all clients have ended. Each new one ends the session that has been idle longest."""
    while any(client.ws.protocol.close_rcvd is None for client in clients.values()):
        with suppress(InvalidStatus):
            stack.enter_context(session(service))


def check_item(kind: str, events: list[dict[str, Any]], text: str) -> None:
    """Check that the events before the end are those of one whole item."""
    names = [event["type"].removeprefix("conversation.item.") for event in events]
    assert "error" not in names, events
    if kind == "simple":
        assert names[-1] == "response.completed"
        assert events[-1]["response"]["output_text"] == text
        return
    assert events[-1]["type"] == COMPLETED
    assert events[-1]["transcript"] == text
    new_item = ["input_audio_buffer.committed", *(["created"] if "beta" in kind else ["added", "done"])]
    started, stopped = ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped")
    turn = [started, stopped] if "turns" in kind else []
    updated = "transcription_session.updated" if "beta" in kind else "session.updated"
    without_deltas = [name for name in names if not name.endswith(".delta")]
    assert without_deltas == [updated, *turn, *new_item, "input_audio_transcription.completed"]
    of_item = [event["item_id"] for event in events if "item_id" in event]
    assert len(set(of_item)) == 1


@pytest.mark.parametrize(("way", "goes_on"), [*((way, False) for way in WAYS), ("stop", True), ("too old", True)])
def test_what_came_before_the_end_gets_its_text(tiny, tmp_path, transcripts, monkeypatch, way, goes_on):
    monkeypatch.setattr("src.api.session_slots.EVICTABLE_AFTER_S", 0.0)
    settings = Settings(model_id="tiny", log_dir=tmp_path, max_queue_wait_s=60, **WAYS[way])
    with serving(settings, lambda _: tiny) as service, clients(service) as opened, ExitStack() as stack:
        if goes_on:
            stack.enter_context(sending_on(opened))
        if way == "stop":
            service.stop()
        if way == "slot needed":
            take_slots(service, opened, stack)
        for kind, client in opened.items():
            events, close = client.end()
            check_item(kind, events, transcripts[CLIP])
            assert (close.code, REASONS.get(way, "") in close.reason) == (1001, True)


def test_committed_items_that_wait_for_others_get_their_text_while_the_server_stops(tmp_path):
    """Each is admitted only when it is its turn, which is after the server has begun to refuse requests."""
    model = HeldModel()
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_partials=False)
    with serving(settings, lambda _: model) as service, session(service) as client:
        for number in (1, 2, 3):
            client.append(pcm16(clip(number, 0.5)))
            client.commit()
        assert model.started.acquire(timeout=300)
        service.stop()
        until(lambda: not service.scheduler.ready)
        assert service.post(pcm16(clip(4)), "audio/pcm").status_code == 503
        model.release_all()
        events, close = client.end()
    assert [event["transcript"] for event in events if event["type"] == COMPLETED] == ["1", "2", "3"]
    assert close.code == 1001


def test_without_a_grace_period_an_open_turn_ends_with_an_error(tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path, shutdown_grace_s=0)
    model = HeldModel()
    with serving(settings, lambda _: model) as service, session(service, QUERY) as client:
        client.append(speech(CLIP))
        client.until("input_audio_buffer.speech_started")
        service.stop()
        events, close = client.end()
        model.release_all()
    assert events[-1]["error"]["code"] == "shutting_down"
    assert close.code == 1001


def test_silence_is_not_committed_at_the_end(tiny, tmp_path):
    with serving(Settings(model_id="tiny", log_dir=tmp_path), lambda _: tiny) as service, session(service) as client:
        client.append(bytes(320_000))
        until(lambda: service.scheduler.batches_run)
        service.stop()
        events, close = client.end()
    assert (events, close.code) == ([], 1001)
