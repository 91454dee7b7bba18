"""Which namespaces a process is in: namespaces(7).

A namespace has no name, only the number of its inode in the kernel's nsfs. Two processes share one
if the numbers are equal.

    readlink /proc/PID/ns/*; lsns           watch it
"""

from __future__ import annotations

import fcntl
import os

from minicontainer.linux import proc

ISOLATES = {
    "mnt": "the tree of files",
    "pid": "process numbers",
    "net": "interfaces, ports, firewall",
    "uts": "host and domain name",
    "ipc": "shared memory, queues",
    "user": "user ids and capabilities",
    "cgroup": "the view of control groups",
    "time": "clocks since boot",
}
"""Each kind, as it is called in /proc/PID/ns, and what is a process's own in there."""

NS_GET_PARENT = 0xB702  # ioctl_ns(2)


def namespaces(pid: int | str = "self") -> dict[str, int | None]:
    """Kind -> inode number, None where it may not be seen."""
    return {kind: proc.namespace(pid, kind) or None for kind in ISOLATES if os.path.exists(f"/proc/self/ns/{kind}")}


def ancestors(pid: int, kind: str) -> list[int]:
    """The inode numbers of the namespace of `pid` and of those that it is nested in, as far as the reader may see.

    `kind` is pid or user, the two that nest.
    """
    found: list[int] = []
    try:
        fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return found
    while fd >= 0:
        found.append(os.fstat(fd).st_ino)
        try:
            above = fcntl.ioctl(fd, NS_GET_PARENT)
        except OSError:  # EPERM: the reader's own has been reached, and nothing outside it is shown
            above = -1
        os.close(fd)
        fd = above
    return found
