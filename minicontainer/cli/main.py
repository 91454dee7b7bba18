"""The entry point. `minicontainer run …` goes the quick way; whatever needs help or tables goes through typer.

Every error becomes one line, `minicontainer: CAUSE; REMEDY`, and an exit status: 125 for ours, 126 and
127 for a program that cannot be run or found, 128+n after signal n, else the container's own.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

COMPLETION = "_MINICONTAINER_COMPLETE"
"""Set by the shell when it asks for completions: click's convention."""


def main() -> NoReturn:
    """Run the command line in sys.argv and exit."""
    status = command(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed, full, or nobody reads it
        status = status or 1
    os._exit(status)  # to tear the interpreter down politely would cost a tenth of a container's start


def command(words: list[str]) -> int:
    """Run one command line; its exit status."""
    try:
        if COMPLETION not in os.environ:
            if words[:1] == ["run"] and (status := quick_run(words[1:])) is not None:
                return status
            if words == ["--version"]:
                from minicontainer import __version__

                print("minicontainer", __version__)
                return 0
        from minicontainer.cli.app import dispatch

        return dispatch(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BrokenPipeError:
        return 141  # as a program that SIGPIPE ended
    except BaseException as error:
        from minicontainer.cli.output import complain

        return complain(error)


def quick_run(words: list[str]) -> int | None:
    """`run` without typer; None if the words ask for help."""
    from minicontainer.cli.quick import HelpWanted, parse_options

    try:
        options = parse_options(words)
    except HelpWanted:
        return None
    from minicontainer.cli.run import run

    return run(options)
