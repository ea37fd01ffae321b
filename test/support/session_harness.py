"""A realtime session whose surroundings are played by the test: the client, who runs it, the model and the detector."""

import base64
import itertools
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.audio.vad import FRAME_SAMPLES
from src.engine.frames import SAMPLES_PER_FRAME, frames_in
from src.engine.model import StepResult
from src.engine.windowing import Windowing
from src.errors import ServiceError
from src.memory.budget import Budget
from src.realtime import events
from src.realtime.outputs import ItemCommitted, ItemEnded, ItemWork, Output, StepWork, Work
from src.realtime.session import Session
from src.realtime.session_params import SessionLimits, SessionParams
from src.text.transcript import WORD_START, Token, Transcript, text_of
from src.wire.model_names import ServedModel

RATE = 16_000
WINDOWING = Windowing(left_s=0.32, chunk_s=0.16, right_s=0.08)
FRAME_S = SAMPLES_PER_FRAME / RATE
TRANSCRIPTION = "conversation.item.input_audio_transcription"

Samples = NDArray[np.float32]
Read = dict[str, Any] | ItemCommitted | ItemEnded
"""An event as a client reads it, or a notice."""


def speech(seconds: float) -> Samples:
    """Audio that `Loudness` takes for speech."""
    return np.full(round(seconds * RATE), 0.25, np.float32)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def pcm16(samples: Samples) -> bytes:
    return np.round(samples * 32_768).clip(-32_768, 32_767).astype("<i2").tobytes()


def append(audio: bytes | Samples) -> dict[str, Any]:
    """The event that brings audio."""
    data = audio if isinstance(audio, bytes) else pcm16(audio)
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}


def update(session: dict[str, Any], name: str = "session.update") -> dict[str, Any]:
    """The event that changes the session."""
    return {"type": name, "session": session}


def manual() -> dict[str, Any]:
    """The event that turns the detection of turns off."""
    return update({"audio": {"input": {"turn_detection": None}}})


COMMIT = {"type": "input_audio_buffer.commit"}
CLEAR = {"type": "input_audio_buffer.clear"}
RESPOND = {"type": "response.create"}


class Loudness:
    """A speech detector that takes for speech what is not silent."""

    def feed(self, samples: Samples) -> Samples:
        frames = samples.reshape(-1, FRAME_SAMPLES)
        return np.where(np.abs(frames).max(axis=1, initial=0) > 0.06, 0.9, 0.0).astype(np.float32)


def said(frames: int, first: int = 0) -> tuple[Token, ...]:
    """What the played model hears in audio of so many frames: their numbers."""
    return tuple(
        Token(0, f"{WORD_START}{number}", number * FRAME_S, (number + 1) * FRAME_S, -0.25)
        for number in range(first, first + frames)
    )


def heard(work: StepWork) -> StepResult:
    """What the played model hears in a step; its memory is how many frames it has heard."""
    step = work.step
    assert (step.decoder_state or 0) == step.start_frame
    room = frames_in(len(step.samples)) - step.skip_frames
    assert step.take_frames <= room
    return StepResult(said(step.take_frames, step.start_frame), step.start_frame + step.take_frames)


def transcript(samples: Samples) -> Transcript:
    """What the played model hears in a whole item: the same as in its steps."""
    tokens = said(frames_in(len(samples)))
    return Transcript(text_of(tokens), tokens)


