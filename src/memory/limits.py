"""The system's memory limit for this process and its children."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUP_FILES = {"v2": "memory.max", "v1": "memory.limit_in_bytes"}
"""File of a control group's limit, by the version of its hierarchy (cgroup-v2.rst, cgroup-v1/memory.rst, kernel)."""
MOUNTS = {"v2": ("sys/fs/cgroup", "sys/fs/cgroup/unified"), "v1": ("sys/fs/cgroup/memory",)}
"""Folders where systems mount the hierarchies."""


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return how much memory the process may use together with its children, in bytes.

    It is the least of the machine's memory, the limits of the control group and of those above it, and `ulimit -v`,
    which holds for each process. In a container, it is the container's limit.

    Args:
        root: folder with `proc` and `sys`; another one in tests.
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

    A container may see the path that its group has outside. There is no such folder inside: the group itself is
    mounted, at the top of the hierarchy.
    """
    for mount in MOUNTS[kind]:
        for group in (path, *path.parents):
            try:
                limit = (root / mount / group.relative_to("/") / CGROUP_FILES[kind]).read_text().strip()
            except (OSError, ValueError):  # no such folder, or not a path
                continue
            if limit.isdigit():  # not "max"
                yield int(limit)
