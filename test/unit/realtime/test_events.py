"""Client events: which messages are valid, and the errors for those that are not."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from src.realtime import events
from src.realtime.events import InvalidEvent, parse, parse_any

APPEND = "input_audio_buffer.append"


def audio(data: bytes) -> str:
    return base64.b64encode(data).decode()


def rejected(message: str | bytes | dict[str, Any]) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        parse(json.dumps(message) if isinstance(message, dict) else message)
    return caught.value


@pytest.mark.parametrize("nothing", [None, "", "null", "undefined"])
def test_what_stands_for_nothing_is_an_item_without_an_id_and_an_update_without_a_change(nothing):
    content = [{"type": "input_audio", "audio": audio(b"ab")}]
    created = parse(
        json.dumps({"type": "conversation.item.create", "item": {"id": nothing, "type": nothing, "content": content}})
    )
    assert isinstance(created, events.ItemCreate)
    assert (created.item.id, created.item.content[0].audio) == (None, b"ab")
    update = parse(json.dumps({"type": "session.update", "session": nothing}))
    assert isinstance(update, events.SessionUpdate)
    assert update.patch == {}


@pytest.mark.parametrize("values", ["[],", "1,", '{"a":1},'])
def test_a_message_of_countless_values_is_rejected_before_it_becomes_large(values):
    message = f'{{"type": "session.update", "session": [{values * 100_000}0]}}'
    forms: list[Any] = [message, message.encode(), bytearray(message.encode())]
    for each in forms:
        assert rejected(each).code == "invalid_json"


def test_every_event_of_a_client_is_known_by_its_type():
    item = {"type": "message", "content": [{"type": "input_audio", "audio": audio(b"ab")}]}
    cases: list[tuple[dict[str, Any], type]] = [
        ({"type": "session.update", "session": {}}, events.SessionUpdate),
        ({"type": "transcription_session.update", "session": {}}, events.SessionUpdate),
        ({"type": APPEND, "audio": ""}, events.Append),
        ({"type": "input_audio_buffer.commit"}, events.Commit),
        ({"type": "input_audio_buffer.clear"}, events.Clear),
        ({"type": "conversation.item.create", "item": item}, events.ItemCreate),
        ({"type": "conversation.item.retrieve", "item_id": "a"}, events.ItemRetrieve),
        ({"type": "conversation.item.delete", "item_id": "a"}, events.ItemDelete),
        ({"type": "conversation.item.truncate", "item_id": "a"}, events.Ignored),
        ({"type": "response.create", "response": {"modalities": ["text"]}}, events.ResponseCreate),
        ({"type": "response.cancel"}, events.Ignored),
        ({"type": "output_audio_buffer.clear"}, events.Ignored),
    ]
    for message, kind in cases:
        parsed = parse(json.dumps(message | {"event_id": "mine", "unheard_of": 1}))
        assert isinstance(parsed, kind)
        assert parsed.event_id == "mine"


@given(st.binary(max_size=200))
def test_audio_comes_out_as_it_went_in(data):
    assert parse(json.dumps({"type": APPEND, "audio": audio(data)})).audio == data


def test_keys_come_in_any_order_and_frames_as_text_or_bytes():
    text = '{"session": {"a": 1}, "event_id": null, "type": "session.update"}'
    assert parse(text) == parse(text.encode()) == parse('{"type":"session.update","session":{"a":1}}')


def test_the_settings_of_a_session_may_lack_the_object_around_them():
    bare = parse('{"type":"session.update","event_id":"e","input_audio_format":"pcm16"}')
    assert bare.patch == parse('{"type":"session.update","session":{"input_audio_format":"pcm16"}}').patch


@pytest.mark.parametrize(
    "message",
    ["", "nonsense", "[]", "5", "null", '"x"', b"[]", b" [1]", "[" * 500, "{}{}", '{"n":' + "9" * 5_000 + "}"],
)
def test_what_is_no_object_is_no_event(message):
    error = rejected(message)
    assert (error.code, error.param, error.event_id) == ("invalid_json", None, None)


@pytest.mark.parametrize(
    "audio",
    [
        *(
            b"",
            b"\xff",
            bytes(3),
            b"{",
            b"[",
            b'{"',
            b'{"type": "response.create"',
            b'{"a": 1}\0',
            b"{}{}",
            b"7777",
            b"null",
        ),
        *(b"{" * 200_000, b'["' + b"," * 60_000 + b"\xff", b"\xef\xbb\xbf{}"),
    ],
)
def test_a_binary_frame_that_is_no_json_is_audio(audio):
    frames: list[Any] = [audio, bytearray(audio)]  # the second is how a message of several frames arrives
    for frame in frames:
        event = parse(frame)
        assert isinstance(event, events.Append)
        assert event.audio is frame  # not copied
        assert event.event_id is None


def test_a_binary_frame_of_audio_has_the_limit_of_an_append():
    assert isinstance(parse(bytes(events.MAX_APPEND_BYTES)), events.Append)
    error = rejected(bytes(events.MAX_APPEND_BYTES + 1))
    assert (error.code, error.param) == ("invalid_value", "audio")


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ({}, "invalid_event", "type"),
        ({"type": "no.such.event"}, "invalid_value", "type"),
        ({"type": None}, "invalid_value", "type"),
        ({"type": ["session.update"]}, "invalid_value", "type"),
        ({"type": APPEND}, "missing_required_parameter", "audio"),
        ({"type": APPEND, "audio": None}, "invalid_type", "audio"),
        ({"type": APPEND, "audio": "@@@@"}, "invalid_value", "audio"),
        ({"type": APPEND, "audio": "abcde"}, "invalid_value", "audio"),
        ({"type": "session.update", "session": "x"}, "invalid_type", "session"),
        ({"type": "conversation.item.retrieve"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.create", "item": {"content": []}}, "invalid_value", "item.content"),
        (
            {"type": "conversation.item.create", "item": {"content": [{"type": "input_text"}]}},
            "invalid_value",
            "item.content.0.type",
        ),
    ],
)
def test_what_is_wrong_is_named_with_the_id_of_its_event(message, code, param):
    error = rejected(message | {"event_id": "mine"})
    assert (error.code, error.param, error.event_id) == (code, param, "mine")
    assert error.type == "invalid_request_error"
    assert error.message


def test_an_event_id_has_at_most_512_characters():
    assert parse(json.dumps({"type": "response.create", "event_id": "x" * 512})).event_id == "x" * 512
    error = rejected({"type": "response.create", "event_id": "x" * 513})
    assert (error.param, error.event_id) == ("event_id", None)
    assert rejected({"type": "response.create", "event_id": 5}).event_id is None


def test_of_countless_errors_only_the_first_is_found():
    message = '{"type":"conversation.item.create","item":{"content":[' + "0," * 49_000 + "0]}}"
    error = rejected(message)
    assert error.param == "item.content.0"
    found = error.__context__
    assert isinstance(found, ValidationError)
    assert found.error_count() == 1


def test_an_append_has_at_most_15_mib():
    longest = bytes(events.MAX_APPEND_BYTES)
    assert len(parse(json.dumps({"type": APPEND, "audio": audio(longest)})).audio) == 15 * 1024 * 1024
    error = rejected({"type": APPEND, "audio": audio(longest + b"x"), "event_id": "mine"})
    assert (error.code, error.param, error.event_id) == ("invalid_value", "audio", "mine")


def test_half_a_surrogate_pair_is_never_repeated():
    for message in (
        '{"type":"x","event_id":"\\ud800"}',
        '{"type":"\\ud800"}',
        '{"type":"session.update","session":{"a":"\\udc00"}}',
    ):
        error = rejected(message)
        assert f"{error.message}{error.param}{error.event_id}".encode()


ENCODED = st.one_of(
    st.binary(max_size=40).map(audio),
    st.binary(max_size=40).map(lambda data: base64.urlsafe_b64encode(data).decode()),
    st.binary(max_size=40).map(lambda data: audio(data).rstrip("=")),
    st.text("AQgw+/-_= \n\\\u00e9", max_size=12),
)
"""Base64 in both alphabets, with and without padding, and what is almost base64."""
OTHER = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
APPENDS = st.fixed_dictionaries(
    {"type": st.just(APPEND) | OTHER, "audio": ENCODED | OTHER},
    optional={"event_id": st.text(max_size=5) | OTHER | st.just("x" * 513), "unheard_of": OTHER},
)


@st.composite
def almost_appends(draw: st.DrawFn) -> str:
    """Messages like appends: keys in any order, some twice, some characters lost, replaced or added."""
    fields = [field for each in draw(st.lists(APPENDS, min_size=1, max_size=2)) for field in each.items()]
    written = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in draw(st.permutations(fields))]
    message = "{" + ",".join(written) + "}"
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(message) - 1))
        message = message[:at] + draw(st.text('{}[]":,=A \\\u00e9', max_size=1)) + message[at + draw(st.booleans()) :]
    return message


def outcome(parsing: Callable[[str], Any], message: str) -> Any:
    """Return what becomes of a message: the fields of its event, or what an error says."""
    try:
        event = parsing(message)
    except InvalidEvent as error:
        return error.message, error.code, error.param, error.event_id
    kind = events.Append if isinstance(event, events.Append) else type(event)
    return kind, event.model_dump(), event.model_fields_set


@settings(max_examples=500)
@given(almost_appends())
def test_the_short_way_for_appends_changes_nothing(message):
    assert outcome(parse, message) == outcome(parse_any, message)


@pytest.mark.parametrize("encoded", ["YQ==", "YR==", "YQ", "YQ=", "YQ==YQ==", "YWI==", "-_+/", "-_-_", "=", "YQ\n=="])
def test_the_short_way_for_appends_takes_base64_as_the_long_one_does(encoded):
    message = json.dumps({"type": APPEND, "audio": encoded})
    assert outcome(parse, message) == outcome(parse_any, message)


@given(st.text(max_size=30))
def test_garbage_is_rejected_without_another_error(message):
    rejected(message)


@given(st.binary(max_size=30))
def test_binary_garbage_is_audio(frame):
    assert parse(frame).audio == frame


@pytest.mark.parametrize("newline", ["\n", "\r\n", " ", "\t"])
def test_base64_may_hold_white_space_lack_padding_and_have_the_alphabet_of_urls(newline):
    data = bytes(range(256)) + b"x"
    lines = newline.join(re.findall(".{1,76}", audio(data))) + newline
    url = base64.urlsafe_b64encode(data).decode().rstrip("=")
    for encoded in (lines, url, f"{newline}{url}"):
        message = {"type": "conversation.item.create", "item": {"content": [{"type": "input_audio", "audio": encoded}]}}
        assert parse(json.dumps({"type": APPEND, "audio": encoded})).audio == data
        assert parse(json.dumps(message)).item.content[0].audio == data


def test_an_event_of_the_server_has_its_type_its_id_and_what_was_set():
    assert events.Cleared().encoded("event_1") == '{"type":"input_audio_buffer.cleared","event_id":"event_1"}'
    delta = events.TranscriptionDelta(item_id="a", content_index=0, delta="caf\u00e9")
    assert json.loads(delta.encoded("event_2")) == {
        "type": "conversation.item.input_audio_transcription.delta",
        "event_id": "event_2",
        "item_id": "a",
        "content_index": 0,
        "delta": "caf\u00e9",
    }
    first = events.Committed(item_id="a", previous_item_id=None)
    assert json.loads(first.encoded("event_3"))["previous_item_id"] is None
