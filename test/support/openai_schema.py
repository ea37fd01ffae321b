"""OpenAI's response bodies as strict models, written by hand after its OpenAPI file; other keys are not allowed.

They share nothing with the models of the service. Check a body with `Model.model_validate_json(response.content)`, a
stream with `events_of(response.content)`. A key that was not asked for is left out, never null.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter


class Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _required(name: object) -> object:
    assert isinstance(name, str)
    assert name
    return name


Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Speaker = Annotated[str | None, BeforeValidator(_required)]
"""What the service adds where speakers are asked for: a name. Without, the key is left out."""


class DurationUsage(Wire):
    type: Literal["duration"]
    seconds: Count


class InputTokenDetails(Wire):
    text_tokens: Count
    audio_tokens: Count


class TokenUsage(Wire):
    type: Literal["tokens"]
    input_tokens: Count
    input_token_details: InputTokenDetails
    output_tokens: Count
    total_tokens: Count


class Logprob(Wire):
    token: str
    logprob: Annotated[float, Field(le=0)]
    bytes: list[Annotated[int, Field(ge=0, le=255)]]


class Language(Wire):
    code: Annotated[str, Field(pattern="^[a-z]{2}$")]


class TranscriptionJson(Wire):
    text: str
    logprobs: list[Logprob] = Field(default_factory=list)
    languages: list[Language] = Field(default_factory=list)
    usage: DurationUsage


class Segment(Wire):
    id: Count
    seek: Count
    start: Seconds
    end: Seconds
    text: str
    tokens: list[Count]
    temperature: Annotated[float, Field(ge=0, le=1)]
    avg_logprob: Annotated[float, Field(le=0)]
    compression_ratio: Annotated[float, Field(gt=0)]
    no_speech_prob: Annotated[float, Field(ge=0, le=1)]
    speaker: Speaker = None


class Word(Wire):
    word: str
    start: Seconds
    end: Seconds
    speaker: Speaker = None


class TranscriptionVerbose(Wire):
    task: Literal["transcribe"]
    language: Annotated[str, Field(pattern="^[a-z]{3,}$")]
    duration: Seconds
    text: str
    segments: list[Segment] = Field(default_factory=list)
    words: list[Word] = Field(default_factory=list)
    usage: DurationUsage


class SpeakerSegment(Wire):
    type: Literal["transcript.text.segment"]
    id: Annotated[str, Field(min_length=1)]
    start: Seconds
    end: Seconds
    text: str
    speaker: Annotated[str, Field(min_length=1)]


class TranscriptionDiarized(Wire):
    task: Literal["transcribe"]
    duration: Seconds
    text: str
    segments: list[SpeakerSegment]
    usage: DurationUsage


class ErrorDetail(Wire):
    message: Annotated[str, Field(min_length=1)]
    type: Annotated[str, Field(min_length=1)]
    param: str | None
    code: str | None


class ErrorBody(Wire):
    error: ErrorDetail


class Model(Wire):
    id: Annotated[str, Field(min_length=1)]
    object: Literal["model"]
    created: Count
    owned_by: Annotated[str, Field(min_length=1)]


class ModelList(Wire):
    object: Literal["list"]
    data: list[Model]


class DeltaEvent(Wire):
    type: Literal["transcript.text.delta"]
    delta: str
    logprobs: list[Logprob] = Field(default_factory=list)


class DoneEvent(Wire):
    type: Literal["transcript.text.done"]
    text: str
    logprobs: list[Logprob] = Field(default_factory=list)
    languages: list[Language] = Field(default_factory=list)
    usage: TokenUsage


class SegmentEvent(Wire):
    """OpenAI's event, with the words that the service adds."""

    type: Literal["transcript.text.segment"]
    id: Annotated[str, Field(min_length=1)]
    start: Seconds
    end: Seconds
    text: str
    speaker: str
    words: list[Word]


class Cue(Wire):
    start: Seconds
    end: Seconds
    text: Annotated[str, Field(min_length=1)]
    speaker: Speaker = None


class TimedDoneEvent(DoneEvent):
    """The last event with what the service adds if times are asked for."""

    language: Annotated[str, Field(pattern="^[a-z]{3,}$")]
    duration: Seconds
    segments: list[Segment] = Field(default_factory=list)
    words: list[Word] = Field(default_factory=list)
    cues: list[Cue]


class ErrorEvent(Wire):
    type: Literal["error"]
    error: ErrorDetail


Event = Annotated[DeltaEvent | DoneEvent | ErrorEvent, Field(discriminator="type")]
_EVENT: TypeAdapter[DeltaEvent | DoneEvent | ErrorEvent] = TypeAdapter(Event)


def events_of(body: bytes) -> list[DeltaEvent | DoneEvent | ErrorEvent]:
    """Return the events of an SSE body."""
    return [_EVENT.validate_json(block) for block in _data(body)]


def _data(body: bytes) -> list[bytes]:
    """Return the JSON of each event. An event is one `data:` line and a blank line; there is nothing else."""
    blocks = body.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block for block in blocks)
    return [block.removeprefix(b"data: ") for block in blocks]


TimedEvent = Annotated[DeltaEvent | SegmentEvent | TimedDoneEvent | ErrorEvent, Field(discriminator="type")]
_TIMED_EVENT: TypeAdapter[DeltaEvent | SegmentEvent | TimedDoneEvent | ErrorEvent] = TypeAdapter(TimedEvent)


def timed_events_of(body: bytes) -> list[DeltaEvent | SegmentEvent | TimedDoneEvent | ErrorEvent]:
    """Return the events of an SSE body whose request asked for times."""
    return [_TIMED_EVENT.validate_json(block) for block in _data(body)]
