"""Read the body of a transcription request: multipart, or the audio itself."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from src.api.fields import Fields
from src.audio.container import is_container
from src.audio.decode import PcmFormat
from src.documents import MOST_PARTS, decode_base64, has_too_many_parts
from src.errors import EmptyAudio, InvalidRequest, MissingFile
from src.service import Upload

PCM_TYPES = frozenset({"audio/pcm", "audio/l16"})
UNTYPED = frozenset({"", "application/octet-stream"})
CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252"}
)
"""What the text of a form may be encoded in."""
MAX_FIELD_BYTES = 1024 * 1024
MAX_FIELDS = 200


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in lower case and its parameters."""

    name: str
    parameters: dict[str, str]

    @property
    def may_be_media(self) -> bool:
        """Whether a body of this type can be meant as a media file."""
        return self.name == "application/octet-stream" or self.name.startswith(("audio/", "video/"))

    @classmethod
    def parse(cls, header: str | None) -> "ContentType":
        """Parse a Content-Type header; None and nonsense give an empty name."""
        name, parameters = parse_options_header(header)
        return cls(
            name.decode("latin-1").lower(),
            {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in parameters.items()},
        )


@dataclass(frozen=True, slots=True)
class Body:
    """A transcription request as it came: its audio and its fields."""

    upload: Upload
    fields: Fields


async def read_body(request: Request, pieces: AsyncGenerator[bytes, None]) -> Body:
    """Read and check the body of `request`, which comes in `pieces`.

    A multipart body carries the audio in its part `file`, a JSON body as base64 in `input_audio.data`, as Open WebUI
    sends it; any other body is the audio, and its fields come from the query string. The name of a file never matters.
    Headerless PCM16 is told by the media type `audio/pcm` or `audio/l16`; an untyped body (not part) that is no known
    container is taken for it too.

    Raises:
        MissingFile, EmptyAudio, InvalidRequest: the body is not of this form; the message says how to mend it.
        Exception: what the pieces raise.
    """
    content_type = ContentType.parse(request.headers.get("content-type"))
    query = Fields(request.query_params.multi_items())
    if content_type.name.startswith("multipart/"):
        audio, audio_type, fields = await _read_form(request, pieces)
        fields = query | fields
        is_pcm = audio_type.name in PCM_TYPES
    elif content_type.name == "application/json":
        # Beside the event loop: to parse 64 MB takes half a second.
        audio, fields = await asyncio.to_thread(_parse_json, await _whole(pieces))
        audio_type, fields, is_pcm = content_type, query | fields, False
    else:
        audio, audio_type, fields = await _whole(pieces), content_type, query
        is_pcm = audio_type.name in PCM_TYPES or (audio_type.name in UNTYPED and not is_container(audio))
        if not audio and not audio_type.may_be_media:
            raise _missing_file()
    if not audio:
        raise EmptyAudio("The audio is empty: not one byte of it arrived.", param="file")
    pcm = _pcm_format(fields | Fields(audio_type.parameters.items())) if is_pcm else None
    return Body(Upload(audio, pcm), fields)


def _check_charset(request: Request) -> None:
    """Refuse to decode a form by just any of Python's codecs: some raise what nobody expects, or take minutes."""
    charset = ContentType.parse(request.headers.get("content-type")).parameters.get("charset", "utf-8")
    if charset.lower().replace("_", "-") not in CHARSETS:
        raise InvalidRequest(f"A multipart body must be in UTF-8, not {charset[:40]!r}.", param="charset")


async def _whole(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([piece async for piece in pieces])


class _InMemoryParser(MultiPartParser):
    """Starlette's parser without its temporary files: the size of a body is bounded, and it is read once."""

    spool_max_size = 0  # SpooledTemporaryFile rolls over to the disk beyond this; 0 means never


async def _read_form(request: Request, pieces: AsyncGenerator[bytes, None]) -> tuple[bytes, ContentType, Fields]:
    """Return the file of a multipart body, the type that its part declares, and the text fields."""
    _check_charset(request)
    parser = _InMemoryParser(
        request.headers, pieces, max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The multipart body cannot be read: {error.message}") from None
    try:
        upload = _file_of(form)
        fields = Fields((name, value) for name, value in form.multi_items() if isinstance(value, str))
        return upload.file.read(), ContentType.parse(upload.content_type), fields
    finally:
        for file in parser._files_to_close_on_error:  # that of a part without an end too, which is not in the form
            file.close()


def parse_object(body: bytes) -> Any:
    """Return what a body holds as JSON.

    Raises:
        InvalidRequest: it is no JSON, or has more parts than any that is meant.
    """
    if has_too_many_parts(body):
        raise InvalidRequest(f"The JSON of the body has more than {MOST_PARTS} values.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not the JSON that its content type says.") from None


def _parse_json(body: bytes) -> tuple[bytes, Fields]:
    """Return the audio of a JSON body, `{"input_audio": {"data": BASE64}}`, and its other fields."""
    parsed = parse_object(body)
    if not isinstance(parsed, dict) or "input_audio" not in parsed:
        raise _missing_file()
    audio = parsed.pop("input_audio")
    data = audio.get("data") if isinstance(audio, dict) else None
    if not isinstance(data, str):
        raise InvalidRequest('`input_audio` must be {"data": BASE64, "format": "wav"}.', param="input_audio")
    try:
        return decode_base64(data.partition("base64,")[2] or data), Fields.from_json(parsed)
    except ValueError:
        raise InvalidRequest("`input_audio.data` is not base64.", param="input_audio") from None


def _file_of(form: FormData) -> UploadFile:
    """Return the first part `file`."""
    parts = form.getlist("file")
    for part in parts:
        if isinstance(part, UploadFile):
            return part
    if parts:
        raise MissingFile(
            "`file` came as a text field. Send it as a file part (with a file name; curl: -F file=@clip.wav).",
            param="file",
        )
    raise _missing_file()


def _missing_file() -> MissingFile:
    return MissingFile(
        "The request has no file. Send the audio as the multipart part `file`, or as the whole body with its own "
        "content type.",
        param="file",
    )


def _pcm_format(fields: Fields) -> PcmFormat:
    """Return the format that `rate` and `channels` say, 16 kHz mono where they do not."""
    given = {name: number for name in ("rate", "channels") if (number := fields.whole_number(name)) is not None}
    return PcmFormat(**given)
