"""The lean entry: run an OCI bundle, as `runc run` does.

    python -m minicontainer.oci [--root DIR] run [--bundle DIR] ID

Only the standard library's C modules and ctypes are loaded on the way to the container's
program: Python itself takes 10 ms to start, and everything here together about as long.
"""

from __future__ import annotations

import os
import sys

from minicontainer.errors import MinicontainerError, UsageError
from minicontainer.runtime.container import Container
from minicontainer.runtime.run import run
from minicontainer.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = "usage: python -m minicontainer.oci [--root DIR] run [--bundle DIR] ID"

DEFAULT_ROOT = "/run/minicontainer"


def main() -> NoReturn:
    """Run the command line in sys.argv and exit."""
    status = command(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # taking the interpreter down in good order would cost 5 ms


def command(words: list[str]) -> int:
    """Run one command line; its exit status."""
    try:
        settings, id = parse(words)
        bundle = os.path.abspath(settings.get("--bundle", "."))
        spec = Spec.load(os.path.join(bundle, "config.json"))
        return run(Container(id, spec, os.path.join(settings.get("--root", DEFAULT_ROOT), id), bundle))
    except MinicontainerError as error:
        print(f"minicontainer: {error}", file=sys.stderr)
        return error.exit_code


def parse(words: list[str]) -> tuple[dict[str, str], str]:
    """The options by their long names, and the container's id. Raises UsageError."""
    settings: dict[str, str] = {}
    rest = []
    queue = [{"-b": "--bundle"}.get(word, word) for word in words]
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--root", "--bundle"):
            if not equals and not queue:
                raise UsageError(f"{name} needs a folder", USAGE)
            settings[name] = value if equals else queue.pop(0)
        else:
            rest.append(word)
    if len(rest) != 2 or rest[0] != "run" or not is_name(rest[1]):
        raise UsageError(f"cannot understand {' '.join(words)!r}", USAGE)
    return settings, rest[1]


def is_name(text: str) -> bool:
    """Whether `text` can be an id: it becomes the name of a directory and of a cgroup."""
    return text[:1].isalnum() and all(c.isalnum() or c in "_.+-" for c in text) and text.isascii()


if __name__ == "__main__":
    main()
