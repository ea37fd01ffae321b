"""A session's configuration: both shapes, merging, invalid settings, and the echo."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.audio.pcm_stream import AudioFormat, Encoding
from src.errors import InvalidRequest
from src.realtime.config import AudioTranscription, NoiseReduction, SessionConfig
from src.realtime.turn_detection import TurnDetection
from src.wire.model_names import ServedModel

PCM = AudioFormat(Encoding.PCM16, 24_000)
BARE = SessionConfig(AudioFormat(Encoding.PCM16, 16_000), 24_000, AudioTranscription(model="parakeet"))
OPENAI = SessionConfig(PCM, 24_000, AudioTranscription(model="parakeet"), vad_by_default=True)
DEFAULT_VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}


def updated(wanted: dict[str, Any], now: SessionConfig = OPENAI, *, strict: bool = False) -> SessionConfig:
    return now.updated(wanted, ServedModel("nvidia/parakeet", "1" if strict else "0"), ("en", "de"))


def nested(**wanted: Any) -> dict[str, Any]:
    return {"type": "transcription", "audio": {"input": wanted}}


def vad(config: SessionConfig) -> dict[str, Any] | None:
    return config.ga()["audio"]["input"]["turn_detection"]


# The echo


def test_the_echo_of_a_ga_session_is_as_the_reference_has_it():
    config = updated(nested(transcription={"model": "whisper-1", "language": "en"}))
    assert config.ga() == {
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "whisper-1", "language": "en", "prompt": ""},
                "noise_reduction": None,
                "turn_detection": DEFAULT_VAD,
            }
        },
        "include": None,
    }


def test_the_echo_of_a_beta_session_is_flat():
    config = updated({"input_audio_noise_reduction": {"type": "near_field"}})
    assert config.beta() == {
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "parakeet", "language": None, "prompt": ""},
        "turn_detection": DEFAULT_VAD,
        "input_audio_noise_reduction": {"type": "near_field"},
        "include": [],
    }


@pytest.mark.parametrize(
    ("kind", "flat"), [("audio/pcm", "pcm16"), ("audio/pcmu", "g711_ulaw"), ("audio/pcma", "g711_alaw")]
)
def test_formats_are_known_by_both_names(kind, flat):
    for wanted in (nested(format={"type": kind}), {"input_audio_format": flat}, nested(format=flat)):
        config = updated(wanted)
        assert config.ga()["audio"]["input"]["format"]["type"] == kind
        assert config.beta()["input_audio_format"] == flat
        assert config.format.rate == (24_000 if flat == "pcm16" else 8_000)


def test_only_pcm_has_a_rate_in_the_echo():
    assert updated(nested(format={"type": "audio/pcma"})).ga()["audio"]["input"]["format"] == {"type": "audio/pcma"}


# Merging


def test_only_what_is_there_changes():
    first = updated(nested(turn_detection=None, noise_reduction={"type": "far_field"}))
    second = updated({"include": ["item.input_audio_transcription.logprobs"]}, first)
    assert second.vad is None
    assert second.logprobs
    assert second.ga()["audio"] == first.ga()["audio"]
    assert updated({}, second) == second


def test_inside_transcription_and_turn_detection_too():
    first = updated(nested(transcription={"language": "de", "keywords": ["a"]}, turn_detection={"threshold": 0.9}))
    assert vad(first) == DEFAULT_VAD | {"threshold": 0.9}
    second = updated(
        nested(transcription={"prompt": "x"}, turn_detection={"type": "server_vad", "silence_duration_ms": 200}), first
    )
    assert second.transcription.model == "parakeet"
    assert (second.transcription.language, second.transcription.keywords) == ("de", ["a"])
    assert vad(second) == DEFAULT_VAD | {"threshold": 0.9, "silence_duration_ms": 200}


def test_another_kind_of_detection_begins_with_its_defaults():
    first = updated({"turn_detection": {"type": "server_vad", "create_response": False}})
    second = updated({"turn_detection": {"type": "semantic_vad"}}, first)
    assert vad(second) == {"type": "semantic_vad", "eagerness": "auto"}
    assert vad(updated({"turn_detection": {"type": "server_vad"}}, second)) == DEFAULT_VAD


def test_null_clears():
    first = updated(
        nested(
            transcription={"language": "de", "keywords": ["a"]},
            noise_reduction={"type": "near_field"},
            turn_detection={"type": "server_vad", "idle_timeout_ms": 5_000},
        )
        | {"include": ["x"]}
    )
    assert updated(nested(transcription={"language": None}), first).transcription.language is None
    assert updated(nested(transcription={"language": None}), first).transcription.keywords == ["a"]
    assert updated({"turn_detection": {"idle_timeout_ms": None}}, first).detection == TurnDetection()
    cleared = updated(
        nested(transcription=None, noise_reduction=None, turn_detection=None) | {"include": None}, first
    ).ga()
    assert cleared["include"] is None
    assert cleared["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": {"model": None, "language": None, "prompt": ""},
        "noise_reduction": None,
        "turn_detection": None,
    }


def test_both_shapes_mix():
    config = updated({"input_audio_format": "g711_ulaw"} | nested(turn_detection=None))
    assert config.format.encoding is Encoding.MULAW
    assert config.vad is None


def test_what_is_unknown_is_ignored():
    noise = {"type": "near_field", "unheard_of": 1}
    config = updated(
        nested(transcription={"unheard_of": 1}, noise_reduction=noise, unheard_of=1) | {"modalities": ["text"]}
    )
    assert config.ga()["audio"]["input"]["noise_reduction"] == {"type": "near_field"}
    assert updated({"type": "realtime", "instructions": "Hello", "voice": "x", "tools": []}) == OPENAI


# Turn detection


def test_detection_that_nobody_mentions_depends_on_the_connection_and_is_on_after_any_change():
    assert BARE.vad is None
    assert vad(OPENAI) == DEFAULT_VAD
    assert vad(updated({}, BARE)) == DEFAULT_VAD
    assert updated(nested(turn_detection=None), BARE).vad is None


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-realtime-whisper", "gpt-realtime-whisper-2026-01-01"])
def test_models_whose_clients_commit_by_themselves_have_none_unless_asked(model):
    config = updated(nested(transcription={"model": model}))
    assert config.vad is None
    assert vad(updated({"turn_detection": {"type": "server_vad"}}, config)) == DEFAULT_VAD
    assert vad(updated(nested(transcription={"model": "whisper-1"}), config)) == DEFAULT_VAD


def test_null_stays_null():
    config = updated(nested(turn_detection=None))
    assert updated(nested(transcription={"model": "whisper-1"}), config).vad is None


@pytest.mark.parametrize(
    ("eagerness", "wait_ms", "sentence_ms"),
    [("low", 8_000, 1_600), ("medium", 4_000, 800), ("auto", 4_000, 800), ("high", 2_000, 600)],
)
def test_semantic_detection_waits_by_its_eagerness(eagerness, wait_ms, sentence_ms):
    config = updated({"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}})
    assert config.detection == TurnDetection(silence_duration_ms=wait_ms, sentence_pause_ms=sentence_ms)


def test_detection_is_as_asked():
    asked = {"threshold": 0.7, "prefix_padding_ms": 600, "silence_duration_ms": 350, "idle_timeout_ms": 6_000}
    assert updated({"turn_detection": {"type": "server_vad"} | asked}).detection == TurnDetection(0.7, 600, 350, 6_000)


# Formats


def test_pcm_without_a_rate_keeps_the_one_in_force():
    assert updated(nested(format={"type": "audio/pcm"}), BARE).format.rate == 16_000
    other = updated(nested(format={"type": "audio/pcm", "rate": 48_000}), BARE)
    assert updated(nested(format={"type": "audio/pcm"}), other).format.rate == 48_000
    telephone = updated(nested(format={"type": "audio/pcmu"}), BARE)
    assert updated(nested(format={"type": "audio/pcm"}), telephone).format.rate == 24_000


def test_the_beta_name_of_pcm_stands_for_24_khz():
    assert updated({"input_audio_format": "pcm16"}, BARE).format == PCM


def test_a_format_is_not_cleared_by_null():
    assert updated(nested(format=None), BARE).format == BARE.format


# Settings for the model


def test_keywords_come_from_their_list_or_from_a_prompt_that_lists_them():
    assert updated(nested(transcription={"keywords": ["Ada", "Grace"]})).keywords == ("Ada", "Grace")
    assert updated(nested(transcription={"prompt": "Ada, Grace"})).keywords == ("Ada", "Grace")
    assert updated(nested(transcription={"prompt": "Say it well."})).keywords == ()
    assert updated(nested(transcription={"keywords": []})).keywords == ()


def test_keywords_are_read_once_however_often_they_are_needed():
    config = updated(nested(transcription={"keywords": ["Ada", "Grace"]}))
    assert config.keywords is config.keywords
    assert updated(nested(transcription={"keywords": ["Alan"]}), config).keywords == ("Alan",)


def test_timed_parts_and_log_probabilities_are_off_until_asked_for():
    assert (OPENAI.granularities, OPENAI.logprobs) == (frozenset(), False)
    config = updated(nested(transcription={"timestamp_granularities": ["word"]}))
    assert config.granularities == {"word"}


# Unset values

NOTHING = [None, "", " ", "null", "None", "undefined", "NULL"]


def is_none(value: str | None) -> bool:
    """Return whether a value means no turn detection when it is the `type`."""
    return value is not None and value.lower() in ("null", "none")


@pytest.mark.parametrize("nothing", NOTHING)
def test_what_stands_for_nothing_is_null_in_every_field(nothing):
    """This holds in either shape, and for settings of every type."""
    transcription = dict.fromkeys(AudioTranscription.model_fields, nothing)
    detection = dict.fromkeys(
        ("threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms", "create_response"), nothing
    )
    parts = {
        "format": {"type": nothing, "rate": nothing},
        "transcription": transcription,
        "noise_reduction": {"type": nothing, "strength": nothing},
        "turn_detection": detection if is_none(nothing) else {"type": nothing} | detection,
    }
    ga = updated(nested(**parts) | {"type": nothing, "include": nothing})
    beta = updated(
        {
            "input_audio_format": nothing,
            "input_audio_transcription": transcription,
            "input_audio_noise_reduction": parts["noise_reduction"],
            "turn_detection": parts["turn_detection"],
            "include": nothing,
        }
    )
    assert ga == beta
    assert (ga.format, ga.detection, ga.include) == (PCM, TurnDetection(), None)
    assert ga.transcription == AudioTranscription()
    lists = ("languages", "keywords", "timestamp_granularities")
    listed = updated(nested(transcription={name: [None] for name in lists}) | {"include": [None]})
    assert (listed.keywords, listed.granularities, listed.include) == ((), frozenset(), ())
    assert updated(nested(transcription={"timestamp_granularities": [nothing, "word"]})).granularities == {"word"}
    eager = updated({"turn_detection": {"type": "semantic_vad", "eagerness": nothing}})
    assert vad(eager) == {"type": "semantic_vad", "eagerness": "auto"}
    assert ga.noise_reduction == NoiseReduction()
    for whole in ({"audio": nothing}, {"audio": {"input": nothing}}, nested(format=nothing, noise_reduction=nothing)):
        assert updated(whole).ga() == OPENAI.ga()


@pytest.mark.parametrize("none", [None, "none", "None", "null", "disabled", "off", False])
def test_turn_detection_of_no_kind_is_null(none):
    wishes = [{"turn_detection": none}, nested(turn_detection=none)]
    if isinstance(none, str):
        wishes += [{"turn_detection": {"type": none}}, nested(turn_detection={"type": none, "threshold": 0.5})]
    for wanted in wishes:
        config = updated(wanted)
        assert config.vad is None
        assert vad(config) is None


@pytest.mark.parametrize("unsaid", ["", "undefined"])
def test_a_setting_that_is_undefined_stays_as_it_is(unsaid):
    first = updated({"turn_detection": {"silence_duration_ms": 300}, "input_audio_transcription": {"language": "de"}})
    assert updated(dict.fromkeys(("turn_detection", "input_audio_transcription", "include"), unsaid), first) == first
    off = updated({"turn_detection": None})
    assert updated({"turn_detection": unsaid}, off).vad is None


@pytest.mark.parametrize("language", ["auto", "detect", "multi", "null", "None", "undefined", "", "eng", "deu", "ger"])
def test_no_word_for_any_language_is_rejected(language):
    for wanted in ({"input_audio_transcription": {"language": language}}, nested(transcription={"language": language})):
        updated(wanted)


@pytest.mark.parametrize(
    "prompt",
    [", ".join(f"term{n}" for n in range(101)), "Parakeet, " + "x" * 101, "x" * 1_000_000, "a, " * 400_000, "x" * 101],
)
def test_a_prompt_never_refuses_an_update(prompt):
    for wanted in ({"input_audio_transcription": {"prompt": prompt}}, nested(transcription={"prompt": prompt})):
        config = updated(wanted | {"turn_detection": None})
        assert config.vad is None
        assert len(config.keywords) <= 100
        assert len(config.transcription.prompt) <= 65_536


# Errors


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        (nested(transcription={"languages": ["en"] * 1_000_000}), "session.audio.input.transcription.languages"),
        (nested(transcription={"delay": "x" * 1_000_000}), "session.audio.input.transcription.delay"),
        (nested(noise_reduction={"type": "x" * 1_000_000}), "session.audio.input.noise_reduction.type"),
        ({"include": ["x"] * 1_000_000}, "session.include"),
    ],
)
def test_what_would_make_the_echo_long_is_rejected(wanted, param):
    with pytest.raises(InvalidRequest) as refused:
        updated(wanted)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("wanted", "code", "param"),
    [
        ({"type": "radio"}, "invalid_value", "session.type"),
        ({"audio": 5}, "invalid_type", "session.audio"),
        ({"audio": {"input": "x"}}, "invalid_type", "session.audio.input"),
        (nested(format=5), "invalid_type", "session.audio.input.format"),
        (nested(format={"type": "audio/opus"}), "invalid_value", "session.audio.input.format.type"),
        (nested(format={"type": "audio/pcm", "rate": 7_999}), "invalid_value", "session.audio.input.format.rate"),
        (nested(format={"type": "audio/pcm", "rate": 48_001}), "invalid_value", "session.audio.input.format.rate"),
        ({"input_audio_format": "opus"}, "invalid_value", "session.input_audio_format"),
        ({"input_audio_transcription": "x"}, "invalid_type", "session.input_audio_transcription"),
        (
            nested(transcription={"language": "xx"}),
            "unsupported_language",
            "session.audio.input.transcription.language",
        ),
        (nested(transcription={"keywords": "x"}), "invalid_type", "session.audio.input.transcription.keywords"),
        (
            nested(transcription={"keywords": [str(n) for n in range(101)]}),
            "invalid_value",
            "session.audio.input.transcription.keywords",
        ),
        ({"input_audio_transcription": {"language": "xx"}}, "unsupported_language", None),
        ({"turn_detection": {"type": "telepathy"}}, "invalid_value", "session.turn_detection"),
        ({"turn_detection": "server_vad"}, "invalid_type", "session.turn_detection"),
        ({"turn_detection": {"threshold": 2}}, "invalid_value", "session.turn_detection.threshold"),
        ({"turn_detection": {"threshold": float("nan")}}, "invalid_value", "session.turn_detection.threshold"),
        (
            nested(turn_detection={"type": "semantic_vad", "eagerness": "huge"}),
            "invalid_value",
            "session.audio.input.turn_detection.eagerness",
        ),
        (nested(noise_reduction={"strength": float("inf")}), "invalid_value", None),
        ({"include": "x"}, "invalid_type", "session.include"),
    ],
)
def test_an_invalid_value_is_named(wanted, code, param):
    with pytest.raises(InvalidRequest) as caught:
        updated(wanted)
    assert caught.value.code == code
    assert param is None or caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_a_strict_server_takes_no_other_model():
    with pytest.raises(InvalidRequest) as caught:
        updated(nested(transcription={"model": "other"}), strict=True)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "session.audio.input.transcription.model")
    assert updated(nested(transcription={"model": "other"})).transcription.model == "other"


def test_a_strict_server_does_not_mind_the_model_of_the_connection_afterwards():
    connected = SessionConfig(PCM, 24_000, AudioTranscription(model="gpt-realtime"), vad_by_default=True)
    config = updated(nested(transcription={"language": "en"}), connected, strict=True)
    assert config.transcription.model == "gpt-realtime"


def test_a_complaint_does_not_repeat_all_of_a_long_value():
    with pytest.raises(InvalidRequest) as caught:
        updated({"turn_detection": {"type": "x" * 100_000}})
    assert len(caught.value.message) < 1_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)
PLACES = [
    *("input_audio_format", "input_audio_transcription", "turn_detection", "input_audio_noise_reduction"),
    *("include", "type", "audio"),
]
PARTS = ["type", "rate", "model", "language", "keywords", "threshold", "idle_timeout_ms", "eagerness", "strength"]


@given(st.dictionaries(st.sampled_from(PLACES), JSON | st.dictionaries(st.sampled_from(PARTS), JSON), max_size=3))
def test_any_change_is_made_or_rejected(wanted):
    try:
        config = updated(wanted)
    except InvalidRequest:
        return
    assert updated(config.beta() | config.ga(), config).ga() == config.ga(), "the echo is a wish like any other"


@pytest.mark.parametrize("terms", [["x" * 101], [f"Word{number}" for number in range(2000)]])
def test_a_prompt_that_lists_too_much_is_a_hint_and_no_reason_to_refuse_an_update(terms):
    wanted = {"format": {"type": "audio/pcmu"}, "transcription": {"prompt": ", ".join(["Anna", *terms, "Bob"])}}
    config = updated(nested(**wanted))
    assert config.format.encoding is Encoding.MULAW
    assert config.keywords == tuple(["Anna", *terms, "Bob"][:100] if len(terms) > 1 else ["Anna", "Bob"])


@pytest.mark.parametrize(
    ("model", "taken"), [("Systran/faster-whisper-large-v3", True), ("parakeet-tdt-0.6b-v3", True), ("gpt-4o", False)]
)
def test_sessions_accept_the_model_names_that_requests_accept(model, taken):
    served = ServedModel("nvidia/parakeet", "auto")
    if taken:
        config = OPENAI.updated(nested(transcription={"model": model}), served, ("en",))
        assert config.transcription.model == model
    else:
        with pytest.raises(InvalidRequest, match="is not served here"):
            OPENAI.updated(nested(transcription={"model": model}), served, ("en",))


@pytest.mark.parametrize(
    ("transcription", "known", "asked", "possible"),
    [
        ({}, ("en",), None, ("en",)),
        ({}, ("en", "de"), None, ("en", "de")),
        ({"language": "de-AT"}, ("en", "de"), "de", ("de", "en")),
        ({"language": "auto"}, ("en", "de"), None, ("en", "de")),
        ({"language": "xx"}, ("en", "de"), None, ("en", "de")),
        ({"languages": ["de"]}, ("en", "de"), None, ("de",)),
        ({"languages": ["de", "fr"]}, ("en", "fr", "de"), None, ("de", "fr")),
        ({"languages": ["de", "deu"]}, ("en", "de"), None, ("de",)),
        ({"languages": ["xx"]}, ("en", "de"), None, ("en", "de")),
        ({"languages": ["de", "auto"]}, ("en", "de"), None, ("en", "de")),
        ({"languages": []}, ("en",), None, ("en",)),
        ({"languages": ["fr"], "language": "de"}, ("en", "fr", "de"), "de", ("de", "fr")),
        ({}, (), None, ()),
        ({"language": "de"}, (), None, ()),
    ],
)
def test_what_may_be_heard_is_what_the_client_names_as_far_as_the_model_knows_it(transcription, known, asked, possible):
    config = SessionConfig(AudioFormat(Encoding.PCM16, 16_000), 24_000, AudioTranscription(**transcription))
    assert config.asked_language(known) == asked
    assert config.possible_languages(known) == possible


def test_the_name_of_a_model_asks_who_speaks():
    assert updated(nested(transcription={"model": "gpt-4o-transcribe-diarize"})).tells_speakers
    assert not updated(nested(transcription={"model": "whisper-1"})).tells_speakers
    assert not BARE.tells_speakers
