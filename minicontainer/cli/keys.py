"""A keyboard that gives each key at once, and the terminal back however the program ends: termios(3).

A terminal edits lines and echoes what is typed; a program that draws wants neither. Those settings belong
to the terminal, not to the program: whoever changes them and dies leaves them to the shell. So the signals
that would end or stop the program are taken down as if they were keys, while this lasts. (SIGKILL asks
nobody; `stty sane` helps then.)

    stty -a < /dev/pts/N        watch it
"""

from __future__ import annotations

import os
import re
import select
import signal
import termios

LFLAG = 3
"""The place of the local modes in what tcgetattr returns."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH)
MEANING = {ord("q"): 0, ord("Q"): 0, 27: 0, 3: int(signal.SIGINT), 26: int(signal.SIGTSTP)}
"""Key -> 0 to quit, or the signal that the terminal would have sent: q, Q, Escape, ^C, ^Z."""

LONG_KEY = re.compile(rb"\x1b[\[O][0-9;]*[@-~]")
"""What arrows and the like send: it begins with Escape, and is none."""


class Keys:
    """The keyboard at the descriptor `fd`, while entered."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Keys:
        self.before = termios.tcgetattr(self.fd)
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.wakeup = signal.set_wakeup_fd(self.writer)
        self.handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        settings = termios.tcgetattr(self.fd)
        settings[LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
        termios.tcsetattr(self.fd, termios.TCSADRAIN, settings)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.before)
        except termios.error:
            pass  # the terminal has gone
        signal.set_wakeup_fd(self.wakeup)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        os.close(self.reader)
        os.close(self.writer)

    def wait(self, seconds: float) -> int | None:
        """Wait for a key or a signal: 0 to quit, a signal's number, None if it is time (or a new size) to draw."""
        ready, _, _ = select.select([self.fd, self.reader], [], [], seconds)
        if self.reader in ready:
            numbers = [number for number in os.read(self.reader, 64) if number != signal.SIGWINCH]
            return numbers[0] if numbers else None
        if self.fd in ready:
            return self.key()
        return None

    def key(self) -> int | None:
        """What was typed: 0 to quit, the number of a signal, None for keys without a meaning."""
        try:
            typed = os.read(self.fd, 64)
        except OSError:
            typed = b""
        if not typed:
            return int(signal.SIGHUP)
        return next((MEANING[key] for key in LONG_KEY.sub(b"", typed) if key in MEANING), None)
