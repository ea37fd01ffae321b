"""One call that was sent, and its outcome."""

import time
from dataclasses import dataclass, field

from call import Call


@dataclass
class Attempt:
    """A call in progress or ended; times are `time.monotonic`.

    `code` is as of `client.Answer`: `200`, `429 queue_full`, `failed queue_timeout`, `closed 1001`, `disconnected`,
    `unreachable`, `timeout`; empty until it ends. `entrusted_s` is when the service had received all of it, infinity
    until then. `logged_as` is its id in the metrics log, empty if that is unknown.
    """

    request_id: str
    call: Call
    burst: bool = False
    code: str = ""
    text: str = ""
    logged_as: str = ""
    sent_s: float = field(default_factory=time.monotonic)
    entrusted_s: float = float("inf")
    ended_s: float = float("inf")

    def end(self, code: str) -> None:
        """Record how it ended, and when."""
        self.code, self.ended_s = code, time.monotonic()

    @property
    def ok(self) -> bool:
        """Whether it has a text."""
        return self.code == "200"

    @property
    def status(self) -> int | None:
        """The HTTP status, None if there was none."""
        first = self.code.partition(" ")[0]
        return int(first) if first.isdecimal() else None

    @property
    def latency_s(self) -> float:
        """Seconds from the first byte sent to the end."""
        return self.ended_s - self.sent_s
