"""Seccomp: a program in the kernel looks at every system call before it happens. seccomp(2).

The program is a list of instructions of the classic Berkeley Packet Filter, which once chose network
packets: load a word, compare, jump forward, return. Its "packet" is struct seccomp_data: the number of
the call, the machine language it was made in, and six registers. It cannot follow a pointer: what an
argument points to may have changed by the time the kernel reads it. What it returns is the verdict:
let it pass, fail with an errno, kill.

A filter can be added but never taken away, and holds for all that the process starts. To add one it
takes no_new_privs or CAP_SYS_ADMIN; otherwise a set-user-ID program could be tricked by calls that
fail where it never expects it.

    grep Seccomp /proc/PID/status        watch it (2 is a filter)
    strace -f minicontainer run …        a refused call shows its errno
"""

from __future__ import annotations

import ctypes
import os

from minicontainer.linux.calls import Flags, check, libc, syscall

SYS_SECCOMP = {"x86_64": 317, "i686": 354, "armv7l": 383}.get(os.uname().machine, 277)
SECCOMP_SET_MODE_FILTER = 1

SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_RET_KILL_THREAD = 0x00000000
SECCOMP_RET_TRAP = 0x00030000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_RET_TRACE = 0x7FF00000
SECCOMP_RET_LOG = 0x7FFC0000
SECCOMP_RET_ALLOW = 0x7FFF0000
"""Verdicts. The lower 16 bits are the errno, or a word to the tracer."""

BPF_MAXINSNS = 4096
INSTRUCTION_SIZE = 8


class FilterFlags(Flags):
    """Flags of SECCOMP_SET_MODE_FILTER."""


FilterFlags.define(
    SECCOMP_FILTER_FLAG_TSYNC=1,
    SECCOMP_FILTER_FLAG_LOG=2,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW=4,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV=32,
)


class SockFprog(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


@syscall
def seccomp_set_filter(flags: FilterFlags, program: bytes) -> None:
    """Have `program` decide about this process's calls from now on: seccomp(2), SECCOMP_SET_MODE_FILTER."""
    filter = SockFprog(len(program) // INSTRUCTION_SIZE, program)
    operation, number = ctypes.c_ulong(SECCOMP_SET_MODE_FILTER), ctypes.c_ulong(flags)
    check(libc.syscall(ctypes.c_long(SYS_SECCOMP), operation, number, ctypes.byref(filter)))
