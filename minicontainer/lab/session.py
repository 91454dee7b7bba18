"""One session in the lab: boots the machine, carries the terminal or the streams, hands back the exit status.

The command sees a terminal if both our standard input and output are one. Then ours is made raw: each
key goes inside as it is, Ctrl-C too, and the terminal inside makes of it what terminals make of it.
Else the command gets three pipes.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import time
from contextlib import ExitStack
from types import FrameType

from minicontainer.errors import MinicontainerError, UsageError
from minicontainer.lab import terminal, wire
from minicontainer.lab.machine import Machine
from minicontainer.lab.needs import memory_size
from minicontainer.lab.plan import plan
from minicontainer.lab.share import Receiver

BOOT_SECONDS = 60
LAST_WORDS_SECONDS = 10  # for sending result files when time is up
CONSOLE_KEPT = 1 << 14
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STDIN, STDOUT, STDERR = 0, 1, 2
WELCOME = "The lab: a machine of its own with cgroup v2. You are root, nothing you change is kept, `exit` ends it.\r\n"

ENDS = (
    ("just ran out of space", "the host ran out of room for the lab's memory", "make room, or give less with --memory"),
    (
        "check_ptrace",
        "ptrace(2), on which the lab is built, is forbidden here",
        "leave this container or sandbox first",
    ),
    (r"Kernel panic - not syncing: (.+)", "the lab's kernel panicked: {}", "start it again, or with more --memory"),
    ("reboot: Power down", "the lab was switched off before its command had ended", "leave that to the lab"),
)
"""What the kernel's last messages hold, the cause that this is, and the remedy."""


class TimeIsUp(MinicontainerError):
    """The command took longer than it was given. The exit status is that of timeout(1)."""

    exit_code = 124


class Ended(Exception):
    """A signal asks this process to end."""


def run(command: list[str], memory: str = "1G", share: str | None = None, timeout: float | None = None) -> int:
    """Run `command` (or, if it is empty, a shell) in a fresh machine; its exit status as a shell counts it.

    `memory` is the machine's size as in "1G"; what the command leaves in the directory `share` is
    written to the host's; `timeout` is in seconds, from now. Raises UsageError, UnsupportedError,
    TimeIsUp, and MinicontainerError if the machine fails. A signal that ends us gives 128 + its number.
    """
    size = memory_size(memory)
    if timeout is not None and not timeout > 0:
        raise UsageError(f"--timeout {timeout:g} leaves no time", "give a number of seconds above 0")
    if share is not None and not os.path.isdir(share):
        raise UsageError(f"--share {share}: no such directory", f"mkdir {share}")
    heard = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]  # nohup, say
    before = {number: signal.signal(number, _end) for number in heard}
    while os.open(os.devnull, os.O_RDWR) <= STDERR:  # a standard stream that we were started without
        pass
    try:
        machine = Machine(size)
        try:
            return Session(machine, command, os.path.realpath(share) if share else "", timeout or float("inf")).run()
        finally:
            machine.end()
    except Ended as end:
        return 128 + int(end.args[0])
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


