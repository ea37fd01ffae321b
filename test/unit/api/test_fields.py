"""Fields in every encoding that clients use, and what they ask for."""

import re

import pytest

from src.api.fields import Fields
from src.api.options import parse_options
from src.errors import InvalidRequest, ModelNotFound, UnsupportedFormat, UnsupportedLanguage
from src.scheduling.jobs import Priority
from src.text.languages import LANGUAGES, LONG_CODES
from src.wire.model_names import OPENAI_MODELS, ServedModel

SERVED = ServedModel("nvidia/parakeet-tdt-0.6b-v2", strict="auto")


def options(*pairs: tuple[str, str], served=SERVED, languages=("en",)):
    return parse_options(Fields(pairs), served, languages)


@pytest.mark.parametrize(
    "pairs",
    [
        [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")],
        [("timestamp_granularities", "word"), ("timestamp_granularities", "segment")],
        [("timestamp_granularities", "word,segment")],
        [("timestamp_granularities[]", "word, segment")],
        [("timestamp_granularities", '["word", "segment"]')],
        [("timestamp_granularities[0]", "word"), ("timestamp_granularities[1]", "segment")],
        [("timestamp_granularities[10]", "segment"), ("timestamp_granularities[2]", "word")],
        [("timestamp_granularities%5B%5D", "word"), ("timestamp_granularities%5b%5d", "segment")],
        [("timestamp_granularities%5B0%5D", "word"), ("timestamp_granularities%5B1%5D", "segment")],
        [("timestamp_granularities[0]", "word,segment")],
        [("timestamp_granularities[]", each) for each in ("word", "null", "segment")],
    ],
)
def test_a_list_may_come_in_any_encoding(pairs):
    asked = options(*pairs)
    assert (asked.words, asked.segments) == (True, True)


@pytest.mark.parametrize(
    ("granularities", "words", "segments"), [([], False, True), (["word"], True, False), (["segment"], False, True)]
)
def test_segments_are_given_unless_only_words_are_asked_for(granularities, words, segments):
    asked = options(*(("timestamp_granularities[]", each) for each in granularities))
    assert (asked.words, asked.segments) == (words, segments)


@pytest.mark.parametrize("value", ["true", "True", "1", "yes"])
def test_yes_has_many_spellings(value):
    assert options(("stream", value)).stream


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "off", " false "])
def test_no_has_many_spellings(value):
    assert not options(("stream", value)).stream


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


def test_fields_that_nobody_asks_for_are_ignored():
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


OWN = ["nvidia/parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v2", "Nvidia/Parakeet-TDT-0.6B-v2"]
OPENAI = [*OPENAI_MODELS, "Whisper-1", "gpt-4o-mini-transcribe-2025-03-20", "gpt-4o-transcribe-2027-01-31"]
OTHERS = [
    *("whisper-large-v3", "whisper-large-v3-turbo", "openai/whisper-large-v3", "WHISPER-LARGE-V3-TURBO"),
    *("distil-large-v3", "distil-whisper/distil-large-v3.5", "large-v3", "base.en", "turbo", "ggml-large-v3-q5_0.bin"),
    *("Systran/faster-whisper-large-v3", "Systran/faster-distil-whisper-small.en", "mlx-community/whisper-turbo-q4"),
    *("deepdml/faster-whisper-large-v3-turbo-ct2", "nyrahealth/CrisperWhisper", "whisper:latest", "whisper"),
    *("parakeet-tdt-0.6b-v3", "nvidia/parakeet-tdt-0.6b-v3", "istupakov/parakeet-tdt-0.6b-v3-onnx", "parakeet"),
    *("nvidia/canary-1b-v2", "nvidia/stt_en_fastconformer_ctc_large", "mistralai/Voxtral-Mini-3B-2507", "qwen3-asr"),
]
NO_SPEECH = [
    *("gpt-4o", "gpt-4o-mini", "tts-1", "gpt-4o-mini-tts", "gpt-4o-2024-11-20", "openai/gpt-4o", "text-embedding-3"),
    *("nvidia", "nonsense", "whisperer", "0.6b", "small-talk", "-", "/", "x" * 10_000),
]


@pytest.mark.parametrize(
    ("strict", "taken", "refused"),
    [
        ("auto", [*OWN, *OPENAI, *OTHERS], NO_SPEECH),
        ("1", [*OWN, *OPENAI], [*OTHERS[:4], *NO_SPEECH]),
        ("0", [*OWN, *OPENAI, *OTHERS, *NO_SPEECH], []),
    ],
)
def test_names_stand_for_the_served_model_as_strictly_as_it_is_set(strict, taken, refused):
    served = ServedModel(SERVED.name, strict)
    for name in taken:
        options(("model", name), served=served)
    for name in refused:
        with pytest.raises(ModelNotFound) as error:
            options(("model", name), served=served)
        assert (error.value.status, error.value.param) == (404, "model")


