"""When a realtime session times out."""

from src.text.durations import duration_in_words


class SessionTimeouts:
    """Decides when a session is too old, or has been idle for too long.

    It is asked now and then, and never for each message.

    Args:
        session_s: the longest that a session may last, in seconds.
        idle_s: the longest that its client may send nothing, in seconds.
    """

    def __init__(self, session_s: float, idle_s: float) -> None:
        self._session_s = session_s
        self._idle_s = idle_s
        self._waited_at_s = 0.0  # age of the session when the server was last found to owe its client something

    def left_s(self, age_s: float, silent_s: float, *, is_awaited: bool) -> float:
        """Return when to ask again, in seconds from now; the session has timed out if that is not above 0.

        Args:
            age_s: how long the session has lasted.
            silent_s: how long its client has sent nothing.
            is_awaited: whether the client waits for the server. Then it is not idle, and may be silent as long again.
        """
        idle_s = min(silent_s, age_s - self._waited_at_s)
        if is_awaited and idle_s >= self._idle_s:
            self._waited_at_s, idle_s = age_s, 0.0
        return min(self._session_s - age_s, self._idle_s - idle_s)

    def reason(self, age_s: float) -> str:
        """Return why a session of this age has timed out."""
        if age_s >= self._session_s:
            return f"Your session hit the maximum duration of {duration_in_words(self._session_s)}."
        return f"Your session was idle for {duration_in_words(self._idle_s)}."
