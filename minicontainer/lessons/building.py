"""A stand-in for the host, where everything may be broken: hostname, mounts, ipc and network of its own.

A learner's first mount without MS_PRIVATE takes the host's /proc away (mount_namespaces(7)), and an
attack on a missing uts wall renames the host. So checks and attacks run in here. It is the same
machine with the same files, processes and users; it goes when its last process ends.

    sudo lsns -t uts -t mnt       watch it
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from minicontainer.linux import proc
from minicontainer.linux.capability import capget, names
from minicontainer.linux.mount import (
    AT_FDCWD,
    AT_RECURSIVE,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    OPEN_TREE_CLOEXEC,
    mount,
    mount_setattr,
    open_tree,
)
from minicontainer.linux.process import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUTS, setns, unshare

IFF_UP, SIOCSIFFLAGS = 1, 0x8914  # netdevice(7)
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")

_hosts: list[dict[str, int]] = []


def namespaces(pid: int | str = "self") -> dict[str, int]:
    """The inode numbers of a process's namespaces, by kind; 0 for one that this kernel does not have."""
    return {kind: proc.namespace(pid, kind) for kind in KINDS}


def hosts() -> list[dict[str, int]]:
    """The namespaces of the host, and of the stand-in for it, if this process is in one."""
    return [*_hosts, namespaces()]


def allowed() -> bool:
    """Whether this process may make one: root, and not in a container that has taken its powers."""
    return os.geteuid() == 0 and "CAP_SYS_ADMIN" in names(capget()[0])


def enter() -> None:
    """Move this process into one, if it may. Its children are in there too."""
    if not allowed():
        return
    _hosts.append(namespaces())
    unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
    mount(None, "/", None, MS_PRIVATE | MS_REC)  # cut off from the host,
    mount(None, "/", None, MS_SHARED | MS_REC)  # but as systemd leaves a host: see what that does to a careless child
    loopback_up()


def protect(folder: str) -> None:
    """In a stand-in: make the host's files read-only, but those below `folder`, the devices and the kernel's own."""
    mount(folder, folder, None, MS_BIND)
    change = {MOUNT_ATTR_RDONLY: ["/"], 0: [folder, "/dev", "/proc", "/sys"]}
    for attribute, places in change.items():
        for place in filter(os.path.isdir, places):
            tree = open_tree(AT_FDCWD, place, OPEN_TREE_CLOEXEC)
            mount_setattr(tree, AT_RECURSIVE, set=attribute, clear=0 if attribute else MOUNT_ATTR_RDONLY)
            os.close(tree)


def join(pid: int) -> None:
    """Move this process into the one that process `pid` is in."""
    if not allowed():
        return
    kinds = {"uts": CLONE_NEWUTS, "ipc": CLONE_NEWIPC, "net": CLONE_NEWNET, "mnt": CLONE_NEWNS}
    doors = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds}
    folder = os.getcwd()
    for kind, door in doors.items():
        setns(door, kinds[kind])
    os.chdir(folder)  # a new mount namespace begins at its root


def loopback_up() -> None:
    """`ip link set lo up` in this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket.fileno(), SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
