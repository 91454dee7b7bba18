"""The runtime's end of the line to the narrator: an observer at the gate of `linux/calls.py`.

A message holds records; a record is its kind, the number of its fields, and these, with a zero byte between
them all, which no argument of a system call can hold:

    A  error  result  as-is  call  feature  (name  as-spelled  as-is)…     a call, made
    Q  the same                                                            where nobody has to look
    B  call  feature  (name  as-spelled  as-is)…                           about to be made
    X  errno                     the trampoline's execve: done (0), or failed
    N  + a descriptor            a new process, and the narrator's end of its own line
    L                            this process ends
    E                            the end of all

A message is answered by one byte when the narrator has looked; so nothing has moved on meanwhile. Most calls are
told after them, as how things were before is known from the call before; those in BOTH are told twice, those in
ALONE with the next one, for to wake a process takes longer than most calls.
Names that begin with `<` or `>` are no arguments but facts from before and after, see `inside`.
"""

from __future__ import annotations

import errno
import os
import struct

from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.linux import calls
from minicontainer.linux.process import CLONE_NEWNS
from minicontainer.narrate.inside import FACTS
from minicontainer.quickjson import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from typing import Any

    from minicontainer.linux.calls import Call
else:
    import _socket as socket

DESCRIPTORS = {"dir_fd", "fd", "target", "pidfd", "master", "cgroup", "group", "program", "userns"}
"""Parameters that are descriptors, where they are numbers. (Of a mount held by `tree` the narrator knows more.)"""

PROC_FD = "/proc/self/fd/"
BEFORE, AFTER, QUIET, EXECUTED, NEW, LEAVING, END = "B", "A", "Q", "X", "N", "L", "E"
GO, STOP = b"g", b"s"
LONGEST = 1 << 13
"""An argument's characters. A message is received whole, into 64 KB."""

BOTH = {
    "clone3", "execve", "execveat", "run", "try_run", "close_range", "cap_ambient_clear_all",
}  # fmt: skip
"""Told before, too: nobody is to overtake them, they do not return, or how things are before has to be looked at."""

ALONE = {*FACTS, "default_action", "openat2", "open_tree"} - {"mount_setattr", "set_pdeathsig"}
"""Nobody has to look: they come with their facts, or only open a descriptor. (A helper is killed after its last.)"""


class Observer:
    """Makes each call and tells of it. `fd` is our end of the line; with `step` leave is asked for each."""

    def __init__(self, fd: int, step: bool) -> None:
        self.fd = fd
        self.step = step
        self.newborn = False
        self.owed = 0
        self.kept: list[str] = []  # records that go with the next message
        self.may_keep = not step
        self.detached: set[int] = set()
        self.moved = False  # to another root
        os.register_at_fork(after_in_child=self._born)

    def __call__(self, call: Call) -> Any:
        if self.newborn:
            self._open_own_line()
        name, facts = call.name, FACTS.get(call.name, nothing)
        said = [name, call.feature, *arguments(call, self._link), *facts("<", call)]
        if self.step or name in BOTH:
            self.tell(BEFORE, *said)
        try:
            result = call.run()
        except BaseException as error:
            self.tell_of(name in ALONE, *problem(error), *said, *facts(">", call))
            raise
        if self.newborn:  # the child's side of clone3; its parent tells of it
            return result
        outcome = ("", *spell_result(call, result, self._link), *said, *facts(">", call))
        self._note(call, result)
        self.tell_of(name in ALONE or (name == "mount_setattr" and call.args[0] in self.detached), *outcome)
        return result

    def tell_of(self, alone: bool, *outcome: str) -> None:
        """Tell of a call that has been made, now or with the next one."""
        if alone and self.may_keep:
            self.keep(QUIET, *outcome)
        else:
            self.tell(AFTER, *outcome)

    def _link(self, number: str) -> str:
        """Where our descriptor leads, as `</path>`; empty if it is no file, or if this /proc may be the container's."""
        try:
            path = "" if self.moved else os.readlink(PROC_FD + number)
        except OSError:
            return ""
        return f"<{path}>" if path.startswith("/") else ""

    def _note(self, call: Call, result: Any) -> None:
        """Remember which descriptors hold mounts that are attached nowhere: to change those changes no mount table."""
        if call.name == "open_tree":
            self.detached.add(result)
        elif call.name in ("openat2", "move_mount"):
            self.detached.discard(result if call.name == "openat2" else call.args[0])
        self.moved = self.moved or moves(call)
        self.may_keep = self.may_keep and call.name != "clone3"  # from now on two tell

    def executed(self, number: int) -> None:
        """The program that the child's trampoline was to execute has started, or failed with this errno."""
        self.tell(EXECUTED, str(number))

    def finish(self) -> str:
        """Wait until all is written. What went wrong with that, or an empty string."""
        self.keep(END)
        answer = self._answer() if self._send() else b""
        os.close(self.fd)
        return answer[1:].decode() if answer else "the narrator ended early"

    def keep(self, kind: str, *fields: str) -> None:
        """Have a record go with the next message."""
        self.kept += (kind, str(len(fields)), *fields)

    def tell(self, kind: str, *fields: str) -> None:
        """Send a record and wait for the answer. Raises MinicontainerError if the reader wants no more."""
        self.keep(kind, *fields)
        if self._send() and self._answer() == STOP:
            raise MinicontainerError(f"stopped before {fields[0]}, as you wished")

    def leave(self) -> None:
        """This process ends; nothing is to be lost."""
        if self.kept:
            self.tell(LEAVING)

    def _send(self) -> bool:
        """Send what is kept; whether somebody listens."""
        message, self.kept = "\0".join(self.kept).encode("utf-8", "surrogateescape"), []
        try:
            return os.write(self.fd, message) > 0
        except OSError:
            return False

    def _answer(self) -> bytes:
        self.owed += 1
        answer = b""
        try:
            while self.owed:  # more than one, if an interrupt came while we waited
                answer = os.read(self.fd, LONGEST)
                self.owed -= 1
        except OSError:
            pass
        return answer

    def _born(self) -> None:
        """This is a new process now: its parent's line is not for it."""
        self.newborn = True

    def _open_own_line(self) -> None:
        """Send one end of a new line over the inherited one; the kernel notes on it who we are."""
        self.newborn, self.owed, self.kept, self.may_keep = False, 0, [], not self.step
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited = socket.socket(fileno=self.fd)
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", theirs.fileno()))
            inherited.sendmsg([NEW.encode()], [rights])
        except OSError:
            pass  # nobody listens any more
        inherited.close()
        theirs.close()
        self.fd = ours.detach()
        self._answer()  # when it has looked at us


