"""The one serial line between the host and the virtual machine, and what is said on it.

    host                                   VM, process 1
                              <--------    READY
    START  what to run           ----->
                              <--------    STARTED
    STDIN  bytes; none: its end  ----->
    WINDOW rows, columns         ----->
    STOP   time is up            ----->
                              <--------    STDOUT, STDERR  bytes
                              <--------    FILE  a result file's mode and name;  DATA  its bytes
                              <--------    EXIT  status      or     FAILED  why there is none

A frame is its type (one byte), its length (four) and that many bytes. The host waits for READY
since a terminal line echoes and translates until its owner has made it raw, and for STARTED since
until then Ctrl-C is to end the lab itself.
"""

from __future__ import annotations

import os
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

READY, START, STARTED, STDIN, WINDOW, STOP, STDOUT, STDERR, FILE, DATA, EXIT, FAILED = range(1, 13)

HEADER = struct.Struct(">BI")
WINDOW_SIZE = struct.Struct(">HH")
FILE_MODE = struct.Struct(">I")
EXIT_STATUS = struct.Struct(">B")
CHUNK = 1 << 16
LARGEST = 1 << 22


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame, ready to be sent."""
    return HEADER.pack(kind, len(payload)) + payload


class Frames:
    """Puts frames together again from bytes as they arrive."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that `data` completes, as (type, payload). Raises ValueError on what is no frame."""
        self._waiting += data
        while len(self._waiting) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._waiting)
            if not READY <= kind <= FAILED or length > LARGEST:
                raise ValueError(f"no frame starts with {bytes(self._waiting[: HEADER.size])!r}")
            end = HEADER.size + length
            if len(self._waiting) < end:
                return
            payload = bytes(self._waiting[HEADER.size : end])
            del self._waiting[:end]
            yield kind, payload


class Line:
    """The machine's end of the line, a serial port made raw."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        settings = termios.tcgetattr(self.fd)
        settings[:4] = [0, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0]
        termios.tcsetattr(self.fd, termios.TCSAFLUSH, settings)
        self._frames = Frames()

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send one frame, all of it."""
        data = frame(kind, payload)
        while data:
            data = data[os.write(self.fd, data) :]

    def receive(self) -> list[tuple[int, bytes]]:
        """The frames that the next bytes complete; waits for those. Raises OSError if the host has hung up."""
        data = os.read(self.fd, CHUNK)
        if not data:
            raise OSError("the host has hung up")
        return list(self._frames.feed(data))
