"""Mounting: mount(2), umount2(2), pivot_root(2), and the calls of Linux 5.2 that work on descriptors.

The older call takes paths, so whoever can swap a symbolic link on the way decides where the mount
lands. The newer ones hold a mount in a descriptor before it is anywhere: `open_tree` takes a copy of
an existing one, `mount_setattr` changes it, `move_mount` attaches it to a place held by another
descriptor.

    cat /proc/self/mountinfo; findmnt       watch it
"""

from __future__ import annotations

import ctypes

from minicontainer.linux.calls import Flags, check, encode, libc, syscall


class MountFlags(Flags):
    """Flags of mount(2)."""


MS_RDONLY = MountFlags(0x1)
MS_NOSUID = MountFlags(0x2)
MS_NODEV = MountFlags(0x4)
MS_NOEXEC = MountFlags(0x8)
MS_SYNCHRONOUS = MountFlags(0x10)
MS_REMOUNT = MountFlags(0x20)
MS_MANDLOCK = MountFlags(0x40)
MS_DIRSYNC = MountFlags(0x80)
MS_NOSYMFOLLOW = MountFlags(0x100)
MS_NOATIME = MountFlags(0x400)
MS_NODIRATIME = MountFlags(0x800)
MS_BIND = MountFlags(0x1000)
MS_MOVE = MountFlags(0x2000)
MS_REC = MountFlags(0x4000)
MS_UNBINDABLE = MountFlags(0x20000)
MS_PRIVATE = MountFlags(0x40000)
MS_SLAVE = MountFlags(0x80000)
MS_SHARED = MountFlags(0x100000)
MS_RELATIME = MountFlags(0x200000)
MS_STRICTATIME = MountFlags(0x1000000)
MountFlags.define(**{name: value for name, value in globals().items() if name.startswith("MS_")})


class UmountFlags(Flags):
    """Flags of umount2(2)."""


MNT_DETACH = UmountFlags(2)
UMOUNT_NOFOLLOW = UmountFlags(8)
UmountFlags.define(MNT_DETACH=2, UMOUNT_NOFOLLOW=8)


class TreeFlags(Flags):
    """Flags of open_tree(2)."""


OPEN_TREE_CLONE = TreeFlags(1)
OPEN_TREE_CLOEXEC = TreeFlags(0o2000000)
AT_EMPTY_PATH = TreeFlags(0x1000)
AT_RECURSIVE = TreeFlags(0x8000)
TreeFlags.define(OPEN_TREE_CLONE=1, OPEN_TREE_CLOEXEC=0o2000000, AT_EMPTY_PATH=0x1000, AT_RECURSIVE=0x8000)


class AttrFlags(Flags):
    """Attributes of a mount: mount_setattr(2)."""


MOUNT_ATTR_RDONLY = AttrFlags(0x1)
MOUNT_ATTR_NOSUID = AttrFlags(0x2)
MOUNT_ATTR_NODEV = AttrFlags(0x4)
MOUNT_ATTR_NOEXEC = AttrFlags(0x8)
MOUNT_ATTR_ATIME = AttrFlags(0x70)
MOUNT_ATTR_NOATIME = AttrFlags(0x10)
MOUNT_ATTR_STRICTATIME = AttrFlags(0x20)
MOUNT_ATTR_NODIRATIME = AttrFlags(0x80)
MOUNT_ATTR_IDMAP = AttrFlags(0x100000)
MOUNT_ATTR_NOSYMFOLLOW = AttrFlags(0x200000)
AttrFlags.define(**{name: value for name, value in globals().items() if name.startswith("MOUNT_ATTR_")})

AT_FDCWD = -100
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442


@syscall
def mount(source: str | None, target: str, fstype: str | None, flags: int = 0, data: str | None = None) -> None:
    """Mount, remount, bind or change propagation: mount(2)."""
    check(libc.mount(encode(source), encode(target), encode(fstype), ctypes.c_ulong(flags), encode(data)))


@syscall
def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    check(libc.umount2(encode(target), ctypes.c_int(flags)))


@syscall
def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace and attach the old one at `put_old`: pivot_root(2)."""
    check(libc.pivot_root(encode(new_root), encode(put_old)))


@syscall
def open_tree(dir_fd: int, path: str, flags: int) -> int:
    """A descriptor of the mount at `path`; with OPEN_TREE_CLONE of a copy that is attached nowhere: open_tree(2)."""
    return check(libc.syscall(ctypes.c_long(SYS_OPEN_TREE), dir_fd, encode(path), ctypes.c_uint(flags)))


@syscall
def move_mount(tree: int, target: int) -> None:
    """Attach the mount held by `tree` at the place held by the descriptor `target`: move_mount(2)."""
    flags = ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
    check(libc.syscall(ctypes.c_long(SYS_MOVE_MOUNT), tree, b"", target, b"", flags))


class MountAttr(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


@syscall
def mount_setattr(tree: int, flags: int, set: int = 0, clear: int = 0, propagation: int = 0, userns: int = 0) -> None:
    """Change attributes of the mount held by `tree`; with AT_RECURSIVE also below it: mount_setattr(2), Linux 5.12.

    `set` and `clear` are MOUNT_ATTR_*, `propagation` one of MS_PRIVATE, MS_SLAVE, …; with
    MOUNT_ATTR_IDMAP `userns` is the user namespace whose map the files' owners go through.
    """
    attr = MountAttr(attr_set=set, attr_clr=clear, propagation=propagation, userns_fd=userns)
    call, size = ctypes.c_long(SYS_MOUNT_SETATTR), ctypes.c_size_t(ctypes.sizeof(attr))
    check(libc.syscall(call, tree, b"", ctypes.c_uint(flags | AT_EMPTY_PATH), ctypes.byref(attr), size))
