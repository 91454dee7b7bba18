"""Making processes and moving them between namespaces: clone3(2), unshare(2), setns(2), pidfd_open(2).

Which call where:

    clone3    makes the container's first process, already inside its namespaces and its cgroup.
              Nothing runs outside the walls, not even for a moment, and the pidfd that comes with it
              names the process for good.
    unshare   for the namespace that must be entered later than birth: a time namespace takes its
              offsets before anyone is in.
    setns     joins what exists: `--network container:NAME`, exec into a running container.

    lsns; ls -l /proc/PID/ns        watch it
"""

from __future__ import annotations

import ctypes
import os
import resource

from minicontainer.linux.calls import Flags, check, libc, prctl, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # `signal` itself imports enum


class CloneFlags(Flags):
    """Flags of clone3, unshare and setns: namespaces(7)."""


CLONE_PIDFD = CloneFlags(0x1000)
CLONE_PARENT = CloneFlags(0x8000)
CLONE_INTO_CGROUP = CloneFlags(0x200000000)
CLONE_NEWTIME = CloneFlags(0x80)
CLONE_NEWNS = CloneFlags(0x20000)
CLONE_NEWCGROUP = CloneFlags(0x2000000)
CLONE_NEWUTS = CloneFlags(0x4000000)
CLONE_NEWIPC = CloneFlags(0x8000000)
CLONE_NEWUSER = CloneFlags(0x10000000)
CLONE_NEWPID = CloneFlags(0x20000000)
CLONE_NEWNET = CloneFlags(0x40000000)
CloneFlags.define(**{name: value for name, value in globals().items() if name.startswith("CLONE_")})

NAMESPACE_FLAGS = {
    "user": CLONE_NEWUSER,
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}
"""The OCI specification's names of the namespaces."""

NAMESPACE_FILES = {**{kind: kind for kind in NAMESPACE_FLAGS}, "mount": "mnt", "network": "net"}
"""Their names in /proc/PID/ns."""

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

SYS_CLONE3 = 435  # one number on every architecture, like all calls since Linux 5.1
SYS_PIDFD_OPEN = 434
SYS_RT_SIGACTION = {"x86_64": 13, "i686": 174, "armv7l": 174, "ppc64le": 173, "s390x": 174}.get(os.uname().machine, 134)

LIBC_SIGNALS = (32, 33)
"""The signals that the C library keeps to itself: its own sigaction refuses them, nptl(7)."""


class CloneArgs(ctypes.Structure):
    """struct clone_args, its second version (Linux 5.7)."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size",
        "tls", "set_tid", "set_tid_size", "cgroup")]  # fmt: skip


# os.fork holds the interpreter's locks over the fork and mends the child's state after it. A bare
# system call does not, so we make the same three calls; PyDLL keeps the interpreter lock meanwhile,
# and the child goes on as the thread that holds it.
_interpreter = ctypes.pythonapi
_raw = ctypes.PyDLL(None, use_errno=True)
_raw.syscall.restype = ctypes.c_long


@syscall
def clone3(flags: CloneFlags, cgroup: int = -1) -> tuple[int, int]:
    """Fork into new namespaces; (pid, pidfd) in the parent, (0, -1) in the child. clone3(2).

    `cgroup` is a descriptor of the cgroup v2 directory that the child is born in, or -1. The caller
    must be single-threaded, as for os.fork.
    """
    pidfd = ctypes.c_int(-1)
    args = CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd))
    args.exit_signal = 0 if flags & CLONE_PARENT else signal.SIGCHLD  # a sibling has ours
    if cgroup >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup
    number, pointer, size = ctypes.c_long(SYS_CLONE3), ctypes.byref(args), ctypes.c_size_t(ctypes.sizeof(args))
    _interpreter.PyOS_BeforeFork()
    pid = _raw.syscall(number, pointer, size)
    if pid == 0:
        _interpreter.PyOS_AfterFork_Child()
        return 0, -1
    _interpreter.PyOS_AfterFork_Parent()
    return check(pid), pidfd.value


@syscall
def unshare(flags: int) -> None:
    """Move this process into new namespaces: unshare(2)."""
    check(libc.unshare(ctypes.c_int(flags)))


@syscall
def setns(fd: int, kind: int) -> None:
    """Join the namespace that `fd` (a /proc/PID/ns file) refers to; `kind` is its CLONE_NEW* flag: setns(2)."""
    check(libc.setns(fd, ctypes.c_int(kind)))


def pidfd_open(pid: int) -> int:
    """A descriptor for the process `pid`: pidfd_open(2)."""
    return os.pidfd_open(pid)


@syscall
def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Send a signal to the process behind `pidfd`: pidfd_send_signal(2)."""
    signal.pidfd_send_signal(pidfd, number)


@syscall
def sethostname(name: str) -> None:
    """sethostname(2), in this process's uts namespace."""
    raw = os.fsencode(name)
    check(libc.sethostname(raw, len(raw)))


@syscall
def setdomainname(name: str) -> None:
    """setdomainname(2), in this process's uts namespace."""
    raw = os.fsencode(name)
    check(libc.setdomainname(raw, len(raw)))


@syscall
def setsid() -> None:
    """Become the leader of a new session, without a controlling terminal: setsid(2)."""
    os.setsid()


@syscall
def default_action(number: int) -> None:
    """Give a signal back its default action, even one of LIBC_SIGNALS: rt_sigaction(2), past the C library."""
    nothing = ctypes.create_string_buffer(64)  # SIG_DFL, no flags, empty mask
    check(libc.syscall(ctypes.c_long(SYS_RT_SIGACTION), number, nothing, None, ctypes.c_size_t(8)))


@syscall
def set_pdeathsig(number: int) -> None:
    """Have `number` sent to this process when its parent ends: PR_SET_PDEATHSIG(2const)."""
    prctl(PR_SET_PDEATHSIG, number)


@syscall
def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same uid may trace this process and look into its /proc files: PR_SET_DUMPABLE(2const)."""
    prctl(PR_SET_DUMPABLE, dumpable)


@syscall
def setresgid(rgid: int, egid: int, sgid: int) -> None:
    """setresgid(2)."""
    os.setresgid(rgid, egid, sgid)


@syscall
def setresuid(ruid: int, euid: int, suid: int) -> None:
    """setresuid(2)."""
    os.setresuid(ruid, euid, suid)


@syscall
def setgroups(groups: list[int]) -> None:
    """setgroups(2)."""
    os.setgroups(groups)


@syscall
def setrlimit(name: str, soft: int, hard: int) -> None:
    """setrlimit(2). `name` is RLIMIT_NOFILE and so on; -1 is unlimited."""
    resource.setrlimit(getattr(resource, name), (soft, hard))


@syscall
def execve(path: str, args: list[str], env: dict[str, str]) -> None:
    """execve(2). Returns only by raising KernelError."""
    os.execve(path, args, env)


@syscall
def execveat(fd: int, args: list[str], env: dict[str, str]) -> None:
    """execveat(2) of the file open at `fd`. Returns only by raising KernelError."""
    os.execve(fd, args, env)
