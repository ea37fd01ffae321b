"""How many replicas a cluster gets, and what each of them takes of it."""

import math
from dataclasses import dataclass

ROUNDING = 1e-9
"""Three times a third of a card are a card."""


class FleetError(Exception):
    """The fleet cannot be started or has ended; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What a cluster consists of: its nodes, and the GPUs and CPU cores of all of them together."""

    nodes: int
    gpus: float
    cores: float


@dataclass(frozen=True, slots=True)
class FleetSize:
    """How many replicas there are, how much of a GPU each takes, and how many share the memory of a node.

    `has_spare` is whether the cluster has room for one more, so that an update can start a replica before it stops one.
    """

    replicas: int
    gpus_each: float
    on_each_node: int
    has_spare: bool

    @classmethod
    def of(cls, replicas: int | None, gpus_each: float, machines: Machines) -> "FleetSize":
        """Return the size of a fleet on `machines`.

        Args:
            replicas: how many replicas are wanted; None for one on each GPU, or one without a GPU.
            gpus_each: how much of a GPU each takes, above 0 and at most 1. Without GPUs it is ignored.
            machines: what there is. CPU replicas may be as many as wanted: they share the cores.

        Raises:
            FleetError: there are not as many GPUs as that takes.
        """
        if machines.gpus < 1:
            wanted = replicas or 1
            return cls(wanted, 0.0, math.ceil(wanted / machines.nodes), has_spare=True)
        room = int(1 / gpus_each + ROUNDING) * int(machines.gpus)  # a replica is on one card
        wanted = replicas or room
        if wanted > room:
            raise FleetError(
                f"PARAKEET_REPLICAS={wanted} is more than the {room} that {machines.gpus:g} GPUs have room for with "
                f"PARAKEET_REPLICA_GPUS={gpus_each:g}. Lower one of them."
            )
        return cls(wanted, gpus_each, math.ceil(wanted / machines.nodes), has_spare=wanted < room)
