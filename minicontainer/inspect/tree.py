"""A process's root directory and its mounts: mount_namespaces(7), chroot(2).

findmnt --task PID; ls -di /proc/PID/root/      watch it
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from minicontainer.linux import proc

KERNELS_OWN = ("/proc", "/sys", "/dev")
"""Where every tree has mounts of the kernel's own file systems."""


@dataclass(frozen=True)
class Root:
    """The directory that a process calls `/`."""

    path: str
    """As the kernel names it: `/`, or below it after a chroot."""
    device: int | None
    inode: int | None
    """Both None where the reader may not look into it."""
    fstype: str
    source: str
    options: str
    """Of the file system: with an overlay, its layers."""
    read_only: bool


@dataclass(frozen=True)
class Mount:
    """One mount that a process sees."""

    target: str
    fstype: str
    source: str
    part: str
    """The directory or file of the file system that is shown here; `/` if it is all of it."""
    read_only: bool

    @property
    def place(self) -> str:
        """The place of the kernel's own that it is in, or empty: /proc of /proc/sys."""
        return next((top for top in KERNELS_OWN if f"{self.target}/".startswith(f"{top}/")), "")

    @property
    def masks(self) -> bool:
        """Whether it hides a file or folder in /proc or /sys: under the null device, or an empty tmpfs."""
        below = self.place in ("/proc", "/sys") and self.target != self.place
        return below and (self.part == "/null" or (self.fstype == "tmpfs" and self.read_only))

    @property
    def locks(self) -> bool:
        """Whether it makes a part of /proc or /sys read-only."""
        return self.read_only and self.fstype in ("proc", "sysfs") and self.target != self.place


def mounts(pid: int) -> list[Mount] | None:
    """The mounts that process `pid` sees, in mounting order."""
    found = [
        Mount(m.target, m.fstype, m.source, m.root, "ro" in m.options.split(",") or "ro" in m.super_options.split(","))
        for m in proc.mounts(pid)
    ]
    return found or None


def root(pid: int) -> Root | None:
    """The root directory of process `pid`, and what is mounted there."""
    top = next((m for m in reversed(proc.mounts(pid)) if m.target == "/"), None)
    if top is None:
        return None
    path, device, inode = "", None, None
    try:
        path, place = os.readlink(f"/proc/{pid}/root"), os.stat(f"/proc/{pid}/root/")
        device, inode = place.st_dev, place.st_ino
    except OSError:
        pass
    read_only = "ro" in top.options.split(",") or "ro" in top.super_options.split(",")
    return Root(path, device, inode, top.fstype, top.source, top.super_options, read_only)
