"""The process that listens, looks, and writes it down.

It knows how each process was before the call, from having looked after the one before it, and looks again
after this one, while the process waits. Writing has time until nobody waits.
"""

from __future__ import annotations

import errno
import os
import select
import struct

from minicontainer.narrate import spelling, state
from minicontainer.narrate.look import EVERYTHING, TOUCHED
from minicontainer.narrate.observer import AFTER, BEFORE, END, EXECUTED, GO, NEW, QUIET, STOP, spell
from minicontainer.narrate.step import CHILD, HELPER, PARENT, Step
from minicontainer.narrate.writers import writer_for
from minicontainer.quickjson import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from minicontainer.narrate.keys import Keys
else:
    import _socket as socket

LONGEST = 1 << 18
CREDENTIALS = "iII"
"""struct ucred: pid, uid, gid. unix(7)"""

MIDDLE = [("flags", "0", "0")]
"""The arguments of the clone3 that makes the middle process of runtime/first.py."""

PAUSE = 0.0005
"""Seconds without a message after which there is time to write."""


class Line:
    """The line to one process, whose pid the kernel has noted on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fileno = sock.fileno
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(CREDENTIALS))
        self.process = state.Process(struct.unpack(CREDENTIALS, data)[0])
        self.process.known = {name: self.process.look(name) for name in EVERYTHING}
        self.step: Step | None = None  # the call that is under way


class Narrator:
    """Serves the line of the runtime, and those of the processes that it makes, until the runtime says that it ends."""

    def __init__(self, line: socket.socket, form: str, output: int, keyboard: int, id: str) -> None:
        self.parent = Line(line)
        self.lines = [self.parent]
        self.busy: Line | None = None  # a process that has told of a call before it makes it: nobody else is served
        self.child: state.Process | None = None
        self.executing: Step | None = None
        self.done: list[Step | tuple[Line, list[str]]] = []  # to be written; or even to be read
        self.answer = GO
        self.count = 0
        self.keys: Keys | None = None
        if keyboard >= 0:
            from minicontainer.narrate.keys import Keys

            self.keys = Keys(keyboard)
        self.writer = writer_for(form, output, id)
        self.shared = output == 2  # with the program, which comes next

    def run(self) -> None:
        pause = PAUSE
        while self.lines:
            waiting = [self.busy] if self.busy else self.lines
            if ready := select.select(waiting, (), (), pause if self.done else None)[0]:
                self.serve(ready[0])
                pause = PAUSE
            else:
                self.write_one()
                pause = 0

    def serve(self, line: Line) -> None:
        """One message, and its answer."""
        try:
            data, rights, _, _ = line.sock.recvmsg(LONGEST, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data = b""
        self.answer = b""
        if data == NEW.encode():
            self.answer = GO
            self.lines.append(line := Line(socket.socket(fileno=struct.unpack("i", rights[0][2])[0])))
        elif data:
            for kind, fields in records(data.decode("utf-8", "surrogateescape").split("\0")):
                self.take(line, kind, fields)
        else:
            self.hang_up(line)
            return
        try:
            if self.answer:
                line.sock.send(self.answer)
        except OSError:
            pass  # it has ended; its line will say so

    def take(self, line: Line, kind: str, fields: list[str]) -> None:
        """One record."""
        if kind == QUIET:
            self.done.append((line, fields))
            return
        self.answer = GO
        if kind == AFTER:
            self.after(line, *fields)
        elif kind == BEFORE:
            self.before(line, *fields)
        elif kind == EXECUTED:
            self.executed(int(fields[0]))
            if self.shared:
                self.write_all()
        elif kind == END:
            self.executed(-1)
            self.write_all()
            self.answer = GO + self.writer.problem.encode()
            self.lines.clear()

    # -- one call -----------------------------------------------------------------------------------

    def begin(self, line: Line, call: str, feature: str, fields: Sequence[str]) -> Step:
        step = Step(call, feature, self.who(line), line.process, self.child)
        step.take(fields)
        return step

    def who(self, line: Line) -> str:
        if line is self.parent:
            return PARENT
        return CHILD if self.child and line.process.pid == self.child.pid else HELPER

    def before(self, line: Line, call: str, feature: str, *fields: str) -> None:
        """A call is about to be made."""
        step = line.step = self.begin(line, call, feature, fields)
        step.destinations = spelling.destinations(step)
        if reader := state.READERS.get(call):
            step.before |= reader(step)
        self.busy = line
        if self.keys and call != "pidfd_send_signal" and not self.ask(step):  # a signal must not wait
            self.busy = line.step = None
            self.answer = STOP
            self.count -= 1

    def ask(self, step: Step) -> bool:
        """Show what comes next, and wait for a key; False to stop here."""
        assert self.keys
        self.write_all()
        self.prepare(step)
        self.writer.begin(step)
        keys, answer = self.keys, self.keys.wait()
        if answer != keys.NEXT:
            self.keys = None
        return answer != keys.STOP

    def after(self, line: Line, error: str, told: str, raw: str, call: str, feature: str, *fields: str) -> None:
        """A call has been made, or has failed."""
        step, self.busy, line.step = line.step, None, None
        if step and step.call == call:
            step.take_facts(fields)
        else:
            step = self.begin(line, call, feature, fields)
            step.destinations = spelling.destinations(step)
        step.end(error, told, raw)
        if reader := state.READERS.get(call):
            step.after |= reader(step)
        for name in TOUCHED.get(call, ()):
            if name not in step.after:
                step.after[name] = step.process.look(name)
        if call == "clone3" and not feature and step.arguments != MIDDLE and not error:
            self.child = state.Process(int(raw))
        self.done.append(step)

    def hang_up(self, line: Line) -> None:
        """The line is closed: its process has ended, or has executed its program."""
        self.lines.remove(line)
        line.sock.close()
        if self.busy is line:
            self.busy = None
        if line.step and line.step.call in ("execve", "execveat"):
            self.executing = line.step
        elif line.step:
            self.done.append(unknown(line.step))

    def executed(self, number: int) -> None:
        """What came of the program's exec: 0, an errno, or -1 if nobody knows."""
        step, self.executing = self.executing, None
        if step is None:
            return
        if number < 0:
            self.done.append(unknown(step))
            return
        if step.call == "execveat":
            second = by_trampoline(step)
            step.before, step.result, step.told_result = {}, "0", "0"
            self.done.append(step)
            step = second
        if number:
            step.error = errno.errorcode.get(number, str(number))
            step.told_result = f"{step.error} ({os.strerror(number)})"
            step.after = step.before
        else:
            step.after, step.result, step.told_result = state.executable(step), "0", "0"
            if not step.after:  # it has ended already
                step.after = step.before
        self.done.append(step)

    # -- writing ------------------------------------------------------------------------------------

    def write_all(self) -> None:
        while self.done:
            self.write_one()

    def write_one(self) -> None:
        step = self.done.pop(0)
        if isinstance(step, tuple):
            line, (error, told, raw, call, feature, *fields) = step
            step = self.begin(line, call, feature, fields)
            step.end(error, told, raw)
        self.prepare(step)
        step.compare()
        self.writer.write(step)
        if not self.done:
            self.writer.flush()

    def prepare(self, step: Step) -> None:
        """Give it its number and its words, which depend on what has been told so far."""
        if not step.number:
            self.count += 1
            step.number = self.count
            step.spelled(step.args or spelling.spell_arguments(step))
        spelling.follow_trees(step)


def records(fields: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The records of a message: kind and fields of each."""
    at = 0
    while at < len(fields):
        end = at + 2 + int(fields[at + 1])
        yield fields[at], fields[at + 2 : end]
        at = end


def unknown(step: Step) -> Step:
    """Its process has ended in the middle of it."""
    step.told_result, step.after = "?", step.before
    return step


def by_trampoline(step: Step) -> Step:
    """The execve that machine code makes after that execveat, see linux/trampoline.py."""
    second = Step("execve", step.feature, step.who, step.process, step.child)
    path, *args = parse(step.raw("args"))
    env = next(spelled for name, spelled, _ in step.arguments if name == "env")
    second.spelled([spell(path), spell(args), env])
    second.before = step.before
    return second
