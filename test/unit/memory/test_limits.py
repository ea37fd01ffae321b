"""How much memory the service may take is read where the system says it."""

import os
import subprocess
import sys

import pytest

from src.memory.limits import memory_limit_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


def system(root, groups, **files):
    """Lay out /proc/self/cgroup and files of limits below `root`, `__` in a name standing for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, limit in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path = path.with_name(path.name.replace("memory_max", "memory.max").replace("memory_limit", "memory.limit"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/pod/app\n", {"pod__app__memory_max": 64 * MIB, "pod__memory_max": "max"}, 64 * MIB),
        ("0::/pod/app\n", {"pod__app__memory_max": "max", "pod__memory_max": 32 * MIB}, 32 * MIB),
        ("0::/\n", {"memory_max": 16 * MIB}, 16 * MIB),
        ("0::/../outside\n", {"memory_max": 16 * MIB}, 16 * MIB),
        ("4:memory:/docker/1\n0::/\n", {"memory__docker__1__memory_limit_in_bytes": 8 * MIB}, 8 * MIB),
        ("4:cpu,memory:/docker/1\n", {"memory__memory_limit_in_bytes": 8 * MIB}, 8 * MIB),
        ("4:memory:/\n", {"memory__memory_limit_in_bytes": 9223372036854771712}, MACHINE),
        ("0::/pod\n", {"pod__memory_max": "max"}, MACHINE),
        ("", {}, MACHINE),
    ],
)
def test_the_least_limit_of_the_control_groups_counts(tmp_path, groups, files, limit):
    assert memory_limit_bytes(system(tmp_path, groups, **files)) == limit


def test_a_system_without_control_groups_has_its_memory(tmp_path):
    assert memory_limit_bytes(tmp_path) == MACHINE


def test_a_limit_of_the_address_space_counts():
    program = "from src.memory.limits import memory_limit_bytes as limit; print(limit())"
    command = f"ulimit -v 300000; exec {sys.executable} -c '{program}'"
    printed = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True).stdout
    assert int(printed) == 300_000 * 1024