class Session:
    """The host's side of the conversation that wire.py draws."""

    def __init__(self, machine: Machine, command: list[str], share: str, timeout: float) -> None:
        self._line, self._console = machine.line, machine.console
        self._line.setblocking(False)
        self._plan = plan(command, share, terminal.window() if terminal.is_ours() else None)
        self._results = Receiver(share) if share else None
        self._greeting = "" if command else WELCOME
        self._sources = [self._line.fileno(), self._console]
        self._window_changed = -1
        self._outgoing = bytearray()
        self._messages = bytearray()
        self._booted = self._stopped = False
        self._began = time.monotonic()
        self._deadline = self._began + min(timeout, BOOT_SECONDS)
        self._timeout = timeout
        self._status: int | None = None

    def run(self) -> int:
        """Talk until the command has ended; its status. Raises what the module's `run` does."""
        frames = wire.Frames()
        with ExitStack() as self._at_exit:
            while self._status is None:
                ready = self._wait()
                if self._console in ready:
                    self._read_console()
                if STDIN in ready:
                    self._read_input()
                if self._window_changed in ready:
                    os.read(self._window_changed, wire.CHUNK)
                    self._send(wire.WINDOW, wire.WINDOW_SIZE.pack(*terminal.window()))
                if self._line.fileno() in ready:
                    for kind, payload in frames.feed(self._receive()):
                        self._obey(kind, payload)
        if self._stopped:
            raise self._too_late()
        if self._results and self._results.error:
            raise self._results.error
        return self._status

    def _wait(self) -> list[int]:
        """Send what the line takes. The descriptors with something to read."""
        sources = list(self._sources)
        if STDIN in sources and len(self._outgoing) > wire.CHUNK:
            sources.remove(STDIN)  # the command does not read, so neither do we
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._time_is_up()
        seconds = min(max(left, 0), BOOT_SECONDS)
        ready, writable, _ = select.select(sources, [self._line] if self._outgoing else [], [], seconds)
        if writable:
            del self._outgoing[: self._line.send(self._outgoing)]
        return ready

    def _obey(self, kind: int, payload: bytes) -> None:
        if kind == wire.STDOUT:
            write_all(STDOUT, payload)
        elif kind == wire.STDERR:
            write_all(STDERR, payload)
        elif kind == wire.READY:
            self._send(wire.START, json.dumps(self._plan).encode())
        elif kind == wire.STARTED:
            self._open_input()
        elif kind == wire.FILE and self._results:
            self._results.file(payload)
        elif kind == wire.DATA and self._results:
            self._results.data(payload)
        elif kind == wire.EXIT:
            (self._status,) = wire.EXIT_STATUS.unpack(payload)
        elif kind == wire.FAILED:
            raise MinicontainerError(f"the lab could not run the command: {payload.decode(errors='replace')}")

    def _open_input(self) -> None:
        """The command runs: from now on it is the one that input is for, and the clock."""
        self._booted = True
        self._deadline = self._began + self._timeout
        if self._plan["window"]:
            self._window_changed = self._at_exit.enter_context(terminal.raw())
            write_all(STDERR, self._greeting.encode())
            self._sources.append(self._window_changed)
        if terminal.in_foreground():
            self._sources.append(STDIN)
        else:
            self._send(wire.STDIN)

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._outgoing += wire.frame(kind, payload)

    def _receive(self) -> bytes:
        try:
            data = self._line.recv(wire.CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            raise self._broken()
        return data

    def _read_input(self) -> None:
        """Pass input on; its end, too, or that there is none (a closed descriptor)."""
        try:
            data = os.read(STDIN, wire.CHUNK)
        except OSError:
            data = b""
        self._send(wire.STDIN, data)
        if not data:
            self._sources.remove(STDIN)

    # -- when things go wrong --

    def _read_console(self) -> None:
        """Keep the last of the kernel's messages: they say why, if it goes down."""
        data = os.read(self._console, wire.CHUNK)
        self._messages += data
        del self._messages[:-CONSOLE_KEPT]
        if not data:
            self._sources.remove(self._console)

    def _time_is_up(self) -> None:
        """First have the command killed, and take its result files; then do without."""
        if self._stopped or (not self._booted and self._timeout < BOOT_SECONDS):
            raise self._too_late()
        if not self._booted:
            raise MinicontainerError(
                f"the lab did not start in {BOOT_SECONDS} s", f"its last words: {self._last_words()}"
            )
        self._stopped = True
        self._deadline = time.monotonic() + LAST_WORDS_SECONDS
        self._send(wire.STOP)

    def _too_late(self) -> TimeIsUp:
        return TimeIsUp(f"the command took longer than {self._timeout:g} s", "give it more with --timeout")

    def _broken(self) -> MinicontainerError:
        """The machine went away before it said how the command had ended."""
        while self._console in self._sources:
            self._read_console()
        text = self._messages.decode(errors="replace")
        for pattern, cause, remedy in ENDS:
            if found := re.search(pattern, text):
                return MinicontainerError(cause.format(*found.groups()), remedy)
        return MinicontainerError(f"the lab ended before its command did: {self._last_words()}", "start it again")

    def _last_words(self) -> str:
        lines = self._messages.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "none")


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`. Raises BrokenPipeError if nobody reads it."""
    while data:
        data = data[os.write(fd, data) :]
