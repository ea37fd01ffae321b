"""The wire of the Realtime protocol: what a client may send and what it reads, as types.

OpenAI's transcription sessions, generally available and beta (platform.openai.com, "Realtime API reference"), and the
simple dialect of `response.create`. A session's configuration has a file of its own, `src.realtime.config`.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from src.errors import InvalidRequest
from src.wire.json_limits import MAX_VALUES, decode_base64, has_too_many_values
from src.wire.logprobs import TokenLogprob
from src.wire.usage import DurationUsage

MAX_APPEND_BYTES = 15 * 1024 * 1024
"""Most audio in one `input_audio_buffer.append`, as OpenAI has it."""
TOO_LARGE = "more than 15 MiB of audio; send it in smaller pieces"


class InvalidEvent(InvalidRequest):
    """A message that is no event of the protocol; `event_id` is its own, where it has one."""

    def __init__(self, message: str, *, code: str, param: str | None = None, event_id: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = code  # the protocol has more words for it than HTTP
        self.event_id = event_id


# -- what a client sends -----------------------------------------------------------------------------------------------


def _audio(encoded: object) -> bytes:
    if not isinstance(encoded, str):
        raise PydanticCustomError("string_type", "not a string")
    try:
        audio = decode_base64(encoded)
    except ValueError as error:
        raise PydanticCustomError("base64", "not valid base64") from error
    if len(audio) > MAX_APPEND_BYTES:
        raise PydanticCustomError("too_large", TOO_LARGE)
    return audio


Audio = Annotated[bytes, BeforeValidator(_audio)]
"""Audio as base64 on the wire, with line breaks or without, as bytes in the event."""


class _ClientEvent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(_ClientEvent):
    """Change the session; both shapes are taken under both names."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["session.update", "transcription_session.update"]
    session: dict[str, Any] | None = None

    @property
    def wanted(self) -> dict[str, Any]:
        """The keys of the session; some clients leave out the `session` around them."""
        return self.session if self.session is not None else dict(self.model_extra or {})


class Append(_ClientEvent):
    """More audio, in the format of the session."""

    type: Literal["input_audio_buffer.append"]
    audio: Audio


class Commit(_ClientEvent):
    """The audio so far is one item."""

    type: Literal["input_audio_buffer.commit"]


class Clear(_ClientEvent):
    """Forget the audio that is not committed."""

    type: Literal["input_audio_buffer.clear"]


class InputAudio(BaseModel):
    """Audio as the content of an item."""

    type: Literal["input_audio"]
    audio: Audio


class NewItem(BaseModel):
    """A message of the user, spoken."""

    type: Literal["message"] = "message"
    id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    content: Annotated[list[InputAudio], FailFast(), Field(min_length=1)]  # each of the errors would take 1.4 kB


class ItemCreate(_ClientEvent):
    """A whole item at once: append and commit."""

    type: Literal["conversation.item.create"]
    item: NewItem


class ItemRetrieve(_ClientEvent):
    """Ask for an item."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ItemDelete(_ClientEvent):
    """Forget an item."""

    type: Literal["conversation.item.delete"]
    item_id: str


class ResponseCreate(_ClientEvent):
    """The simple dialect's request for the text."""

    type: Literal["response.create"]


class Ignored(_ClientEvent):
    """What concerns the speech of an assistant, of which there is none."""

    type: Literal["response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"]


ClientEvent = (
    SessionUpdate | Append | Commit | Clear | ItemCreate | ItemRetrieve | ItemDelete | ResponseCreate | Ignored
)

_CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])


_OPENED = re.compile(rb'[ \t\r\n]*(\{[ \t\r\n]*["}]|\[[ \t\r\n]*[][{"0-9tfn-])')
"""How an object or a list begins; G.711 has many a `{`."""
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What no JSON has in it anywhere, and audio soon."""


def parse(message: str | bytes) -> ClientEvent:
    """Return the event that a text or binary frame holds as JSON.

    A binary frame that is no JSON, neither an object nor a list, is an append of its bytes.

    Raises:
        InvalidEvent: it is none, or one with a wrong field.
    """
    if not isinstance(message, str) and not _may_be_json(message):
        return _append(message)
    if has_too_many_values(message):
        raise InvalidEvent(f"The message has more than {MAX_VALUES} values.", code="invalid_json")
    try:
        return _CLIENT_EVENT.validate_json(message)
    except ValidationError as error:
        if not isinstance(message, str) and not _is_json(message):
            return _append(message)
        raise _invalid(message, error.errors(include_url=False, include_input=False)[0]) from None


def _may_be_json(message: bytes) -> bool:
    """Return whether a binary frame looks like the text of an object or a list, as audio hardly ever does."""
    if not _OPENED.match(message) or _NO_TEXT.search(message):
        return False
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(message: bytes) -> bool:
    try:
        json.loads(message)
    except ValueError:
        return False
    except RecursionError:
        pass  # nested deeper than any event, and no audio either
    return True


def _append(audio: bytes) -> Append:
    if len(audio) > MAX_APPEND_BYTES:
        raise InvalidEvent(f"`audio`: {TOO_LARGE}.", code="invalid_value", param="audio")
    return Append.model_construct(type="input_audio_buffer.append", audio=audio)


def _invalid(message: str | bytes, error: Any) -> InvalidEvent:
    """Say in the protocol's words what pydantic found."""
    event = _loaded(message)
    # What pydantic refuses and `json` takes is half a surrogate pair, which no answer could repeat, or nested too deep.
    if event is None or error["type"] == "json_invalid":
        return InvalidEvent("The message is not a JSON object.", code="invalid_json")
    event_id = event.get("event_id")
    told = {"event_id": event_id if isinstance(event_id, str) and len(event_id) <= 512 else None}
    match error["type"]:
        case "union_tag_not_found":
            return InvalidEvent("The event has no `type`.", code="invalid_event", param="type", **told)
        case "union_tag_invalid":
            kind = str(event.get("type"))[:60]
            return InvalidEvent(f"There is no event {kind!r}.", code="invalid_value", param="type", **told)
    # The first place is the event's type, by which pydantic chose its class.
    path = ".".join(str(place) for place in error["loc"][1:])
    code = {"missing": "missing_required_parameter", "base64": "invalid_value", "too_large": "invalid_value"}.get(
        error["type"], "invalid_type" if error["type"].endswith("_type") else "invalid_value"
    )
    return InvalidEvent(f"`{path}`: {error['msg']}.", code=code, param=path, **told)


