"""The ways to choose a replica that the simulation compares."""

from collections.abc import Callable, Sequence
from random import Random

from fleet_replica import Replica

from src.fleet.load_board import LoadBoard, Sent
from src.fleet.routing import ranked

REPORT_S = 0.5
"""Time between two reports of a replica, in seconds."""


class Router:
    """Chooses a replica at random. What others know, they know as one balancer before all replicas would.

    Args:
        replicas: the replicas.
        choice: makes its random choices.
    """

    def __init__(self, replicas: Sequence[Replica], choice: Random) -> None:
        self.replicas = replicas
        self.choice = choice
        self.numbers = range(len(replicas))
        self.board: LoadBoard[int] = LoadBoard()

    def choose(self, is_session: bool, now: float) -> int:
        """Return the number of the replica that gets an upload, or a session."""
        return self.choice.choice(self.numbers)

    def least(self, numbers: Sequence[int], key: Callable[[Replica], float]) -> int:
        """Return one of those with the least `key`."""
        return min(numbers, key=lambda each: (key(self.replicas[each]), self.choice.random()))

    def begin(self, number: int, is_session: bool, now: float) -> Sent[int]:
        """Note that a request is sent to a replica."""
        return self.board.begin(number, is_session, now)

    def end(self, sent: Sent[int]) -> None:
        """Note that a request has ended."""
        self.board.end(sent)


class LeastRequests(Router):
    """Takes the replica with the fewest requests, sessions included: what balancers do by default."""

    def choose(self, is_session: bool, now: float) -> int:
        return self.least(self.numbers, lambda each: each.uploads + each.sessions)


class LeastApart(Router):
    """Takes the replica with the fewest uploads, or with the fewest sessions: a balancer with a pool for each."""

    def choose(self, is_session: bool, now: float) -> int:
        return self.least(self.numbers, lambda each: each.sessions if is_session else each.uploads)


class TwoByRequests(Router):
    """Draws two replicas and takes that with fewer requests, sessions included."""

    def choose(self, is_session: bool, now: float) -> int:
        return self.least(self.choice.sample(self.numbers, 2), lambda each: each.uploads + each.sessions)


class TwoByAudio(Router):
    """Draws two replicas and takes that where an upload waits less, or with fewer sessions: `src.fleet.routing`."""

    def choose(self, is_session: bool, now: float) -> int:
        return ranked(self.numbers, lambda each: self.board.load(each, now), is_session, self.choice)[0]


ROUTERS: dict[str, type[Router]] = {
    "random": Router,
    "least requests": LeastRequests,
    "least, sessions apart": LeastApart,
    "two by requests": TwoByRequests,
    "two by audio": TwoByAudio,
}
