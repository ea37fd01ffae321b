"""The options of a transcription request: OpenAI's fields, validated (platform.openai.com, "Create transcription")."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from src.api.fields import Fields
from src.api.speaker_fields import SpeakerFields, parse_speaker_fields
from src.diarization.diarizer import MAX_SPEAKERS
from src.errors import InvalidRequest
from src.scheduling.jobs import Priority
from src.text.keywords import parse_keywords
from src.text.languages import language_code, possible_languages
from src.wire.model_names import ServedModel, asks_for_speakers

SPEAKERS_FORMAT = "diarized_json"
FORMATS = ("json", "text", "srt", "vtt", "verbose_json", SPEAKERS_FORMAT)
TIMED_FORMATS = frozenset({"srt", "vtt", "verbose_json"})
SPEAKER_FORMATS = TIMED_FORMATS | {SPEAKERS_FORMAT}
"""Formats that have a place for speakers."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a transcription request."""

    response_format: str = "json"
    words: bool = False
    segments: bool = False
    logprobs: bool = False
    stream: bool = False
    times: bool = False
    """Whether a stream has the times of segments and words. In OpenAI's format for speakers it has others."""
    speakers: SpeakerFields | None = None
    """What is said about the speakers, if the answer is to say who speaks."""
    language: str = "en"
    """The language that the client has named, else the one to assume first."""
    languages: tuple[str, ...] = ()
    """Those that the text may be in; none if the model knows but one."""
    keywords: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL

    @property
    def is_diarized_json(self) -> bool:
        """Whether the answer is in OpenAI's format for speakers."""
        return self.response_format == SPEAKERS_FORMAT

    @property
    def has_segments(self) -> bool:
        """Whether a stream has segments between its deltas."""
        return self.times or self.is_diarized_json


def parse_options(
    fields: Fields, served: ServedModel, languages: Sequence[str], max_speakers: int = MAX_SPEAKERS
) -> Options:
    """Return the options that the fields of a transcription request name. Fields without a use here are ignored.

    Args:
        fields: the fields.
        served: the served model.
        languages: codes of the languages that it knows.
        max_speakers: the most speakers that a request may name.

    Raises:
        InvalidRequest: a field has an invalid value; `param` names it.
        ModelNotFound, UnsupportedLanguage: the server does not have what a field names.
    """
    served.check(fields.text("model"))
    fields.number("temperature", 0, 1)  # validated only: a greedy decoder has no temperature
    _check_chunking_strategy(fields)
    response_format = fields.choice("response_format", FORMATS, SPEAKERS_FORMAT if fields.flag("diarize") else "json")
    possible = possible_languages(fields.items("languages"), languages)
    granularities = fields.choices("timestamp_granularities", ("word", "segment"))
    times = response_format in TIMED_FORMATS or (bool(granularities) and response_format != SPEAKERS_FORMAT)
    is_told = response_format in SPEAKER_FORMATS or (times and fields.flag("stream"))
    return Options(
        response_format=response_format,
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        logprobs="logprobs" in fields.choices("include", ("logprobs",)),
        stream=fields.flag("stream"),
        times=times,
        speakers=parse_speaker_fields(fields, max_speakers) if is_told and _asks_who_speaks(fields) else None,
        language=language_code(fields.text("language"), dict.fromkeys((*possible, *languages))),
        languages=possible if len(languages) > 1 else (),
        keywords=parse_keywords(fields.items("keywords"), fields.hint("prompt")),
        priority=Priority[fields.choice("priority", ("high", "normal", "low"), "normal").upper()],
    )


def _asks_who_speaks(fields: Fields) -> bool:
    """Return whether a request asks who speaks: by the format, by `diarize`, or else by the name of the model."""
    if fields.text("response_format") == SPEAKERS_FORMAT or fields.flag("diarize"):
        return True
    return fields.text("diarize") is None and asks_for_speakers(fields.text("model"))


def _check_chunking_strategy(fields: Fields) -> None:
    """Reject what OpenAI rejects. Valid strategies are ignored: long audio is always cut at pauses."""
    strategy = fields.mapping("chunking_strategy", plain="type")
    numbers = (strategy.get(name, 0) for name in ("threshold", "prefix_padding_ms", "silence_duration_ms"))
    if strategy.get("type") not in (None, "auto", "server_vad") or not all(map(_is_number, numbers)):
        message = "`chunking_strategy` must be auto or server_vad, and its thresholds and durations numbers."
        raise InvalidRequest(message, param="chunking_strategy")


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False
