"""Full stops that end no sentence."""

import pytest

from src.text.abbreviations import is_abbreviation


@pytest.mark.parametrize(
    ("bare", "following"),
    [
        *(("Dr", "Smith"), ("Sra", "López"), ("Sig", "Rossi"), ("dhr", "Jansen"), ("prof", "Novák"), ("ул", "Ленина")),
        *(("κ", "Παπαδόπουλος"), ("вул", "Шевченка"), ("Mgr", "Kovář"), ("J", "Tolkien"), ("М", "Булгаков")),
        *(("Nr", "5"), ("č", "12"), ("стр", "40"), ("pág", "3")),
        *(("z.B.", "Autos"), ("d.h.", "Man"), ("т.е.", "Москва"), ("π.χ.", "η"), ("m.in", "Anna"), ("bl.a", "Danmark")),
        *(("np", "w"), ("usw", "und"), ("kb", "száz"), ("г", "он"), ("piem", "rīt"), ("tzv", "akce")),
        *(("z", "B."), ("u", "a."), ("т", "е.")),
    ],
)
def test_the_stop_of_an_abbreviation_ends_no_sentence(bare, following):
    assert is_abbreviation(bare, following)


@pytest.mark.parametrize(
    ("bare", "following", "preceding"),
    [
        ("3", "Mai", "am"),
        ("20", "Jahrhundert", "im"),
        ("1", "května", ""),
        ("5", "maijā", "gada"),
        ("2", "dubna", "od"),
    ],
)
def test_the_stop_of_an_ordinal_number_ends_no_sentence(bare, following, preceding):
    assert is_abbreviation(bare, following, preceding)


@pytest.mark.parametrize(
    ("bare", "following", "preceding"),
    [
        *(
            ("sig", "Så", "vasker"),
            ("mag", "Dann", "ich"),
            ("ill", "She", "am"),
            ("I", "Me", "was"),
            ("no", "But", "said"),
        ),
        *(("1995", "Then", "in"), ("12", "The", "room"), ("p.m.", "The", "5"), ("etc", "Then", ""), ("ihn", "Er", "")),
        *(("sentence", "and", ""), ("Okay", "", ""), ("2024", "", "im"), ("a", "", "vitamin")),
    ],
)
def test_other_stops_do(bare, following, preceding):
    assert not is_abbreviation(bare, following, preceding)
