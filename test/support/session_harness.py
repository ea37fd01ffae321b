"""A realtime session in a test that plays its client, its connection, the model and the speech detector."""

import base64
import itertools
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from media import pcm16
from numpy.typing import NDArray

from src.audio.silero import FRAME_SAMPLES
from src.engine.frames import SAMPLES_PER_FRAME, frames_in
from src.engine.model import StepResult
from src.engine.windowing import Windowing
from src.errors import ServiceError
from src.memory.budget import Budget
from src.realtime import events
from src.realtime.config import SessionConfig
from src.realtime.outputs import (
    CancelWork,
    ItemCommitted,
    ItemEnded,
    ItemWork,
    Notice,
    Output,
    StepWork,
    Work,
    WorkOutcome,
)
from src.realtime.session import Session
from src.realtime.session_limits import SessionLimits
from src.realtime.session_params import SessionParams
from src.text.transcript import WORD_START, Token, Transcript, text_of
from src.wire.model_names import ServedModel

RATE = 16_000
WINDOWING = Windowing(left_s=0.32, chunk_s=0.16, right_s=0.08)
FRAME_S = SAMPLES_PER_FRAME / RATE
TRANSCRIPTION = "conversation.item.input_audio_transcription"

Samples = NDArray[np.float32]
Read = dict[str, Any] | Notice
"""An event as a client reads it, or a notice for the connection."""


def speech(seconds: float) -> Samples:
    """Return audio that `Loudness` takes for speech."""
    return np.full(round(seconds * RATE), 0.25, np.float32)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def append(audio: bytes | Samples) -> dict[str, Any]:
    """The event that brings audio."""
    data = audio if isinstance(audio, bytes) else pcm16(audio)
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}


def update(session: dict[str, Any], name: str = "session.update") -> dict[str, Any]:
    """The event that changes the session."""
    return {"type": name, "session": session}


def manual() -> dict[str, Any]:
    """The event that turns off turn detection."""
    return update({"audio": {"input": {"turn_detection": None}}})


NEW_ITEM = ["committed", "conversation.item.added", "conversation.item.done"]
"""What a client of GA receives for a new item."""
COMMIT = {"type": "input_audio_buffer.commit"}
CLEAR = {"type": "input_audio_buffer.clear"}
RESPOND = {"type": "response.create"}


class Loudness:
    """A speech detector that takes everything but silence for speech."""

    def feed(self, samples: Samples) -> Samples:
        frames = samples.reshape(-1, FRAME_SAMPLES)
        return np.where(np.abs(frames).max(axis=1, initial=0) > 0.06, 0.9, 0.0).astype(np.float32)


def tokens_of(frames: int, first: int = 0) -> tuple[Token, ...]:
    """The played model's tokens for a number of frames: one for each frame, its number."""
    return tuple(
        Token(0, f"{WORD_START}{number}", number * FRAME_S, (number + 1) * FRAME_S, -0.25)
        for number in range(first, first + frames)
    )


def step_result(work: StepWork) -> StepResult:
    """The played model's result of a step. Its decoder state is the number of frames it has decoded."""
    step = work.step
    assert (step.decoder_state or 0) == step.start_frame
    room = frames_in(len(step.samples)) - step.skip_frames
    assert step.take_frames <= room
    end = step.start_frame + step.take_frames
    lookahead = tokens_of(room - step.take_frames, end) if step.lookahead else ()
    return StepResult(tokens_of(step.take_frames, step.start_frame), end, lookahead)


def transcript(samples: Samples) -> Transcript:
    """The played model's transcript of a whole item: the same as that of its steps."""
    tokens = tokens_of(frames_in(len(samples)))
    return Transcript(text_of(tokens), tokens)


def expected_text(samples: Samples) -> str:
    """Return the text of the played model for an item."""
    return transcript(samples).text


