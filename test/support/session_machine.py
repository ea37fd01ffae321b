"""Any sequence of what a client may send and of what may become of work: nothing is lost, doubled or out of order."""

import json
from dataclasses import dataclass

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from session_harness import (
    CLEAR,
    COMMIT,
    RATE,
    RESPOND,
    TRANSCRIPTION,
    Read,
    SessionHarness,
    append,
    silence,
    speech,
    transcript,
)

from src.engine.frames import frames_in
from src.errors import QueueFull, ServiceError
from src.realtime.outputs import Cancelled, CancelWork, ItemCommitted, ItemEnded, ItemWork, StepWork, Work
from src.realtime.session import Session
from src.text.transcript import Transcript

MAX_AUDIO_S = 2.0


SLICE_S = 1.0
"""The end of a turn is looked for once in so much audio."""


FORMATS = st.sampled_from(
    [
        *({"type": "audio/pcm", "rate": rate} for rate in (8_000, 16_000, 24_000, 44_100, 48_000)),
        *({"type": kind} for kind in ("audio/pcm", "audio/pcmu", "audio/pcma")),
        *("pcm16", "g711_ulaw", "g711_alaw", None),
        *("pcm24", {"type": "audio/opus"}, {"rate": 16_000}, {"type": "audio/pcm", "rate": 7_999}, 5, []),
    ]
)


SERVER_VADS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["server_vad", "server_vad", "semantic_vad", "telepathy", None]),
        "threshold": st.sampled_from([0.5, 0, 1, 0.95, 2]),
        "prefix_padding_ms": st.sampled_from([0, 100, 300, 10_000, -1]),
        "silence_duration_ms": st.sampled_from([0, 50, 100, 500, 1.5]),
        "idle_timeout_ms": st.sampled_from([1_000, 1_500, 6_000, None, 10]),
        "eagerness": st.sampled_from(["low", "auto", "high", "huge"]),
        "create_response": st.booleans(),
    },
)


DETECTIONS = st.one_of(
    st.none(),
    st.sampled_from([{"type": "server_vad"}, {"type": "semantic_vad"}, "server_vad", 5]),
    SERVER_VADS,
    st.builds(lambda rest: rest | {"type": "server_vad"}, SERVER_VADS),
)


TRANSCRIPTIONS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["whisper-1", "gpt-live-transcribe", "other", None]),
        "language": st.sampled_from(["en", "English", "", "de", None]),
        "keywords": st.sampled_from([[], ["Parakeet"], ["x"] * 3, [str(n) for n in range(101)], "x"]),
        "prompt": st.sampled_from(["", "one, two", "A sentence."]),
        "timestamp_granularities": st.sampled_from([["word"], ["segment", "word"], [], ["letter"], None]),
        "unheard_of": st.just(1),
    },
)


NOISES = st.sampled_from([None, {"type": "near_field"}, {"type": "far_field", "strength": 0.5}, {"strength": 1e999}, 5])


INCLUDES = st.sampled_from([None, [], ["item.input_audio_transcription.logprobs"], [5], "x"])


GA_INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "format": FORMATS,
        "transcription": TRANSCRIPTIONS,
        "turn_detection": DETECTIONS,
        "noise_reduction": NOISES,
    },
)


GA_SHAPES = st.builds(
    lambda audio, rest: {"audio": {"input": audio}} | rest,
    GA_INPUTS,
    st.fixed_dictionaries(
        {}, optional={"include": INCLUDES, "type": st.sampled_from(["transcription", "realtime", "radio"])}
    ),
)


FLAT_SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "input_audio_format": FORMATS,
        "input_audio_transcription": TRANSCRIPTIONS,
        "turn_detection": DETECTIONS,
        "input_audio_noise_reduction": NOISES,
        "include": INCLUDES,
        "modalities": st.just(["text"]),
    },
)


SHAPES = st.one_of(
    GA_SHAPES,
    GA_SHAPES,
    FLAT_SHAPES,
    st.builds(lambda flat, nested: flat | nested, FLAT_SHAPES, GA_SHAPES),
    st.sampled_from([{}, {"audio": 5}, {"audio": {"input": "x"}}]),
)


