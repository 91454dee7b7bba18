"""What people see: errors and notes on one line each, and rich for what is worth a picture.

rich takes 50 ms to import, so only the functions that draw with it do. What comes from a container
(names, labels, logs) may hold escape sequences that a terminal would obey; `plain` takes their sting.
"""

from __future__ import annotations

import errno
import os
import sys

from minicontainer.errors import MinicontainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "minicontainer"
REMEDIES = {
    errno.EACCES: "use sudo, or a place that you may write to",
    errno.EPERM: "use sudo, or a place that you may write to",
    errno.EROFS: "MINICONTAINER_ROOT can name a place that is not read-only",
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room in your quota",
    errno.EMFILE: "raise the limit of open files, `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine: end something",
    errno.ENOMEM: "memory is short on this machine: end something",
}
"""What to do about the machine's own limits, which any file operation can meet."""
DEBUG = "MINICONTAINER_DEBUG"


def plain(text: str) -> str:
    r"""`text` on one line, control characters and stray bytes spelled out as in `\n`, `\x1b`."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def say(text: str) -> None:
    """One line on standard error."""
    data = f"{PROGRAM}: {plain(text)}\n".encode("utf-8", "backslashreplace")
    try:
        os.write(2, data)
    except OSError:
        return  # nobody is there to hear it


def note(text: str) -> None:
    """One line that is no error but must not be missed."""
    say(f"note: {text}")


def complain(error: BaseException) -> int:
    """Tell what went wrong, on one line, and return the exit status. MINICONTAINER_DEBUG=1 adds a traceback."""
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, MinicontainerError):
        say(str(error))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, OSError) and error.errno in REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{os.strerror(error.errno)}; {REMEDIES[error.errno]}")
        return MinicontainerError.exit_code
    say(f"internal error: {type(error).__name__}: {error}; set {DEBUG}=1 for the traceback")
    return MinicontainerError.exit_code


def console(stderr: bool = False) -> Console:
    """A rich console; it writes no colours when its output is not a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
