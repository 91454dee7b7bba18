"""The keyboard, key by key, and the terminal as it was afterwards, whatever happens: termios(3).

stty -a       watch it, from another terminal with --file
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType
from typing import Any, Self

from minicontainer.errors import UsageError

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
ARROWS = {
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[6~": "right",
    b"\x1b[5~": "left",
}


class Ended(Exception):
    """A signal asks us to end; the argument is its number."""


class Keys:
    """`with Keys() as keys: keys.read(0.2)`: keys as they are pressed, without Enter and without echo.

    Signals that would end us become the exception Ended, and Ctrl-Z puts the terminal back first. Raises
    UsageError if standard input is no terminal.
    """

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("this needs a terminal", "`minicontainer lesson check` does without")
        self._fd = sys.stdin.fileno()
        self._typed = b""
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        for number in ENDING:
            self._handlers[number] = signal.signal(number, _end)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
        tty.setcbreak(self._fd)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.restore()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def restore(self) -> None:
        """Put the terminal back as it was."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def read(self, seconds: float | None = None) -> str:
        """The next key: a character, or right, left, up, down; "" if none came in time, "q" at the end of input."""
        if not self._typed:
            if not select.select([self._fd], [], [], seconds)[0]:
                return ""
            self._typed = os.read(self._fd, 64) or b"\x04"
        for data, name in ARROWS.items():
            if self._typed.startswith(data):
                self._typed = self._typed[len(data) :]
                return name
        key, self._typed = self._typed[:1], self._typed[1:]
        return "q" if key == b"\x04" else key.decode(errors="replace")

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # stops here, until SIGCONT
        signal.signal(number, self._stop)
        tty.setcbreak(self._fd)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)
