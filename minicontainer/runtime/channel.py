"""The hand-shake between a container's first process and its parent.

    child                                    parent
      (cloned, waits)                          feature.outside() for each: id maps, cgroup, network
                       ◀──────── GO            now the child may go on
      feature.inside() for each
      TERMINAL + fd    ────────▶               the master end of its pty, if it has one
      execveat                                 the trampoline takes over, with the socket
      execve           ────────▶               EOF: the socket was close-on-exec. Started.
      ERROR + bytes    ────────▶               or an error, whole (errors.pack), and the child is gone
      FAILED + errno   ────────▶               or the trampoline's: that of its execve

The other way round, EOF at the child means that its parent is gone, and it ends too.

Who shares the container's pid namespace may take hold of the trampoline and speak in its name. So the
parent believes the messages no more than it believes the container.
"""

from __future__ import annotations

import os
import struct

from minicontainer.errors import KernelError, MinicontainerError, pack, unpack
from minicontainer.linux.trampoline import errno_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
else:
    import _socket as socket  # the C half; `socket` itself takes 10 ms to import

GO = b"G"
TERMINAL = b"T"
ERROR = b"E"
LONGEST = 1 << 16


class Orphaned(MinicontainerError):
    """The parent has ended; nobody will hear of this."""


class Channel:
    """Both ends of the socket before the clone, one of them after `child()` or `parent()`."""

    def __init__(self) -> None:
        # SOCK_SEQPACKET keeps messages apart.
        self._parent, self._child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    # -- the child's side ---------------------------------------------------------------------------

    def child(self) -> None:
        """Say that this is the child."""
        self._parent.close()

    def wait_for_go(self) -> None:
        """Wait until the parent has done its part. Raises Orphaned."""
        if self._child.recv(1) != GO:
            raise Orphaned("the parent has ended")

    def check_parent(self) -> None:
        """Raise Orphaned if the parent has ended."""
        try:
            self._child.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        raise Orphaned("the parent has ended")

    def send_terminal(self, master: int) -> None:
        """Give the parent the master end of our pty: unix(7), SCM_RIGHTS."""
        self._child.sendmsg([TERMINAL], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", master))])

    def send_error(self, error: BaseException) -> None:
        self._child.send(ERROR + pack(error))

    @property
    def child_fd(self) -> int:
        return self._child.fileno()

    # -- the parent's side --------------------------------------------------------------------------

    def parent(self) -> None:
        """Say that this is the parent."""
        self._child.close()

    def go(self) -> None:
        """Let the child go on."""
        try:
            self._parent.send(GO)
        except BrokenPipeError:
            pass  # it has ended already; `wait_until_started` tells why

    def wait_until_started(self) -> int:
        """Wait for the child's exec; the master end of its pty, or -1. Raises the child's error."""
        terminal = -1
        while True:
            message, rights, _, _ = self._parent.recvmsg(LONGEST, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
            if not message:
                return terminal
            if message == TERMINAL and rights and terminal < 0:
                (terminal,) = struct.unpack("i", rights[0][2])
                continue
            for fd in (terminal, *(struct.unpack("i", data)[0] for _, _, data in rights)):
                if fd >= 0:
                    os.close(fd)
            if number := errno_in(message):
                raise KernelError("execve()", number)
            raise unpack(message.removeprefix(ERROR))

    def close(self) -> None:
        self._parent.close()
        self._child.close()