class Played:
    """A session and what it has told: `told` is all of it, `fresh` returns what is new after the first event."""

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
        listen: Callable[[], Any] = Loudness,
        final: Callable[[Samples], Transcript] = transcript,
        strict: bool = False,
        watch: Callable[[list[Read]], None] = lambda read: None,
        budget: Budget | None = None,
    ) -> None:
        self._numbers = itertools.count(1)
        self._memory = ExitStack()
        self._final = final
        self._watch = watch
        self.session = Session(
            SessionParams("sess_1", 1_756_324_625, rate, 24_000, model, beta, transcription, intent),
            SessionLimits(max_audio_s, windowing, partials, final_from_stream),
            ServedModel("nvidia/parakeet", "1" if strict else "0"),
            ("en",),
            listen,
            lambda kind: f"{kind}_{next(self._numbers)}",
            self._memory.enter_context((budget or Budget(1 << 40)).reserved(guaranteed=True)),
        )
        self.told: list[dict[str, Any]] = []
        self.notices: list[ItemCommitted | ItemEnded] = []
        self._known = 0
        self.take_note(self.session.open())
        self.fresh()

    def send(self, *sent: dict[str, Any] | str | bytes) -> list[dict[str, Any]]:
        """Send events, each heard at once, and return what is told thereupon."""
        for event in sent:
            self.send_unheard(event)
            self.take_note(self.session.hear())
        return self.fresh()

    def send_unheard(self, event: dict[str, Any] | str | bytes) -> None:
        message = json.dumps(event) if isinstance(event, dict) else event
        try:
            parsed = events.parse(message)
        except events.InvalidEvent as error:
            self.take_note(self.session.refuse(error))
        else:
            self.take_note(self.session.receive(parsed))

    def do(self, work: Work) -> None:
        """Do a piece of work."""
        if isinstance(work, ItemWork):
            self.take_note(self.session.transcribed(work, self._final(work.item.samples)))
        else:
            self.take_note(self.session.heard(work, heard(work)))

    def rest(self) -> list[dict[str, Any]]:
        """Do all work there is, and return what is told."""
        while work := self.session.next_work():
            self.do(work)
        return self.fresh()

    def fail(self, error: ServiceError) -> list[dict[str, Any]]:
        """Let the next piece of work fail."""
        work = self.session.next_work()
        assert work is not None
        self.take_note(self.session.failed(work, error))
        return self.fresh()

    def fresh(self) -> list[dict[str, Any]]:
        """Return what has been told since the last time."""
        fresh, self._known = self.told[self._known :], len(self.told)
        return fresh

    def take_note(self, outputs: list[Output]) -> None:
        """Read what a session says, and check its form."""
        read = [self._read_one(output) for output in outputs]
        self.told += [each for each in read if isinstance(each, dict)]
        self.notices += [each for each in read if not isinstance(each, dict)]
        self._watch(read)

    def _read_one(self, output: Output) -> Read:
        if isinstance(output, ItemCommitted | ItemEnded):
            return output
        event = json.loads(output.encoded("event_1").encode(), parse_constant=lambda name: 1 / 0)
        check_form(event)
        return event


def kinds(told: list[dict[str, Any]]) -> list[str]:
    """The types of events, without what many of them begin with."""
    return [event["type"].replace(f"{TRANSCRIPTION}.", "").replace("input_audio_buffer.", "") for event in told]


def only(told: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one event of a type, of which the beginning may be missing."""
    (event,) = [event for event in told if kinds([event]) == [kind] or event["type"] == kind]
    return event


def texts(told: list[dict[str, Any]]) -> list[str]:
    """The final texts, in order."""
    return [event["transcript"] for event in told if event["type"] == f"{TRANSCRIPTION}.completed"]


# The form of what a client reads. A type stands for its values, a tuple for any of its members, a list for a list of
# what it has, a dict for an object of just these keys; a key with a question mark may be missing.

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
FAULT = {"type": str, "code": str, "message": str, "param": (NULL, str)}
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
    | {"transcript": str, "usage": {"type": "duration", "seconds": int}, "logprobs?": LOGPROBS},
    f"{TRANSCRIPTION}.segment": OF_ITEM | {"id": str, "text": str, "speaker": str, "start": float, "end": float},
    f"{TRANSCRIPTION}.failed": OF_ITEM | {"error": FAULT},
    "error": {"error": FAULT | {"event_id": (NULL, str)}},
    "response.created": {"response": RESPONSE},
    "response.done": {"response": RESPONSE | {"status_details?": {"type": "failed", "error": dict}}},
    "response.completed": {"response": RESPONSE | {"object": "response", "output_text": str}},
    "response.output_text.delta": OF_RESPONSE | {"delta": str},
    "response.output_text.done": OF_RESPONSE | {"text": str},
    "response.text.delta": OF_RESPONSE | {"delta": str},
    "response.text.done": OF_RESPONSE | {"text": str},
}


def check_form(event: dict[str, Any]) -> None:
    """Hold an event against what section "server events" of the protocol says of it."""
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
