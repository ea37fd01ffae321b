"""The events of the Realtime protocol, those of clients and those of the server, as types.

They cover OpenAI's transcription sessions, generally available (GA) and beta (platform.openai.com, "Realtime API
reference"), and the simple dialect of `response.create`. `src.realtime.config` has the session's configuration.
"""

import json
import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from src.errors import InvalidRequest
from src.text.unset import none_if_unset
from src.wire.heard_language import HeardLanguage
from src.wire.json_limits import MAX_VALUES, decode_base64, has_too_many_values
from src.wire.logprobs import TokenLogprob
from src.wire.usage import DurationUsage

MAX_APPEND_BYTES = 15 * 1024 * 1024
"""The most audio in one `input_audio_buffer.append`, as in OpenAI's API."""
TOO_LARGE = "more than 15 MiB of audio; send it in smaller pieces"


class InvalidEvent(InvalidRequest):
    """A message that is not a valid client event. `event_id` is the id that it gives itself, if any."""

    def __init__(self, message: str, *, code: str, param: str | None = None, event_id: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = code  # the protocol has more codes than the HTTP API
        self.event_id = event_id


# -- client events -----------------------------------------------------------------------------------------------------


def _decoded_audio(encoded: object) -> bytes:
    if not isinstance(encoded, str):
        raise PydanticCustomError("string_type", "not a string")
    try:
        audio = decode_base64(encoded)
    except ValueError as error:
        raise PydanticCustomError("base64", "not valid base64") from error
    if len(audio) > MAX_APPEND_BYTES:
        raise PydanticCustomError("too_large", TOO_LARGE)
    return audio


Audio = Annotated[bytes, BeforeValidator(_decoded_audio)]
"""Audio: base64 on the wire, with or without line breaks; bytes in the event."""


Unset = BeforeValidator(none_if_unset)
"""Takes the words that clients send for a value that is not set (see `none_if_unset`) as None."""


class _ClientEvent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(_ClientEvent):
    """Change the configuration. Either name takes either shape."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["session.update", "transcription_session.update"]
    session: Annotated[dict[str, Any] | None, Unset] = None

    @property
    def patch(self) -> dict[str, Any]:
        """The settings to change. Some clients leave out the `session` object around them."""
        return self.session if self.session is not None else dict(self.model_extra or {})


class Append(_ClientEvent):
    """More audio, in the format of the session."""

    type: Literal["input_audio_buffer.append"]
    audio: Audio


class _PlainAppend(Append):
    """An append as nearly all clients send it: its audio is base64 that pydantic decodes itself, without white space.

    Pydantic accepts no more than `Audio` does, and never decodes it differently.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, val_json_bytes="base64")

    audio: Annotated[bytes, Field(max_length=MAX_APPEND_BYTES)]


class Commit(_ClientEvent):
    """Make an item of the audio so far."""

    type: Literal["input_audio_buffer.commit"]


class Clear(_ClientEvent):
    """Drop the audio that is not committed."""

    type: Literal["input_audio_buffer.clear"]


class InputAudio(BaseModel):
    """Audio as the content of an item."""

    type: Literal["input_audio"]
    audio: Audio


class NewItem(BaseModel):
    """A spoken message of the user."""

    type: Annotated[Literal["message"] | None, Unset] = None
    id: Annotated[Annotated[str, Field(max_length=64)] | None, Unset] = None
    content: Annotated[list[InputAudio], FailFast(), Field(min_length=1)]  # an error for each element would take 1.4 kB


class ItemCreate(_ClientEvent):
    """Append and commit a whole item at once."""

    type: Literal["conversation.item.create"]
    item: NewItem


class ItemRetrieve(_ClientEvent):
    """Request an item."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ItemDelete(_ClientEvent):
    """Delete an item."""

    type: Literal["conversation.item.delete"]
    item_id: str


class ResponseCreate(_ClientEvent):
    """Request the text, in the simple dialect."""

    type: Literal["response.create"]


class Ignored(_ClientEvent):
    """Events about an assistant's speech, which a transcription session does not have."""

    type: Literal["response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"]


ClientEvent = (
    SessionUpdate | Append | Commit | Clear | ItemCreate | ItemRetrieve | ItemDelete | ResponseCreate | Ignored
)

_CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])
_PLAIN_APPEND = TypeAdapter(_PlainAppend).validator


