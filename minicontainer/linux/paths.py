"""Names below a root that may be hostile, resolved by the kernel: openat2(2), Linux 5.6.

A container's files may hold any symbolic link, and another process may swap one while we look. So a
path is never checked and then used: it is opened once, with RESOLVE_IN_ROOT, which takes `/` and `..`
as ending at the root's descriptor, and the descriptor is what gets mounted on, read or made below.
"""

from __future__ import annotations

import ctypes
import errno
import os

from minicontainer.errors import KernelError, SpecError
from minicontainer.linux.calls import Flags, check, libc, syscall
from minicontainer.linux.files import mkdir

SYS_OPENAT2 = 437
MOST_LINKS = 40  # as many as the kernel follows


class ResolveFlags(Flags):
    """How a path may be resolved: openat2(2)."""


RESOLVE_NO_MAGICLINKS = ResolveFlags(0x02)
RESOLVE_NO_SYMLINKS = ResolveFlags(0x04)
RESOLVE_IN_ROOT = ResolveFlags(0x10)
ResolveFlags.define(RESOLVE_NO_MAGICLINKS=0x02, RESOLVE_NO_SYMLINKS=0x04, RESOLVE_IN_ROOT=0x10)


class OpenHow(ctypes.Structure):
    """struct open_how."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


@syscall
def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open `path` with `dir_fd` as its root: openat2(2). The descriptor is close-on-exec."""
    how = OpenHow(flags=flags | os.O_CLOEXEC, mode=mode, resolve=resolve | RESOLVE_NO_MAGICLINKS)
    call, size = ctypes.c_long(SYS_OPENAT2), ctypes.c_size_t(ctypes.sizeof(how))
    while True:
        try:
            return check(libc.syscall(call, dir_fd, os.fsencode(path), ctypes.byref(how), size))
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a rename elsewhere made the kernel unsure; it asks to try again
                raise


def open_in(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Open `path` below the directory `root`; symbolic links are followed, but never out of it."""
    return openat2(root, path, flags)


def exists_in(root: int, path: str) -> bool:
    """Whether `path` leads to something below `root`."""
    try:
        os.close(open_in(root, path))
    except KernelError:
        return False
    return True


def make_in(root: int, path: str, directory: bool, links: int = MOST_LINKS) -> int:
    """An O_PATH descriptor of `path` below `root`, made with the directories above it if need be.

    What is made is a directory or an empty file; what exists is taken as it is. Of a symbolic link that
    leads to nothing the target is made: an image's /etc/resolv.conf is often one.
    """
    try:
        return open_in(root, path)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise SpecError(f"{path!r} cannot be made below the container's root", "name a plain path")
    above = make_in(root, parent or "/", True, links)
    try:
        if directory:
            mkdir(name, 0o755, above)
        else:  # with O_EXCL: what another may put there meanwhile, a pipe perhaps, is not opened
            os.close(openat2(above, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
        if (target := link_at(above, name)) and links:
            return make_in(root, os.path.join(parent or "/", target), directory, links - 1)
    finally:
        os.close(above)
    return open_in(root, path)


def link_at(folder: int, name: str) -> str:
    """What the symbolic link `name` says; empty if it is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return ""
