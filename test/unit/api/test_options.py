"""The options of a transcription request: what each field accepts, and what it means."""

import re

import pytest

from src.api.fields import Fields
from src.api.options import parse_options
from src.errors import InvalidRequest, ModelNotFound, UnsupportedLanguage
from src.scheduling.jobs import Priority
from src.wire.model_names import ServedModel

SERVED = ServedModel("nvidia/parakeet-tdt-0.6b-v2", strict="auto")


def options(*pairs: tuple[str, str], served=SERVED, languages=("en",)):
    return parse_options(Fields(pairs), served, languages)


@pytest.mark.parametrize(
    ("granularities", "words", "segments"), [([], False, True), (["word"], True, False), (["segment"], False, True)]
)
def test_segments_are_included_unless_only_words_are_requested(granularities, words, segments):
    asked = options(*(("timestamp_granularities[]", each) for each in granularities))
    assert (asked.words, asked.segments) == (words, segments)


@pytest.mark.parametrize(
    ("pairs", "times"),
    [
        ([], False),
        ([("response_format", "json")], False),
        ([("response_format", "text")], False),
        ([("response_format", "verbose_json")], True),
        ([("response_format", "srt")], True),
        ([("response_format", "vtt")], True),
        ([("timestamp_granularities[]", "word")], True),
        ([("timestamp_granularities[]", "segment")], True),
    ],
)
def test_a_stream_has_times_if_its_format_has_them_or_they_are_named(pairs, times):
    assert options(*pairs, ("stream", "true")).times == times


@pytest.mark.parametrize(
    "pairs",
    [
        [("chunking_strategy", "auto")],
        [("chunking_strategy", '{"type": "server_vad", "threshold": 0.4}')],
        [("chunking_strategy", '{"type": null, "threshold": null}')],
        [("chunking_strategy", '{"type": "server_vad", "threshold": "undefined", "silence_duration_ms": null}')],
        [("chunking_strategy", "{}")],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.4")],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "null")],
        [("chunking_strategy%5Btype%5D", "auto"), ("chunking_strategy%5Bthreshold%5D", "")],
    ],
)
def test_a_chunking_strategy_may_be_a_word_json_or_bracketed_parts(pairs):
    options(*pairs)


def test_unknown_fields_are_ignored():
    assert options(("favourite_colour", "green"), ("known_speaker_names[]", "Anna")) == options()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_format", "xml"),
        ("timestamp_granularities[]", "letter"),
        ("timestamp_granularities[0]", "letter"),
        ("timestamp_granularities%5B%5D", "letter"),
        ("timestamp_granularities", "word,nul"),
        ("include[]", "everything"),
        ("include[17]", "everything"),
        ("stream", "maybe"),
        ("temperature", "1.5"),
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("priority", "urgent"),
        ("chunking_strategy", "random"),
        ("chunking_strategy", '{"type": "random"}'),
        ("chunking_strategy", '{"type": "server_vad", "threshold": "high"}'),
        ("chunking_strategy[type]", "random"),
        ("chunking_strategy%5Btype%5D", "random"),
        ("chunking_strategy[threshold]", "high"),
        ("keywords[]", "x" * 101),
        ("keywords[0]", "x" * 101),
        ("keywords%5B3%5D", "x" * 101),
        ("keywords", ",".join(map(str, range(101)))),
    ],
)
def test_a_wrong_value_names_its_field(name, value):
    with pytest.raises(InvalidRequest) as error:
        options((name, value))
    assert error.value.param == re.match("[a-z_]*", name).group()
    assert error.value.status == 400


def test_the_name_of_another_model_names_its_field():
    options(("model", "whisper-1"))
    with pytest.raises(ModelNotFound) as error:
        options(("model", "gpt-4o"))
    assert (error.value.status, error.value.param) == (404, "model")


def test_the_language_is_the_one_that_is_asked_for_or_the_models_first():
    assert options(("language", "en-US"), languages=("de", "en")).language == "en"
    assert options(("language", "auto"), languages=("de", "en")).language == "de"
    assert options(languages=("de", "en")).language == "de"
    with pytest.raises(UnsupportedLanguage) as error:
        options(("language", "fr"), languages=("de", "en"))
    assert (error.value.code, error.value.param) == ("unsupported_language", "language")


def test_speakers_may_be_asked_for():
    assert options(("response_format", "diarized_json")).response_format == "diarized_json"


