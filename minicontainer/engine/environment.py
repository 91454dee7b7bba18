"""The variables that a container's program starts with: a few defaults, then `--env-file`, then `--env`.

Nothing of our own environment gets in, except what `-e NAME` asks for by name.
"""

from __future__ import annotations

import os

from minicontainer import defaults
from minicontainer.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.engine.options import Options

LARGEST_FILE = 1 << 20
MARK = "\ufeff"
"""What some editors put at the beginning of a file (byte order mark)."""


def environment(options: Options, hostname: str, home: str) -> list[str]:
    """The list of NAME=VALUE. Later ones replace earlier ones; a NAME that has no value here is taken out."""
    result = {"PATH": defaults.PATH, "HOSTNAME": hostname}
    if options.tty:
        result["TERM"] = "xterm"
        result["ENV"] = "/etc/profile"  # what an interactive sh reads first, sh(1): the root's prompt and greeting
    result["HOME"] = home
    for entry in [entry for path in options.env_file for entry in read_file(path)] + options.env:
        name, equals, value = entry.partition("=")
        if equals:
            result[name] = value
        elif name in os.environ:
            result[name] = os.environ[name]
        else:
            result.pop(name, None)
    return [f"{name}={value}" for name, value in result.items()]


def read_file(path: str) -> list[str]:
    """The entries of a file with one NAME=VALUE or NAME a line; empty lines and those with # in front do not count."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LARGEST_FILE)
    except OSError as error:
        raise UsageError(f"--env-file {path!r}: {error.strerror}", "name a file that you can read") from None
    except UnicodeDecodeError:
        raise UsageError(f"--env-file {path!r} is not a text in UTF-8", "write one NAME=VALUE a line") from None
    entries = []
    for number, line in enumerate(text.removeprefix(MARK).split("\n"), 1):
        entry = line.lstrip().removesuffix("\r")
        name, equals, _ = entry.partition("=")
        if not entry or entry.startswith("#"):
            continue
        name = name if equals else name.rstrip()
        if not name or any(c.isspace() for c in name) or "\0" in entry:
            raise UsageError(f"--env-file {path!r}, line {number} has no variable's name", "write NAME=VALUE")
        entries.append(entry if equals else name)
    return entries
