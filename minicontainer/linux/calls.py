"""The gate between minicontainer and the kernel.

Every function in `minicontainer.linux` that changes something is marked `@syscall`. The mark does
two things. A failure becomes a `KernelError` that spells the call as `strace` would:

    mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC): EPERM (Operation not permitted)

And each call passes `observer`, when there is one, as a `Call` that has not run yet. The observer
runs it (`call.run()`), prints it, or only notes it down: narration, dry runs and the recording
kernel of the unit tests are all observers. So what is told is what is done, by construction.

    strace -f minicontainer run …       shows the same calls from the kernel's side
"""

from __future__ import annotations

import ctypes
import os

from minicontainer.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, Self, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


class Flags(int):
    """An integer that spells itself with the kernel's names: `MS_NOSUID|MS_NODEV`.

    A subclass a family of flags; `define` gives it its names. (enum.IntFlag does this too, for
    6 ms of import on the way to every container.)
    """

    names: dict[int, str] = {}

    @classmethod
    def define(cls, **values: int) -> None:
        cls.names = {value: name for name, value in values.items()}

    def __or__(self, other: int) -> Self:
        return type(self)(int(self) | other)

    def __repr__(self) -> str:
        bits = [name for value, name in self.names.items() if value and self & value == value]
        rest = int(self)
        for value in self.names:
            rest &= ~value
        return "|".join(bits + ([hex(rest)] if rest else [])) or "0"


class Call:
    """One kernel call, not made yet. `feature` is the isolation feature on whose behalf it is."""

    __slots__ = ("args", "feature", "function", "kwargs", "name")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name = function.__name__
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.feature = current_feature

    def __str__(self) -> str:
        named = [f"{name}={spell(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join([*map(spell, self.args), *named])})"

    def run(self) -> Any:
        """Make the call. Raises KernelError."""
        try:
            return self.function(*self.args, **self.kwargs)
        except OSError as error:
            raise KernelError(str(self), error.errno or 0) from None


observer: Callable[[Call], Any] | None = None
executed: Callable[[int], None] | None = None
"""Told by the parent how the one call went that no gate sees, the trampoline's execve: 0, or its errno."""
leaving: Callable[[], None] | None = None
"""Called by the container's first process when it fails before its exec, and will end."""
current_feature = ""


def syscall(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function as one kernel call."""

    def gate(*args: P.args, **kwargs: P.kwargs) -> Any:
        call = Call(function, args, kwargs)
        return call.run() if observer is None else observer(call)

    gate.__name__ = function.__name__
    gate.__doc__ = function.__doc__
    return gate


def spell(value: object) -> str:
    """An argument as strace would write it."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\n", "\\n") + '"'
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    return repr(value)


def check(result: int) -> int:
    """`result` as it is, or OSError with the thread's errno if it is negative."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def prctl(option: int, *values: int) -> int:
    """prctl(2), the call with a hundred meanings. (The package python-prctl names them all, for 1.5 ms of import.)"""
    return check(libc.prctl(option, *values, *(0,) * (4 - len(values))))


def encode(text: str | None) -> bytes | None:
    """A C string for libc, or NULL."""
    return None if text is None else os.fsencode(text)
