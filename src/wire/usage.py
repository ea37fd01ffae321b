"""The usage of a transcription, in the form that OpenAI reports it for billing."""

import math
from typing import Literal

from pydantic import BaseModel, Field


class DurationUsage(BaseModel):
    """Usage that is measured by the length of the audio."""

    type: Literal["duration"]
    seconds: int = Field(description="Length of the audio, rounded up.")


def duration_usage(duration_s: float) -> DurationUsage:
    """Return the usage of audio of `duration_s`."""
    return DurationUsage(type="duration", seconds=math.ceil(round(duration_s, 6)))
