"""Speakers in the answer: the format `diarized_json`, OpenAI's (platform.openai.com, "Diarized transcription")."""

from typing import Literal

from pydantic import BaseModel, Field, FiniteFloat

from src.api.segment_events import TextSegment, speaker_segment
from src.text.segments import segments_of
from src.text.speaker_turns import Labeller, by_speaker
from src.text.transcript import Transcript
from src.wire.usage import DurationUsage, duration_usage


class DiarizedTranscription(BaseModel):
    """The answer in the format `diarized_json`."""

    task: Literal["transcribe"]
    duration: FiniteFloat = Field(description="Length of the audio in seconds.")
    text: str
    segments: list[TextSegment]
    usage: DurationUsage


def diarized(transcript: Transcript, duration_s: float, label: Labeller | None = None) -> DiarizedTranscription:
    """Return the body of the format `diarized_json` for a transcript of `duration_s` seconds of audio.

    `label` says who speaks; without it all of it is one speaker's.
    """
    segments = by_speaker(segments_of(transcript, duration_s), label)
    return DiarizedTranscription(
        task="transcribe",
        duration=round(duration_s, 6),
        text=transcript.text,
        segments=[speaker_segment(*each) for each in enumerate(segments)],
        usage=duration_usage(duration_s),
    )