_JSON_START = re.compile(rb'[ \t\r\n]*(\{[ \t\r\n]*["}]|\[[ \t\r\n]*[][{"0-9tfn-])')
"""The beginning of a JSON object or list. A bare `{` is not enough, as it is common in G.711 audio."""
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that JSON never contains, and audio soon does."""


def parse(message: str | bytes) -> ClientEvent:
    """Return the event in a text or binary WebSocket message.

    A binary message that is not a JSON object or list is audio: an append of its bytes.

    Raises:
        InvalidEvent: the message is not an event, or a field of it is invalid.
    """
    plain = plain_append(message) if isinstance(message, str) else None
    return parse_any(message) if plain is None else plain


def plain_append(message: str | bytes) -> Append | None:
    """Return the event in a text message, which may come as UTF-8, if that is an append as nearly all clients send it.

    That takes an eighth of the time of `parse_any`, whose result is the same.
    """
    if has_too_many_values(message):
        return None
    with suppress(ValidationError):  # which may just be another event
        append: Append = _PLAIN_APPEND.validate_json(message)
        return append
    return None


def parse_any(message: str | bytes) -> ClientEvent:
    """Do what `parse` does, without its short way for appends."""
    if not isinstance(message, str) and not _may_be_json(message):
        return _append(message)
    if has_too_many_values(message):
        raise InvalidEvent(f"The message has more than {MAX_VALUES} values.", code="invalid_json")
    try:
        return _CLIENT_EVENT.validate_json(message)
    except ValidationError as error:
        if not isinstance(message, str) and not _is_json(message):
            return _append(message)
        raise _invalid_event(message, error.errors(include_url=False, include_input=False)[0]) from None


def _may_be_json(message: bytes) -> bool:
    """Return whether a binary message looks like a JSON object or list, as audio hardly ever does."""
    if not _JSON_START.match(message) or _NOT_TEXT.search(message):
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
        pass  # nested deeper than any event, and not audio either
    return True


def _append(audio: bytes) -> Append:
    if len(audio) > MAX_APPEND_BYTES:
        raise InvalidEvent(f"`audio`: {TOO_LARGE}.", code="invalid_value", param="audio")
    return Append.model_construct(type="input_audio_buffer.append", audio=audio)


def _invalid_event(message: str | bytes, error: Any) -> InvalidEvent:
    """Return pydantic's error in the protocol's words."""
    event = _json_object(message)
    # Pydantic rejects two things that `json` accepts: half a surrogate pair, which no answer could repeat, and deeply
    # nested JSON.
    if event is None or error["type"] == "json_invalid":
        return InvalidEvent("The message is not a JSON object.", code="invalid_json")
    event_id = event.get("event_id")
    own_id = {"event_id": event_id if isinstance(event_id, str) and len(event_id) <= 512 else None}
    match error["type"]:
        case "union_tag_not_found":
            return InvalidEvent("The event has no `type`.", code="invalid_event", param="type", **own_id)
        case "union_tag_invalid":
            kind = str(event.get("type"))[:60]
            return InvalidEvent(f"There is no event {kind!r}.", code="invalid_value", param="type", **own_id)
    # The path begins with the event's type, by which pydantic chose its class.
    path = ".".join(str(key) for key in error["loc"][1:])
    code = {"missing": "missing_required_parameter", "base64": "invalid_value", "too_large": "invalid_value"}.get(
        error["type"], "invalid_type" if error["type"].endswith("_type") else "invalid_value"
    )
    return InvalidEvent(f"`{path}`: {error['msg']}.", code=code, param=path, **own_id)


def _json_object(message: str | bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


# -- server events -----------------------------------------------------------------------------------------------------


class ServerEvent(BaseModel):
    """Any event that the server sends. Fields that were not set are left out."""

    model_config = ConfigDict(frozen=True)

    type: str

    def encoded(self, event_id: str) -> str:
        """Return the event as JSON, with this id."""
        head = json.dumps({"type": self.type, "event_id": event_id}, separators=(",", ":"))
        # Pydantic writes this four times as fast as `json` writes a dict: an item may have 40,000 log probabilities.
        rest = self.model_dump_json(exclude={"type"}, exclude_unset=True)
        return head if rest == "{}" else f"{head[:-1]},{rest[1:]}"


StateName = Literal[
    "session.created", "session.updated", "transcription_session.created", "transcription_session.updated"
]


class SessionState(ServerEvent):
    """The session's configuration, sent at the beginning and after each change."""

    type: StateName
    session: dict[str, Any]


class SpeechStarted(ServerEvent):
    """A turn has begun. Its start, padding included, is in milliseconds of all audio since the session began."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_start_ms: int
    item_id: str


class SpeechStopped(ServerEvent):
    """The turn is over. Its item ends here."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int
    item_id: str


class TimeoutTriggered(ServerEvent):
    """Nobody has spoken for the idle timeout. The silence becomes an item."""

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
    """The uncommitted audio was dropped."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class ItemState(ServerEvent):
    """A new item: GA has two events for it, beta has one."""

    type: Literal["conversation.item.added", "conversation.item.done", "conversation.item.created"]
    item: dict[str, Any]
    previous_item_id: str | None


class ItemRetrieved(ServerEvent):
    """An item that the client requested."""

    type: Literal["conversation.item.retrieved"] = "conversation.item.retrieved"
    item: dict[str, Any]


class ItemDeleted(ServerEvent):
    """An item was deleted."""

    type: Literal["conversation.item.deleted"] = "conversation.item.deleted"
    item_id: str


class TranscriptionDelta(ServerEvent):
    """Further text of an item, while it is spoken or afterwards."""

    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: str
    content_index: int
    delta: str
    logprobs: list[TokenLogprob] = []


class TranscriptionHypothesis(ServerEvent):
    """What may follow the deltas of an item, for clients that ask for it. Each replaces the one before."""

    type: Literal["conversation.item.input_audio_transcription.hypothesis"] = (
        "conversation.item.input_audio_transcription.hypothesis"
    )
    item_id: str
    content_index: int
    text: str


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
    languages: list[HeardLanguage] = []


class ItemErrorBody(BaseModel):
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
    error: ItemErrorBody


class RealtimeErrorBody(ItemErrorBody):
    """Why a client event had no effect; `event_id` is the id that the client gave it."""

    event_id: str | None


class ErrorEvent(ServerEvent):
    """A client event had no effect. The session goes on."""

    type: Literal["error"] = "error"
    error: RealtimeErrorBody


class ResponseState(ServerEvent):
    """The state of a response of the simple dialect."""

    type: Literal["response.created", "response.done", "response.completed"]
    response: dict[str, Any]


class ResponseText(ServerEvent):
    """The text of a response, under GA's names or beta's."""

    type: Literal[
        "response.output_text.delta", "response.output_text.done", "response.text.delta", "response.text.done"
    ]
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str = ""
    text: str = ""
