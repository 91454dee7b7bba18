"""Why a program cannot be executed: what execve(2) leaves unsaid.

The kernel has one errno for many causes. ENOENT can mean that the program is missing, or the
interpreter in a script's first line, or the loader that the program's ELF header names; ENOEXEC,
that the file is for another CPU, or is text without `#!`. Here we look at the file itself, elf(5),
from outside of the container. Links are followed as the container would, never out of its root.

    file ROOTFS/bin/sh; readelf -h -l ROOTFS/bin/sh; head -1 SCRIPT | od -c
"""

from __future__ import annotations

import errno as errno_module
import os
import stat
import struct

from minicontainer.errors import CommandNotExecutable, CommandNotFound, MinicontainerError

ENOENT, ENOTDIR, ELOOP, EACCES = errno_module.ENOENT, errno_module.ENOTDIR, errno_module.ELOOP, errno_module.EACCES

BUILD = "`minicontainer rootfs build {}` makes one"
REBUILD = "`minicontainer rootfs build` makes a root filesystem for this machine"
LINKS = 40  # as many as the kernel follows
SCRIPTS = 4  # as many interpreters that are scripts themselves
HEADER = 4096  # bytes of a program that are read: the kernel itself looks at 256 of a script
SHELLS = ("bash", "zsh", "dash", "ash", "fish", "ksh")

MACHINES = {2: "SPARC", 3: "i386", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390", 40: "ARM", 43: "SPARC 64",
            50: "Itanium", 62: "x86-64", 183: "ARM64", 243: "RISC-V", 258: "LoongArch"}  # fmt: skip
"""e_machine of elf(5) -> the name people use."""

RUNS = {"x86_64": (62, 3), "i686": (3,), "aarch64": (183, 40), "armv7l": (40,), "ppc64le": (21,), "ppc64": (21, 20),
        "s390x": (22,), "riscv64": (243,), "loongarch64": (258,)}  # fmt: skip
"""What uname(2) calls this machine -> the e_machine values that it executes, its own first."""

PT_INTERP = 3


def check_root(root: str) -> None:
    """Raise MinicontainerError if the folder `root` cannot be a container's root: missing, no folder, or empty."""
    try:
        entries = os.listdir(root)
    except FileNotFoundError:
        raise MinicontainerError(f"the root filesystem {show(root)} does not exist", BUILD.format(show(root))) from None
    except NotADirectoryError:
        raise MinicontainerError(f"{show(root)} is not a folder", "give the folder of a root filesystem") from None
    except PermissionError:
        raise MinicontainerError(f"you may not read the root filesystem {show(root)}", "use sudo") from None
    if not entries:
        raise MinicontainerError(f"the root filesystem {show(root)} is empty", BUILD.format(show(root)))


def explain_exec(root: str, program: str, errno: int, path: str, cwd: str = "/") -> MinicontainerError:
    """The error that says why executing `program` in the container with root `root` failed or would fail.

    `root` is the root's path as the caller sees it, `program` the word that was typed, `path` the
    container's PATH, `cwd` its working directory, `errno` what execve gave (0: not tried).
    """
    try:
        check_root(root)
    except MinicontainerError as error:
        return error
    if not program:
        return CommandNotFound("the command is an empty word", "name a program")
    names = [program] if "/" in program else [f"{folder or '.'}/{program}" for folder in path.split(":")]
    found = [name for name in (os.path.join(cwd, name) for name in names) if _exists(root, name, even_dangling=True)]
    if found:  # as execvp(3) does: past a folder or a plain file of that name, if a program comes later
        name = next((name for name in found if _executable(root, name)), found[0])
        return _cause(root, name, errno, 0) or _unknown(name, errno)
    if errno in (0, ENOENT, ENOTDIR):
        return _missing(root, program, path)
    return _unknown(program, errno)  # on a volume, perhaps, which cannot be seen from here


