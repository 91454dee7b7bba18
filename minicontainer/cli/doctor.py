"""`minicontainer doctor`: what this machine can do, as a table, as lines for a pipe, or as JSON."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.table import Table

    from minicontainer.doctor.finding import Finding

app = typer.Typer(add_completion=False)

COLOURS = {"ok": "green", "limited": "yellow", "missing": "red"}
WIDE = 120
"""Columns. From here on the four columns stand side by side."""


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="Print the findings as a JSON list.")] = False) -> int:
    """Show what this machine can do, what follows from it, and what to do about it.

    The exit status is 0 if a container of root's can run here, else 1.
    """
    from minicontainer.doctor import can_run, examine

    findings = examine()
    if json:
        from json import dumps

        print(dumps([finding.to_json() for finding in findings], indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        from minicontainer.cli.output import console

        screen = console()
        screen.print(table(findings, screen.width))
        screen.print(verdict(can_run(findings)))
    else:
        print("\n".join(map(line, findings)))
    return 0 if can_run(findings) else 1


def line(finding: Finding) -> str:
    """A finding on one line, for grep and the like."""
    from minicontainer.cli.output import plain

    text = "; ".join(filter(None, (finding.seen, finding.consequence, finding.remedy)))
    return plain(f"{finding.state:<8} {finding.name}: {text}")


def table(findings: list[Finding], width: int) -> Table:
    """All findings for a terminal of `width` columns; where that is narrow, one below the other in one column."""
    from rich.table import Table
    from rich.text import Text

    from minicontainer.cli.output import plain

    wide = width >= WIDE
    result = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=wide, header_style="dim")
    result.add_column("state", no_wrap=True)
    result.add_column("of what", no_wrap=True, style="bold")
    for heading in ("seen", "so", "remedy") if wide else ("",):
        result.add_column(heading, ratio=1, overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.state]
        seen, so, remedy = (plain(text) for text in (finding.seen, finding.consequence, finding.remedy))
        cells = [Text(seen), Text(so, "" if remedy else "dim"), Text(remedy, colour)]
        if not wide:
            cells = [Text("\n" if remedy else "; ").join(filter(None, cells))]
        result.add_row(Text(finding.state, colour), Text(finding.name), *cells)
    return result


def verdict(good: bool) -> str:
    """The last line: what it comes to."""
    if good:
        return "\nContainers run here: [bold]sudo minicontainer run ./rootfs /bin/sh[/]"
    return "\n[red]No container of root's can run here[/], for want of what is missing above."
