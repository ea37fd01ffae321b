"""The timeline of a track: find the gaps between its frames, by their timestamps."""

MIN_GAP_S = 0.1
"""Shorter gaps are ignored: encoders add some milliseconds at the start, and times are rounded."""
MAX_STEP_S = 60.0
"""If the times of all tracks step forward by more, it is not a pause but a new time base: in formats whose times may
restart (joined broadcasts), and in other formats if the step leads beyond the file's end. FFmpeg's limit is 10 s."""
MAX_UNDECLARED_S = 3600.0
"""The longest gap in a file that does not state its length (a live one), in a format whose times never restart."""
RESTART_S = 1.0
"""Times that go back further have restarted, as in files joined end to end."""


class Timeline:
    """Compares the audio decoded from a track with the times of its frames. All values are in seconds.

    Times that go back never remove audio, and times that cannot be right change nothing.

    Args:
        zero_s: the time at which players start; None if that is the first frame's time.
        end_s: the time at which the file says it ends; None if it does not say.
        may_restart: whether times in this format may restart.
    """

    def __init__(self, zero_s: float | None, end_s: float | None, *, may_restart: bool) -> None:
        self._zero_s = zero_s
        self._end_s = end_s
        self._may_restart = may_restart
        self._decoded_s = 0.0  # audio so far, with the silence that filled gaps
        self._next_s = zero_s  # the end of the last frame
        self._seen_s = zero_s  # the latest time of any track, without a step longer than `MAX_STEP_S`

    def note_other_track(self, time_s: float) -> None:
        """Note the time of a packet of another track."""
        if self._seen_s is not None and 0 < time_s - self._seen_s <= MAX_STEP_S:
            self._seen_s = time_s

    def gap_s(self, time_s: float) -> float:
        """Return the length of the gap before a frame at `time_s`; 0 if there is none."""
        gap_s = self._lead_s(time_s)
        return gap_s if gap_s > MIN_GAP_S and self._is_credible(time_s, gap_s) else 0.0

    def add_silence(self, seconds: float) -> None:
        """Note that `seconds` of silence were inserted."""
        self._decoded_s += seconds

    def add_frame(self, time_s: float | None, seconds: float) -> None:
        """Note a decoded frame of `seconds`; `time_s` is None if its time is unknown or wrong."""
        if time_s is not None:
            if self._zero_s is None or self._restarts(time_s) or self._lead_s(time_s) > MIN_GAP_S:
                self._zero_s, self._seen_s = time_s - self._decoded_s, time_s
            self._next_s = time_s + seconds
            self._seen_s = max(self._next_s, self._seen_s or self._next_s)
        elif self._next_s is not None:
            self._next_s += seconds
        self._decoded_s += seconds

    def _lead_s(self, time_s: float) -> float:
        """Return how far a time is ahead of the audio decoded so far."""
        if self._zero_s is None or self._restarts(time_s):
            return 0.0
        return time_s - self._zero_s - self._decoded_s

    def _restarts(self, time_s: float) -> bool:
        """Return whether the times have restarted before a frame at `time_s`."""
        return self._next_s is not None and time_s < self._next_s - RESTART_S

    def _is_credible(self, time_s: float, gap_s: float) -> bool:
        """Return whether a gap is a pause, and not a new time base or a damaged timestamp."""
        if self._seen_s is not None and time_s - self._seen_s <= MAX_STEP_S:
            return True
        if self._may_restart:
            return False
        return gap_s <= MAX_UNDECLARED_S if self._end_s is None else time_s <= self._end_s + MIN_GAP_S
