"""The languages of checkpoints."""

import pytest

from src.engine.model_languages import PARAKEET_V3, languages_of
from src.errors import ModelUnavailable

CARD = {
    *("bg", "hr", "cs", "da", "nl", "en", "et", "fi", "fr", "de", "el", "hu", "it", "lv", "lt", "mt", "pl", "pt", "ro"),
    *("sk", "sl", "es", "sv", "ru", "uk"),
}
"""The languages that the card of nvidia/parakeet-tdt-0.6b-v3 lists."""


def test_v3_knows_twenty_five_languages_and_english_is_assumed_first():
    assert (len(PARAKEET_V3), set(PARAKEET_V3)) == (25, CARD)
    assert PARAKEET_V3[0] == "en"


@pytest.mark.parametrize(
    ("model_id", "vocabulary", "languages"),
    [
        ("nvidia/parakeet-tdt-0.6b-v2", 1024, ("en",)),
        ("nvidia/parakeet-tdt-0.6b-v3", 8192, PARAKEET_V3),
        ("/models/parakeet-tdt-0.6b-v3.nemo", 8192, PARAKEET_V3),
        ("somebody/Parakeet-TDT-0.6b-v3-medical", 1024, PARAKEET_V3),
        ("~/parakeet_tdt_0.6b_v3.nemo", 8192, PARAKEET_V3),
        ("/models/mine.nemo", 8192, PARAKEET_V3),
        ("/models/mine.nemo", 1024, ("en",)),
        ("/parakeet-tdt-0.6b-v3/mine.nemo", 1024, ("en",)),
        ("tiny", 256, ("en",)),
        ("nvidia/parakeet-tdt-0.6b-v31", 1024, ("en",)),
        ("nvidia/parakeet-tdt_ctc-0.6b-ja", 3072, ("ja",)),
        ("nvidia/parakeet-rnnt-110m-xx", 1024, ("en",)),
        ("nvidia/stt_de_fastconformer_transducer_large", 1024, ("de",)),
    ],
)
def test_the_languages_of_a_published_model_are_known_by_its_name_or_vocabulary(model_id, vocabulary, languages):
    assert languages_of(model_id, "", (), vocabulary) == languages


def test_what_the_tokenizer_names_goes_before_what_is_known():
    assert languages_of("nvidia/parakeet-tdt-0.6b-v3", "", ["en", "es"], 8192) == ("en", "es")


@pytest.mark.parametrize("chosen", ["de,en", " DE , english", "deu,en-GB,de,"])
def test_what_the_operator_names_goes_before_all(chosen):
    assert languages_of("nvidia/parakeet-tdt-0.6b-v3", chosen, ["fr"], 8192) == ("de", "en")


@pytest.mark.parametrize("chosen", ["xx", ",", "auto", "de,auto", "de;en"])
def test_a_list_that_names_something_else_is_refused_in_one_sentence(chosen):
    with pytest.raises(ModelUnavailable, match=r"^PARAKEET_LANGUAGES="):
        languages_of("tiny", chosen, (), 256)
