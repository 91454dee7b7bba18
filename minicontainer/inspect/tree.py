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
    """Empty, as the next two, if nothing is mounted there: after a chroot into a folder."""
    source: str
    options: str
    """Of the file system: with an overlay, its layers."""
    read_only: bool


@dataclass(frozen=True)
class Mount:
    """One mount that a process sees. In a copy of the mount namespace its `id` is another one."""

    id: int
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
    """The mounts that process `pid` sees, in mounting order; none of them, if it has been put into a folder."""
    try:
        os.stat(f"/proc/{pid}/mountinfo")
    except OSError:
        return None
    return [Mount(m.id, m.target, m.fstype, m.source, m.root, is_read_only(m)) for m in proc.mounts(pid)]


def root(pid: int) -> Root | None:
    """The root directory of process `pid`, and what is mounted there."""
    path, device, inode = "", None, None
    try:
        path, place = os.readlink(f"/proc/{pid}/root"), os.stat(f"/proc/{pid}/root/")
        device, inode = place.st_dev, place.st_ino
    except OSError:
        pass  # the mount may be seen all the same
    for mount in reversed(proc.mounts(pid)):
        if mount.target == "/":
            return Root(path, device, inode, mount.fstype, mount.source, mount.super_options, is_read_only(mount))
    return Root(path, device, inode, "", "", "", False) if path else None


def is_read_only(mount: proc.MountInfo) -> bool:
    """Whether nothing can be written there: for the mount's own sake, or for its file system's."""
    return "ro" in mount.options.split(",") or "ro" in mount.super_options.split(",")
