"""Where a track's frames lie in their file, and so where the file says that there is nothing to hear."""

MIN_GAP_S = 0.1
"""A shorter gap is none: encoders begin with some milliseconds of their own, and times are rounded."""
MAX_STEP_S = 60.0
"""A step of all tracks at once that is longer is no pause: other times hold from there on, in formats whose times may
begin anew (joined broadcasts), and in others where it leads beyond the file's end. FFmpeg draws the line at 10 s."""
MAX_UNDECLARED_S = 3600.0
"""The longest gap in a format whose times never begin anew, in a file that does not say how long it is (a live one)."""
RESTART_S = 1.0
"""Times that go back further begin anew, as in files joined end to end."""


class Timeline:
    """Counts what has been heard of a track, and compares that with the times of its frames; all in seconds.

    Times that go back never take anything away, and such as cannot be right change nothing.

    Args:
        zero_s: the time at which players begin; None where that is the first frame's.
        end_s: the time at which the file says that it ends; None where it does not say.
        may_restart: whether times in this format may begin anew.
    """

    def __init__(self, zero_s: float | None, end_s: float | None, *, may_restart: bool) -> None:
        self._zero_s = zero_s
        self._end_s = end_s
        self._may_restart = may_restart
        self._heard_s = 0.0
        self._next_s = zero_s  # where the last frame has ended
        self._seen_s = zero_s  # how far all tracks together have come without a long step

    def saw(self, time_s: float) -> None:
        """Note the time of a packet of another track."""
        if self._seen_s is not None and 0 < time_s - self._seen_s <= MAX_STEP_S:
            self._seen_s = time_s

    def gap_s(self, time_s: float) -> float:
        """Return for how long there is nothing to hear before a frame of this time."""
        gap_s = self._lead_s(time_s)
        return gap_s if gap_s > MIN_GAP_S and self._is_credible(time_s, gap_s) else 0.0

    def silent(self, seconds: float) -> None:
        """Note that so much silence has been put in."""
        self._heard_s += seconds

    def heard(self, time_s: float | None, seconds: float) -> None:
        """Note a frame and its time, None where that is not known, or wrong."""
        if time_s is not None:
            if self._zero_s is None or self._begins_anew(time_s) or self._lead_s(time_s) > MIN_GAP_S:
                self._zero_s, self._seen_s = time_s - self._heard_s, time_s
            self._next_s = time_s + seconds
            self._seen_s = max(self._next_s, self._seen_s or self._next_s)
        elif self._next_s is not None:
            self._next_s += seconds
        self._heard_s += seconds

    def _lead_s(self, time_s: float) -> float:
        """Return how much later a time is than what has been heard."""
        if self._zero_s is None or self._begins_anew(time_s):
            return 0.0
        return time_s - self._zero_s - self._heard_s

    def _begins_anew(self, time_s: float) -> bool:
        return self._next_s is not None and time_s < self._next_s - RESTART_S

    def _is_credible(self, time_s: float, gap_s: float) -> bool:
        if self._seen_s is not None and time_s - self._seen_s <= MAX_STEP_S:
            return True
        if self._may_restart:
            return False
        return gap_s <= MAX_UNDECLARED_S if self._end_s is None else time_s <= self._end_s + MIN_GAP_S
