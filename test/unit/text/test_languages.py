"""The names of languages."""

from itertools import chain

import pytest

from src.errors import UnsupportedLanguage
from src.text.languages import LANGUAGES, LONG_CODES, MAX_LANGUAGES, language_code, language_name, possible_languages


@pytest.mark.parametrize(
    "language",
    ["en", "EN", "en-US", "en_GB", "en-Latn-US", "en_US.UTF-8", "en_GB@euro", "eng", "ENG", "english", "English", ""],
)
def test_english_has_many_spellings(language):
    assert language_code(language, ("en",)) == "en"


@pytest.mark.parametrize(
    "language",
    [
        *("auto", "Auto", "auto-detect", "Detect language", "detect", "multi", "und", "None", "null", " NULL "),
        *("undefined", "", None),
    ],
)
def test_a_language_that_nobody_chose_is_the_usual_one(language):
    assert language_code(language, ("de", "en")) == "de"


@pytest.mark.parametrize("language", ["de", "german", "deu", "e", "engl", "xx-US", "-", "autobahn", "nulls", "x" * 999])
def test_a_language_that_the_model_does_not_know_is_rejected(language):
    with pytest.raises(UnsupportedLanguage, match=r"it knows en, fr\.") as error:
        language_code(language, ("en", "fr"))
    assert (error.value.code, error.value.param) == ("unsupported_language", "language")
    assert len(error.value.message) < 120


@pytest.mark.parametrize(
    ("name", "code"),
    [("de-AT", "de"), ("deu", "de"), ("ger", "de"), ("German", "de"), ("fre", "fr"), ("fra", "fr"), ("dut_BE", "nl")],
)
def test_a_model_of_several_languages_takes_each_by_any_of_its_names(name, code):
    assert language_code(name, tuple(LANGUAGES)) == code


def test_each_language_has_a_long_code_of_its_own():
    codes = [code for language in LANGUAGES for code in LONG_CODES[language]]
    assert len(codes) == len(set(codes))
    assert all(len(code) == 3 for code in codes)


@pytest.mark.parametrize("name", ["Portuguese (Brazil)", "portuguese", "pt-BR", "PT", "por"])
def test_a_region_may_stand_behind_any_form(name):
    assert language_code(name, tuple(LANGUAGES)) == "pt"


def test_a_language_without_a_known_name_is_shown_by_its_code():
    assert (language_name("mt"), language_name("xx")) == ("maltese", "xx")


def test_of_a_list_of_languages_the_model_may_hear_those_that_it_knows():
    assert possible_languages(["de-AT", "xx", "French", "deu"], ("en", "de", "fr")) == ("de", "fr")
    assert possible_languages(["xx"], ("en", "de")) == ("en", "de")
    assert possible_languages(["de", "auto"], ("en", "de")) == ("en", "de")


def test_of_a_longer_list_no_more_is_read():
    def unread():
        raise AssertionError("read")
        yield

    assert possible_languages(chain(["de"] * MAX_LANGUAGES, unread()), ("en", "de")) == ("de",)
