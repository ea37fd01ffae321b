"""The processes of a fleet: those with its mark are found, their ports are told, and they are killed."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from src.fleet.processes import MARK, OpenPort, fleet_processes, kill_fleet, open_ports

LISTENS = """
import socket, sys
sockets = [socket.create_server((host, 0)) for host in sys.argv[1:]]
print(*(each.getsockname()[1] for each in sockets), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener(tmp_path):
    """A process that has the mark of a fleet of `tmp_path`, and its ports: on loopback, and on all interfaces."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", LISTENS, "127.0.0.1", "0.0.0.0"],
        env={MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process, [int(port) for port in process.stdout.readline().split()]
        process.kill()


def test_a_fleets_processes_are_those_with_its_mark(listener, tmp_path):
    process, _ = listener
    assert fleet_processes(str(tmp_path)) == [process.pid]
    assert fleet_processes(str(tmp_path / "other")) == []


def test_ports_are_told_with_who_listens_and_who_can_reach_them(listener):
    process, (local, public) = listener
    program = Path(f"/proc/{process.pid}/comm").read_text().strip()
    expected = [OpenPort(local, program, is_public=False), OpenPort(public, program, is_public=True)]
    assert open_ports([process.pid]) == sorted(expected)


def test_ports_of_other_processes_are_not_told(listener):
    with socket.create_server(("127.0.0.1", 0)):
        assert open_ports([]) == []


def test_killing_a_fleet_leaves_nothing_of_it(listener, tmp_path):
    process, _ = listener
    assert kill_fleet(str(tmp_path)) == [process.pid]
    assert process.wait() == -9
    assert kill_fleet(str(tmp_path)) == []
