"""`minicontainer rootfs`: making root filesystems."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Make root filesystems.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make root filesystems."""


@app.command()
def build(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder: new, empty, or one to complete.")],
    source: Annotated[
        str, typer.Option("--from", help="Where programs come from: busybox, host or debian.")
    ] = "busybox",
    suite: Annotated[str, typer.Option(help="The release for --from debian; the machine's own if not given.")] = "",
) -> None:
    """Fill DIR, so that `minicontainer run DIR` works."""
    from minicontainer import rootfs

    rootfs.build(folder, source, suite, say=print)
