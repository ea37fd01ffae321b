"""One life of the service's process, from its start to its exit."""

import signal
from dataclasses import dataclass

UNSURE_S = 2.0
"""A call sent so shortly before a signal may have come after it: the service looks at signals and bytes in turns."""


@dataclass
class Life:
    """What is known of a process; the times are `time.monotonic`, infinity for what has not come to pass.

    `asked` is the signal that it was sent, and `exit_code` is negative where a signal ended it.
    """

    pid: int
    started_s: float
    ready_s: float = float("inf")
    asked: signal.Signals | None = None
    asked_s: float = float("inf")
    ended_s: float = float("inf")
    exit_code: int | None = None

    @property
    def as_asked(self) -> bool:
        """Whether it ended as it was told to; so does one that goes on and was not told anything."""
        expected = {None: None, signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}
        return self.exit_code == expected[self.asked]

    def excuses(self, sent_s: float, entrusted_s: float, ended_s: float) -> bool:
        """Whether a call may have been lost to the end of this life.

        After SIGTERM what the service has in full is finished; by SIGKILL everything under way is lost.
        """
        if ended_s < self.asked_s or sent_s > self.ended_s + UNSURE_S:
            return False
        return self.asked == signal.SIGKILL or entrusted_s > self.asked_s - UNSURE_S

    def was_starting(self, sent_s: float) -> bool:
        """Whether a call was sent before this life was ready to take it."""
        return self.started_s <= sent_s <= self.ready_s + UNSURE_S
