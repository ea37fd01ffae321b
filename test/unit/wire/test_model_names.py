"""Which names mean the served model."""

import pytest

from src.errors import ModelNotFound
from src.wire.model_names import OPENAI_MODELS, ServedModel, asks_for_speakers

NAME = "nvidia/parakeet-tdt-0.6b-v2"
OWN = ["nvidia/parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v2", "Nvidia/Parakeet-TDT-0.6B-v2"]
OPENAI = [*OPENAI_MODELS, "Whisper-1", "gpt-4o-mini-transcribe-2025-03-20", "gpt-4o-transcribe-2027-01-31"]
OTHERS = [
    *("whisper-large-v3", "whisper-large-v3-turbo", "openai/whisper-large-v3", "WHISPER-LARGE-V3-TURBO"),
    *("distil-large-v3", "distil-whisper/distil-large-v3.5", "large-v3", "base.en", "turbo", "ggml-large-v3-q5_0.bin"),
    *("Systran/faster-whisper-large-v3", "Systran/faster-distil-whisper-small.en", "mlx-community/whisper-turbo-q4"),
    *("deepdml/faster-whisper-large-v3-turbo-ct2", "nyrahealth/CrisperWhisper", "whisper:latest", "whisper"),
    *("parakeet-tdt-0.6b-v3", "nvidia/parakeet-tdt-0.6b-v3", "istupakov/parakeet-tdt-0.6b-v3-onnx", "parakeet"),
    *("nvidia/canary-1b-v2", "nvidia/stt_en_fastconformer_ctc_large", "mistralai/Voxtral-Mini-3B-2507", "qwen3-asr"),
    *("nvidia/nemotron-speech-streaming-en-0.6b", "ibm-granite/granite-speech-3.3-8b", "ai-sage/GigaAM-v3"),
    *("FireRedTeam/FireRedASR-AED-L", "facebook/seamless-m4t-v2-large", "sherpa-onnx-zipformer-en", "large-v3:latest"),
    *("quartznet15x5", "whisper1", "whispercpp", "FasterWhisper", "large-v3-int8_float16"),
    *("ibm-granite/granite-4.0-1b-speech", "large-v3-int8_bfloat16", "large-v3-float32"),
]
NO_SPEECH = [
    *("gpt-4o", "gpt-4o-mini", "tts-1", "gpt-4o-mini-tts", "gpt-4o-2024-11-20", "openai/gpt-4o", "text-embedding-3"),
    *("nvidia", "facebook/mms-tts-eng", "ibm-granite/granite-3.3-8b-instruct", "nvidia/nemotron-mini-4b-instruct"),
    *("nonsense", "whisperer", "0.6b", "small-talk", "-", "/", "x" * 10_000),
]


@pytest.mark.parametrize(
    ("strict", "taken", "refused"),
    [
        ("auto", [*OWN, *OPENAI, *OTHERS], NO_SPEECH),
        ("1", [*OWN, *OPENAI], [*OTHERS[:4], *NO_SPEECH]),
        ("0", [*OWN, *OPENAI, *OTHERS, *NO_SPEECH], []),
    ],
)
def test_names_mean_the_served_model_as_strictly_as_it_is_set(strict, taken, refused):
    served = ServedModel(NAME, strict)
    for name in taken:
        served.check(name)
        assert served.stands_for(f" {name.upper()} ")
    for name in refused:
        assert not served.stands_for(name)
        with pytest.raises(ModelNotFound) as error:
            served.check(name)
        assert (error.value.status, error.value.param) == (404, "model")


@pytest.mark.parametrize("name", [None, "", " ", "null", "undefined"])
def test_no_name_means_the_served_model(name):
    ServedModel(NAME, "1").check(name)


def test_a_deployment_may_have_any_name():
    ServedModel(NAME, "1").by_any_name.check("my-deployment")


def test_the_names_that_are_listed_begin_with_its_own():
    names = ServedModel(NAME, "auto").names
    assert names == (NAME, "parakeet-tdt-0.6b-v2", *OPENAI_MODELS)
    assert ServedModel("whisper-1", "auto").names == OPENAI_MODELS


def test_an_error_names_what_was_asked_for_what_there_is_and_the_hint():
    error = ServedModel(NAME, "auto").not_found("x" * 1000, " Did you mean y?")
    assert f"`{'x' * 100}`" in error.message
    assert "x" * 101 not in error.message
    assert f"`{NAME}`" in error.message
    assert error.message.endswith(" Did you mean y?")


def test_one_of_openais_names_asks_who_speaks():
    asking = ("gpt-4o-transcribe-diarize", " GPT-4o-Transcribe-Diarize", "gpt-4o-transcribe-diarize-2025-10-15")
    assert all(map(asks_for_speakers, asking))
    assert not any(map(asks_for_speakers, (None, "", "whisper-1", "gpt-4o-transcribe", "my-diarize")))
