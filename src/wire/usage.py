"""What a transcription is charged, as OpenAI writes it."""

import math
from typing import Literal

from pydantic import BaseModel, Field


class DurationUsage(BaseModel):
    """What a request is charged where the length of the audio decides."""

    type: Literal["duration"]
    seconds: int = Field(description="Length of the audio, rounded up.")


def duration_usage(duration_s: float) -> DurationUsage:
    """Return the usage of audio of `duration_s`."""
    return DurationUsage(type="duration", seconds=math.ceil(round(duration_s, 6)))