@pytest.mark.parametrize(
    "language",
    ["en", "EN", "en-US", "en_GB", "en-Latn-US", "en_US.UTF-8", "en_GB@euro", "eng", "ENG", "english", "English", ""],
)
def test_english_has_many_spellings(language):
    assert options(("language", language)).language == "en"


@pytest.mark.parametrize(
    "language",
    ["auto", "Auto", "auto-detect", "Detect language", "detect", "multi", "und", "None", "null", " NULL ", "undefined"],
)
def test_a_language_that_nobody_chose_is_the_usual_one(language):
    assert options(("language", language), languages=("de", "en")).language == "de"


@pytest.mark.parametrize("language", ["de", "german", "deu", "e", "engl", "xx-US", "-", "autobahn", "nulls"])
def test_a_language_that_the_model_does_not_know_is_refused(language):
    with pytest.raises(UnsupportedLanguage) as error:
        options(("language", language))
    assert (error.value.code, error.value.param) == ("unsupported_language", "language")


@pytest.mark.parametrize(
    ("name", "code"),
    [("de-AT", "de"), ("deu", "de"), ("ger", "de"), ("German", "de"), ("fre", "fr"), ("fra", "fr"), ("dut_BE", "nl")],
)
def test_a_model_of_several_languages_takes_each_by_any_of_its_names(name, code):
    assert options(("language", name), languages=tuple(LANGUAGES)).language == code


def test_each_language_has_a_long_code_of_its_own():
    codes = [code for language in LANGUAGES for code in LONG_CODES[language]]
    assert len(codes) == len(set(codes))
    assert all(len(code) == 3 for code in codes)


def test_speakers_cannot_be_told_apart():
    with pytest.raises(UnsupportedFormat):
        options(("response_format", "diarized_json"))


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
def test_hot_words_come_from_keywords_or_from_a_prompt_that_is_a_plain_list(pairs, keywords):
    assert options(*pairs).keywords == keywords


@pytest.mark.parametrize("count", [100, 101, 999, 1000, 1001, 20_000])
def test_of_a_prompt_that_lists_too_much_the_first_hundred_are_taken(count):
    asked = options(("prompt", ", ".join(f"Word{number}" for number in range(count))))
    assert asked.keywords == tuple(f"Word{number}" for number in range(100))


def test_of_a_prompt_what_is_too_long_is_dropped():
    long = "x" * 101
    assert options(("prompt", f"Parakeet, {long}, NeMo, Parakeet")).keywords == ("Parakeet", "NeMo")
    assert options(("prompt", f"{long}, {long}")).keywords == ()
    assert options(("prompt", "y" * 1_000_000)).keywords == ()


OPTIONAL = [
    *("model", "language", "prompt", "response_format", "temperature", "stream", "chunking_strategy", "priority"),
    *("timestamp_granularities", "timestamp_granularities[]", "include", "include[]", "keywords", "keywords[]"),
]


@pytest.mark.parametrize("value", ["", " ", "null", "Null", "None", "NONE", "undefined", " undefined\n"])
@pytest.mark.parametrize("name", OPTIONAL)
def test_every_field_may_be_sent_although_it_is_unset(name, value):
    assert options((name, value)) == options()
    assert parse_options(Fields.from_json({name: value}), SERVED, ("en",)) == options()
    assert parse_options(Fields.from_json({name: None}), SERVED, ("en",)) == options()


@pytest.mark.parametrize("name", ["rate", "channels"])
@pytest.mark.parametrize("value", ["", "null", "None", "undefined"])
def test_a_number_may_be_sent_although_it_is_unset(name, value):
    assert Fields([(name, value)]).whole_number(name) is None


def test_an_unset_field_does_not_hide_one_that_is_set():
    assert options(("language", "null"), ("language", "en-US"), languages=("de", "en")).language == "en"
    joined = Fields([("language", "de")]) | Fields([("language", "undefined")])
    assert joined.text("language") == "de"


def test_a_priority_is_taken():
    assert options(("priority", "low")).priority is Priority.LOW


def test_a_json_body_has_fields_too():
    fields = Fields.from_json({"timestamp_granularities": ["word"], "stream": True, "language": None, "temperature": 0})
    asked = parse_options(fields, SERVED, ("en",))
    assert (asked.words, asked.segments, asked.stream) == (True, False, True)


def test_fields_of_the_body_win_over_those_of_the_query():
    joined = Fields([("language", "de"), ("stream", "1")]) | Fields([("language", "en")])
    assert (joined.text("language"), joined.flag("stream")) == ("en", True)


def test_a_list_of_countless_items_is_refused_before_it_becomes_large():
    with pytest.raises(InvalidRequest) as refused:
        Fields([("keywords", "," * 1_000_000)] * 20).items("keywords")
    assert refused.value.param == "keywords"
