"""The key that `--step` waits for, from /dev/tty, whatever standard input is: termios(3)."""

from __future__ import annotations

import os
import termios

PROMPT = b"\r\x1b[7m a key: go on \x1b[0m  q: without stopping  ^C: stop here "
CLEAR = b"\r\x1b[K"
CONTROL_C = b"\x03"


class Keys:
    """The keyboard open at `fd`."""

    NEXT, ALL, STOP = "next", "all", "stop"

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def wait(self) -> str:
        """NEXT after most keys, ALL after q, STOP after ^C. A terminal that is gone stops nobody: ALL."""
        try:
            before = termios.tcgetattr(self.fd)
            single = [*before]
            single[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
            termios.tcsetattr(self.fd, termios.TCSADRAIN, single)
            try:
                os.write(self.fd, PROMPT)
                key = os.read(self.fd, 16)
                os.write(self.fd, CLEAR)
            finally:
                termios.tcsetattr(self.fd, termios.TCSADRAIN, before)
        except (OSError, termios.error):
            return self.ALL
        if key == CONTROL_C:
            return self.STOP
        return self.NEXT if key and key not in b"qQ" else self.ALL
