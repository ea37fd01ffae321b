"""Restrict a process to a few system calls, with a filter that the kernel enforces (seccomp(2)).

It is written here because no maintained library installs with pip alone: libseccomp's binding and pyseccomp both need
libseccomp.so, which their wheels do not contain. All it takes is an array of comparisons and one system call.
"""

import ctypes
import os
import platform
import struct

ALLOWED = {
    # open files
    "read": (0, 63),
    "write": (1, 64),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # time
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "restart_syscall": (219, 128),
    # locks within the process
    "futex": (202, 98),
    "sched_yield": (24, 124),
    # its own identity, and random numbers: nothing about other processes
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrandom": (318, 278),
    # exit
    "rt_sigreturn": (15, 139),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""The number of each call on x86-64 (the kernel's syscall_64.tbl) and on aarch64 (asm-generic/unistd.h)."""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""For each `platform.machine()`: its value in a call (AUDIT_ARCH_*, linux/audit.h), and its column in `ALLOWED`."""

NR_OFFSET, ARCH_OFFSET = 0, 4
"""The offsets of a call's number and machine in the filter's input (struct seccomp_data)."""
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K and BPF_RET|BPF_K (linux/bpf_common.h)."""
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
"""SECCOMP_RET_*. Kernels before 4.14 do not know KILL_PROCESS and kill the thread; a worker has only one."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def instructions(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter for a machine, as BPF instructions (code, jump if true, jump if false, operand).

    x86-64 also has system calls for programs with short pointers (x32). Their numbers differ, so they are not allowed.

    Raises:
        OSError: there are no system call numbers for this machine in `ALLOWED`.
    """
    if machine not in ARCHITECTURES:
        raise OSError(f"there is no system call filter for {machine}")
    architecture, column = ARCHITECTURES[machine]
    numbers = [number for each in ALLOWED.values() if (number := each[column]) is not None]
    count = len(numbers)
    return [
        (LOAD, 0, 0, ARCH_OFFSET),
        (JUMP_IF_EQUAL, 0, count + 1, architecture),  # else to the end but one
        (LOAD, 0, 0, NR_OFFSET),
        *((JUMP_IF_EQUAL, count - index, 0, number) for index, number in enumerate(numbers)),
        (RETURN, 0, 0, KILL_PROCESS),
        (RETURN, 0, 0, ALLOW),
    ]


def install() -> None:
    """Make the kernel kill this process at any system call that is not `ALLOWED`. This cannot be undone.

    Raises:
        OSError: the kernel does not accept the filter, or there is none for this machine.
    """
    code = b"".join(struct.pack("=HBBI", *each) for each in instructions(platform.machine()))
    program = _Program(len(code) // 8, code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
    for option, value, pointer in (
        (PR_SET_NO_NEW_PRIVS, 1, None),  # the kernel requires this of unprivileged processes
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program)),
    ):
        if prctl(option, value, pointer, 0, 0):
            reason = ctypes.get_errno()
            raise OSError(reason, os.strerror(reason))
