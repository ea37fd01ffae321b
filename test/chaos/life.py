"""One life of the service's process, from its start to its exit."""

import signal
from dataclasses import dataclass

UNSURE_S = 2.0
"""A call sent this shortly before a signal may be read after it: the service handles signals and bytes in turns."""


@dataclass
class Life:
    """A process of the service. Times are `time.monotonic`, infinity for what has not happened.

    `end_signal` is the signal that was sent to it, and `exit_code` is negative if a signal ended it.
    """

    pid: int
    started_s: float
    ready_s: float = float("inf")
    end_signal: signal.Signals | None = None
    asked_s: float = float("inf")
    ended_s: float = float("inf")
    exit_code: int | None = None

    @property
    def as_asked(self) -> bool:
        """Whether it ended as the signal demands, or still runs and got none."""
        expected = {None: None, signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}
        return self.exit_code == expected[self.end_signal]

    def excuses(self, sent_s: float, entrusted_s: float, ended_s: float) -> bool:
        """Whether a call may have been lost to the end of this life.

        After SIGTERM the service finishes what it has received in full; SIGKILL loses everything in progress.
        """
        if ended_s < self.asked_s or sent_s > self.ended_s + UNSURE_S:
            return False
        return self.end_signal == signal.SIGKILL or entrusted_s > self.asked_s - UNSURE_S

    def was_starting(self, sent_s: float) -> bool:
        """Whether a call was sent before this life was ready for it."""
        return self.started_s <= sent_s <= self.ready_s + UNSURE_S