def _cause(root: str, name: str, errno: int, depth: int) -> MinicontainerError | None:
    """What is wrong with the file at the container's path `name`; None if nothing can be seen."""
    try:
        file = follow(root, name)
    except OSError as error:
        return _bad_link(root, name, error.errno)
    mode = os.lstat(file).st_mode
    if stat.S_ISDIR(mode):
        return CommandNotExecutable(f"{show(name)} is a folder, not a program")
    if not stat.S_ISREG(mode):
        return CommandNotExecutable(f"{show(name)} is not an ordinary file")
    if not mode & 0o111:
        return CommandNotExecutable(f"{show(name)} is not marked as executable", f"chmod +x {show(file)}")
    try:
        header = _head(file)
    except OSError as error:
        return CommandNotExecutable(f"{show(name)} cannot be read: {os.strerror(error.errno or 0)}")
    if header.startswith(b"\x7fELF"):
        return _elf_cause(root, name, header, errno)
    if header.startswith(b"#!"):
        return _script_cause(root, name, header, errno, depth)
    return _no_format(name, header)


def _bad_link(root: str, name: str, errno: int | None) -> MinicontainerError | None:
    """`name` is a link that leads nowhere."""
    if errno == ELOOP:
        return CommandNotExecutable(f"{show(name)} is a link that leads in a circle")
    try:
        target = os.readlink(os.path.join(follow(root, os.path.dirname(name)), os.path.basename(name)))
    except OSError:
        return None
    return CommandNotFound(f"{show(name)} is a link to {show(target)}, which is not in the container", REBUILD)


def _elf_cause(root: str, name: str, header: bytes, errno: int) -> MinicontainerError | None:
    """A program for another CPU, or one whose loader is missing."""
    try:
        machine, loader = parse_elf(header)
    except (struct.error, IndexError):
        return CommandNotExecutable(f"{show(name)} is cut off or damaged: its ELF header is not whole", REBUILD)
    here = RUNS.get(os.uname().machine, (machine,))
    if machine not in here and errno != ENOENT:  # ENOENT: an emulator takes it, so look further
        theirs, ours = (MACHINES.get(number, f"machine number {number}") for number in (machine, here[0]))
        return CommandNotExecutable(f"{show(name)} is a program for {theirs}, this machine is {ours}", REBUILD)
    if loader and not _exists(root, loader):
        return CommandNotFound(
            f"{show(name)} needs the loader {show(loader)}, which is not in the container",
            "copy it there with the libraries that `ldd` names, or use a static program",
        )
    return None


def _script_cause(root: str, name: str, header: bytes, errno: int, depth: int) -> MinicontainerError | None:
    """A script whose interpreter is missing or cannot be executed either."""
    line = os.fsdecode(header[2:].split(b"\n")[0]).strip(" \t")
    if line.endswith("\r"):
        return CommandNotFound(
            f"the first line of {show(name)} ends as on Windows, so its interpreter would be {line.split(' ')[-1]!r}",
            f"sed -i 's/\\r$//' {show(os.path.basename(name))}",
        )
    if not line:
        return CommandNotExecutable(f"the first line of {show(name)} is `#!` without an interpreter", "add /bin/sh")
    interpreter = line.split()[0]
    if not _exists(root, interpreter):
        return CommandNotFound(
            f"{show(name)} is a script for {show(interpreter)}, which is not in the container",
            "install it there, or correct the script's first line",
        )
    if depth == SCRIPTS:
        return CommandNotExecutable(f"{show(name)} is a script whose interpreter is a script, and so on in a circle")
    return _cause(root, interpreter, errno, depth + 1)


def _no_format(name: str, header: bytes) -> MinicontainerError:
    """Neither ELF nor `#!`: the kernel does not know what to do with it."""
    if not header:
        return CommandNotExecutable(f"{show(name)} is an empty file")
    if b"\0" in header:
        return CommandNotExecutable(f"{show(name)} is not a program for Linux: it does not begin as ELF files do")
    return CommandNotExecutable(
        f"{show(name)} is text without `#!` in its first line", f"add `#!/bin/sh`, or run `/bin/sh {show(name)}`"
    )


