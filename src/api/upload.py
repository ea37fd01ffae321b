"""Read the body of a transcription request: multipart, or the audio itself."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from src.audio.container import is_container
from src.audio.decode import PcmFormat
from src.errors import ClientGone, EmptyAudio, InvalidRequest, MissingFile, UploadTooLarge
from src.scheduling.jobs import Priority
from src.service import Upload

PCM_TYPES = frozenset({"audio/pcm", "audio/l16"})
UNTYPED = frozenset({"", "application/octet-stream"})
MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 100


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


async def read_upload(request: Request, max_bytes: int) -> Upload:
    """Read and check the body of `request`, which is refused as soon as it passes `max_bytes`.

    A multipart body carries the audio in its part `file`; any other body is the audio, and its fields come from the
    query string. The name of a file never matters. Headerless PCM16 is told by the media type `audio/pcm` or
    `audio/l16`; an untyped body (not part) that is no known container is taken for it too.

    Raises:
        MissingFile, EmptyAudio, InvalidRequest: the body is not of this form; the message says how to mend it.
        UploadTooLarge: more than `max_bytes`.
        ClientGone: the client left before the end of the body.
    """
    body = _limited(request, max_bytes)
    content_type = ContentType.parse(request.headers.get("content-type"))
    fields = dict(request.query_params)
    try:
        if content_type.name.startswith("multipart/"):
            form = await _read_form(request, body)
            fields |= form.fields
            data, content_type = form.file, form.file_type
            is_pcm = content_type.name in PCM_TYPES
        else:
            data = b"".join([chunk async for chunk in body])
            is_pcm = content_type.name in PCM_TYPES or (content_type.name in UNTYPED and not is_container(data))
            if not data and not content_type.may_be_media:
                raise _missing_file()
    except ClientDisconnect:
        raise ClientGone from None
    if not data:
        raise EmptyAudio("The audio is empty: not one byte of it arrived.", param="file")
    pcm = _pcm_format(fields | content_type.parameters) if is_pcm else None
    return Upload(data, pcm, _priority(fields.get("priority")))


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body of `request` while it is within `max_bytes`, whatever its Content-Length says."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"The upload is larger than {max_bytes / 2**20:g} MB, the limit of this server (PARAKEET_MAX_UPLOAD_MB).",
        param="file",
    )


class _InMemoryParser(MultiPartParser):
    """Starlette's parser without its temporary files: the size of a body is bounded, and it is read once."""

    spool_max_size = 0  # SpooledTemporaryFile rolls over to the disk beyond this; 0 means never


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body: its text fields, the first of each name and none that is empty, and its file."""

    fields: dict[str, str]
    file: bytes
    file_type: ContentType


async def _read_form(request: Request, body: AsyncGenerator[bytes, None]) -> Form:
    parser = _InMemoryParser(
        request.headers, body, max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The multipart body cannot be read: {error.message}") from None
    try:
        file = _file_of(form)
        fields: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, str) and value:
                fields.setdefault(name, value)
        return Form(fields, file.file.read(), ContentType.parse(file.content_type))
    finally:
        await form.close()


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


def _pcm_format(parameters: dict[str, str]) -> PcmFormat:
    """Return the format that `rate` and `channels` say, 16 kHz mono where they do not."""
    given = {name: _whole_number(name, parameters[name]) for name in ("rate", "channels") if parameters.get(name)}
    return PcmFormat(**given)


def _whole_number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise InvalidRequest(f"`{name}` must be a whole number, not {value[:40]!r}.", param=name)
    return int(value)


def _priority(value: str | None) -> Priority:
    if not value:
        return Priority.NORMAL
    try:
        return Priority[value.upper()]
    except KeyError:
        raise InvalidRequest(f"`priority` must be high, normal or low, not {value[:40]!r}.", param="priority") from None
