"""Full stops that end no sentence: those of abbreviations, initials and ordinal numbers, in the languages of Europe.

A text does not say which language it is in, and may change it, so all languages are taken together. What is an
abbreviation in one and a word in another ("ill.", "id.") is not in the lists.
"""

from src.text.spelling import DOTTED, strip_marks

_BEFORE_NAMES = frozenset(
    {
        *("mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g.", "i.e."),
        *("hr", "fr", "dipl", "nr", "z.b.", "d.h.", "u.a.", "z.t.", "i.d.r.", "v.a.", "bzw", "ca", "vgl", "ggf", "sog"),
        *("sr", "sra", "sres", "srta", "dña", "srs", "exmo", "sigg", "sig.ra", "dott", "dott.ssa", "avv"),
        *("ing", "mons", "dhr", "mevr", "mw", "drs", "bl.a", "t.ex", "f.eks", "s.k", "hra", "rva", "ifj", "özv"),
        *("ks", "inż", "mgr", "św", "ul", "m.in", "tzn", "tzw", "tzv", "np", "npr", "např", "napr", "mudr", "judr"),
        *("phdr", "rndr", "gosp", "šv", "pvz", "piem", "esim", "szt", "sf"),
        *("проф", "акад", "доц", "инж", "ул", "вул", "гр", "св", "ім", "напр", "просп", "т.е.", "т.к.", "т.н."),
        *("κ", "κκ", "δρ", "καθ", "αγ", "π.χ.", "δηλ"),
    }
)
"""Titles and words that a name, or a German noun, may follow; in lower case, without the last stop unless dotted."""
_TITLES = frozenset({"Sig", "Mag", "Arch", "Dra", "Kun"})
"""Titles that are words of other languages without a capital: Danish "sig", German "mag"."""
_BEFORE_NUMBERS = frozenset(
    {"no", "nr", "nº", "č", "čís", "br", "št", "art", "str", "pág", "pp", "стр", "ст", "рис", "тел", "αρ", "σελ"}
)
_MONTHS = frozenset(
    {
        *("januar", "jänner", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober"),
        *("november", "dezember"),
    }
)
"""German months, which have a capital: those of other languages with ordinals such as "3." have none."""
_GERMAN_ARTICLES = frozenset({"im", "der", "das", "den", "dem", "des", "die", "vom", "zum", "zur", "beim", "ins"})
MAX_SHORT = 5
"""Letters of a word that may be an abbreviation if its full stop is followed by a word without a capital."""


def is_abbreviation(bare: str, following: str, preceding: str = "") -> bool:
    """Return whether the full stop after a word is part of it, and ends no sentence.

    Args:
        bare: the word without marks, as `strip_marks` returns it.
        following: the next word with its marks, "" if there is none.
        preceding: the word before it, without marks.
    """
    following_bare = strip_marks(following)
    if (
        bare in _TITLES
        or bare.lower() in _BEFORE_NAMES
        or (bare.lower() in _BEFORE_NUMBERS and following_bare[:1].isdigit())
    ):
        return True
    if bare.isdigit():
        return _is_ordinal(bare, following_bare, preceding)
    if len(bare) == 1:
        return _is_initial(bare, following, following_bare)
    if DOTTED.fullmatch(bare.removesuffix(".")):
        return bare.isupper() or not following_bare[:1].isupper()
    return len(bare) <= MAX_SHORT and following_bare[:1].islower()


def _is_initial(letter: str, following: str, following_bare: str) -> bool:
    """Return whether a single letter is an initial, or the first part of an abbreviation with spaces ("z. B.")."""
    if letter.isupper():
        return letter != "I"
    is_next_part = len(following_bare.removesuffix(".")) == 1 and following.rstrip(",;:").endswith(".")
    return is_next_part or following_bare[:1].islower()


def _is_ordinal(number: str, following: str, preceding: str) -> bool:
    if following[:1].islower():
        return True
    return len(number) <= 2 and (following.lower() in _MONTHS or preceding.lower() in _GERMAN_ARTICLES)
