"""The processes of a fleet on this machine, found by /proc: all inherit a variable that names its folder."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "PARAKEET_FLEET"
LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp (proc(5), TCP_LISTEN of tcp_states.h)."""
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1, the same as IPv6, and ::1, as /proc/net/tcp and tcp6 write them."""


@dataclass(frozen=True, slots=True, order=True)
class OpenPort:
    """A port on which a process listens; `is_public`: not on the loopback interface alone."""

    port: int
    program: str
    is_public: bool


def fleet_processes(folder: str, root: Path = Path("/proc")) -> list[int]:
    """Return the processes of the fleet of a folder, without this one."""
    mark = f"{MARK}={folder}".encode()
    return sorted(pid for pid in _pids(root) if pid != os.getpid() and mark in _variables(root / str(pid)))


def kill_fleet(folder: str) -> list[int]:
    """Kill what is left of the fleet of a folder, and return that."""
    left = fleet_processes(folder)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def open_ports(pids: Iterable[int], root: Path = Path("/proc")) -> list[OpenPort]:
    """Return the TCP ports on which processes listen, in order."""
    programs = {inode: _program(root / str(pid)) for pid in pids for inode in _sockets(root / str(pid))}
    return sorted(
        {
            OpenPort(port, programs[inode], is_public)
            for name in ("tcp", "tcp6")
            for port, is_public, inode in _listening(root / "net" / name)
            if inode in programs
        }
    )


def _pids(root: Path) -> Iterator[int]:
    return (int(each.name) for each in root.iterdir() if each.name.isdigit())


def _variables(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return []


def _program(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip().removeprefix("ray::")
    except OSError:
        return "?"


def _sockets(process: Path) -> Iterator[str]:
    with suppress(OSError):
        for each in (process / "fd").iterdir():
            with suppress(OSError):
                target = os.readlink(each)
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _listening(table: Path) -> Iterator[tuple[int, bool, str]]:
    """Yield port, whether it is public, and inode of each listening socket in a table of the kernel's."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:  # no IPv6
        return
    for line in lines:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if fields[3] == LISTEN:
            yield int(port, 16), address not in LOOPBACK, fields[9]
