"""Our own terminal while a command inside has it: raw, so that every key goes in as it is: termios(3)."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

STDIN, STDOUT = 0, 1


def is_ours() -> bool:
    """Whether standard input and output are a terminal, and we are the ones that it listens to."""
    return os.isatty(STDIN) and os.isatty(STDOUT) and in_foreground()


def in_foreground() -> bool:
    """Whether standard input may be read: a terminal stops those who do so from the background (SIGTTIN)."""
    return not os.isatty(STDIN) or os.tcgetpgrp(STDIN) == os.getpgrp()


def window() -> tuple[int, int]:
    """Its rows and columns."""
    return termios.tcgetwinsize(STDIN)


@contextmanager
def raw() -> Iterator[int]:
    """Have it in raw mode. Yields a descriptor that can be read from whenever the window's size has changed."""
    settings = termios.tcgetattr(STDIN)
    changed, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    handler = signal.signal(signal.SIGWINCH, lambda *_: None)
    wakeup = signal.set_wakeup_fd(wake)
    try:
        tty.setraw(STDIN, termios.TCSADRAIN)  # the default throws away what was typed ahead
        yield changed
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, settings)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGWINCH, handler)
        os.close(changed)
        os.close(wake)
