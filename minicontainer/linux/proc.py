"""Reading /proc: proc(5). Nothing here changes anything."""

from __future__ import annotations

import os


class MountInfo:
    """One line of /proc/PID/mountinfo."""

    __slots__ = ("fstype", "id", "options", "parent", "propagation", "root", "source", "super_options", "target")

    def __init__(self, line: str) -> None:
        left, right = line.rstrip("\n").split(" - ", 1)
        fields = left.split(" ")
        self.id, self.parent = int(fields[0]), int(fields[1])
        self.root, self.target = unescape(fields[3]), unescape(fields[4])
        self.options, self.propagation = fields[5], fields[6:]
        self.fstype, source, self.super_options = right.split(" ", 2)
        self.source = unescape(source)


def unescape(text: str) -> str:
    r"""Undo mountinfo's octal escapes (space, tab, newline, backslash)."""
    for code, char in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, char)
    return text


def read(path: str) -> str:
    """A whole file of /proc, without the newline at its end; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def mounts(pid: int | str = "self") -> list[MountInfo]:
    """The mounts that process `pid` sees, in mounting order."""
    return [MountInfo(line) for line in read(f"/proc/{pid}/mountinfo").splitlines()]


def start_time(pid: int) -> int:
    """When process `pid` started, in clock ticks after boot; 0 if there is none or it is a zombie.

    Together with the pid it names one process for good: pids are used again, pairs are not.
    """
    state = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(state[19]) if state and state[0] not in "ZX" else 0


def status(pid: int | str = "self") -> dict[str, str]:
    """/proc/PID/status as a dictionary."""
    return {
        key: value.strip() for key, _, value in (row.partition(":") for row in read(f"/proc/{pid}/status").splitlines())
    }


def namespace(pid: int | str, kind: str) -> int:
    """The inode number that identifies a namespace of `pid` (kind as in /proc/PID/ns); 0 if it cannot be read."""
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return 0


def filesystems() -> set[str]:
    """The file system types that the running kernel knows now."""
    return {row.split("\t")[-1] for row in read("/proc/filesystems").splitlines()}


def is_user_mode_linux() -> bool:
    """Whether this kernel is the lab's: User-Mode Linux, a kernel that is a program."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpus:
        return "User Mode Linux" in cpus.read(512)


def kernel_version() -> tuple[int, int]:
    """Major and minor number of the running kernel."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)
