"""The file calls that change something, each through the gate so that it can be told."""

from __future__ import annotations

import os
import stat

from minicontainer.linux.calls import check, libc, syscall


@syscall
def write_file(path: str, text: str) -> None:
    """Write `text` to an existing file in one write(2), as the files of /proc and cgroupfs want it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


@syscall
def mkdir(path: str, mode: int = 0o755, dir_fd: int | None = None) -> None:
    """mkdir(2)."""
    os.mkdir(path, mode, dir_fd=dir_fd)


@syscall
def rmdir(path: str) -> None:
    """rmdir(2)."""
    os.rmdir(path)


@syscall
def symlink(target: str, path: str, dir_fd: int | None = None) -> None:
    """symlink(2)."""
    os.symlink(target, path, dir_fd=dir_fd)


@syscall
def mknod(path: str, mode: int, device: int, dir_fd: int | None = None) -> None:
    """mknod(2). `mode` holds the type (stat.S_IFCHR, …) and the permissions, which the umask does not touch."""
    umask = os.umask(0)  # a chmod afterwards could meet a symbolic link in the node's place
    try:
        os.mknod(path, mode, device, dir_fd=dir_fd)
    finally:
        os.umask(umask)


@syscall
def chown(path: str, uid: int, gid: int) -> None:
    """chown(2), not following a symbolic link."""
    os.chown(path, uid, gid, follow_symlinks=False)


@syscall
def fchown(fd: int, uid: int, gid: int) -> None:
    """fchown(2). An id of -1 stays as it is."""
    os.fchown(fd, uid, gid)


@syscall
def chdir(path: str) -> None:
    """chdir(2)."""
    os.chdir(path)


@syscall
def fchdir(fd: int) -> None:
    """fchdir(2)."""
    os.fchdir(fd)


@syscall
def chroot(path: str) -> None:
    """chroot(2)."""
    os.chroot(path)


@syscall
def close_range(first: int, last: int, flags: int) -> None:
    """close_range(2) (Linux 5.9): close, or with CLOSE_RANGE_CLOEXEC mark, all descriptors from first to last."""
    check(libc.close_range(first, last, flags))


CLOSE_RANGE_CLOEXEC = 1 << 2
LAST_FD = 0xFFFFFFFF


def remove_tree(path: str) -> None:
    """Remove a directory and all below it; no error if it is not there. Never follows a symbolic link.

    Works on descriptors throughout: whoever else writes below `path` cannot lead it outside.
    """
    try:
        parent = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(parent, os.path.basename(path))
    finally:
        os.close(parent)


def _remove(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # EISDIR on Linux; EPERM if POSIX is taken at its word
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, flags, dir_fd=parent)
    try:
        for entry in os.listdir(fd):
            _remove(fd, entry)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
