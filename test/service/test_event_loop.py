"""Slow work runs beside the event loop, which answers others meanwhile."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from media import CLIPS
from realtime_client import COMPLETED, DELTA, Client, speech
from websockets.sync.client import connect

from src.api import responses
from src.realtime import audio_input, item_events


class Slow:
    """Replaces a function that takes long for hours of audio; it returns once `may_return` is set."""

    def __init__(self, replaced) -> None:
        self._replaced = replaced
        self.called, self.may_return = threading.Event(), threading.Event()

    def __call__(self, *given):
        self.called.set()
        assert self.may_return.wait(300), "others waited for it"
        return self._replaced(*given)


@contextmanager
def slowed(monkeypatch, module, name: str) -> Iterator[Slow]:
    """Replace a function of a module with a `Slow` one during the block."""
    slow = Slow(getattr(module, name))
    monkeypatch.setattr(module, name, slow)
    try:
        yield slow
    finally:
        slow.may_return.set()


def answers_meanwhile(service, slow: Slow) -> None:
    """A probe is answered while the slow function runs."""
    assert slow.called.wait(300)
    assert service.http.get("/healthz", timeout=300).is_success
    slow.may_return.set()


@pytest.mark.parametrize("name", ["segments_of", "by_speaker", "logprobs_of"])
def test_the_times_and_log_probabilities_of_an_item_do_not_block_others(service, monkeypatch, name):
    kind = {"type": "transcription", "include": ["item.input_audio_transcription.logprobs"]}
    wanted = {"model": "whisper-1", "timestamp_granularities": ["word", "segment"]}
    audio = {"input": {"transcription": wanted, "turn_detection": None, "format": {"type": "audio/pcm", "rate": 16000}}}
    with (
        connect(f"ws://127.0.0.1:{service.port}/v1/realtime?intent=transcription") as connection,
        slowed(monkeypatch, item_events, name) as slow,
    ):
        client = Client(connection)
        client.send("session.update", session=kind | {"audio": audio})
        client.append(speech("piper-joe-1.flac"))
        client.commit()
        answers_meanwhile(service, slow)
        assert client.until(COMPLETED)[-1]["logprobs"]


def test_the_check_of_live_text_for_speech_does_not_block_others(service, monkeypatch):
    audio = {"input": {"turn_detection": None, "format": {"type": "audio/pcm", "rate": 16000}}}
    with (
        connect(f"ws://127.0.0.1:{service.port}/v1/realtime?intent=transcription") as connection,
        slowed(monkeypatch, audio_input, "run_detection") as slow,
    ):
        client = Client(connection)
        client.send("session.update", session={"type": "transcription", "audio": audio})
        client.append(speech("fsdd-theo-2.flac") + bytes(96_000))
        answers_meanwhile(service, slow)
        assert client.until(DELTA)[-1]["delta"]
        client.commit()
        assert client.until(COMPLETED)[-1]["transcript"]


def test_the_log_probabilities_of_a_stream_do_not_block_others(service, monkeypatch):
    received: list[str] = []

    def upload() -> None:
        fields = {"stream": "true", "include[]": "logprobs"}
        received.append(service.upload((CLIPS / "piper-joe-1.flac").read_bytes(), **fields).text)

    with slowed(monkeypatch, responses, "logprobs_of") as slow:
        uploading = threading.Thread(target=upload)
        uploading.start()
        answers_meanwhile(service, slow)
    uploading.join()
    events = [json.loads(line.removeprefix("data: ")) for line in received[0].splitlines() if line]
    assert [event["type"] for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert all(event["logprobs"] for event in events)


@pytest.mark.parametrize("value", ["a" * 500_001, " " * 500_001, json.dumps(["a" * 500_001])])
def test_lists_that_are_too_long_are_rejected_unread(service, value):
    answer = service.upload(bytes(np.zeros(100)), **{"keywords[]": [value, value]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "keywords")
    assert "characters" in answer.json()["error"]["message"]
