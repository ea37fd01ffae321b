"""The text of a turn that was transcribed in a pause, in case the pause ends the turn."""

from dataclasses import dataclass

from src.text.transcript import Transcript

MAX_EARLY_S = 15.0
"""The longest turn that is transcribed in its pauses. Each pause costs as much as the whole turn so far."""


@dataclass(frozen=True, slots=True)
class ExpectedTurn:
    """A turn as it is if the pause goes on to its end. All lengths are in samples."""

    item_id: str
    start: int
    """Where it begins, since the session began."""
    speech_samples: int
    """Its length up to the end of its speech."""
    samples: int
    """Its length."""
    keywords: tuple[str, ...]


@dataclass(eq=False, slots=True)
class EarlyText:
    """The transcription of a turn that may end in the present pause."""

    turn: ExpectedTurn
    transcript: Transcript | None = None
    """The text, once there is one."""
