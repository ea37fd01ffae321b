"""Capabilities: none is left to a process that gives them up, whoever runs it."""

import errno
import subprocess
import sys

PROGRAM = """
from src.audio import capabilities
{before}
capabilities.drop_all()
print(*(line for line in open("/proc/self/status") if line.startswith("Cap")), sep="")
"""


def sets_after(before=""):
    """The sets of capabilities that a process has after it gave them up."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)], check=True, capture_output=True, text=True
    )
    return {name: int(number, 16) for name, number in (line.split(":") for line in ended.stdout.split("\n") if line)}


def test_a_process_has_no_capability_left():
    left = sets_after()
    assert (left["CapEff"], left["CapPrm"], left["CapInh"], left["CapAmb"]) == (0, 0, 0, 0)


def test_one_that_has_none_asks_for_nothing():
    assert sets_after("capabilities.drop_all(); del capabilities.ctypes")["CapEff"] == 0


def test_a_kernel_that_refuses_is_an_error_with_its_reason():
    program = f"""
from src.audio import capabilities
capabilities._has_any = lambda: True
capabilities.VERSION_3 = 1  # no kernel knows it
try:
    capabilities.drop_all()
except OSError as error:
    assert error.errno == {errno.EINVAL}
    print("refused")
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ended.stdout == "refused\n"
