"""The body of a transcription request: a multipart form, JSON, or the audio itself."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from src.api.body import LARGE_BYTES, parse_json
from src.api.fields import Fields, field_name
from src.api.forms import Part, parse_form, parse_parameters
from src.audio.decode import PcmFormat
from src.audio.g711 import AU_ALAW, AU_MULAW, au_file
from src.audio.pcm_stream import G711_RATE
from src.audio.probe import is_container
from src.audio.samples import SAMPLE_RATE
from src.errors import EmptyAudio, InvalidRequest, MissingFile
from src.transcription.audio_source import Upload
from src.wire.json_limits import decode_base64, decode_json_string

PCM_TYPES = frozenset({"audio/pcm", "audio/l16", "audio/x-l16"})
RAW_TYPES = frozenset({"audio/raw", "audio/x-raw"})
"""Media types of headerless PCM16 that clients also use for media files."""
UNTYPED = frozenset({"", "application/octet-stream"})
AU_CODES = {
    **dict.fromkeys(("audio/basic", "audio/pcmu", "audio/mulaw", "audio/x-mulaw"), AU_MULAW),
    **dict.fromkeys(("audio/pcma", "audio/alaw", "audio/x-alaw"), AU_ALAW),
}
"""Media types of G.711 (RFC 2046, RFC 4856); 8 kHz mono unless their parameters say otherwise."""
CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252"}
)
"""Accepted encodings of a form's text. Python's other codecs raise unexpected errors or take minutes."""
MAX_FIELD_BYTES = 1024 * 1024
"""Bytes of a text part that are decoded. No valid field is longer, but for the next one."""
REFERENCES = "known_speaker_references"
"""The field whose values are files."""
MAX_REFERENCE_CHARACTERS = 8 * 1024 * 1024
"""The longest of its values: ten seconds of 24 bit stereo at 96 kHz as base64."""
DATA_KEY = re.compile(rb'"data"\s*:\s*"')
PLACEHOLDER = "*"
"""Stands in JSON for base64 that is decoded apart from it. It is not valid base64 itself."""
DATA_URL_HEAD_BYTES = 200
"""The beginning of a data URL, which must have its `base64,`."""


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in lower case and its parameters."""

    name: str
    parameters: dict[str, str]

    @property
    def may_be_media(self) -> bool:
        """Whether a body of this type may be a media file."""
        return self.name == "application/octet-stream" or self.name.startswith(("audio/", "video/"))

    @classmethod
    def parse(cls, header: bytes) -> "ContentType":
        """Parse a Content-Type header. An empty or invalid one gives an empty name."""
        name, parameters = parse_parameters(header)
        return cls(
            name.decode("latin-1"),
            {key.decode("latin-1"): value.decode("latin-1") for key, value in parameters.items()},
        )


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A transcription request: its audio and its fields."""

    upload: Upload
    fields: Fields


async def parse_request(request: Request, pieces: list[bytes]) -> TranscriptionRequest:
    """Parse the body of `request`, which came in `pieces`. Empties the list, to free memory.

    A multipart body has the audio in its part `file`. A JSON body has it as base64 in `input_audio.data`, as Open WebUI
    sends it. Any other body is the audio, and the query has the fields. File names are ignored. The media type tells
    headerless PCM16 and G.711. A whole body without a media type is PCM16 too, unless it is a known container.

    Raises:
        MissingFile, EmptyAudio, InvalidRequest: the body is invalid; the message says how to correct it.
    """
    content_type = ContentType.parse(request.headers.get("content-type", "").encode("latin-1"))
    query = Fields(request.query_params.multi_items())
    # JSON can hold very many values in few bytes.
    if content_type.name == "application/json" or sum(map(len, pieces)) > LARGE_BYTES:
        return await asyncio.to_thread(_parse, pieces, content_type, query)
    return _parse(pieces, content_type, query)


def _parse(pieces: list[bytes], content_type: ContentType, query: Fields) -> TranscriptionRequest:
    """Do what `parse_request` does. No step holds the GIL for long."""
    body = b"".join(pieces)
    if content_type.name.startswith("multipart/"):
        file, fields = _parse_multipart(body, content_type)
        del body  # `pieces` is a second copy
        audio = _slice(pieces, file.start, file.end)
        pieces.clear()
        fields = query | fields
        return TranscriptionRequest(upload_of(audio, ContentType.parse(file.content_type), fields), fields)
    pieces.clear()
    if content_type.name == "application/json":
        audio, fields = _parse_json(body)
        return TranscriptionRequest(upload_of(audio, content_type, fields), query | fields)
    if not body and not content_type.may_be_media:
        raise _missing_file()
    return TranscriptionRequest(upload_of(body, content_type, query, is_untyped=content_type.name in UNTYPED), query)


def upload_of(audio: bytes, declared: ContentType, fields: Fields, *, is_untyped: bool = False) -> Upload:
    """Return audio as an upload, with the format that its media type and the fields declare if it is headerless.

    Args:
        audio: the file's bytes.
        declared: its media type.
        fields: may have its `rate` and `channels`.
        is_untyped: whether it is headerless unless it is a known container.

    Raises:
        EmptyAudio, InvalidRequest: there is nothing, or its format is none that is supported.
    """
    if not audio:
        raise EmptyAudio("The audio is empty: not one byte of it arrived.", param="file")
    fields |= Fields(declared.parameters.items())
    if declared.name in PCM_TYPES:
        return Upload(audio, _pcm_format(fields))
    is_headerless = is_untyped or declared.name in RAW_TYPES or declared.name in AU_CODES
    if not is_headerless or is_container(audio):
        return Upload(audio)
    if declared.name not in AU_CODES:
        return Upload(audio, _pcm_format(fields))
    format = _pcm_format(fields, G711_RATE)
    return Upload(au_file(audio, AU_CODES[declared.name], format.rate, format.channels))


def _slice(pieces: list[bytes], start: int, end: int) -> bytes:
    """Return `b"".join(pieces)[start:end]`. Unlike that slice, the join lets other threads run."""
    parts, at = [], 0
    for piece in pieces:
        parts.append(piece[max(0, start - at) : max(0, end - at)])
        at += len(piece)
    return b"".join(parts)


def _parse_multipart(body: bytes, content_type: ContentType) -> tuple[Part, Fields]:
    """Return the file of a multipart body and the text fields."""
    charset = content_type.parameters.get("charset", "utf-8").lower().replace("_", "-")
    if charset not in CHARSETS:
        raise InvalidRequest(f"A multipart body must be in UTF-8, not {charset[:40]!r}.", param="charset")
    boundary = content_type.parameters.get("boundary")
    if not boundary:
        message = (
            "The multipart body cannot be read: its content type names no boundary. Do not set that header yourself; "
            "the code that makes the body knows the boundary."
        )
        raise InvalidRequest(message, param="content-type")
    parts = parse_form(body, boundary.encode("latin-1")) if body else []
    files = [part for part in parts if part.is_file or _is_typed_file(part)]
    texts = [part for part in parts if not (part.is_file or _is_typed_file(part))]
    contents = (body[part.start : min(part.end, part.start + _max_bytes(part))] for part in texts)
    named = ((_text(part.name, charset), _text(text, charset)) for part, text in zip(texts, contents, strict=True))
    return _file_of(files, texts), Fields(named)


def _max_bytes(part: Part) -> int:
    """Return how many bytes of a text part are decoded: one more than is allowed, where that is to be noticed."""
    is_reference = field_name(part.name.decode("latin-1")) == REFERENCES
    return MAX_REFERENCE_CHARACTERS + 1 if is_reference else MAX_FIELD_BYTES


def _is_typed_file(part: Part) -> bool:
    return _is_named_file(part) and ContentType.parse(part.content_type).may_be_media


def _is_named_file(part: Part) -> bool:
    return field_name(part.name.decode("latin-1")) == "file"


def _text(encoded: bytes, charset: str) -> str:
    try:
        return encoded.decode(charset)
    except UnicodeDecodeError:
        return encoded.decode("latin-1")


def _file_of(files: list[Part], texts: list[Part]) -> Part:
    """Return the first file named `file` that is not empty. A browser sends an empty one for a field left blank."""
    if candidates := list(filter(_is_named_file, files)):
        return next((part for part in candidates if part.end > part.start), candidates[0])
    if any(map(_is_named_file, texts)):
        raise MissingFile(
            "`file` came as a text field. Send it as a file part (with a file name; curl: -F file=@clip.wav).",
            param="file",
        )
    raise _missing_file()


def _parse_json(body: bytes) -> tuple[bytes, Fields]:
    """Return the audio of a JSON body, `{"input_audio": {"data": BASE64}}`, and its other fields."""
    start, end = _find_large_audio(body)
    if start < end:
        data, fields = _data_and_fields(body[:start] + PLACEHOLDER.encode() + body[end:])
        if data == PLACEHOLDER:
            return _audio(lambda: decode_json_string(body, start, end)), fields
    data, fields = _data_and_fields(body)
    return _audio(data.encode), fields


def _audio(encoded: Callable[[], bytes]) -> bytes:
    """Decode base64, or a data URL."""
    try:
        data = encoded()
        head, found, _ = data[:DATA_URL_HEAD_BYTES].partition(b"base64,")
        return decode_base64(data[len(head) + len(found) :] if found else data)
    except ValueError:
        raise InvalidRequest("`input_audio.data` is not base64.", param="input_audio") from None


def _find_large_audio(body: bytes) -> tuple[int, int]:
    """Return the start and end of what is probably the audio's base64 in large JSON, or (0, 0).

    Parsing it with the rest would stop other threads for a tenth of a second.
    """
    key = body.find(b'"data"', 0, LARGE_BYTES) if len(body) > LARGE_BYTES else -1
    quote = DATA_KEY.match(body, key) if key >= 0 else None
    end = body.find(b'"', quote.end()) if quote else -1
    is_large = quote is not None and end - quote.end() > LARGE_BYTES and body[end - 1 : end] != b"\\"
    return (quote.end(), end) if quote and is_large else (0, 0)


def _data_and_fields(body: bytes) -> tuple[str, Fields]:
    parsed = parse_json(body)
    if not isinstance(parsed, dict) or "input_audio" not in parsed:
        raise _missing_file()
    audio = parsed.pop("input_audio")
    data = audio.get("data") if isinstance(audio, dict) else None
    if not isinstance(data, str):
        raise InvalidRequest('`input_audio` must be {"data": BASE64, "format": "wav"}.', param="input_audio")
    return data, Fields.from_json(parsed)


def _missing_file() -> MissingFile:
    return MissingFile(
        "The request has no file. Send the audio as the multipart part `file`, or as the whole body with its own "
        "content type.",
        param="file",
    )


def _pcm_format(fields: Fields, rate: int = SAMPLE_RATE) -> PcmFormat:
    """Return the format that the fields `rate` and `channels` declare; the defaults are `rate` and mono."""
    given = {name: number for name in ("rate", "channels") if (number := fields.whole_number(name)) is not None}
    return PcmFormat(**({"rate": rate} | given))
