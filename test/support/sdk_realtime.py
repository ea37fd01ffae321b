"""For tests of realtime clients: audio for the wire, the events that clients send, and checks of what they receive.

Events are plain JSON here, whichever client sent or received them. A client's connection is a list of steps: events to
send, and between them `wait`s for events to receive.
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from media import clip, resampled, wav
from numpy.typing import NDArray
from running_service import Service

Event = dict[str, Any]

TRANSCRIPTION = "conversation.item.input_audio_transcription"
COMPLETED = f"{TRANSCRIPTION}.completed"
DELTA = f"{TRANSCRIPTION}.delta"
FAILED = f"{TRANSCRIPTION}.failed"
STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
COMMITTED = "input_audio_buffer.committed"
CLEARED = "input_audio_buffer.cleared"

SERVER_VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
PIECE_S = 0.1

FIRST, SECOND = "piper-joe-1", "rhvoice-slt-1"


@dataclass(frozen=True)
class Encoding:
    """An audio format: its rate, libsndfile's name for it, and the names that clients have for it."""

    rate: int
    subtype: str
    ga: Event
    beta: str


PCM16 = Encoding(24_000, "PCM_16", {"type": "audio/pcm", "rate": 24_000}, "pcm16")
ULAW = Encoding(8_000, "ULAW", {"type": "audio/pcmu"}, "g711_ulaw")
ALAW = Encoding(8_000, "ALAW", {"type": "audio/pcma"}, "g711_alaw")
PCM16_AT_16_KHZ = Encoding(16_000, "PCM_16", {"type": "audio/pcm", "rate": 16_000}, "pcm16")

ENCODINGS = {encoding.beta: encoding for encoding in (PCM16, ULAW, ALAW)}


class Speech:
    """Audio of clips and pauses as a client sends it."""

    def __init__(self, *parts: str | float, encoding: Encoding = PCM16) -> None:
        """Join parts: names of clips, or seconds of silence."""
        self.encoding = encoding
        self._samples = np.concatenate([_samples(part, encoding.rate) for part in parts])

    @property
    def data(self) -> bytes:
        """The audio as it goes over the wire."""
        return self._written(self._samples, "RAW")

    def appends(self, piece_s: float = PIECE_S) -> list[Event]:
        """Return the events that send it, `piece_s` seconds in each."""
        size = round(piece_s * self.encoding.rate) * (2 if self.encoding.subtype == "PCM_16" else 1)
        return [append(self.data[start : start + size]) for start in range(0, len(self.data), size)]

    def text(self, service: Service, start_ms: int = 0, end_ms: int | None = None) -> str:
        """Return the service's text of it, or of a part of it, uploaded as a file."""
        start, end = (None if each is None else each * self.encoding.rate // 1000 for each in (start_ms, end_ms))
        answer = service.upload(self._written(self._samples[start:end], "WAV"), model="whisper-1")
        return str(answer.raise_for_status().json()["text"])

    def _written(self, samples: NDArray[np.float32], container: str) -> bytes:
        return wav(samples, self.encoding.rate, subtype=self.encoding.subtype, container=container)


def _samples(part: str | float, rate: int) -> NDArray[np.float32]:
    return resampled(clip(part), rate) if isinstance(part, str) else np.zeros(round(part * rate), np.float32)


# What clients send.


def append(data: bytes) -> Event:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}


def commit(**fields: str) -> Event:
    return {"type": "input_audio_buffer.commit", **fields}


CLEAR: Event = {"type": "input_audio_buffer.clear"}


def wait(kind: str = COMPLETED, times: int = 1) -> Event:
    """Return the step that waits for a number of events of a type since the connection began."""
    return {"wait": kind, "times": times}


@dataclass(frozen=True, eq=False)
class Dialect:
    """The event types of GA or of beta."""

    created: str
    updated: str
    announced: tuple[str, ...]
    """The types of the events for a new item."""
    update: Callable[..., Event]
    """Takes an encoding and the turn detection."""


