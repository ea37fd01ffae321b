"""How much memory this process and its children may take together, as the system says."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUP_FILES = {"v2": "memory.max", "v1": "memory.limit_in_bytes"}
"""Files of a control group's limit, by the kind of its hierarchy (cgroup-v2.rst and cgroup-v1/memory.rst, kernel)."""
MOUNTS = {"v2": ("sys/fs/cgroup", "sys/fs/cgroup/unified"), "v1": ("sys/fs/cgroup/memory",)}
"""Where systems mount the hierarchies."""


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return how much memory the process may take with its children, in bytes: the least of what bounds it.

    These are the machine's memory, the limits of its control group and of those above it, and `ulimit -v`, which holds
    for each process. In a container, the limit is the container's.

    Args:
        root: where `proc` and `sys` are; another folder in tests.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_cgroup_limits(root)]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    return min(limits)


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the process's control groups."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        kind = "v1" if "memory" in controllers.split(",") else "v2" if not controllers else None
        if kind:
            yield from _limits_above(root, kind, PurePosixPath(path))


def _limits_above(root: Path, kind: str, path: PurePosixPath) -> Iterator[int]:
    """Yield the limits of a control group and of those above it.

    A container may be told the path that its group has outside. There is no such folder inside: what is mounted is the
    group itself, where the way up ends.
    """
    for mount in MOUNTS[kind]:
        for group in (path, *path.parents):
            try:
                limit = (root / mount / group.relative_to("/") / CGROUP_FILES[kind]).read_text().strip()
            except (OSError, ValueError):  # no such folder, or no path
                continue
            if limit.isdigit():  # and not "max"
                yield int(limit)
