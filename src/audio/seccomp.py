"""The system calls that a process may still make, in a filter that the kernel holds it to (seccomp(2)).

Written here because no kept library installs with pip alone: libseccomp's binding and pyseccomp both need
libseccomp.so, which wheels do not bring. It takes an array of comparisons and one system call.
"""

import ctypes
import os
import platform
import struct

ALLOWED = {
    # what is open
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
    # what tells nothing of others
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrandom": (318, 278),
    # the end
    "rt_sigreturn": (15, 139),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""Each call's number on x86-64 (the kernel's syscall_64.tbl) and on aarch64 (asm-generic/unistd.h)."""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""By `platform.machine()`: the machine in a call (AUDIT_ARCH_*, linux/audit.h), and whose numbers it has."""

NR_OFFSET, ARCH_OFFSET = 0, 4
"""Where a call's number and its machine are in what the filter sees (struct seccomp_data)."""
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K and BPF_RET|BPF_K (linux/bpf_common.h)."""
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
"""SECCOMP_RET_*; kernels before 4.14 know no KILL_PROCESS and end the thread, the only one there is."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def instructions(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter for a machine, as BPF instructions (code, jump if true, jump if false, operand).

    x86-64 also has calls of programs with short pointers (x32). They have other numbers, so they are not allowed.

    Raises:
        OSError: the numbers of its system calls are not known here.
    """
    if machine not in ARCHITECTURES:
        raise OSError(f"no filter of system calls is known for {machine}")
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
    """Have the kernel end this process at any system call that is not `ALLOWED`. There is no way back.

    Raises:
        OSError: the kernel refuses, or the machine is not known.
    """
    code = b"".join(struct.pack("=HBBI", *each) for each in instructions(platform.machine()))
    program = _Program(len(code) // 8, code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
    for option, value, pointer in (
        (PR_SET_NO_NEW_PRIVS, 1, None),  # what the kernel demands of processes without privileges
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program)),
    ):
        if prctl(option, value, pointer, 0, 0):
            reason = ctypes.get_errno()
            raise OSError(reason, os.strerror(reason))
