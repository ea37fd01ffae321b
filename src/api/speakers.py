"""Speakers in the answer: the format `diarized_json`, and its segments in a stream.

The model does not tell speakers apart, so all of a transcript is one speaker's. The shapes are OpenAI's
(platform.openai.com, "The transcription object (Diarized JSON)", and `transcript.text.segment` of its streams).
"""

from typing import Literal

from pydantic import BaseModel, Field, FiniteFloat

from src.text.segments import Segment, segments_of
from src.text.transcript import Transcript
from src.wire.usage import DurationUsage, duration_usage

SPEAKER = "A"
"""OpenAI's name for the first speaker that has none."""


class SpeakerSegment(BaseModel):
    """A sentence, or speech between two pauses, and who says it; in a stream, an event."""

    type: Literal["transcript.text.segment"]
    id: str = Field(examples=["seg_0"])
    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat
    text: str
    speaker: str = Field(description="Always A: speakers are not told apart.")


class DiarizedTranscription(BaseModel):
    """The answer in the format `diarized_json`."""

    task: Literal["transcribe"]
    duration: FiniteFloat = Field(description="Length of the audio in seconds.")
    text: str
    segments: list[SpeakerSegment]
    usage: DurationUsage


def speaker_segment(number: int, segment: Segment) -> SpeakerSegment:
    """Return the segment with this number, counted from 0, as said by the one speaker."""
    return SpeakerSegment(
        type="transcript.text.segment",
        id=f"seg_{number}",
        start=segment.start_s,
        end=segment.end_s,
        text=segment.text,
        speaker=SPEAKER,
    )


def diarized(transcript: Transcript, duration_s: float) -> DiarizedTranscription:
    """Return the body of the format `diarized_json` for a transcript of `duration_s` seconds of audio."""
    return DiarizedTranscription(
        task="transcribe",
        duration=round(duration_s, 6),
        text=transcript.text,
        segments=[speaker_segment(*each) for each in enumerate(segments_of(transcript, duration_s))],
        usage=duration_usage(duration_s),
    )
