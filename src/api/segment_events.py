"""The event `transcript.text.segment`: one shape for all streams that have segments, and for `diarized_json`.

It is OpenAI's (platform.openai.com, "Stream Event (transcript.text.segment)"). Where times are asked for, the words
come along, and the text begins with a space, as in `verbose_json`.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field, FiniteFloat

from src.text.segments import Segment
from src.text.speaker_turns import FIRST_SPEAKER
from src.text.words import Word


class TimedWord(BaseModel):
    """A spoken word."""

    word: str = Field(description="Without the punctuation around it.")
    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat
    speaker: str = Field(default="", description="Only where speakers are asked for.")


class TextSegment(BaseModel):
    """A sentence, or speech between two pauses, of one speaker; in a stream, sent once nothing can change it."""

    type: Literal["transcript.text.segment"]
    id: str = Field(description="Unique in the answer.", examples=["seg_0"])
    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat
    text: str
    speaker: str = Field(
        description="A known speaker's name, else A, B, ... in the order in which they speak; empty if not asked for."
    )


class TimedTextSegment(TextSegment):
    """The same in a stream with times: its text begins with a space, so that all segments joined are the text."""

    words: list[TimedWord]


def timed_word(word: Word, speaker: str = "") -> TimedWord:
    """Return a word as answers have it, with its speaker if that is asked for."""
    told = {"speaker": speaker} if speaker else {}
    return TimedWord(word=word.text, start=word.start_s, end=word.end_s, **told)


def speaker_segment(number: int, segment: Segment) -> TextSegment:
    """Return the segment with this number, counted from 0, as OpenAI's format for speakers has it."""
    return TextSegment(**_values(number, segment, segment.text, segment.speaker or FIRST_SPEAKER))


def timed_segment(number: int, segment: Segment) -> TimedTextSegment:
    """Return the segment with this number, counted from 0, with its words."""
    words = [timed_word(word, segment.speaker) for word in segment.words]
    return TimedTextSegment(**_values(number, segment, f" {segment.text}", segment.speaker), words=words)


def _values(number: int, segment: Segment, text: str, speaker: str) -> dict[str, Any]:
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": segment.start_s,
        "end": segment.end_s,
        "text": text,
        "speaker": speaker,
    }