DIARIZE = ("diarize", "true")
MODEL = ("model", "gpt-4o-transcribe-diarize")


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([("response_format", "diarized_json")], True),
        ([("response_format", "diarized_json"), ("diarize", "false")], True),
        ([("response_format", "verbose_json")], False),
        ([("response_format", "verbose_json"), DIARIZE], True),
        ([("response_format", "srt"), DIARIZE], True),
        ([("response_format", "vtt"), DIARIZE], True),
        ([("response_format", "vtt"), MODEL], True),
        ([("response_format", "vtt"), ("model", "gpt-4o-transcribe-diarize-2025-10-15")], True),
        ([("response_format", "vtt"), MODEL, ("diarize", "0")], False),
        ([("response_format", "json"), DIARIZE], False),
        ([("response_format", "text"), DIARIZE], False),
        ([MODEL], False),
        ([MODEL, ("stream", "true")], False),
        ([MODEL, ("timestamp_granularities[]", "word")], False),
        ([MODEL, ("timestamp_granularities[]", "word"), ("stream", "true")], True),
        ([DIARIZE], True),
    ],
)
def test_speakers_are_told_where_they_are_asked_for_and_have_a_place(pairs, told):
    assert (options(*pairs).speakers is not None) == told


def test_who_asks_for_speakers_and_names_no_format_gets_the_one_for_them():
    assert options(DIARIZE).response_format == "diarized_json"
    assert options(DIARIZE, ("response_format", "vtt")).response_format == "vtt"
    assert options(MODEL).response_format == "json"


def test_what_is_said_about_speakers_counts_where_they_are_told():
    assert options(DIARIZE, ("num_speakers", "2")).speakers.count == 2
    assert options(("num_speakers", "200"), ("known_speaker_names[]", "Anna")) == options()
    with pytest.raises(InvalidRequest) as error:
        options(DIARIZE, ("num_speakers", "200"))
    assert error.value.param == "num_speakers"


@pytest.mark.parametrize(
    ("pairs", "keywords"),
    [
        ([("keywords[]", "Anna"), ("keywords[]", "New York"), ("keywords[]", "Anna")], ("Anna", "New York")),
        ([("keywords", '["Anna", "New York"]')], ("Anna", "New York")),
        ([("prompt", "Anna, New York")], ("Anna", "New York")),
        ([("prompt", "Anna, New York"), ("keywords", "Bob")], ("Bob",)),
        ([("prompt", "This is a talk, held in May, about the weather in the north of Spain")], ()),
        ([("prompt", "Hello, world.")], ()),
        ([("prompt", "Anna")], ()),
        ([("keywords[]", "")], ()),
        ([("keywords[0]", "Anna"), ("keywords[1]", "Bob")], ("Anna", "Bob")),
        ([("keywords[]", "none"), ("keywords[]", "all")], ("none", "all")),
        ([("keywords", "None, null"), ("prompt", "Anna, Bob")], ("Anna", "Bob")),
        ([("keywords", '["undefined"]')], ()),
        ([("prompt", "Anna, Bob, ")], ("Anna", "Bob")),
        ([("prompt", "None, null")], ("None", "null")),
    ],
)
def test_keywords_come_from_their_field_or_from_a_prompt_that_is_a_plain_list(pairs, keywords):
    assert options(*pairs).keywords == keywords


OPTIONAL = [
    *("diarize", "num_speakers", "known_speaker_names[]", "known_speaker_references[]"),
    *("model", "language", "prompt", "response_format", "temperature", "stream", "chunking_strategy", "priority"),
    *("timestamp_granularities", "timestamp_granularities[]", "include", "include[]", "keywords", "keywords[]"),
]


@pytest.mark.parametrize("value", ["", " ", "null", "Null", "None", "NONE", "undefined", " undefined\n"])
@pytest.mark.parametrize("name", OPTIONAL)
def test_every_field_may_be_sent_although_it_is_unset(name, value):
    assert options((name, value)) == options()
    assert parse_options(Fields.from_json({name: value}), SERVED, ("en",)) == options()
    assert parse_options(Fields.from_json({name: None}), SERVED, ("en",)) == options()


def test_a_priority_is_taken():
    assert options(("priority", "low")).priority is Priority.LOW


def test_of_a_model_of_several_languages_any_may_be_spoken_unless_the_client_names_some():
    known = ("en", "de", "fr")
    assert options().languages == ()
    assert options(languages=known).languages == known
    some = options(("languages[]", "fr"), ("languages[]", "de-AT"), ("languages[]", "xx"), languages=known)
    assert (some.language, some.languages) == ("fr", ("fr", "de"))
    assert options(("languages", "de"), ("language", "en"), languages=known).language == "en"
    assert options(("languages", "auto"), languages=known).languages == known
