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

A message is answered by one byte when the narrator has looked, so that nothing has moved on meanwhile; but not one
of Q alone. Waking a process takes longer than most calls, so those that nobody has to look at wait for the next one.
Names that begin with `<` or `>` are no arguments but facts from before and after, see `inside` and `look`.
"""

from __future__ import annotations

import errno
import gc
import os
import struct

from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.linux import calls
from minicontainer.linux.process import CLONE_NEWNS
from minicontainer.narrate.inside import FACTS
from minicontainer.narrate.look import TOUCHED, look, read
from minicontainer.quickjson import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
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
"""An argument's characters. A message is received whole, into 256 KB."""

BOTH = {"clone3", "execve", "execveat", "run", "try_run"}
"""Told before, too: nobody is to overtake them, or they do not return."""

WATCHED = BOTH | {"bpf_prog_load", "bpf_prog_attach", "open_slave", "pidfd_send_signal", "send_signal"}
"""The narrator has to look: at their descriptors, or at other processes."""

ENOUGH = 1 << 16
"""So many characters are not held back."""


class Observer:
    """Makes each call and tells of it. `fd` is our end of the line; with `step` leave is asked for each."""

    def __init__(self, fd: int, step: bool) -> None:
        self.fd = fd
        self.step = step
        self.newborn = False
        self.owed = 0
        self.kept: list[str] = []  # records that go with the next message
        self.size = 0
        self.status = -1  # our /proc/PID/status, which can be read from anywhere
        self.may_keep = not step
        self.detached: set[int] = set()
        self.moved = False  # to another root
        os.register_at_fork(after_in_child=self._born)

    def __call__(self, call: Call) -> Any:
        if self.newborn:
            self._open_own_line()
        facts = FACTS.get(call.name, nothing)
        said = [call.name, call.feature, *arguments(call, self._link), *facts("<", call)]
        if self.step or call.name in BOTH:
            self.tell(BEFORE, *said)
        try:
            result = call.run()
        except BaseException as error:
            self._tell_of(call, *problem(error), *said, *facts(">", call))
            raise
        if not self.newborn:  # else this is the child's side of clone3; its parent tells of it
            self._note(call, result)
            self._tell_of(call, "", *spell_result(call, result, self._link), *said, *facts(">", call))
        return result

    def _tell_of(self, call: Call, *outcome: str) -> None:
        """Tell of a call that has been made: now, if the narrator has to look, or with the next one."""
        seen = self._look(call)
        if seen is None or call.name in WATCHED or not self.may_keep:
            self.tell(AFTER, *outcome, *(seen or ()))
            return
        self.keep(QUIET, *outcome, *seen)
        self.size += sum(map(len, seen))
        if self.size > ENOUGH or call.name == "set_pdeathsig":  # after which a helper is killed
            self._send()

    def _look(self, call: Call) -> list[str] | None:
        """What it may have touched as it is now, in facts; None if this process cannot see it."""
        facts: list[str] = []
        if call.name == "mount_setattr" and call.args[0] in self.detached:
            return facts
        for name in TOUCHED.get(call.name, ()):
            if not self.moved:
                text = look(name, "/proc/self/")
            else:
                text = read(self.status) if name == "status" and self.status >= 0 else ""
            if not 0 < len(text) < ENOUGH:
                return None
            facts += (">" + name, text, "")
        return facts

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
        message, self.kept, self.size = "\0".join(self.kept).encode("utf-8", "surrogateescape"), [], 0
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
        gc.disable()  # it has but a moment
        self.newborn, self.owed, self.kept, self.size, self.may_keep = False, 0, [], 0, not self.step
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
        try:
            self.status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass


def nothing(mark: str, call: Call) -> tuple[str, ...]:
    """No facts."""
    return ()


def moves(call: Call) -> bool:
    """Whether the process has another root afterwards, and so perhaps another /proc."""
    return call.name in ("pivot_root", "chroot") or (call.name == "setns" and call.args[1] in (0, CLONE_NEWNS))


# -- spelling -----------------------------------------------------------------------------------


def arguments(call: Call, link: Callable[[str], str]) -> list[str]:
    """Three fields an argument: its name (with `=` before it if it is to be shown), as spelled, as is."""
    names, count = call.function.__code__.co_varnames, call.function.__code__.co_argcount
    given = len(call.args)
    shown = names[:given] if given <= count else (names[count],) * given
    values = list(zip(shown, call.args, strict=True))
    values += [("=" + name, value) for name, value in call.kwargs.items()]
    defaults = call.function.__defaults__ or ()
    first = count - len(defaults)
    for name, value in zip(names[max(first, given) : count], defaults[max(0, given - first) :], strict=True):
        if value and value != -1 and name not in call.kwargs:
            values.append(("=" + name, value))
    fields: list[str] = []
    for name, value in values:
        fields += (name, spell(value)[:LONGEST].replace("\0", "\ufffd") + where(call, name, value, link), as_is(value))
    return fields


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
