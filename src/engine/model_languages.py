"""The languages that a checkpoint transcribes, the one to assume first.

NeMo's checkpoints name them only if their tokenizer has a part for each (`agg`). The published Parakeet models have one
tokenizer for all, so what is known of them is written here.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from src.errors import ModelUnavailable, UnsupportedLanguage
from src.text.languages import ANY_LANGUAGE, LANGUAGES, language_code

PARAKEET_V3 = (
    *("en", "bg", "hr", "cs", "da", "nl", "et", "fi", "fr", "de", "el", "hu", "it", "lv", "lt", "mt", "pl", "pt"),
    *("ro", "sk", "sl", "es", "sv", "ru", "uk"),
)
"""The languages of nvidia/parakeet-tdt-0.6b-v3, by its model card."""
V3_VOCABULARY = 8192
"""Tokens of v3 and of what is trained from it. No other published Parakeet has as many: v2 has 1,024."""

_V3_NAME = re.compile(r"parakeet-tdt-0\.6b-v3(?![\d.])")
_ONE_LANGUAGE = re.compile(r"^stt-(?P<stt>[a-z]{2})-|^parakeet-.*-(?P<parakeet>[a-z]{2})$")
"""Names such as `stt_de_fastconformer_transducer_large` and `parakeet-tdt_ctc-0.6b-ja`."""


def languages_of(model_id: str, chosen: str, named: Sequence[str], vocabulary: int) -> tuple[str, ...]:
    """Return the ISO 639-1 codes of a checkpoint's languages.

    Those that the operator has chosen, else those that the tokenizer names, else those of a published model with that
    name or vocabulary, else English.

    Args:
        model_id: hub id, path or name of the checkpoint.
        chosen: `PARAKEET_LANGUAGES`, codes or names separated by commas; empty: none.
        named: the languages of its tokenizer; empty: it names none.
        vocabulary: how many tokens the tokenizer has.

    Raises:
        ModelUnavailable: `chosen` has something that is no language.
    """
    if chosen:
        return _chosen(chosen)
    if named:
        return tuple(named)
    name = Path(model_id).name.lower().removesuffix(".nemo").replace("_", "-")
    if _V3_NAME.search(name):
        return PARAKEET_V3
    only = _ONE_LANGUAGE.search(name)
    code = only and (only["stt"] or only["parakeet"])
    if code in LANGUAGES:
        return (code,)
    return PARAKEET_V3 if vocabulary == V3_VOCABULARY else ("en",)


def _chosen(chosen: str) -> tuple[str, ...]:
    names = [each.strip() for each in chosen.split(",") if each.strip()]
    try:
        codes = [language_code(each, tuple(LANGUAGES)) for each in names if each.lower() not in ANY_LANGUAGE]
    except UnsupportedLanguage:
        known = ", ".join(sorted(LANGUAGES))
        raise ModelUnavailable(f"PARAKEET_LANGUAGES={chosen} must be languages out of: {known}.") from None
    if len(codes) < max(1, len(names)):
        raise ModelUnavailable(f"PARAKEET_LANGUAGES={chosen} must name languages, such as en,de.")
    return tuple(dict.fromkeys(codes))
