"""The fields about speakers: counts and names that are valid, recordings in any format, and an error for all else."""

import base64
import json
from typing import Any

import media
import pytest
from media import pcm16, wav

from src.api.fields import Fields
from src.api.request import MAX_REFERENCE_CHARACTERS
from src.api.speaker_fields import SpeakerFields, parse_speaker_fields
from src.audio.decode import PcmFormat
from src.errors import InvalidRequest
from src.wire.json_limits import MAX_VALUES

SPEECH = media.clip("piper-joe-1")
NAMES, REFERENCES = "known_speaker_names", "known_speaker_references"


def data_url(data: bytes, media_type: str = "audio/wav") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


ONE = data_url(wav(SPEECH))


def parsed(*pairs: tuple[str, str], max_speakers: int = 8) -> SpeakerFields:
    return parse_speaker_fields(Fields(pairs), max_speakers)


def known(*names: str, url: str = ONE) -> list[tuple[str, str]]:
    return [(f"{NAMES}[]", name) for name in names] + [(f"{REFERENCES}[]", url) for _ in names]


def test_nothing_need_be_said_about_speakers():
    assert parsed() == SpeakerFields()
    assert parsed(("num_speakers", ""), (NAMES, "null"), (REFERENCES, "")) == SpeakerFields()


def test_names_and_recordings_belong_together_in_their_order():
    fields = parsed(*known("Anna", " Smith, John "), ("num_speakers", "3"))
    assert fields == SpeakerFields(3, ("Anna", "Smith, John"), (ONE, ONE))
    wanted = fields.wanted()
    assert (wanted.count, [each.name for each in wanted.references]) == (3, ["Anna", "Smith, John"])
    assert {each.upload.data for each in wanted.references} == {wav(SPEECH)}


@pytest.mark.parametrize(
    "pairs",
    [
        [(f"{NAMES}[0]", "Anna"), (f"{NAMES}[1]", "Ben"), (f"{REFERENCES}[0]", ONE), (f"{REFERENCES}[1]", ONE)],
        [(NAMES, "Anna,Ben"), (REFERENCES, ONE), (REFERENCES, ONE)],
        [(NAMES, '["Anna", "Ben"]'), (REFERENCES, f'["{ONE}", "{ONE}"]')],
    ],
)
def test_lists_are_read_as_clients_write_them(pairs):
    assert parsed(*pairs) == SpeakerFields(None, ("Anna", "Ben"), (ONE, ONE))


def test_json_has_the_same_fields():
    body = {NAMES: ["Anna", "Ben"], REFERENCES: [ONE, ONE], "num_speakers": 2}
    assert parse_speaker_fields(Fields.from_json(body), 8) == SpeakerFields(2, ("Anna", "Ben"), (ONE, ONE))


def test_the_type_of_a_recording_tells_headerless_audio():
    url = data_url(pcm16(SPEECH), "audio/pcm;rate=8000")
    (reference,) = parsed(*known("Anna", url=url)).wanted().references
    assert (reference.upload.pcm, reference.upload.data) == (PcmFormat(8000), pcm16(SPEECH))


@pytest.mark.parametrize(
    ("pairs", "param"),
    [
        ([("num_speakers", "0")], "num_speakers"),
        ([("num_speakers", "9")], "num_speakers"),
        ([("num_speakers", "two")], "num_speakers"),
        ([("num_speakers", "-1")], "num_speakers"),
        ([(NAMES, "Anna")], REFERENCES),
        ([(REFERENCES, ONE)], NAMES),
        ([*known("Anna", "Ben"), (NAMES + "[]", "Cleo")], REFERENCES),
        ([*known("Anna", "Ben"), (REFERENCES + "[]", ONE)], NAMES),
        (known("Anna", "Ben", "Cleo", "Dan", "Eve"), NAMES),
        (known("Anna", "Anna"), NAMES),
        (known("Anna", " Anna"), NAMES),
        (known("Anna", ""), NAMES),
        (known("x" * 65), NAMES),
        (known("Anna\nBen"), NAMES),
        (known("Anna", url="data:audio/wav;base64," + "A" * MAX_REFERENCE_CHARACTERS), REFERENCES),
    ],
)
def test_what_is_wrong_is_named(pairs: Any, param: str):
    with pytest.raises(InvalidRequest) as error:
        parsed(*pairs)
    assert (error.value.status, error.value.param) == (400, param)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/anna.wav",
        "anna.wav",
        base64.b64encode(wav(SPEECH)).decode(),
        "data:audio/wav;base64,%",
        "data:audio/wav;base64,",
        data_url(pcm16(SPEECH), "audio/pcm;rate=1"),
    ],
)
def test_a_recording_that_is_none_is_named(url):
    with pytest.raises(InvalidRequest) as error:
        parsed(*known("Anna", "Ben", url=url)).wanted()
    assert (error.value.status, error.value.param) == (400, REFERENCES)
    assert "known_speaker_references[0]" in error.value.message


@pytest.mark.parametrize(("parts", "lists"), [(4, MAX_REFERENCE_CHARACTERS // 3 - 2), (200, MAX_VALUES // 2 - 2)])
def test_lists_of_too_many_values_in_one_part_or_in_all_are_not_parsed(monkeypatch, parts, lists):
    values = 0

    def loads(text):
        nonlocal values
        values += sum(map(text.count, ",[{"))
        assert values <= MAX_VALUES
        return real(text)

    real = json.loads
    monkeypatch.setattr("src.api.fields.json.loads", loads)
    with pytest.raises(InvalidRequest, match="more than 50000 values") as error:
        parsed(*[(f"{REFERENCES}[]", "[" + "[]," * lists + "[]]")] * parts)
    assert error.value.param == REFERENCES