class SessionHarness:
    """A session whose client, connection and model the test plays.

    Attributes:
        received: all events that the client has received.
        notices: all notices about items.
        cancelled: the work that the session has cancelled.
    """

    def __init__(
        self,
        *,
        rate: int = RATE,
        model: str = "parakeet",
        beta: bool = False,
        transcription: bool = True,
        intent: bool = False,
        partials: bool = True,
        final_from_stream: bool = False,
        max_audio_s: float = 60.0,
        windowing: Windowing = WINDOWING,
        new_speech_stream: Callable[[], Any] = Loudness,
        step: Callable[[StepWork], StepResult] = step_result,
        final: Callable[[Samples], Transcript] = transcript,
        strict: bool = False,
        watch: Callable[[list[Read]], None] = lambda read: None,
        budget: Budget | None = None,
        config: SessionConfig | None = None,
    ) -> None:
        self._numbers = itertools.count(1)
        self._new_speech_stream = new_speech_stream
        self._streams = 0
        self._memory = ExitStack()
        self._step = step
        self._final = final
        self._watch = watch
        self.session = Session(
            SessionParams("sess_1", 1_756_324_625, rate, 24_000, model, beta, transcription, intent, config),
            SessionLimits(max_audio_s, windowing, partials, final_from_stream),
            ServedModel("nvidia/parakeet", "1" if strict else "0"),
            ("en",),
            self._new_stream,
            lambda kind: f"{kind}_{next(self._numbers)}",
            self._memory.enter_context((budget or Budget(1 << 40)).reserved(guaranteed=True)),
        )
        self.received: list[dict[str, Any]] = []
        self.notices: list[ItemCommitted | ItemEnded] = []
        self.cancelled: list[StepWork] = []
        self._drained = 0
        self.collect(self.session.open())
        self.drain()

    def send(self, *sent: dict[str, Any] | str | bytes) -> list[dict[str, Any]]:
        """Send events, decode the audio of each at once, and return the events received since the last call."""
        for event in sent:
            self.send_only(event)
            self.collect(self.session.process_audio())
        return self.drain()

    def send_only(self, event: dict[str, Any] | str | bytes) -> None:
        """Send an event and leave its audio undecoded."""
        message = json.dumps(event) if isinstance(event, dict) else event
        try:
            parsed = events.parse(message)
        except events.InvalidEvent as error:
            self.collect(self.session.reject(error))
        else:
            self.collect(self.session.receive(parsed))

    def run(self, work: Work) -> None:
        """Run work on the played model."""
        self.finish(work, self._final(work.item.samples) if isinstance(work, ItemWork) else self._step(work))

    def finish(self, work: Work, outcome: WorkOutcome) -> None:
        """Pass the outcome of work to the session, which uses the detector only if it said so."""
        asks, streams = self.session.asks_detector(work, outcome), self._streams
        self.collect(self.session.finish(work, outcome))
        assert asks or self._streams == streams

    def run_all(self, step_s: float | None = None) -> list[dict[str, Any]]:
        """Run work until there is none left, and return the events received since the last call.

        `step_s` is the shortest step of live text.
        """
        while work := self.session.next_work(step_s):
            self.run(work)
        return self.drain()

    def fail_next(self, error: ServiceError) -> list[dict[str, Any]]:
        """Let the next work fail, and return the events received since the last call."""
        work = self.session.next_work()
        assert work is not None
        self.finish(work, error)
        return self.drain()

    def drain(self) -> list[dict[str, Any]]:
        """Return the events received since the last call."""
        new, self._drained = self.received[self._drained :], len(self.received)
        return new

    def collect(self, outputs: list[Output]) -> None:
        """Collect outputs of the session, and check the form of its events."""
        found = [read(output) for output in outputs]
        self.received += [each for each in found if isinstance(each, dict)]
        self.notices += [each for each in found if isinstance(each, ItemCommitted | ItemEnded)]
        self.cancelled += [each.work for each in found if isinstance(each, CancelWork)]
        self._watch(found)

    def _new_stream(self) -> Any:
        self._streams += 1
        return self._new_speech_stream()


def manual_client(**options: Any) -> SessionHarness:
    """Return the session of a client that commits by itself."""
    harness = SessionHarness(**options)
    harness.send(manual())
    return harness


def simple_client(**options: Any) -> SessionHarness:
    """Return the session of a client of the simple dialect."""
    return SessionHarness(transcription=False, **options)


def read(output: Output) -> Read:
    """Return an event as a client reads it, or a notice as it is."""
    if not isinstance(output, events.ServerEvent):
        return output
    event: dict[str, Any] = json.loads(output.encoded("event_1").encode(), parse_constant=lambda name: 1 / 0)
    check_form(event)
    return event


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Return the types of events, without their common prefixes."""
    return [event["type"].replace(f"{TRANSCRIPTION}.", "").replace("input_audio_buffer.", "") for event in events]


def only(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the one event of a type, whose common prefix may be left out."""
    (event,) = [event for event in events if kinds([event]) == [kind] or event["type"] == kind]
    return event


def texts(events: list[dict[str, Any]]) -> list[str]:
    """Return the final texts, in order."""
    return [event["transcript"] for event in events if event["type"] == f"{TRANSCRIPTION}.completed"]


# The forms of server events. A type stands for its values, a tuple for any of its members, a list for a list of its
# member, and a dict for an object with exactly these keys. A key that ends with a question mark may be missing.

