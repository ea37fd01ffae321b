"""Fields in every encoding that clients use."""

import pytest

from src.api.fields import Fields, field_name
from src.errors import InvalidRequest


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
    items = Fields(pairs).choices("timestamp_granularities", ("word", "segment"))
    assert items == {"word", "segment"}


@pytest.mark.parametrize("value", ["true", "True", "1", "yes"])
def test_yes_has_many_spellings(value):
    assert Fields([("stream", value)]).flag("stream")


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "off", " false "])
def test_no_has_many_spellings(value):
    assert not Fields([("stream", value)]).flag("stream")


@pytest.mark.parametrize("name", ["rate", "channels"])
@pytest.mark.parametrize("value", ["", "null", "None", "undefined"])
def test_a_number_may_be_sent_although_it_is_unset(name, value):
    assert Fields([(name, value)]).whole_number(name) is None


def test_an_unset_field_does_not_hide_one_that_is_set():
    assert Fields([("language", "null"), ("language", "en-US")]).text("language") == "en-US"
    joined = Fields([("language", "de")]) | Fields([("language", "undefined")])
    assert joined.text("language") == "de"


def test_a_json_body_has_fields_too():
    fields = Fields.from_json({"timestamp_granularities": ["word"], "stream": True, "language": None, "temperature": 0})
    assert fields.items("timestamp_granularities") == ["word"]
    assert fields.flag("stream")
    assert fields.text("language") is None
    assert fields.number("temperature", 0, 1) == 0


@pytest.mark.parametrize("text", ["-1", "1.5", "0x10", "\uff11", "1234567890", "many"])
def test_a_whole_number_is_short_decimal_ascii(text):
    with pytest.raises(InvalidRequest) as error:
        Fields([("rate", text)]).whole_number("rate")
    assert error.value.param == "rate"


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "warm"])
def test_a_number_is_within_its_range(text):
    assert Fields([("temperature", "0.5")]).number("temperature", 0, 1) == 0.5
    with pytest.raises(InvalidRequest, match="must be a number of 0 to 1"):
        Fields([("temperature", text)]).number("temperature", 0, 1)


@pytest.mark.parametrize("pairs", [[("a", '{"type": "x", "n": 1}')], [("a[type]", "x"), ("a[n]", "1")]])
def test_an_object_is_json_or_parts(pairs):
    assert {name: str(value) for name, value in Fields(pairs).mapping("a", plain="type").items()} == {
        "type": "x",
        "n": "1",
    }
    assert Fields([("a", "auto")]).mapping("a", plain="type") == {"type": "auto"}


@pytest.mark.parametrize("name", ["keywords", "keywords[]", "keywords[12]", "keywords%5B%5D", " keywords[0] "])
def test_the_name_of_a_field_has_no_list_index(name):
    assert field_name(name) == "keywords"


def test_an_error_quotes_the_beginning_of_a_long_value():
    with pytest.raises(InvalidRequest) as error:
        Fields([("priority", "x" * 1000)]).choice("priority", ("high", "normal"), "normal")
    assert error.value.message.startswith("`priority` must be high or normal, not 'xxx")
    assert len(error.value.message) < 120


def test_a_hint_is_cut_where_text_is_rejected():
    fields = Fields([("prompt", "x" * 100_000)])
    assert fields.hint("prompt") == "x" * 65_536
    with pytest.raises(InvalidRequest):
        fields.text("prompt")


def test_the_right_operand_has_precedence():
    joined = Fields([("language", "de"), ("stream", "1")]) | Fields([("language", "en")])
    assert (joined.text("language"), joined.flag("stream")) == ("en", True)


def test_a_list_of_countless_items_is_rejected_before_it_becomes_large():
    with pytest.raises(InvalidRequest) as rejected:
        Fields([("keywords", "," * 1_000_000)] * 20).items("keywords")
    assert rejected.value.param == "keywords"


@pytest.mark.parametrize(
    "pairs",
    [
        [("url", "data:audio/wav;base64,AA=="), ("url", " b,c ")],
        [("url[]", "data:audio/wav;base64,AA=="), ("url[]", "b,c")],
        [("url", '["data:audio/wav;base64,AA==", "b,c"]')],
    ],
)
def test_the_items_of_a_list_may_have_commas(pairs):
    assert Fields(pairs).texts("url") == ["data:audio/wav;base64,AA==", "b,c"]


def test_a_list_of_files_may_be_longer_than_other_fields():
    fields = Fields([("url", "x" * 100_000)])
    assert fields.texts("url", 100_000) == ["x" * 100_000]
    with pytest.raises(InvalidRequest):
        fields.texts("url")
    with pytest.raises(InvalidRequest):
        fields.texts("url", 99_999)
