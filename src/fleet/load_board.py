"""What one balancer knows about the load of all replicas: their reports, and what it has sent since. No clock."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from src.fleet.replica_load import ReplicaLoad

REPORT_DELAY_S = 0.3
"""How old a report may be when it arrives, in seconds: what was sent so shortly before may not be in it."""

Replica = TypeVar("Replica")


@dataclass(eq=False, slots=True)
class Sent(Generic[Replica]):
    """An upload or a session that the balancer has sent to a replica."""

    replica: Replica
    is_session: bool
    at: float


@dataclass(slots=True)
class _Known(Generic[Replica]):
    reported: ReplicaLoad = field(default_factory=ReplicaLoad)
    reported_at: float | None = None
    since: set[Sent[Replica]] = field(default_factory=set)


class LoadBoard(Generic[Replica]):
    """The load of each replica. Times are in seconds of the caller's clock."""

    def __init__(self) -> None:
        self._entries: dict[Replica, _Known[Replica]] = {}

    def report(self, replica: Replica, load: ReplicaLoad, now: float) -> None:
        """Take the report of a replica; a replica that is new is added."""
        entry = self._entries.setdefault(replica, _Known())
        entry.reported, entry.reported_at = load, now
        entry.since = {sent for sent in entry.since if sent.at > now - REPORT_DELAY_S}

    def keep(self, replicas: Collection[Replica]) -> None:
        """Forget all other replicas."""
        self._entries = {replica: entry for replica, entry in self._entries.items() if replica in replicas}

    def begin(self, replica: Replica, is_session: bool, now: float) -> Sent[Replica]:
        """Note that an upload or a session is sent to a replica, and return what `end` is called with."""
        sent = Sent(replica, is_session, now)
        self._entries.setdefault(replica, _Known()).since.add(sent)
        return sent

    def end(self, sent: Sent[Replica]) -> None:
        """Note that an upload or a session has ended."""
        if entry := self._entries.get(sent.replica):
            entry.since.discard(sent)

    def load(self, replica: Replica, now: float) -> ReplicaLoad:
        """Return the load of a replica; that of an idle one if nothing is known."""
        entry = self._entries.get(replica)
        if entry is None:
            return ReplicaLoad()
        sessions = sum(sent.is_session for sent in entry.since)
        return replace(
            entry.reported,
            age_s=now - entry.reported_at if entry.reported_at is not None else 0.0,
            sessions_since=sessions,
            uploads_since=len(entry.since) - sessions,
        )
