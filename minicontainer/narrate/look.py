"""What the kernel says about a process as a whole: files and links in its folder of /proc. proc(5)

They are read after each call that may have touched them, by the process itself as long as its /proc is the host's,
and by the narrator, from outside, after that. They say the same to both.
"""

from __future__ import annotations

import os

LONGEST = 1 << 16

NAMESPACES = tuple(
    f"ns/{kind}"
    for kind in ("user", "mnt", "pid", "pid_for_children", "net", "ipc", "uts", "cgroup", "time", "time_for_children")
)
PLACES = ("cwd", "root")
LINKS = {*NAMESPACES, *PLACES}
EVERYTHING = (*NAMESPACES, *PLACES, "mountinfo", "status", "stat")

TOUCHED: dict[str, tuple[str, ...]] = {
    "unshare": (*NAMESPACES, "status"),
    "setns": EVERYTHING,
    "mount": ("mountinfo",),
    "umount2": (*PLACES, "mountinfo"),
    "move_mount": ("mountinfo",),
    "mount_setattr": ("mountinfo",),
    "pivot_root": (*PLACES, "mountinfo"),
    "chroot": PLACES,
    "chdir": PLACES,
    "fchdir": PLACES,
    "setgroups": ("status",),
    "setresuid": ("status",),
    "setresgid": ("status",),
    "capset": ("status",),
    "capbset_drop": ("status",),
    "cap_ambient_raise": ("status",),
    "cap_ambient_clear_all": ("status",),
    "set_no_new_privs": ("status",),
    "seccomp_set_filter": ("status",),
    "setsid": ("stat",),
    "set_controlling_terminal": ("stat",),
}
"""Call -> what it may touch of that."""


def look(name: str, start: str = "", folder: int | None = None) -> str:
    """What the file `start` + `name` says, or where the link leads; empty if it cannot be read."""
    try:
        if name in LINKS:
            return os.readlink(start + name, dir_fd=folder)
        fd = os.open(start + name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return ""
    text = read(fd)
    os.close(fd)
    return text


def read(fd: int) -> str:
    """All that an open file of /proc says now. It comes in pieces."""
    data = b""
    try:
        while piece := os.pread(fd, LONGEST, len(data)):
            data += piece
    except OSError:
        pass  # the process has ended
    return data.decode("utf-8", "surrogateescape")
