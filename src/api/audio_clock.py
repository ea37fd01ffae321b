"""When the audio of a realtime session was due."""

MAX_APPEND_S = 1.0
"""Audio that comes first counts as spoken before it came, up to this many seconds: what clients send at a time."""


class AudioClock:
    """Knows when audio would have come if its client sent it as it is spoken.

    Times are in seconds of one clock, and positions in seconds of audio since the session began.
    """

    def __init__(self) -> None:
        self._origin: float | None = None

    @property
    def has_begun(self) -> bool:
        """Whether audio has come."""
        return self._origin is not None

    def begin(self, received_s: float, now: float) -> None:
        """Note that audio has come. Only the first call counts."""
        if self._origin is None:
            self._origin = now - min(received_s, MAX_APPEND_S)

    def due_at(self, received_s: float, beyond_s: float, now: float) -> float:
        """Return when the end of some audio was due.

        It was due when it came, which the audio that came after it tells. But who sends an hour at once is not late:
        audio is due no earlier than it can have been spoken.

        Args:
            received_s: how much audio has come.
            beyond_s: how much of it comes after that end.
            now: the time.
        """
        came_at = now - beyond_s
        return came_at if self._origin is None else max(self._origin + received_s - beyond_s, came_at)
