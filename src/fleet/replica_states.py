"""What is said of replicas on the terminal: a line for each whose state has changed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORDS = {
    "STARTING": "loads its model",
    "UPDATING": "is being updated",
    "RECOVERING": "is being looked for",
    "RUNNING": "is healthy",
    "STOPPING": "finishes its requests and ends",
    "PENDING_MIGRATION": "is to move to another machine",
}
"""By Ray's states (ray.serve.schema.ReplicaState)."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """A replica of the fleet: its name, its state in Ray's word, and where it runs."""

    name: str
    state: str
    node: str
    pid: int | None

    def __str__(self) -> str:
        """Return a line about it."""
        where = f" (process {self.pid} on {self.node})" if self.pid else ""
        return f"Replica {self.name}{where} {WORDS.get(self.state, self.state.lower())}."


def replica_states(details: Mapping[str, Any], application: str) -> list[ReplicaState]:
    """Return the replicas of an application, by name.

    Args:
        details: what Ray's controller says of all applications (`ray.serve.schema.ServeInstanceDetails`, as a dict).
        application: its name.
    """
    deployments = details.get("applications", {}).get(application, {}).get("deployments", {}).values()
    found = [
        ReplicaState(each["replica_id"], _word(each["state"]), each.get("node_ip") or "?", each.get("pid"))
        for deployment in deployments
        for each in deployment.get("replicas", ())
    ]
    return sorted(found, key=lambda each: each.name)


def changes(before: Sequence[ReplicaState], now: Sequence[ReplicaState]) -> list[str]:
    """Return a line for each replica that is new, in another state, or gone."""
    known = {each.name: each for each in before}
    gone = known.keys() - {each.name for each in now}
    lines = [str(each) for each in now if known.get(each.name) != each]
    return [*lines, *(f"Replica {name} is gone." for name in sorted(gone))]


def failure(messages: Sequence[str]) -> str:
    """Return why replicas do not start: the error at the end of the last traceback in Ray's messages."""
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Unavailable)\b.*: ", line)]
    return (errors or lines or ["Ray does not say why."])[-1]


def _word(state: Any) -> str:
    return str(getattr(state, "value", state))  # Ray's enum, or what became of it in JSON
