"""What holds for every realtime session of a service."""

from dataclasses import dataclass

from src.engine.windowing import Windowing
from src.settings import Settings


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What holds for every session, whatever its client asks for."""

    max_audio_s: float
    """The longest item, and the most uncommitted audio."""
    windowing: Windowing
    partials: bool
    """Whether clients get text while an utterance is still being spoken."""
    final_from_stream: bool
    """Whether an item's final text is its live text. Otherwise it is that of the whole item, as of a file."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "SessionLimits":
        """Return the limits that the service's settings define."""
        return cls(
            settings.max_audio_seconds,
            Windowing.from_settings(settings),
            partials=settings.realtime_partials,
            final_from_stream=settings.realtime_final == "stream",
        )
