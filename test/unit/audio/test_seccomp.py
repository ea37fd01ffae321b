"""The system call filter, run step by step as the kernel does, also for other machines than this one."""

import ctypes
import errno
import platform
import signal
import subprocess
import sys

import pytest

from src.audio.seccomp import ALLOW, ALLOWED, ARCHITECTURES, KILL_PROCESS, LOAD, RETURN, instructions

X86, ARM = "x86_64", "aarch64"
X32_BIT = 0x40000000
OUTLAWS = {  # numbers on x86-64 and on aarch64
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "socket": (41, 198),
    "connect": (42, 203),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "dup": (32, 23),
    "ftruncate": (77, 46),
    "unlinkat": (263, 35),
    "memfd_create": (319, 279),
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "mount": (165, 40),
}


def verdict(machine, architecture, number):
    """What the filter of `machine` says of a call with `number` by a program of `architecture`."""
    program = instructions(machine)
    at = loaded = 0
    while True:
        code, if_true, if_false, operand = program[at]
        if code == RETURN:
            return operand
        if code == LOAD:
            loaded = {0: number, 4: architecture}[operand]
            at += 1
        else:
            at += 1 + (if_true if loaded == operand else if_false)


@pytest.mark.parametrize("machine", [X86, ARM])
def test_only_the_calls_that_decoding_needs_are_allowed(machine):
    architecture, column = ARCHITECTURES[machine]
    allowed = {numbers[column] for numbers in ALLOWED.values()} - {None}
    for number in [*range(600), X32_BIT, X32_BIT + 512, 2**32 - 1]:
        assert verdict(machine, architecture, number) == (ALLOW if number in allowed else KILL_PROCESS)
    assert not allowed & {numbers[column] for numbers in OUTLAWS.values()}


@pytest.mark.parametrize("machine", [X86, ARM])
def test_calls_of_another_machine_or_with_short_pointers_are_not_allowed(machine):
    own, column = ARCHITECTURES[machine]
    for numbers in ALLOWED.values():
        if numbers[column] is not None:
            assert verdict(machine, own, numbers[column] | X32_BIT) == KILL_PROCESS
            for other in (0x40000003, 0x40000028, 0xC000003E, 0xC00000B7, 0):  # i386 and arm are the first two
                assert other == own or verdict(machine, other, numbers[column]) == KILL_PROCESS


def test_a_machine_with_unknown_calls_gets_no_filter():
    with pytest.raises(OSError, match="riscv64"):
        instructions("riscv64")


def test_the_kernel_ends_a_process_that_makes_another_call():
    program = "import os; from src.audio import seccomp; seccomp.install(); os.write(1, b'here'); os.getppid()"
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert (ended.stdout, ended.returncode) == (b"here", -signal.SIGSYS)


def test_a_kernel_that_does_not_accept_the_filter_is_an_error_with_its_reason():
    program = """
from src.audio import seccomp
seccomp.SECCOMP_MODE_FILTER = 77  # no kernel knows it
try:
    seccomp.install()
except OSError as error:
    print(error.errno)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(ended.stdout) == errno.EINVAL


def test_the_numbers_are_those_of_this_machines_c_library():
    libc = ctypes.CDLL(None)
    assert libc.syscall(ALLOWED["getpid"][ARCHITECTURES[platform.machine()][1]]) == libc.getpid()
