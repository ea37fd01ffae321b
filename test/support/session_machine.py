"""A state machine that holds a session against any sequence of client events and outcomes of work."""

import json
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from session_harness import (
    CLEAR,
    COMMIT,
    RESPOND,
    SessionHarness,
    append,
    silence,
    speech,
    transcript,
)
from session_ledger import MAX_AUDIO_S, SLICE_S, Event, Ledger

from src.errors import QueueFull, ServiceError
from src.realtime.outputs import Cancelled, ItemCommitted, ItemEnded, ItemWork, StepWork, Work, WorkOutcome
from src.realtime.session import Session
from src.text.transcript import Transcript

FORMATS: st.SearchStrategy[Any] = st.sampled_from(
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
HYPOTHESIS = "item.input_audio_transcription.hypothesis"
INCLUDES = st.sampled_from([None, [], [HYPOTHESIS], ["item.input_audio_transcription.logprobs", HYPOTHESIS], [5], "x"])
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
STEPS_S = st.sampled_from([None, 0.08, 0.16, 0.5])
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


class AnySequence(RuleBasedStateMachine):
    """A client that does anything, and a model that may answer anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: Work | None = None
        self.received_bytes = 0

    @initialize(
        beta=st.booleans(),
        transcription=st.booleans(),
        partials=st.booleans(),
        final_from_stream=st.booleans(),
        rate=st.sampled_from([8_000, 16_000, 24_000]),
        same=st.booleans(),
    )
    def connect(
        self, beta: bool, transcription: bool, partials: bool, final_from_stream: bool, rate: int, same: bool
    ) -> None:
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
        state = [event for event in self.harness.received if "session" in event][-1]["session"]
        return (state if "turn_detection" in state else state["audio"]["input"])["turn_detection"] is not None

    def send(self, event: Event | str | bytes) -> list[Event]:
        self.harness.drain()
        self.harness.send_only(event)
        return self.harness.drain()

    # The client

    @rule(size=SIZES, loud=st.booleans(), decode=st.booleans(), binary=st.booleans())
    def append(self, size: int, loud: bool, decode: bool, binary: bool = False) -> None:
        sample = b"\x00\x20" if loud else b"\x00\x00"
        audio = (sample * (size // 2 + 1))[:size]
        received = self.send(audio if binary else append(audio))
        assert [event["error"]["code"] for event in received] in ([], ["input_audio_buffer_full"])
        self.received_bytes += size
        if decode or self.session.undecoded_s >= 0.1:
            self.harness.collect(self.session.process_audio())

    @rule(seconds=st.sampled_from([0.05, 0.2, 0.6, 1.2]), loud=st.booleans())
    def speak(self, seconds: float, loud: bool) -> None:
        samples = speech(seconds) if loud else silence(seconds)
        self.append(2 * len(samples), loud, True)

    @rule(event_id=st.none() | st.just("e"))
    def commit(self, event_id: str | None) -> None:
        received = self.send(COMMIT | ({"event_id": event_id} if event_id else {}))
        errors = [event["error"] for event in received if event["type"] == "error"]
        if errors:
            assert errors[0]["code"] == "input_audio_buffer_commit_empty"
            assert errors[0]["event_id"] == event_id
        else:
            self.announces = True
        commits = [event for event in received if event["type"] == "input_audio_buffer.committed"]
        stops = [event for event in received if event["type"].endswith(("speech_stopped", "timeout_triggered"))]
        assert len(commits) - len(stops) == (0 if errors else 1)

    @rule()
    def clear(self) -> None:
        received = self.send(CLEAR)
        assert received[-1]["type"] == "input_audio_buffer.cleared"

    @rule()
    def respond(self) -> None:
        before = len(self.harness.notices)
        received = self.send(RESPOND)
        kinds = [event["type"] for event in received]
        assert kinds.count("response.created") == 1
        new = {notice.item_id for notice in self.harness.notices[before:] if isinstance(notice, ItemCommitted)}
        if self.announces:
            assert new <= set(self.ledger.announced)

    @rule(shape=SHAPES, name=st.sampled_from(["session.update", "transcription_session.update"]), bare=st.booleans())
    def update(self, shape: Event, name: str, bare: bool) -> None:
        if bare:
            assume("type" not in shape)
        ledger = self.ledger
        spoken = {item_id for item_id in ledger.shown if item_id not in ledger.results and not ledger.waits(item_id)}
        received = self.send({"type": name, "event_id": "e"} | (shape if bare else {"session": shape}))
        if received[-1]["type"] == "error":
            assert len(received) == 1
            assert received[0]["error"]["event_id"] == "e"
            return
        ledger.asked = ledger.asked or HYPOTHESIS in (received[-1]["session"]["include"] or ())
        assert received[-1]["type"] == name + "d"
        self.announces = True
        was, self.detects = self.detects, self.session_detects()
        if self.detects and not was:
            ledger.restarted |= spoken

    @rule(seconds=st.sampled_from([0.05, 0.2, 0.9, 2.5]), item_id=IDS)
    def create(self, seconds: float, item_id: str | None) -> None:
        audio = append(speech(seconds))["audio"]
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
        received = self.send(
            {"type": "conversation.item.create", "item": item | ({"id": item_id} if item_id else {}), "event_id": "e"}
        )
        assert received[0]["type"] in ("input_audio_buffer.committed", "error")

    @rule(kind=st.sampled_from(["retrieve", "delete"]), which=st.integers(0, 3))
    def look_up(self, kind: str, which: int) -> None:
        known = ["a", "b", "nonsense", *self.ledger.announced]
        item_id = known[-1 - which % len(known)]
        (received,) = self.send({"type": f"conversation.item.{kind}", "item_id": item_id, "event_id": "e"})
        if received["type"] == "error":
            assert received["error"]["code"] == "item_not_found"
        elif kind == "retrieve":
            assert received["item"]["content"][0]["transcript"] == self.ledger.results.get(item_id)
        else:
            self.ledger.deleted.add(item_id)

    @rule(kind=st.sampled_from(["response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"]))
    def send_what_is_ignored(self, kind: str) -> None:
        assert self.send({"type": kind}) == []

    @rule(message=BROKEN)
    def send_broken(self, message: str | bytes) -> None:
        (received,) = self.send(message)
        assert received["type"] == "error"
        has_id = isinstance(message, str) and '"event_id":"e"' in message.replace(" ", "")
        assert received["error"]["event_id"] == ("e" if has_id else None)

    @rule()
    def process_audio(self) -> None:
        self.harness.collect(self.session.process_audio())

    @rule(step_s=STEPS_S)
    def process_audio_that_is_due(self, step_s: float | None) -> None:
        if not self.session.audio_due(step_s):
            return
        assert self.session.undecoded_s > 0
        self.harness.collect(self.session.process_audio())
        assert not self.session.audio_due(step_s)

    # The model

    @precondition(lambda self: self.busy is None)
    @rule(step_s=STEPS_S)
    def take_work(self, step_s: float | None = None) -> None:
        self.busy = self.session.next_work(step_s)
        assert self.busy is not None or self.session.idle, "an item waits, and there is no work for it"
        if isinstance(self.busy, ItemWork):
            assert self.busy.item.item_id == self.ledger.waiting[0].item_id

    @precondition(lambda self: self.busy)
    @rule()
    def finish_work(self) -> None:
        self.harness.run(self.take_busy())

    def take_busy(self) -> Work:
        work, self.busy = self.busy, None
        assert work
        return work

    @precondition(lambda self: self.busy)
    @rule(outcome=st.sampled_from([QueueFull("Full."), ServiceError("Broken."), Cancelled()]))
    def finish_work_without_result(self, outcome: WorkOutcome) -> None:
        self.harness.finish(self.take_busy(), outcome)

    @precondition(lambda self: self.ledger.cancelled and self.busy is self.ledger.cancelled[-1])
    @rule()
    def finish_cancelled_work(self) -> None:
        self.finish_work_without_result(Cancelled())

    @rule(seconds=st.sampled_from([0.3, 0.6]), step_s=st.sampled_from([0.08, 0.16]))
    def say_a_sentence(self, seconds: float, step_s: float) -> None:
        """Speak and pause as people do, with a model that keeps up."""
        for loud, pieces in ((True, round(seconds / 0.1)), (False, 6)):
            for _ in range(pieces):
                self.speak(0.1, loud)
                self.run_all(step_s)

    def run_all(self, step_s: float) -> None:
        while True:
            if self.busy is None:
                self.take_work(step_s)
            if self.busy is None:
                return
            self.finish_work()

    @rule()
    def catch_up(self) -> None:
        while self.busy or not self.session.idle:
            if self.busy is None:
                self.take_work()
            self.finish_work()
        self.check_all_is_done()

    # Invariants

    @invariant()
    def ledger_agrees(self) -> None:
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

    def check_all_is_done(self) -> None:
        assert self.session.idle
        assert not self.session.backlogged
        assert not self.ledger.responses
        assert set(self.ledger.results) <= set(self.ledger.announced)

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.catch_up()
            ends = [notice.item_id for notice in self.harness.notices if isinstance(notice, ItemEnded)]
            assert ends == [notice.item_id for notice in self.harness.notices if isinstance(notice, ItemCommitted)]