NULL = type(None)
SERVER_VAD = {
    "type": "server_vad",
    "threshold": float,
    "prefix_padding_ms": int,
    "silence_duration_ms": int,
    "idle_timeout_ms?": int,
    "create_response?": bool,
    "interrupt_response?": bool,
}
SEMANTIC_VAD = {"type": "semantic_vad", "eagerness": str, "create_response?": bool, "interrupt_response?": bool}
TRANSCRIBED = {
    "model": (str, NULL),
    "language": (str, NULL),
    "languages?": [str],
    "prompt": str,
    "keywords?": [str],
    "delay?": str,
    "timestamp_granularities?": [("word", "segment")],
}
NOISE = (NULL, {"type?": str, "strength?": float})
HEAD = {"object": "realtime.transcription_session", "id": "sess_1", "expires_at": int}
GA = HEAD | {
    "type": "transcription",
    "audio": {
        "input": {
            "format": ({"type": "audio/pcm", "rate": int}, {"type": ("audio/pcmu", "audio/pcma")}),
            "transcription": TRANSCRIBED,
            "noise_reduction": NOISE,
            "turn_detection": (NULL, SERVER_VAD, SEMANTIC_VAD),
        }
    },
    "include": (NULL, [str]),
}
BETA = HEAD | {
    "input_audio_format": ("pcm16", "g711_ulaw", "g711_alaw"),
    "input_audio_transcription": TRANSCRIBED,
    "turn_detection": (NULL, SERVER_VAD, SEMANTIC_VAD),
    "input_audio_noise_reduction": NOISE,
    "include": [str],
}
ITEM = {
    "id": str,
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_audio", "transcript": (NULL, str)}],
}
OF_ITEM = {"item_id": str, "content_index": 0}
LOGPROBS = [{"token": str, "logprob": float, "bytes": [int]}]
ERROR = {"type": str, "code": str, "message": str, "param": (NULL, str)}
ANSWER = {
    "id": str,
    "object": "realtime.item",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": ("output_text", "text"), "text": str}],
}
RESPONSE = {"id": str, "object": "realtime.response", "status": str, "output": [ANSWER]}
OF_RESPONSE = {"response_id": str, "item_id": str, "output_index": 0, "content_index": 0}
FORMS: dict[str, Any] = {
    "session.created": {"session": (GA, BETA)},
    "session.updated": {"session": (GA, BETA)},
    "transcription_session.created": {"session": BETA},
    "transcription_session.updated": {"session": BETA},
    "input_audio_buffer.speech_started": {"audio_start_ms": int, "item_id": str},
    "input_audio_buffer.speech_stopped": {"audio_end_ms": int, "item_id": str},
    "input_audio_buffer.timeout_triggered": {"audio_start_ms": int, "audio_end_ms": int, "item_id": str},
    "input_audio_buffer.committed": {"item_id": str, "previous_item_id": (NULL, str)},
    "input_audio_buffer.cleared": {},
    "conversation.item.added": {"item": ITEM, "previous_item_id": (NULL, str)},
    "conversation.item.done": {"item": ITEM, "previous_item_id": (NULL, str)},
    "conversation.item.created": {"item": ITEM, "previous_item_id": (NULL, str)},
    "conversation.item.retrieved": {"item": ITEM},
    "conversation.item.deleted": {"item_id": str},
    f"{TRANSCRIPTION}.delta": OF_ITEM | {"delta": str},
    f"{TRANSCRIPTION}.completed": OF_ITEM
    | {"transcript": str, "usage": {"type": "duration", "seconds": int}, "logprobs?": LOGPROBS}
    | {"languages?": [{"code": str}]},
    f"{TRANSCRIPTION}.hypothesis": OF_ITEM | {"text": str},
    f"{TRANSCRIPTION}.segment": OF_ITEM | {"id": str, "text": str, "speaker": str, "start": float, "end": float},
    f"{TRANSCRIPTION}.failed": OF_ITEM | {"error": ERROR},
    "error": {"error": ERROR | {"event_id": (NULL, str)}},
    "response.created": {"response": RESPONSE},
    "response.done": {"response": RESPONSE | {"status_details?": {"type": "failed", "error": dict}}},
    "response.completed": {"response": RESPONSE | {"object": "response", "output_text": str}},
    "response.output_text.delta": OF_RESPONSE | {"delta": str},
    "response.output_text.done": OF_RESPONSE | {"text": str},
    "response.text.delta": OF_RESPONSE | {"delta": str},
    "response.text.done": OF_RESPONSE | {"text": str},
}


def check_form(event: dict[str, Any]) -> None:
    """Check an event against the protocol's description of server events."""
    form = {"type": event["type"], "event_id": str} | FORMS[event["type"]]
    assert fits(event, form), event


def fits(value: Any, form: Any) -> bool:
    if isinstance(form, type):
        return isinstance(value, form) and (form is bool or not isinstance(value, bool))
    if isinstance(form, tuple):
        return any(fits(value, each) for each in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(each, form[0]) for each in value)
    if isinstance(form, dict):
        return isinstance(value, dict) and _has_keys(value, form)
    return bool(type(value) is type(form) and value == form)


def _has_keys(value: dict[str, Any], form: dict[str, Any]) -> bool:
    known = {key.rstrip("?"): each for key, each in form.items()}
    needed = {key for key in form if not key.endswith("?")}
    return needed <= value.keys() <= known.keys() and all(fits(value[key], known[key]) for key in value)