def nothing(mark: str, call: Call) -> tuple[str, ...]:
    """No facts."""
    return ()


def moves(call: Call) -> bool:
    """Whether the process has another root afterwards, and so perhaps another /proc."""
    return call.name in ("pivot_root", "chroot") or (call.name == "setns" and call.args[1] in (0, CLONE_NEWNS))


# -- spelling -----------------------------------------------------------------------------------


def arguments(call: Call, link: Callable[[str], str]) -> Iterator[str]:
    """Three fields an argument: its name (with `=` before it if it is to be shown), as spelled, as is."""
    code = call.function.__code__
    names, count = code.co_varnames, code.co_argcount
    given = [(names[min(number, count)] if number >= count else names[number], v) for number, v in enumerate(call.args)]
    given += [("=" + name, value) for name, value in call.kwargs.items()]
    defaults = call.function.__defaults__ or ()
    for name, value in zip(names[count - len(defaults) : count], defaults, strict=True):
        if value and value != -1 and name not in call.kwargs and names.index(name) >= len(call.args):
            given.append(("=" + name, value))
    for name, value in given:
        yield name
        yield spell(value)[:LONGEST].replace("\0", "\ufffd") + where(call, name, value, link)
        yield as_is(value)


def where(call: Call, name: str, value: Any, link: Callable[[str], str]) -> str:
    """Where an argument leads that is a descriptor, or the name of one."""
    if isinstance(value, int):
        return link(str(value)) if name.lstrip("=") in DESCRIPTORS else ""
    return link(value.removeprefix(PROC_FD)) if call.name == "mount" and str(value).startswith(PROC_FD) else ""


def as_is(value: Any) -> str:
    if isinstance(value, list):
        return line(value)
    return str(int(value)) if isinstance(value, int) else value if isinstance(value, str) else ""


def spell(value: Any) -> str:
    """As `calls.spell`, and lists and environments as C would write them; of a variable only the name."""
    if isinstance(value, list):
        return f"[{', '.join(map(calls.spell, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(value)}}}"
    return calls.spell(value)


def spell_result(call: Call, result: Any, link: Callable[[str], str]) -> tuple[str, str]:
    """What the call returned, for readers and as a number."""
    if call.name == "openat2":
        return f"{result}{link(str(result))}", str(result)
    if isinstance(result, tuple):  # clone3
        return f"{result[0]} (pidfd {result[1]})", str(result[0])
    return ("0", "0") if result is None else (str(result), str(int(result)))


def problem(error: BaseException) -> tuple[str, str, str]:
    """Why it failed, with the name of its errno, if it has one."""
    if isinstance(error, KernelError):
        name = errno.errorcode.get(error.errno, str(error.errno))
        return name, f"{name} ({os.strerror(error.errno)})", ""
    text = error.cause if isinstance(error, MinicontainerError) else str(error)
    return type(error).__name__, text.replace("\0", "\ufffd"), ""
