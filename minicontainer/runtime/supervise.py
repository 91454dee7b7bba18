"""Waiting for a container: carry its terminal, pass signals on, notice its end.

Waiting is by pidfd (pidfd_open(2)): it becomes readable when the process ends, so one poll(2) watches
the end, the signals and the terminal together, and the number can never name another process.
"""

from __future__ import annotations

import errno
import os
import select

from minicontainer.errors import KernelError
from minicontainer.linux import process, pty

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)
"""Signals sent to us that are meant for the container."""

IMPATIENCE = 3
"""So many interrupts, and the container is killed: process 1 ignores what it has no handler for. pid_namespaces(7)."""

CHUNK = 1 << 16
AT_MOST_LEFT = 64
"""So many reads empty a pty: the kernel keeps some kilobytes, and gives a page at a time."""


def supervise(pidfd: int, terminal: Terminal | None, signals: Signals) -> int:
    """Stay with the process behind `pidfd` until it ends; its exit status, or 128+n after signal n."""
    signals.pidfd = pidfd
    if terminal is None:
        return watch(pidfd, signals, None)
    with terminal:
        return watch(pidfd, signals, terminal)


def watch(pidfd: int, signals: Signals, terminal: Terminal | None) -> int:
    """The loop: whatever becomes ready is served, and the end of the process ends it."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(signals.fd, select.POLLIN)
    if terminal:
        poll.register(terminal.master, select.POLLIN)
        poll.register(0, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if signals.fd in ready and signals.deliver() and terminal:
            terminal.resize()
        if terminal and 0 in ready and not terminal.carry(0, terminal.master):
            poll.unregister(0)
        if terminal and terminal.master in ready and not terminal.carry(terminal.master, 1):
            poll.unregister(terminal.master)
        if pidfd in ready:
            if terminal:
                terminal.drain()
            return exit_status(pidfd)


def exit_status(pidfd: int) -> int:
    """The exit status of the ended process behind `pidfd`, as a shell would give it."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert result is not None  # WNOHANG is not set
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


class Signals:
    """While entered, no signal in FORWARDED ends us: it is noted, and `deliver` passes it on to `pidfd`.

    That begins before there is a container, so that a start can always be undone.
    """

    def __init__(self) -> None:
        self.pidfd = -1
        self._interrupts = 0

    def __enter__(self) -> Signals:
        self.fd, self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._wakeup)
        self._before = {number: signal.signal(number, self._noted) for number in (*FORWARDED, signal.SIGWINCH)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._wakeup)

    def _noted(self, number: int, frame: object) -> None:
        """The handler. set_wakeup_fd has written the number to where `deliver` reads it."""
        self._interrupts += number in (signal.SIGINT, signal.SIGTERM)
        if self._interrupts >= IMPATIENCE and self.pidfd < 0:
            raise KeyboardInterrupt

    def deliver(self) -> bool:
        """Pass on what has come since; True if our terminal's size has changed."""
        numbers = os.read(self.fd, CHUNK)
        for number in numbers:
            if number in FORWARDED:
                self._send(signal.SIGKILL if self._interrupts >= IMPATIENCE else number)
        return signal.SIGWINCH in numbers

    def _send(self, number: int) -> None:
        try:
            process.pidfd_send_signal(self.pidfd, number)
        except KernelError as error:
            if error.errno != errno.ESRCH:
                raise


class Terminal:
    """Our own terminal, in raw mode, joined to the master end of the container's pty."""

    def __init__(self, master: int) -> None:
        import termios

        self.master = master
        self._termios = termios
        self._saved: Any = None
        self._guard = (0, -1)

    def __enter__(self) -> Terminal:
        if os.isatty(0):
            self._saved = self._termios.tcgetattr(0)
            self._guard = guard_terminal(self._saved)
            self._termios.tcsetattr(0, self._termios.TCSANOW, raw(self._saved))
            self.resize()
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            self._termios.tcsetattr(0, self._termios.TCSANOW, self._saved)
            pid, pipe = self._guard
            os.close(pipe)
            os.waitpid(pid, 0)
        os.close(self.master)

    def resize(self) -> None:
        """Give the container's terminal the size of ours."""
        if os.isatty(0):
            pty.set_size(self.master, *pty.size(0))

    def carry(self, source: int, target: int) -> bool:
        """Move what is readable at `source` to `target`; False when there will be no more."""
        try:
            data = os.read(source, CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:  # the last slave end was closed
                return False
            raise
        write_all(target, data)
        return bool(data)

    def drain(self) -> None:
        """Carry what the container wrote before it ended; not what others, whom it has left behind, go on to write."""
        os.set_blocking(self.master, False)
        try:
            for _ in range(AT_MOST_LEFT):
                if not self.carry(self.master, 1):
                    break
        except BlockingIOError:
            pass


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, however many calls that takes."""
    while data:
        data = data[os.write(fd, data) :]


def raw(attributes: list[Any]) -> list[Any]:
    """Terminal attributes with every interpretation off, as cfmakeraw(3) has them."""
    import termios as t

    iflag, oflag, cflag, lflag, *rest, chars = attributes
    iflag &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    lflag &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    chars = [*chars]
    chars[t.VMIN], chars[t.VTIME] = 1, 0
    return [iflag, oflag & ~t.OPOST, cflag & ~(t.CSIZE | t.PARENB) | t.CS8, lflag, *rest, chars]


def guard_terminal(attributes: list[Any]) -> tuple[int, int]:
    """Start a process that restores our terminal should we be killed; its pid, and the pipe that holds it back.

    A terminal left raw shows nothing of what is typed; nobody should have to know `stty sane`.
    """
    import termios

    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        for number in (signal.SIGTTOU, *FORWARDED):
            signal.signal(number, signal.SIG_IGN)
        os.read(read_end, 1)  # until the other end closes, one way or the other
        termios.tcsetattr(0, termios.TCSANOW, attributes)
        os._exit(0)
    os.close(read_end)
    return pid, write_end
