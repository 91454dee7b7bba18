"""Filters that were compiled before. Compiling takes 40 ms, more than starting a container; this less than 1.

A file's name is a hash of everything that the program depends on. A file is believed only if nobody
else can have written it, and if it is whole: whoever could put a program here would take the wall down.
"""

from __future__ import annotations

import ctypes
import os
import stat
from _blake2 import blake2b  # `hashlib` takes 3 ms to import

from minicontainer.errors import UnsupportedError
from minicontainer.quickjson import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.spec import Seccomp

DIGEST_SIZE = 32
COMPILER = 1
"""To be raised with every change of what `compiler` makes."""


def load(seccomp: Seccomp, folders: list[str]) -> bytes:
    """The program for `seccomp`, from the first of `folders` that is ours alone, or compiled and put there.

    Raises SpecError, UnsupportedError.
    """
    key = digest(f"{COMPILER} {libseccomp_version()} {os.uname().machine} {line(seccomp.to_json())}".encode())
    for folder in folders:
        directory = _open_folder(folder)
        if directory < 0:
            continue
        try:
            program = _read(directory, key)
            if not program:
                program = _compile(seccomp)
                _write(directory, key, program)
            return program
        finally:
            os.close(directory)
    return _compile(seccomp)


def _compile(seccomp: Seccomp) -> bytes:
    from minicontainer.profiles.compiler import compile  # seldom needed

    return compile(seccomp)


def digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def libseccomp_version() -> tuple[int, ...]:
    """libseccomp's version: another one may know other calls."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise UnsupportedError("libseccomp is not installed", "install the package libseccomp2") from None
    library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    return tuple(library.seccomp_version().contents)


def _ours(fd: int, kind: int) -> bool:
    """Whether this is a file of that kind which nobody but us (and root) can write."""
    status = os.fstat(fd)
    return stat.S_IFMT(status.st_mode) == kind and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _open_folder(path: str) -> int:
    """A descriptor of the folder, made if missing; -1 if it cannot be had or is not ours."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    if _ours(fd, stat.S_IFDIR):
        return fd
    os.close(fd)
    return -1


def _read(directory: int, key: bytes) -> bytes:
    """The program under `key`, or nothing."""
    try:
        fd = os.open(key.hex(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        content = file.read() if _ours(fd, stat.S_IFREG) else b""
    seal, program = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    return program if seal == digest(key + program) else b""


def _write(directory: int, key: bytes, program: bytes) -> None:
    """Put the program under `key`, whole or not at all. It is only a cache: failures do not matter."""
    name = key.hex()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(name + ".new", flags, 0o600, dir_fd=directory), "wb") as file:
            file.write(digest(key + program) + program)
        os.rename(name + ".new", name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        return