def _loaded(message: str | bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


# -- what a client reads -----------------------------------------------------------------------------------------------


class ServerEvent(BaseModel):
    """Anything the server sends; what was not set is not sent."""

    model_config = ConfigDict(frozen=True)

    type: str

    def encoded(self, event_id: str) -> str:
        """Return the event as JSON, under an id."""
        head = json.dumps({"type": self.type, "event_id": event_id}, separators=(",", ":"))
        # Written by pydantic itself, four times as fast as by way of a dict: an item may have 40,000 log probabilities.
        rest = self.model_dump_json(exclude={"type"}, exclude_unset=True)
        return head if rest == "{}" else f"{head[:-1]},{rest[1:]}"


StateName = Literal[
    "session.created", "session.updated", "transcription_session.created", "transcription_session.updated"
]


class SessionState(ServerEvent):
    """The session as it is now; sent at the beginning and after each change."""

    type: StateName
    session: dict[str, Any]


class SpeechStarted(ServerEvent):
    """Somebody began to speak, in milliseconds of all audio so far, the padding before it included."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_start_ms: int
    item_id: str


class SpeechStopped(ServerEvent):
    """The turn is over; the item ends here."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int
    item_id: str


class TimeoutTriggered(ServerEvent):
    """Nobody has spoken for the session's idle timeout; the silence becomes an item."""

    type: Literal["input_audio_buffer.timeout_triggered"] = "input_audio_buffer.timeout_triggered"
    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class Committed(ServerEvent):
    """The audio of an item is complete."""

    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None


class Cleared(ServerEvent):
    """The audio that was not committed is forgotten."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class ItemState(ServerEvent):
    """An item of the conversation: GA's two events, and beta's one for both."""

    type: Literal["conversation.item.added", "conversation.item.done", "conversation.item.created"]
    item: dict[str, Any]
    previous_item_id: str | None


class ItemRetrieved(ServerEvent):
    """An item that was asked for."""

    type: Literal["conversation.item.retrieved"] = "conversation.item.retrieved"
    item: dict[str, Any]


class ItemDeleted(ServerEvent):
    """An item is forgotten."""

    type: Literal["conversation.item.deleted"] = "conversation.item.deleted"
    item_id: str


class TranscriptionDelta(ServerEvent):
    """More text of an item, while it is spoken or after."""

    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: str
    content_index: int
    delta: str
    logprobs: list[TokenLogprob] = []


class TranscriptionSegment(ServerEvent):
    """A word or a segment of an item, with its times in seconds from the item's start."""

    type: Literal["conversation.item.input_audio_transcription.segment"] = (
        "conversation.item.input_audio_transcription.segment"
    )
    id: str
    item_id: str
    content_index: int
    text: str
    speaker: str
    start: float
    end: float


class TranscriptionCompleted(ServerEvent):
    """The final text of an item."""

    type: Literal["conversation.item.input_audio_transcription.completed"] = (
        "conversation.item.input_audio_transcription.completed"
    )
    item_id: str
    content_index: int
    transcript: str
    usage: DurationUsage
    logprobs: list[TokenLogprob] = []


class ItemError(BaseModel):
    """Why an item has no text."""

    type: str
    code: str
    message: str
    param: str | None


class TranscriptionFailure(ServerEvent):
    """An item has no text."""

    type: Literal["conversation.item.input_audio_transcription.failed"] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: str
    content_index: int
    error: ItemError


class EventError(ItemError):
    """What was wrong with an event; `event_id` is the client's own."""

    event_id: str | None


class Error(ServerEvent):
    """An event of the client was of no effect; the session goes on."""

    type: Literal["error"] = "error"
    error: EventError


class ResponseState(ServerEvent):
    """A response of the simple dialect, begun or ended."""

    type: Literal["response.created", "response.done", "response.completed"]
    response: dict[str, Any]


class ResponseText(ServerEvent):
    """The text of a response: GA's names and beta's."""

    type: Literal[
        "response.output_text.delta", "response.output_text.done", "response.text.delta", "response.text.done"
    ]
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str = ""
    text: str = ""
