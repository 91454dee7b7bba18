"""`minicontainer cleanup`: what a crash left, and only that."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def cleanup(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> int:
    """Remove what a crash of minicontainer left: containers that nobody takes care of, and what they had on the host.

    Running containers are left alone, and so is everything of another state folder. Harmless at any time.
    """
    from minicontainer.cli.output import plain, say
    from minicontainer.errors import MinicontainerError
    from minicontainer.runtime.cleanup import leftovers

    found = failed = 0
    for leftover in leftovers():
        found += 1
        if dry_run:
            print("would remove", plain(leftover.what))
            continue
        try:
            leftover.remove()
            print("removed", plain(leftover.what), flush=True)
        except (MinicontainerError, OSError) as error:
            say(f"cannot remove {leftover.what}: {error}")
            failed = 1
    if not found:
        print("nothing to clean up")
    return failed
