"""The way out for result files: what the command left in one directory is sent to the host at the end.

The machine has no way to write to the host's files, that directory's included. But the overlay's upper
layer holds just what was made or changed, so that is what is sent, and the host writes it, there and
nowhere else. Directories and plain files only; what the command removed stays on the host.
"""

from __future__ import annotations

import os
import stat

from minicontainer.errors import MinicontainerError
from minicontainer.lab import wire
from minicontainer.linux.paths import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, make_in, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def send(upper: int, directory: str, frame: Callable[[int, bytes], None]) -> None:
    """In the machine: send all that the upper layer (a descriptor) has below `directory`."""
    top = directory.lstrip("/")
    if not os.access(top, os.F_OK, dir_fd=upper):
        return
    for path, folders, files, folder in os.fwalk(top, dir_fd=upper):
        for name in folders + files:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
                where = os.path.relpath(os.path.join(path, name), top)
                frame(wire.FILE, wire.FILE_MODE.pack(status.st_mode) + os.fsencode(where))
            if stat.S_ISREG(status.st_mode):
                with open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as file:
                    while data := file.read(wire.CHUNK):
                        frame(wire.DATA, data)


class Receiver:
    """On the host: writes what arrives below `directory`. Believes nothing that it is told about paths.

    `error` is the first file's that could not be written (no space, a symbolic link in the way, …), or None.
    """

    def __init__(self, directory: str) -> None:
        self.error: MinicontainerError | None = None
        self._root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._file: int | None = None

    def file(self, payload: bytes) -> None:
        """A FILE frame: make the directory, or the file to which the next DATA frames go."""
        self.close()
        (mode,) = wire.FILE_MODE.unpack_from(payload)
        path = os.fsdecode(payload[wire.FILE_MODE.size :])
        try:
            if stat.S_ISDIR(mode):
                os.close(make_in(self._root, path, directory=True))
            else:
                self._file = self._open(path, mode & 0o777)
        except MinicontainerError as error:
            self.error = self.error or MinicontainerError(f"--share: {path!r} was not written: {error}")

    def _open(self, path: str, mode: int) -> int:
        if folder := os.path.dirname(path):
            os.close(make_in(self._root, folder, directory=True))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        return openat2(self._root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)

    def data(self, payload: bytes) -> None:
        """A DATA frame."""
        try:
            while payload and self._file is not None:
                payload = payload[os.write(self._file, payload) :]
        except OSError as error:
            self.error = self.error or MinicontainerError(f"--share: a file was not written: {error.strerror}")
            self.close()

    def close(self) -> None:
        """End the file that is being written, if there is one."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
