"""Everything that can go wrong, as one tree.

    MinicontainerError            125   a cause and a remedy, on one line
    ├── UsageError                125   the command line contradicts itself
    ├── SpecError                 125   a container's description is invalid
    ├── StateError                125   no such container, name taken, wrong state
    ├── UnsupportedError          125   this kernel or this host cannot do what was asked
    ├── KernelError               125   a system call failed; knows the call and its errno
    ├── CommandNotExecutable      126   the program is in the container but cannot be run
    └── CommandNotFound           127   the program is not in the container

The number is the exit status of the command line, the same as `docker run`'s. A program that did
start and was ended by signal n gives 128+n; that is a result, not an error.

Each error crosses from the container's first process to its parent whole: `pack` and `unpack` turn it
into bytes and back. Those bytes may come from an impostor in the container, so they are data and no more:
JSON, where `marshal` or `pickle` would let them upset the interpreter that reads them.
"""

from __future__ import annotations

import errno as errno_module
import os

from minicontainer.hints import hint
from minicontainer.quickjson import line, parse


class MinicontainerError(Exception):
    """A failure with its cause and, where there is one, what the user can do about it."""

    exit_code = 125

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}" if self.remedy else self.cause


class UsageError(MinicontainerError):
    """Options or arguments that make no sense, alone or together."""


class SpecError(MinicontainerError):
    """A container description (OCI config.json) that is not valid."""


class StateError(MinicontainerError):
    """A container that does not exist, exists already, or is in the wrong state."""


class UnsupportedError(MinicontainerError):
    """Something asked for by name that this kernel or host does not offer."""


class KernelError(MinicontainerError):
    """A system call failed. `errno` is the number, `call` the call spelled with its arguments."""

    def __init__(self, call: str, errno: int, remedy: str = "") -> None:
        name = errno_module.errorcode.get(errno, str(errno))
        super().__init__(f"{call}: {name} ({os.strerror(errno)})", remedy or hint(call.partition("(")[0], errno))
        self.args = (call, errno, remedy)
        self.call = call
        self.errno = errno


class CommandNotExecutable(MinicontainerError):
    """The program exists but exec was refused: no x bit, a wrong format, a missing interpreter."""

    exit_code = 126


class CommandNotFound(MinicontainerError):
    """No such program below the container's root."""

    exit_code = 127


TREE = (MinicontainerError, UsageError, SpecError, StateError, UnsupportedError,
        KernelError, CommandNotExecutable, CommandNotFound)  # fmt: skip


LONGEST = 2000


def pack(error: BaseException) -> bytes:
    """The bytes that carry `error` over the hand-shake socket; anything foreign becomes a plain error."""
    if not isinstance(error, MinicontainerError):
        error = MinicontainerError(f"{type(error).__name__}: {error}")
    args = [arg[:LONGEST] if isinstance(arg, str) else arg for arg in error.args]
    return line([type(error).__name__, *args]).encode()


def unpack(data: bytes) -> MinicontainerError:
    """The error that `pack` made these bytes of."""
    try:
        name, *args = parse(data.decode())
        return next(kind for kind in TREE if kind.__name__ == name)(*args)
    except (ValueError, TypeError, RecursionError, StopIteration):
        return MinicontainerError(f"a process reported its failure with {len(data)} bytes that make no sense")
