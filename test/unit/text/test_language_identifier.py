"""The language of a text, on sentences of at least six words that were written for this test.

Each language has a hundred, its worst neighbours among them: cs and sk, hr and sl, da and sv, bg, ru and uk, et and fi.
The first fifty of each were there when the identifier was chosen, the others were written after that.
"""

import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest

from src.engine.model_languages import PARAKEET_V3
from src.text import language_identifier
from src.text.language_identifier import MAX_CHARACTERS, LanguageIdentifier

SENTENCES = Path(__file__).parents[2] / "golden" / "sentences"


@cache
def sentences(language: str) -> list[str]:
    return (SENTENCES / f"{language}.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    loaded = LanguageIdentifier()
    loaded.load(PARAKEET_V3)
    return loaded


@pytest.mark.parametrize("language", sorted(PARAKEET_V3))
def test_of_a_hundred_sentences_at_least_ninety_five_are_told_right(identifier, language):
    written = sentences(language)
    assert len(set(written)) == 100
    assert min(len(each.split()) for each in written) >= 6
    wrong = {each: identifier.identify(each, PARAKEET_V3, "en") for each in written}
    wrong = {each: told for each, told in wrong.items() if told != language}
    assert len(wrong) <= 5, wrong


def test_the_case_and_the_form_of_the_letters_do_not_matter(identifier):
    for language in ("cs", "el", "lt", "mt", "uk"):
        for each in sentences(language)[:10]:
            for written in (each.upper(), unicodedata.normalize("NFD", each)):
                assert identifier.identify(written, PARAKEET_V3, "en") == language


@pytest.mark.parametrize("text", ["", "Okay.", "No, no!", "Taxi 24", "1, 2, 3, 4, 5", "... ?"])
def test_of_two_words_nothing_is_told(identifier, text):
    assert [identifier.identify(text, PARAKEET_V3, asked) for asked in ("en", "de")] == ["en", "de"]


@pytest.mark.parametrize(
    ("text", "asked", "told"),
    [("Ναι.", "en", "el"), ("Спасибо.", "en", "ru"), ("Так.", "uk", "uk"), ("Так.", "ru", "ru")],
)
def test_two_words_in_letters_of_other_languages_are_in_one_of_those(identifier, text, asked, told):
    assert identifier.identify(text, PARAKEET_V3, asked) == told


def test_two_words_in_latin_letters_are_not_greek(identifier):
    assert identifier.identify("Buenos días.", PARAKEET_V3, "el") == "es"


def test_only_the_languages_that_it_may_be_in_are_told(identifier):
    czech = sentences("cs")[0]
    assert identifier.identify(czech, ("sk", "pl"), "pl") == "sk"
    assert identifier.identify(czech, ("de",), "de") == "de"
    assert identifier.identify(czech, (), "fr") == "fr"
    assert identifier.identify(czech, ("xx", "yy"), "yy") == "yy"


def test_of_a_long_text_all_parts_count(identifier):
    german, english = (" ".join(sentences(each)) for each in ("de", "en"))
    assert identifier.identify(f"{english[:500]} {german}", PARAKEET_V3, "en") == "de"
    assert identifier.identify(german + english[:500], PARAKEET_V3, "en") == "de"


def test_however_long_a_text_is_as_little_of_it_is_looked_at(identifier, monkeypatch):
    looked_at = []
    monkeypatch.setattr(identifier, "_ranking", Listener(looked_at))
    for length in (MAX_CHARACTERS, MAX_CHARACTERS + 1, 10_000, 1_000_000):
        identifier.identify("word " * (length // 5) + "w" * (length % 5), PARAKEET_V3, "en")
    assert max(map(len, looked_at)) <= MAX_CHARACTERS + 10


class Listener:
    def __init__(self, heard):
        self._heard = heard

    def rank(self, text):
        self._heard.append(text)
        return [("en", 0.0)]


def test_a_model_of_one_language_needs_no_identifier(monkeypatch):
    monkeypatch.setattr(language_identifier, "_load_ranking", pytest.fail)
    alone = LanguageIdentifier()
    alone.load(("en",))
    assert alone.identify("Wie geht es dir heute?", ("en",), "en") == "en"


@pytest.mark.parametrize("error", [ImportError("no module"), OSError("no folder for temporary files")])
def test_without_its_table_a_text_is_in_the_language_that_was_asked_for(monkeypatch, caplog, error):
    def fail(languages):
        raise error

    monkeypatch.setattr(language_identifier, "_load_ranking", fail)
    broken = LanguageIdentifier()
    broken.load(PARAKEET_V3)
    assert broken.identify("Wie geht es dir heute?", PARAKEET_V3, "fr") == "fr"
    assert str(error) in caplog.text


def test_it_is_not_loaded_by_an_import():
    program = "import sys; import src.text.language_identifier; sys.exit('py3langid' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3]).returncode == 0
