"""Who speaks: the fields of a request that ask for it, OpenAI's and the service's own."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.fields import Fields
from src.api.request import MAX_REFERENCE_CHARACTERS, REFERENCES, ContentType, upload_of
from src.errors import InvalidRequest
from src.transcription.known_speakers import SpeakerReference, SpeakersWanted
from src.wire.data_urls import decode_data_url

NAMES = "known_speaker_names"
MAX_KNOWN = 4
"""Known speakers, as in OpenAI's API."""
MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class SpeakerFields:
    """What a request says about speakers, its recordings still as they came."""

    count: int | None = None
    """How many there are, if the client knows."""
    names: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    """A data URL for each name."""

    def wanted(self) -> SpeakersWanted:
        """Return the same with the recordings as uploads. Megabytes of base64 take tens of milliseconds.

        Raises:
            InvalidRequest: one is not a data URL, or has no bytes.
        """
        named = zip(self.names, self.references, strict=True)
        return SpeakersWanted(self.count, tuple(_reference(n, *each) for n, each in enumerate(named)))


def parse_speaker_fields(fields: Fields, max_speakers: int) -> SpeakerFields:
    """Return what the fields of a request that asks for speakers say about them.

    Raises:
        InvalidRequest: a field has an invalid value; `param` names it.
    """
    count = fields.whole_number("num_speakers")
    if count is not None and not 1 <= count <= max_speakers:
        limit = f"1 to {max_speakers} (PARAKEET_MAX_SPEAKERS)"
        raise InvalidRequest(f"`num_speakers` must be {limit}, not {count}.", param="num_speakers")
    references = fields.texts(REFERENCES, MAX_KNOWN * (MAX_REFERENCE_CHARACTERS + 1))
    names = fields.texts(NAMES)
    if len(names) != len(references):
        names = fields.items(NAMES)
    _check_names(names)
    _check_references(references, names)
    return SpeakerFields(count, tuple(names), tuple(references))


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MAX_KNOWN:
        raise InvalidRequest(f"At most {MAX_KNOWN} speakers can be known, not {len(names)}.", param=NAMES)
    for name in names:
        if not (name and name.isprintable() and len(name) <= MAX_NAME_CHARACTERS):
            message = f"A name in `{NAMES}` must be one line of 1 to {MAX_NAME_CHARACTERS} characters."
            raise InvalidRequest(message, param=NAMES)
    if len(set(names)) < len(names):
        raise InvalidRequest(f"The names in `{NAMES}` must differ.", param=NAMES)


def _check_references(references: Sequence[str], names: Sequence[str]) -> None:
    if len(references) != len(names):
        message = (
            f"`{NAMES}` and `{REFERENCES}` belong together, but there are {len(names)} names and {len(references)} "
            "recordings. A recording is a text field with a data URL: data:audio/wav;base64,UklGR..."
        )
        raise InvalidRequest(message, param=NAMES if len(names) < len(references) else REFERENCES)
    for number, url in enumerate(references):
        if len(url) > MAX_REFERENCE_CHARACTERS:
            limit = f"{MAX_REFERENCE_CHARACTERS // 2**20} MB"
            raise InvalidRequest(f"`{REFERENCES}[{number}]` is larger than {limit} as a data URL.", param=REFERENCES)


def _reference(number: int, name: str, url: str) -> SpeakerReference:
    """Return a recording as an upload."""
    label = f"`{REFERENCES}[{number}]`"
    try:
        media_type, data = decode_data_url(url)
    except ValueError:
        message = f"{label} must be a recording as a data URL, such as data:audio/wav;base64,UklGR..."
        raise InvalidRequest(message, param=REFERENCES) from None
    try:
        return SpeakerReference(name, upload_of(data, ContentType.parse(media_type.encode()), Fields([])))
    except InvalidRequest as error:
        raise InvalidRequest(f"{label} cannot be used. {error.message}", param=REFERENCES) from None
