"""`minicontainer lab`: a throwaway virtual machine with a real kernel and cgroup v2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_interspersed_args": False})
def lab(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND [ARG]…]", help="What to run; a shell if nothing is named.")
    ] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="The machine's memory.")] = "1G",
    share: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Bring back what the command leaves in this directory.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End the command after this long, with status 124.")
    ] = None,
) -> int:
    """Run a command in a throwaway virtual machine that has cgroup v2.

    You are root in there, even where you are not outside; it sees your files but cannot change them.
    """
    from minicontainer.lab.session import run

    return run(command or [], memory, str(share) if share else None, timeout)
