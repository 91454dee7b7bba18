"""`minicontainer lesson`: build a container wall by wall, in a file of one's own, checked from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

Number = Annotated[str, typer.Argument(metavar="N", help="The lesson's number or name.")]
Maybe = Annotated[str, typer.Argument(metavar="[N]", help="The lesson; by default the one that you are at.")]
File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Your my_container.py, if it is not in this folder.")
]


@app.callback(invoke_without_command=True)
def lesson(context: typer.Context) -> None:
    """Lessons: build a container wall by wall, in a file of your own."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def list_() -> None:
    """List the lessons and how far you are."""
    from minicontainer.lessons import progress, report

    print("\n".join(report.table(progress.load())))


@app.command()
def begin(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for your own container.")]) -> None:
    """Make a folder with the beginnings of your own container."""
    from minicontainer.lessons import desk

    print("\n".join(desk.begin(folder)))
    print(f"\nNow: cd {folder}; minicontainer lesson run 0")


@app.command()
def show(number: Number) -> None:
    """Show a lesson's narrative and exercise."""
    from minicontainer.lessons import catalogue, pages

    pages.show(catalogue.find(number))


@app.command()
def run(
    number: Number,
    here: Annotated[bool, typer.Option("--here", hidden=True)] = False,
) -> int:
    """Walk through a lesson: read, guess, see it happen, try it yourself."""
    from minicontainer.lessons import catalogue, walk

    return walk.run(catalogue.find(number), record=not here)


@app.command()
def check(
    number: Maybe = "",
    subject: Annotated[
        str,
        typer.Option(metavar="COMMAND", help="Check another container: a command to which a program can be appended."),
    ] = "",
    file: File = None,
) -> int:
    """Check a lesson's exercise, from outside. The exit status is 0 if it is passed, else 1."""
    from minicontainer.lessons import sitting

    return sitting.check(number, subject, file)


@app.command()
def hint(number: Maybe = "") -> None:
    """Give a hint: one more each time."""
    from minicontainer.lessons import sitting

    print("\n\n".join(sitting.hint(sitting.lesson_at(number))))


@app.command()
def solution(
    number: Number,
    diff: Annotated[bool, typer.Option("--diff", help="Only what is new since the lesson before.")] = False,
) -> None:
    """Show a lesson's solution: my_container.py as it is afterwards."""
    from minicontainer.lessons import catalogue, pages

    pages.solution(catalogue.find(number), diff)


@app.command()
def watch(number: Maybe = "", file: File = None) -> int:
    """Check whenever you save."""
    from minicontainer.lessons import sitting, watch

    return watch.run(sitting.lesson_at(number), file)


@app.command()
def reset(number: Number, file: File = None) -> None:
    """Take your file back to the beginning of a lesson, and forget its tries and hints."""
    from minicontainer.lessons import catalogue, sitting

    print(sitting.reset(catalogue.find(number), file))


@app.command()
def present(
    number: Number,
    plain: Annotated[bool, typer.Option("--plain", help="Without tmux: one window, drawn by us.")] = False,
    here: Annotated[bool, typer.Option("--here", hidden=True)] = False,
) -> int:
    """Present a lesson on a projector, host and container side by side."""
    from minicontainer.lessons import catalogue, present

    return present.run(catalogue.find(number), plain, here)


@app.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to; - for standard output.")] = Path(
        "results.json"
    ),
) -> None:
    """Write your results to a file for the instructor."""
    from minicontainer.lessons import sitting

    sitting.export(to)
