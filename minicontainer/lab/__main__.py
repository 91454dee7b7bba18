"""`python -m minicontainer.lab [OPTIONS] [COMMAND…]`: the lab without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from minicontainer.errors import MinicontainerError
from minicontainer.lab.session import run


def main() -> int:
    """Parse the arguments and run one session; the exit status."""
    parser = argparse.ArgumentParser(
        prog="minicontainer lab", description="Run a command in a throwaway virtual machine."
    )
    parser.add_argument("--memory", default="1G", help="the machine's memory (default: 1G)")
    parser.add_argument("--share", metavar="DIR", help="bring back what the command leaves in this directory")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end the command after this long")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run (default: a shell)")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        return run(command, options.memory, options.share, options.timeout)
    except MinicontainerError as error:
        print(f"minicontainer lab: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