SIZES = st.sampled_from([0, 1, 2, 3, 99, 320, 321, 3_200, 9_600, 9_601, 16_000, 32_001, 48_000])


IDS = st.none() | st.sampled_from(["a", "b", "c"])


BROKEN = st.one_of(
    st.text(max_size=20),
    st.sampled_from([b"{}", b"[]", b' [""]']),
    st.sampled_from(
        [
            '{"type":"session.update","event_id":"\\ud800"}',
            '{"type":"session.update","session":5,"event_id":"e"}',
            '{"type":"input_audio_buffer.append","audio":"@","event_id":"e"}',
            '{"type":"input_audio_buffer.append","event_id":"e"}',
            '{"type":"no.such.event","event_id":"e"}',
            '{"event_id":"e"}',
            '{"type":"conversation.item.create","item":{"content":[]},"event_id":"e"}',
            '{"type":"conversation.item.retrieve","event_id":"e"}',
            "[" * 300,
        ]
    ),
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)).map(
        lambda value: json.dumps({"type": value, "event_id": "e"})
    ),
)


@dataclass(eq=False)
class Entry:
    """A committed item."""

    item_id: str
    announced: bool
    frames: int
    text: str | None = None
    ended: bool = False  # also where it has no text


class Ledger:
    """What was told so far, and what follows from it for all that may still come."""

    def __init__(self, *, beta: bool, exact: bool) -> None:
        self.beta = beta
        self.exact = exact  # whether deltas are just the transcript
        self.waiting: list[Entry] = []  # items without an end, in the order of their commits
        self.announced: list[str] = []
        self.results: dict[str, str | None] = {}  # transcripts, None for failures
        self.shown: dict[str, str] = {}
        self.begun_anew: set[str] = set()
        self.deleted: set[str] = set()
        self.latest_ms = 0
        self.uncovered: list[Entry] = []
        self.responses: dict[str, list[Entry]] = {}  # the items that each open one covers
        self.ended: dict[str, str | None] = {}
        self.cancelled: list[StepWork] = []

    def collect(self, told: list[Read]) -> None:
        events = [each for each in told if isinstance(each, dict)]
        for each in told:
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
                    self.read(event, events[0] if events else None)

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

    def read(self, event: dict, after: dict | None) -> None:
        kind = event["type"]
        if kind.startswith(TRANSCRIPTION):
            self.read_text(kind.removeprefix(f"{TRANSCRIPTION}."), event)
        elif kind.startswith("response."):
            self.read_response(kind, event, after)
        elif kind.startswith("input_audio_buffer."):
            self.read_audio(kind, event, after)
        elif kind.startswith("conversation.item."):
            self.read_item(kind, event, after)

    def read_audio(self, kind: str, event: dict, after: dict | None) -> None:
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
        """The id of a deleted item may be given again once its text is there."""
        if item_id in self.deleted:
            self.deleted.discard(item_id)
            self.results.pop(item_id)
            self.shown.pop(item_id, None)

    def read_item(self, kind: str, event: dict, after: dict | None) -> None:
        if kind.endswith("added"):
            assert not self.beta
            assert after | {"type": kind} == event
            assert after["type"] == "conversation.item.done"

    def read_text(self, kind: str, event: dict) -> None:
        item_id = event["item_id"]
        assert item_id not in self.results, "there is one end, and nothing after it"
        if kind == "delta":
            assert event["delta"]
            self.shown[item_id] = self.shown.get(item_id, "") + event["delta"]
            return
        entry = self.waiting[0]
        assert item_id == entry.item_id
        assert entry.announced
        entry.ended = kind in ("completed", "failed")
        if kind == "completed":
            self.results[item_id] = entry.text = text = event["transcript"]
            if self.exact and item_id not in self.begun_anew:
                shown = self.shown.get(item_id, "")
                assert shown == text
            if self.exact:
                assert len(text.split()) >= entry.frames, "it ends before its audio does"
        elif kind == "failed":
            self.results[item_id] = None

    def read_response(self, kind: str, event: dict, after: dict | None) -> None:
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


