"""A ledger of what a session puts out: nothing is lost, doubled or out of order."""

from dataclasses import dataclass
from typing import Any

from session_harness import RATE, TRANSCRIPTION, Read

from src.engine.frames import frames_in
from src.errors import ServiceError
from src.realtime.outputs import CancelWork, ItemCommitted, ItemEnded, StepWork

Event = dict[str, Any]

MAX_AUDIO_S = 2.0
"""`max_audio_s` of the sessions."""
SLICE_S = 1.0
"""A turn may be this much longer, as its end is looked for once in this much audio."""


@dataclass(eq=False)
class Entry:
    """A committed item."""

    item_id: str
    announced: bool
    frames: int
    text: str | None = None
    ended: bool = False
    """Whether its `completed` or `failed` was received."""


class Ledger:
    """A ledger of everything that a session puts out. It checks each output against those before.

    Args:
        beta: whether the client is one of beta.
        exact: whether the deltas of an item add up to its transcript.
    """

    def __init__(self, *, beta: bool, exact: bool) -> None:
        self.beta = beta
        self.exact = exact
        self.waiting: list[Entry] = []  # items that have not ended, in the order of their commits
        self.announced: list[str] = []
        self.results: dict[str, str | None] = {}  # transcripts, None for failures
        self.shown: dict[str, str] = {}  # the deltas of each item, joined
        self.hypotheses: dict[str, str] = {}  # the last hypothesis of each item
        self.asked = False
        """Whether the client has asked for hypotheses."""
        self.restarted: set[str] = set()  # items whose live text began anew
        self.deleted: set[str] = set()
        self.latest_ms = 0
        self.uncovered: list[Entry] = []
        self.responses: dict[str, list[Entry]] = {}  # the items that each open response covers
        self.ended: dict[str, str | None] = {}
        self.cancelled: list[StepWork] = []

    def collect(self, outputs: list[Read]) -> None:
        """Enter and check outputs."""
        events = [each for each in outputs if isinstance(each, dict)]
        for each in outputs:
            match each:
                case ItemCommitted(item_id, audio_s):
                    assert 0 <= audio_s <= MAX_AUDIO_S + SLICE_S + 0.1
                    assert not self.waits(item_id)
                    entry = Entry(item_id, item_id in self.announced, frames_in(round(audio_s * RATE)))
                    self.waiting.append(entry)
                    self.uncovered.append(entry)
                case ItemEnded(item_id, error):
                    self.end(item_id, error)
                case CancelWork(work):
                    assert isinstance(work, StepWork)
                    assert not any(work is each for each in self.cancelled), "cancelled twice"
                    self.cancelled.append(work)
                case _:
                    event, *events = events
                    self.read(event, events[0] if events else {})

    def waits(self, item_id: str) -> bool:
        return any(entry.item_id == item_id for entry in self.waiting)

    def end(self, item_id: str, error: ServiceError | None) -> None:
        entry = self.waiting.pop(0)
        assert item_id == entry.item_id, "out of order"
        if entry.announced:
            assert entry.ended
            assert (entry.text is None) == (error is not None)
        else:
            assert item_id not in self.results

    def read(self, event: Event, after: Event) -> None:
        kind = event["type"]
        if kind.startswith(TRANSCRIPTION):
            self.read_text(kind.removeprefix(f"{TRANSCRIPTION}."), event)
        elif kind.startswith("response."):
            self.read_response(kind, event, after)
        elif kind.startswith("input_audio_buffer."):
            self.read_audio(kind, event, after)
        elif kind.startswith("conversation.item."):
            self.read_item(kind, event, after)

    def read_audio(self, kind: str, event: Event, after: Event) -> None:
        for key in ("audio_start_ms", "audio_end_ms"):
            if key in event:
                assert event[key] >= self.latest_ms
                self.latest_ms = event[key]
        if kind.endswith(("speech_stopped", "timeout_triggered")):
            assert after["type"] == "input_audio_buffer.committed"
            assert after["item_id"] == event["item_id"]
        elif kind.endswith("committed"):
            self.forget_deleted(event["item_id"])
            assert event["previous_item_id"] == (self.announced[-1] if self.announced else None)
            assert event["item_id"] not in self.results
            assert after["type"] == ("conversation.item.created" if self.beta else "conversation.item.added")
            assert after["item"]["id"] == event["item_id"]
            assert after["previous_item_id"] == event["previous_item_id"]
            self.announced.append(event["item_id"])

    def forget_deleted(self, item_id: str) -> None:
        """Forget a deleted item, whose id may be used again once it has ended."""
        if item_id in self.deleted:
            self.deleted.discard(item_id)
            self.results.pop(item_id)
            self.shown.pop(item_id, None)

    def read_item(self, kind: str, event: Event, after: Event) -> None:
        if kind.endswith("added"):
            assert not self.beta
            assert after | {"type": kind} == event
            assert after["type"] == "conversation.item.done"

    def read_text(self, kind: str, event: Event) -> None:
        item_id = event["item_id"]
        assert item_id not in self.results, "it has ended already"
        if kind == "delta":
            assert event["delta"]
            self.shown[item_id] = self.shown.get(item_id, "") + event["delta"]
            return
        if kind == "hypothesis":
            assert self.asked
            assert event["text"] != self.hypotheses.get(item_id, ""), "it was sent already"
            self.hypotheses[item_id] = event["text"]
            return
        entry = self.waiting[0]
        assert item_id == entry.item_id
        assert entry.announced
        entry.ended = kind in ("completed", "failed")
        if entry.ended:
            assert not self.hypotheses.pop(item_id, ""), "provisional words are left"
        if kind == "completed":
            self.results[item_id] = entry.text = text = event["transcript"]
            if self.exact and item_id not in self.restarted:
                shown = self.shown.get(item_id, "")
                assert shown == text
            if self.exact:
                assert len(text.split()) >= entry.frames, "it ends before its audio does"
        elif kind == "failed":
            self.results[item_id] = None

    def read_response(self, kind: str, event: Event, after: Event) -> None:
        if kind == "response.created":
            self.responses[event["response"]["id"]], self.uncovered = self.uncovered, []
            assert event["response"]["status"] == "in_progress"
            return
        response_id = event.get("response_id") or event["response"]["id"]
        if kind == "response.completed":
            assert self.ended[response_id] == event["response"]["output_text"]
            return
        assert response_id == next(iter(self.responses)), "out of order"
        covered = self.responses[response_id]
        assert not set(covered) & set(self.waiting[1:])
        name = "response.text" if self.beta else "response.output_text"
        if kind == f"{name}.delta":
            assert after["type"] == f"{name}.done"
            assert after["text"] == event["delta"]
        elif kind == f"{name}.done":
            assert after["type"] == "response.done"
            assert after["response"]["output"][0]["content"][0]["text"] == event["text"]
            self.ended[response_id] = event["text"]
        else:
            assert kind == "response.done"
            assert event["response"]["status"] == ("completed" if response_id in self.ended else "failed")
            if all(entry.announced for entry in covered):
                known = [entry.text for entry in covered]
                text = None if None in known else " ".join(filter(None, known))
                assert self.ended.get(response_id) == text
            assert after["type"] == ("response.completed" if response_id in self.ended else "error")
            del self.responses[response_id]
