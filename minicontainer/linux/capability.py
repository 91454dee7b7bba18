"""Capabilities: root's power in pieces. capabilities(7).

A process has five sets of them:

    effective    what the kernel asks for when the process wants something
    permitted    what it may make effective
    inheritable  what a program may bring over an exec, if its file asks for it
    ambient      what every program brings over an exec, without being root
    bounding     what no exec can give back once it is gone

What an exec makes of them depends on the user: a program of root's starts with the bounding set
permitted and effective, a program of anyone else's with the ambient set. (Files may carry
capabilities of their own, setcap(8); the bounding set limits those too.)

    grep Cap /proc/PID/status; getpcaps PID        watch it
"""

from __future__ import annotations

import ctypes

from minicontainer.errors import SpecError
from minicontainer.linux.calls import Flags, check, libc, prctl, syscall
from minicontainer.linux.proc import read

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""The position is the kernel's number."""


class CapabilitySet(Flags):
    """A set of capabilities as the kernel stores it: bit n is capability n."""


CapabilitySet.define(**{name: 1 << number for number, name in enumerate(NAMES)})
ALL = CapabilitySet((1 << 64) - 1)
NONE = CapabilitySet(0)


class Capability(int):
    """One capability's number, which spells itself with its name."""

    def __repr__(self) -> str:
        return NAMES[self] if self < len(NAMES) else super().__repr__()


# -- names --------------------------------------------------------------------------------------


def parse(name: str) -> CapabilitySet:
    """`CAP_NET_RAW`, `net_raw` or `ALL` as a set. Raises SpecError."""
    bare = name.upper().removeprefix("CAP_")
    if bare == "ALL":
        return supported()
    if "CAP_" + bare not in NAMES:
        raise SpecError(f"there is no capability {name!r}", "capabilities(7) lists them; ALL means all")
    return CapabilitySet(1 << NAMES.index("CAP_" + bare))


def names(capabilities: int) -> list[str]:
    """The names in a set, in the kernel's order."""
    return [name for number, name in enumerate(NAMES) if capabilities >> number & 1]


def last() -> int:
    """The running kernel's highest number. It may know more than we have names for, or fewer."""
    return int(read("/proc/sys/kernel/cap_last_cap") or len(NAMES) - 1)


def supported() -> CapabilitySet:
    """All that the running kernel knows."""
    return CapabilitySet((2 << last()) - 1)


# -- a process's own ----------------------------------------------------------------------------

LINUX_CAPABILITY_VERSION_3 = 0x20080522

PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4

_Header = ctypes.c_uint32 * 2  # struct __user_cap_header_struct: version, pid (0: this process)
_Data = ctypes.c_uint32 * 6  # struct __user_cap_data_struct, twice: effective, permitted, inheritable; low half first


def capget() -> tuple[CapabilitySet, CapabilitySet, CapabilitySet]:
    """This process's effective, permitted and inheritable set: capget(2)."""
    data = _Data()
    check(libc.capget(_Header(LINUX_CAPABILITY_VERSION_3, 0), data))
    effective, permitted, inheritable = (CapabilitySet(data[i] | data[i + 3] << 32) for i in range(3))
    return effective, permitted, inheritable


@syscall
def capset(effective: CapabilitySet, permitted: CapabilitySet, inheritable: CapabilitySet) -> None:
    """Replace the three sets of this process; what leaves `permitted` is gone for good: capset(2)."""
    low, high = ([half & 0xFFFFFFFF for half in (effective >> n, permitted >> n, inheritable >> n)] for n in (0, 32))
    check(libc.capset(_Header(LINUX_CAPABILITY_VERSION_3, 0), _Data(*low, *high)))


@syscall
def capbset_drop(capability: Capability) -> None:
    """Take one capability from the bounding set: PR_CAPBSET_DROP(2const)."""
    prctl(PR_CAPBSET_DROP, capability)


@syscall
def cap_ambient_clear_all() -> None:
    """Empty the ambient set: PR_CAP_AMBIENT(2const)."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


@syscall
def cap_ambient_raise(capability: Capability) -> None:
    """Add one to the ambient set; it must be permitted and inheritable: PR_CAP_AMBIENT(2const)."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


@syscall
def set_keepcaps(keep: bool) -> None:
    """Whether the permitted set outlives the change from root to another user: PR_SET_KEEPCAPS(2const).

    An exec turns it off again.
    """
    prctl(PR_SET_KEEPCAPS, keep)


@syscall
def set_no_new_privs() -> None:
    """No exec will give this process, or what it starts, more rights than it has: PR_SET_NO_NEW_PRIVS(2const)."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
