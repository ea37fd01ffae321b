"""What a caller asks for beside the audio: OpenAI's fields, checked (platform.openai.com, "Create transcription")."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from src.api.fields import Fields
from src.errors import InvalidRequest, ModelNotFound, UnsupportedFormat, UnsupportedLanguage
from src.scheduling.jobs import Priority

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")

OPENAI_MODELS = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
)
"""Names that clients have built in; each stands for the served model."""

LANGUAGES = {
    "bg": "bulgarian",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "fi": "finnish",
    "fr": "french",
    "hr": "croatian",
    "hu": "hungarian",
    "it": "italian",
    "lt": "lithuanian",
    "lv": "latvian",
    "mt": "maltese",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sk": "slovak",
    "sl": "slovenian",
    "sv": "swedish",
    "uk": "ukrainian",
}
"""English names, by ISO 639-1 code, of the languages that any Parakeet model knows."""

MAX_KEYWORDS = 100
MAX_KEYWORD_LENGTH = 100
LISTED_WORDS = 4
"""A prompt whose comma-separated items have at most this many words each is a list of hot words and no prose."""


@dataclass(frozen=True, slots=True)
class Options:
    """A transcription request without its audio."""

    response_format: str = "json"
    words: bool = False
    segments: bool = False
    logprobs: bool = False
    stream: bool = False
    language: str = "en"
    keywords: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Served:
    """The model that answers, as clients may name it."""

    name: str
    strict: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that stands for the model, its own first."""
        return tuple(dict.fromkeys((self.name, self.name.rpartition("/")[2], *OPENAI_MODELS)))

    def check(self, name: str | None) -> None:
        """Accept a model name; None is the served one.

        Raises:
            ModelNotFound: the name is another model's.
        """
        if self.strict and name is not None and name not in self.names:
            raise self.not_found(name)

    def not_found(self, name: str) -> ModelNotFound:
        """Return the error for a name that stands for another model."""
        message = f"The model `{name[:100]}` is not served here; this server has `{self.name}`."
        return ModelNotFound(message, param="model")


def parse_options(fields: Fields, served: Served, languages: Sequence[str]) -> Options:
    """Check the fields of a transcription request; those that this server has no use for are ignored.

    `served` is the model and `languages` the codes of those it knows.

    Raises:
        InvalidRequest: a field has a wrong value; `param` names it.
        ModelNotFound, UnsupportedFormat, UnsupportedLanguage: what is asked for is not served here.
    """
    served.check(fields.text("model"))
    fields.number("temperature", 0, 1)  # a greedy decoder has none
    _check_chunking_strategy(fields)
    response_format = _response_format(fields)
    granularities = fields.choices("timestamp_granularities", ("word", "segment"))
    return Options(
        response_format=response_format,
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        logprobs="logprobs" in fields.choices("include", ("logprobs",)),
        stream=fields.flag("stream"),
        language=_language(fields, languages),
        keywords=_keywords(fields),
        priority=Priority[fields.choice("priority", ("high", "normal", "low"), "normal").upper()],
    )


def _response_format(fields: Fields) -> str:
    if fields.text("response_format") == "diarized_json":
        message = "`diarized_json` needs a model that tells speakers apart; this one does not. Use verbose_json."
        raise UnsupportedFormat(message, param="response_format")
    return fields.choice("response_format", FORMATS, "json")


def _language(fields: Fields, known: Sequence[str]) -> str:
    """Return the code of the language asked for as `en`, `en-US` or `English`; the model's first where none is."""
    asked = fields.text("language")
    if asked is None:
        return known[0]
    name = asked.strip().lower()
    code = name.replace("_", "-").partition("-")[0]
    for language in known:
        if code == language or name == LANGUAGES.get(language):
            return language
    raise UnsupportedLanguage(
        f"The model does not know the language {asked[:40]!r}; it knows {', '.join(known)}.", param="language"
    )


def _keywords(fields: Fields) -> tuple[str, ...]:
    keywords = tuple(dict.fromkeys(fields.items("keywords") or _listed(fields.text("prompt") or "")))
    if len(keywords) > MAX_KEYWORDS or any(len(keyword) > MAX_KEYWORD_LENGTH for keyword in keywords):
        raise InvalidRequest(
            f"`keywords` takes at most {MAX_KEYWORDS} phrases of at most {MAX_KEYWORD_LENGTH} characters.",
            param="keywords",
        )
    return keywords


def _listed(prompt: str) -> list[str]:
    """Return the items of a prompt that is a plain list with commas, and nothing of one that is prose."""
    items = [item.strip() for item in prompt.split(",")]
    is_list = len(items) > 1 and all(0 < len(item.split()) <= LISTED_WORDS for item in items)
    return items if is_list and not any(mark in prompt for mark in ".?!:;\n") else []


def _check_chunking_strategy(fields: Fields) -> None:
    """Refuse what OpenAI does not know; what it knows changes nothing here, where pauses decide anyway."""
    strategy = fields.mapping("chunking_strategy")
    kind = strategy.pop("type", None) or fields.text("chunking_strategy")
    numbers = (strategy.get(name, 0) for name in ("threshold", "prefix_padding_ms", "silence_duration_ms"))
    if kind not in (None, "auto", "server_vad") or not all(map(_is_number, numbers)):
        message = "`chunking_strategy` must be auto or server_vad, and its thresholds and durations numbers."
        raise InvalidRequest(message, param="chunking_strategy")


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False