def _missing(root: str, program: str, path: str) -> MinicontainerError:
    """There is no such program; or no program at all, in a root that nobody has filled."""
    if not any(_programs(root, folder) for folder in (*path.split(":"), "/bin", "/usr/bin")):
        return CommandNotFound(
            f"the root filesystem {show(root)} holds no programs yet",
            f"fill it: `make rootfs`, or `minicontainer rootfs build {show(root)}`",
        )
    remedy = "see what is there with `ls /bin`"
    if os.path.basename(program) in SHELLS and _exists(root, "/bin/sh"):
        remedy = "try /bin/sh"
    where = "" if "/" in program else f" (looked in {show(path)})"
    return CommandNotFound(f"{show(program)} is not in the container{where}", remedy)


def _programs(root: str, folder: str) -> bool:
    """Whether the container's `folder` holds anything that could be a program."""
    try:
        return any(not name.startswith(".") for name in os.listdir(follow(root, folder or "/")))
    except OSError:
        return False


def _unknown(name: str, errno: int) -> MinicontainerError:
    """The kernel's own word for it."""
    reason = os.strerror(errno) if errno else "nothing is wrong with it that could be seen from outside"
    remedy = "look for a `noexec` mount and for folders above it that this user may not enter"
    return CommandNotExecutable(f"{show(name)} cannot be executed: {reason}", remedy if errno == EACCES else "")


def _exists(root: str, name: str, even_dangling: bool = False) -> bool:
    """Whether the container has `name`; with `even_dangling` a link to nowhere counts too."""
    try:
        if even_dangling:
            os.lstat(os.path.join(follow(root, os.path.dirname(name)), os.path.basename(name)))
        else:
            follow(root, name)
    except OSError:
        return False
    return True


def _executable(root: str, name: str) -> bool:
    """Whether it is an ordinary file with an x bit."""
    try:
        mode = os.lstat(follow(root, name)).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _head(file: str) -> bytes:
    """The beginning of a file, without ever following a link or waiting for a pipe's other end."""
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, HEADER)
    finally:
        os.close(fd)


def follow(root: str, name: str) -> str:
    """The path, as the caller sees it, of what `name` means to a process whose root is `root`.

    Symbolic links are followed, `..` stops at the root. Raises OSError (ENOENT, ENOTDIR, ELOOP) as
    the kernel would.
    """
    done: list[str] = []
    todo = name.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        here = os.path.join(root, *done, part)
        mode = os.lstat(here).st_mode
        if stat.S_ISLNK(mode):
            links += 1
            if links > LINKS:
                raise OSError(ELOOP, os.strerror(ELOOP), name)
            target = os.readlink(here)
            if target.startswith("/"):
                done.clear()
            todo += target.split("/")[::-1]
        elif todo and not stat.S_ISDIR(mode):
            raise OSError(ENOTDIR, os.strerror(ENOTDIR), name)
        else:
            done.append(part)
    return os.path.join(root, *done)


def parse_elf(header: bytes) -> tuple[int, str]:
    """The machine number and the loader (PT_INTERP; empty if static) of an ELF file that begins with `header`.

    elf(5). Raises struct.error or IndexError if the header is not whole.
    """
    order = {1: "<", 2: ">"}.get(header[5], "<")
    wide = header[4] == 2  # EI_CLASS: 64 bits
    (machine,) = struct.unpack_from(order + "H", header, 18)
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), header, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", header, 54 if wide else 42)
    for at in range(table, table + size * count, size or 1):
        (kind,) = struct.unpack_from(order + "I", header, at)
        if kind == PT_INTERP:
            (offset,) = struct.unpack_from(order + ("Q" if wide else "I"), header, at + (8 if wide else 4))
            (length,) = struct.unpack_from(order + ("Q" if wide else "I"), header, at + (32 if wide else 16))
            return machine, os.fsdecode(header[offset : offset + length].split(b"\0")[0])
    return machine, ""


def show(text: str) -> str:
    """A name as it is, unless it has characters that a terminal would obey."""
    return text if text.isprintable() else repr(text)
