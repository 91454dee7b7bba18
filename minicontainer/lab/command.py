"""In the machine: the command's process, with its terminal or its three pipes, and the bytes between."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import termios
from contextlib import suppress

from minicontainer.lab import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class Command:
    """What the plan says to run, started."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._status: int | None = None
        self._pending = bytearray()
        self._input_ended = False
        self._terminal = plan["window"] is not None
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        if self._terminal:
            self._input, slave = os.openpty()
            termios.tcsetwinsize(slave, plan["window"])
            self._outputs, theirs = {self._input: wire.STDOUT}, [slave] * 3
        else:
            (in_reader, self._input), (out, out_writer), (err, err_writer) = os.pipe(), os.pipe(), os.pipe()
            self._outputs, theirs = {out: wire.STDOUT, err: wire.STDERR}, [in_reader, out_writer, err_writer]
        os.set_blocking(self._input, False)
        self._pid = os.fork()
        if self._pid == 0:
            become(plan, theirs)
        for fd in set(theirs):
            os.close(fd)

    def run(self, line: wire.Line) -> int:
        """Carry bytes until the command has ended; its status as a shell counts it."""
        while self._status is None:
            sources = [self._wake, *self._outputs]
            if len(self._pending) < wire.CHUNK:  # else the host has to wait
                sources.append(line.fd)
            ready, writable, _ = select.select(sources, [self._input] if self._pending else [], [])
            if line.fd in ready:
                for kind, payload in line.receive():
                    self._obey(kind, payload)
            if writable:
                self._write_input()
            if self._wake in ready:
                self._reap()
            self._carry(ready, line)
        while ready := select.select(list(self._outputs), [], [], 0)[0]:  # what it wrote last
            self._carry(ready, line)
        end_all()  # what it left in the background, too
        return self._status

    def _obey(self, kind: int, payload: bytes) -> None:
        if kind == wire.STDIN:
            self._pending += payload
            self._input_ended = not payload
            self._write_input()
        elif kind == wire.WINDOW:
            termios.tcsetwinsize(self._input, wire.WINDOW_SIZE.unpack(payload))
        elif kind == wire.STOP:
            end_all()

    def _write_input(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._input, self._pending)]
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more
            self._pending.clear()
        if self._input_ended and not self._terminal:
            os.close(self._input)
            self._input_ended = False

    def _carry(self, ready: list[int], line: wire.Line) -> None:
        """Send output on."""
        for fd in set(ready) & set(self._outputs):
            try:
                data = os.read(fd, wire.CHUNK)
            except BlockingIOError:
                continue
            except OSError:  # EIO: the last process has closed the terminal
                data = b""
            if data:
                line.send(self._outputs[fd], data)
            else:
                del self._outputs[fd]

    def _reap(self) -> None:
        """Collect whoever has ended: process 1 is everybody's last parent."""
        os.read(self._wake, wire.CHUNK)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code


def end_all() -> None:
    """Kill everything but process 1: kill(2) with pid -1."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def become(plan: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the child: take the streams, then the command's place. Never returns."""
    name, status = plan["cwd"], 126
    try:
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        os.setsid()
        if plan["window"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
            signal.signal(ignored, signal.SIG_DFL)
        os.chdir(name)
        name = plan["command"][0]
        os.execvpe(name, plan["command"], plan["env"])
    except OSError as error:
        status = 127 if isinstance(error, FileNotFoundError) else 126
        os.write(2, os.fsencode(f"minicontainer lab: {name}: {error.strerror}\n"))
    finally:
        os._exit(status)
