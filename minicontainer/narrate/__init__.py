"""The runtime tells what it does while it does it: `minicontainer run --explain …`

Every call that changes something passes the gate in `linux/calls.py`, and there an observer takes it:

    runtime (parent, child)                          narrator: a process forked before all else
      how it is: /proc/self/mountinfo, status, …
      makes the call
      how it is now
      what was called, what came of it  ────────▶      looks as well, from outside, where the caller
                                        ◀────────      cannot see: another root, another process
      goes on                                          what differs has changed: writes it down

So nothing is told that was not done, it is told in the order in which it was done, and "before" and "after" are
the kernel's own words. With `--step` the narrator is asked before each call, and answers when a key was pressed.
The child may import nothing, and after its pivot has no /proc but the container's: so it only sends, and the words
are the narrator's. Its line is closed by its exec, as all that is ours.

    observer   the runtime's end of the line; `inside`: what only the process itself can read
    look       what both of them read of a process
    narrator   the other process; `state`: what it reads, what has changed; `spelling`: how arguments are written
    reasons    why each call is made, which manual page and which lesson explain it: a table
    writers    plain text and JSON; `screen`: a terminal; `keys`: the one that --step waits for
"""

from __future__ import annotations

import gc
import os

from minicontainer.errors import UsageError
from minicontainer.linux import calls
from minicontainer.narrate.observer import Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:
    import _signal as signal
    import _socket as socket

FORMS = ("auto", "plain", "rich", "json")
DEAF_TO = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU)
"""Meant for the container. The narrator ends when those that it listens to have ended."""


class Narration:
    """While entered, every call of this process and of those it makes is told, on standard error or in a file.

    `form` is one of FORMS, `path` the file or empty, `step` whether to wait for a key before each call, `id` the
    container's, which is shortened for readers. Raises UsageError for a file or a keyboard that cannot be had.
    """

    def __init__(self, form: str = "auto", path: str = "", step: bool = False, id: str = "") -> None:
        self.form, self.id = form, id
        self.output = open_file(path) if path else 2
        self.keyboard = open_keyboard() if step else -1

    def __enter__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gc.freeze()  # what is there now is not garbage; to look for some would cost as much as the telling
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            self._narrate(theirs)
        theirs.close()
        for fd in (self.output, self.keyboard):
            if fd > 2:
                os.close(fd)
        self.observer = Observer(ours.detach(), self.keyboard >= 0)
        calls.observer = self.observer
        calls.executed, calls.leaving = self.observer.executed, self.observer.leave

    def __exit__(self, *_: object) -> None:
        calls.observer = calls.executed = calls.leaving = None
        problem = self.observer.finish()
        os.waitpid(self.pid, 0)
        if problem:
            try:
                os.write(2, f"minicontainer: note: not all was told: {problem}\n".encode())
            except OSError:
                pass  # nobody is there to hear it

    def _narrate(self, line: socket.socket) -> None:
        """The life of the narrator. Never returns."""
        try:
            for number in DEAF_TO:
                signal.signal(number, signal.SIG_IGN)
            gc.disable()  # it lives for a second
            from minicontainer.narrate.narrator import Narrator

            Narrator(line, self.form, self.output, self.keyboard, self.id).run()
        except BaseException:
            if os.environ.get("MINICONTAINER_DEBUG"):
                import traceback

                traceback.print_exc()
        finally:
            os._exit(0)  # if too early, its listeners find their line closed


def open_file(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}", "name another file") from None


def open_keyboard() -> int:
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        raise UsageError("--step waits for keys, and there is no terminal", "leave it out") from None
