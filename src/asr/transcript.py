"""What the model heard."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one clip; empty where nobody speaks."""

    text: str
