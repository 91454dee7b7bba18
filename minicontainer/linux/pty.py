"""Pseudo-terminals: pty(7), ioctl_tty(2).

A pty is a pipe with a terminal's manners in the middle. The container's program holds the slave end
and believes it is a screen; we hold the master end and carry bytes to the real one.

    tty; ls -l /dev/pts        inside: which slave it is
"""

from __future__ import annotations

import fcntl
import os
import struct

from minicontainer.linux.calls import syscall

TIOCSCTTY = 0x540E
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


@syscall
def open_slave(master: int) -> int:
    """Unlock the pty behind `master` and open its other end, without looking for its name: TIOCGPTPEER."""
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    return fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


@syscall
def set_controlling_terminal(fd: int) -> None:
    """Make the terminal `fd` the controlling one of this session, whose leader we are: TIOCSCTTY."""
    fcntl.ioctl(fd, TIOCSCTTY, 0)


def size(fd: int) -> tuple[int, int]:
    """Rows and columns of the terminal `fd`."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, TIOCGWINSZ, b"\0" * 8))
    return rows, columns


def set_size(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal `fd`, and by SIGWINCH the programs on it, its size."""
    fcntl.ioctl(fd, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