class AnySequence(RuleBasedStateMachine):
    """A client that does anything, a model that answers anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: Work | None = None
        self.received_bytes = 0
        self.created: list[str] = []

    @initialize(
        beta=st.booleans(),
        transcription=st.booleans(),
        partials=st.booleans(),
        final_from_stream=st.booleans(),
        rate=st.sampled_from([8_000, 16_000, 24_000]),
        same=st.booleans(),
    )
    def connect(self, beta, transcription, partials, final_from_stream, rate, same):
        self.ledger = Ledger(beta=beta, exact=final_from_stream)
        self.harness = SessionHarness(
            rate=rate,
            beta=beta,
            transcription=transcription or beta,
            partials=partials,
            final_from_stream=final_from_stream,
            max_audio_s=MAX_AUDIO_S,
            final=transcript if same else lambda samples: Transcript("something else"),
            strict=True,
            watch=self.ledger.collect,
        )
        self.session: Session = self.harness.session
        self.announces = transcription or beta
        self.detects = self.session_detects()

    def session_detects(self) -> bool:
        told = [event for event in self.harness.received if "session" in event][-1]["session"]
        return (told if "turn_detection" in told else told["audio"]["input"])["turn_detection"] is not None

    def send(self, event: dict | str | bytes) -> list[dict]:
        self.harness.drain()
        self.harness.send_only(event)
        return self.harness.drain()

    # The client

    @rule(size=SIZES, loud=st.booleans(), decode=st.booleans(), binary=st.booleans())
    def append(self, size, loud, decode, binary=False):
        sample = b"\x00\x20" if loud else b"\x00\x00"
        audio = (sample * (size // 2 + 1))[:size]
        told = self.send(audio if binary else append(audio))
        assert [event["error"]["code"] for event in told] in ([], ["input_audio_buffer_full"])
        self.received_bytes += size
        if decode or self.session.undecoded_s >= 0.1:
            self.harness.collect(self.session.process_audio())

    @rule(seconds=st.sampled_from([0.05, 0.2, 0.6, 1.2]), loud=st.booleans())
    def speak(self, seconds, loud):
        samples = speech(seconds) if loud else silence(seconds)
        self.append(2 * len(samples), loud, True)

    @rule(event_id=st.none() | st.just("e"))
    def commit(self, event_id):
        told = self.send(COMMIT | ({"event_id": event_id} if event_id else {}))
        errors = [event["error"] for event in told if event["type"] == "error"]
        if errors:
            assert errors[0]["code"] == "input_audio_buffer_commit_empty"
            assert errors[0]["event_id"] == event_id
        else:
            self.announces = True
        commits = [event for event in told if event["type"] == "input_audio_buffer.committed"]
        stops = [event for event in told if event["type"].endswith(("speech_stopped", "timeout_triggered"))]
        assert len(commits) - len(stops) == (0 if errors else 1)

    @rule()
    def clear(self):
        told = self.send(CLEAR)
        assert told[-1]["type"] == "input_audio_buffer.cleared"

    @rule()
    def respond(self):
        before = len(self.harness.notices)
        told = self.send(RESPOND)
        kinds = [event["type"] for event in told]
        assert kinds.count("response.created") == 1
        new = {notice.item_id for notice in self.harness.notices[before:] if isinstance(notice, ItemCommitted)}
        if self.announces:
            assert new <= set(self.ledger.announced)

    @rule(shape=SHAPES, name=st.sampled_from(["session.update", "transcription_session.update"]), bare=st.booleans())
    def update(self, shape, name, bare):
        if bare:
            assume("type" not in shape)
        ledger = self.ledger
        spoken = {item_id for item_id in ledger.shown if item_id not in ledger.results and not ledger.waits(item_id)}
        told = self.send({"type": name, "event_id": "e"} | (shape if bare else {"session": shape}))
        if told[-1]["type"] == "error":
            assert len(told) == 1
            assert told[0]["error"]["event_id"] == "e"
            return
        assert told[-1]["type"] == name + "d"
        self.announces = True
        was, self.detects = self.detects, self.session_detects()
        if self.detects and not was:
            ledger.begun_anew |= spoken

    @rule(seconds=st.sampled_from([0.05, 0.2, 0.9, 2.5]), item_id=IDS)
    def create(self, seconds, item_id):
        audio = append(speech(seconds))["audio"]
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
        told = self.send(
            {"type": "conversation.item.create", "item": item | ({"id": item_id} if item_id else {}), "event_id": "e"}
        )
        assert told[0]["type"] in ("input_audio_buffer.committed", "error")

    @rule(kind=st.sampled_from(["retrieve", "delete"]), which=st.integers(0, 3), data=st.data())
    def look_up(self, kind, which, data):
        known = ["a", "b", "nonsense", *self.ledger.announced]
        item_id = known[-1 - which % len(known)]
        (told,) = self.send({"type": f"conversation.item.{kind}", "item_id": item_id, "event_id": "e"})
        if told["type"] == "error":
            assert told["error"]["code"] == "item_not_found"
        elif kind == "retrieve":
            assert told["item"]["content"][0]["transcript"] == self.ledger.results.get(item_id)
        else:
            self.ledger.deleted.add(item_id)

    @rule(kind=st.sampled_from(["response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"]))
    def do_nothing(self, kind):
        assert self.send({"type": kind}) == []

    @rule(message=BROKEN)
    def talk_nonsense(self, message):
        (told,) = self.send(message)
        assert told["type"] == "error"
        has_id = isinstance(message, str) and '"event_id":"e"' in message.replace(" ", "")
        assert told["error"]["event_id"] == ("e" if has_id else None)

    @rule()
    def process_audio(self):
        self.harness.collect(self.session.process_audio())

    # The model

    @precondition(lambda self: self.busy is None)
    @rule()
    def take_work(self):
        self.busy = self.session.next_work()
        assert self.busy is not None or self.session.idle, "an item waits, and nobody works for it"
        if isinstance(self.busy, ItemWork):
            assert self.busy.item.item_id == self.ledger.waiting[0].item_id

    @precondition(lambda self: self.busy)
    @rule()
    def finish_work(self):
        work, self.busy = self.busy, None
        self.harness.run(work)

    @precondition(lambda self: self.busy)
    @rule(outcome=st.sampled_from([QueueFull("Full."), ServiceError("Broken."), Cancelled()]))
    def finish_work_without_result(self, outcome):
        work, self.busy = self.busy, None
        self.harness.finish(work, outcome)

    @precondition(lambda self: self.ledger.cancelled and self.busy is self.ledger.cancelled[-1])
    @rule()
    def finish_cancelled_work(self):
        self.finish_work_without_result(Cancelled())

    @rule()
    def catch_up(self):
        while self.busy or not self.session.idle:
            if self.busy is None:
                self.take_work()
            self.finish_work()
        self.all_is_done()

    # What always holds

    @invariant()
    def holds(self):
        if not hasattr(self, "session"):
            return
        assert self.session.idle == (not self.ledger.waiting)
        if isinstance(self.busy, StepWork):
            is_cancelled = self.busy in self.ledger.cancelled
            assert is_cancelled == (self.session._owner_of(self.busy) is None)
        held_s = self.session._input.held_s - self.session.undecoded_s
        assert held_s <= MAX_AUDIO_S + SLICE_S
        assert self.ledger.latest_ms * 8 <= self.received_bytes, "more than any format's bytes could be"
        assert self.ledger.latest_ms * 16 <= self.session._input.buffer.end

    def all_is_done(self):
        assert self.session.idle
        assert not self.session.backlogged
        assert not self.ledger.responses
        assert set(self.ledger.results) <= set(self.ledger.announced)

    def teardown(self):
        if hasattr(self, "session"):
            self.catch_up()
            ends = [notice.item_id for notice in self.harness.notices if isinstance(notice, ItemEnded)]
            assert ends == [notice.item_id for notice in self.harness.notices if isinstance(notice, ItemCommitted)]