def _update_ga(encoding: Encoding, turn_detection: Event | None = None) -> Event:
    audio_settings = {
        "format": encoding.ga,
        "turn_detection": turn_detection,
        "transcription": {"model": "gpt-4o-transcribe"},
    }
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": audio_settings}}}


def _update_beta(encoding: Encoding, turn_detection: Event | None = None) -> Event:
    session = {
        "input_audio_format": encoding.beta,
        "turn_detection": turn_detection,
        "input_audio_transcription": {"model": "gpt-4o-transcribe"},
    }
    return {"type": "transcription_session.update", "session": session}


GA = Dialect("session.created", "session.updated", ("conversation.item.added", "conversation.item.done"), _update_ga)
BETA = Dialect(
    "transcription_session.created",
    "transcription_session.updated",
    ("conversation.item.created",),
    _update_beta,
)


# What they receive.


def kinds(events: Iterable[Event]) -> list[str]:
    """Return the types of events without the deltas, whose number depends on the speed of the machine."""
    return [event["type"] for event in events if event["type"] != DELTA]


def of_kind(events: Iterable[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def texts(events: Iterable[Event]) -> list[str]:
    """Return the texts of the items, in the order of their events."""
    return [event["transcript"] for event in of_kind(events, COMPLETED)]


def errors(events: Iterable[Event]) -> list[Event]:
    return [event["error"] for event in of_kind(events, "error")]


def check_session(events: list[Event], dialect: Dialect, *, items: int) -> None:
    """Check that every event has an id, and that each item has its events, in the order of the commits."""
    assert events[0]["type"] == dialect.created
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == len(ids)
    committed = [event["item_id"] for event in of_kind(events, COMMITTED)]
    assert len(set(committed)) == len(committed) == items
    assert [event["item_id"] for event in of_kind(events, COMPLETED)] == committed
    for item_id, previous in zip(committed, [None, *committed], strict=False):
        _check_item([event for event in events if _item_of(event) == item_id], previous, dialect)
    others = [event for event in events if _item_of(event) not in (None, *committed)]
    assert {event["type"] for event in others} <= {DELTA, STARTED}  # of speech before a clear


def _item_of(event: Event) -> str | None:
    return event["item"]["id"] if "item" in event else event.get("item_id")


def _check_item(events: list[Event], previous: str | None, dialect: Dialect) -> None:
    turn = [kind for kind in (STARTED, STOPPED) if of_kind(events, kind)]
    assert turn != [STOPPED]
    assert kinds(events) == [*turn, COMMITTED, *dialect.announced, COMPLETED]
    for event in events:
        if event["type"] in (COMMITTED, *dialect.announced):
            assert event["previous_item_id"] == previous
        if event["type"] in dialect.announced:
            _check_body(event["item"])
    *_, completed = events
    assert completed["type"] == COMPLETED  # no delta comes after it
    assert completed["usage"].keys() == {"type", "seconds"}
    deltas = of_kind(events, DELTA)
    assert bool(deltas) == bool(completed["transcript"])
    assert all(event["delta"] for event in deltas)
    assert {event["content_index"] for event in (*deltas, completed)} == {0}


def _check_body(item: Event) -> None:
    assert item["id"].startswith("item_")
    assert (item["object"], item["type"], item["role"]) == ("realtime.item", "message", "user")
    assert item["status"] == "completed"
    assert item["content"] == [{"type": "input_audio", "transcript": None}]


def check_turns(events: list[Event], speech: Speech, service: Service) -> None:
    """Check that turns follow one another, and that each has the text of its part of the audio."""
    spans = [
        (started["audio_start_ms"], stopped["audio_end_ms"])
        for started, stopped in zip(of_kind(events, STARTED), of_kind(events, STOPPED), strict=True)
    ]
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert texts(events) == [speech.text(service, *span) for span in spans], spans


def check_empty_commit(found: list[Event], *event_ids: str) -> None:
    """Check that there is an error for each commit of too little audio, and no other."""
    assert [error["event_id"] for error in found] == list(event_ids)
    for error in found:
        assert error["type"] == "invalid_request_error"
        assert error["code"] == "input_audio_buffer_commit_empty"
        assert error["param"] is None
        assert "100ms" in error["message"]
