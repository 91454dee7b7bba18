"""`minicontainer compare`: two processes side by side, as a table, as lines for a pipe, or as JSON."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from minicontainer.inspect.kernel import Kernel
    from minicontainer.inspect.view import Comparison, Fact

app = typer.Typer(add_completion=False)

SAME = {True: "same", False: "different", None: "hidden"}
MARKS = {True: ("=", "yellow"), False: ("≠", "green"), None: ("?", "dim")}
COLOURS = ("cyan", "magenta")
"""Of the two sides."""

NAMES = {
    "root": "root directory",
    "interfaces": "network",
    "uid_map": "id map",
    "gid_map": "group id map",
    "ids": "user",
    "cgroup": "control group",
}
"""What facts are called, where it is not their name in the JSON."""

WIDE = 140
"""Columns. From here on the namespaces stand beside the rest."""

MOST, MOST_WIDE, MOST_IN_LINE = 4, 7, 20
"""Items of a list that the table shows, and a line. The JSON has all."""


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="PID|CONTAINER", help="A process, or a container by name or id.")],
    other: Annotated[str, typer.Argument(metavar="[PID|CONTAINER|host]", help="What to compare it with.")] = "host",
    json: Annotated[bool, typer.Option("--json", help="Print everything as a JSON object.")] = False,
    svg: Annotated[str, typer.Option("--svg", metavar="FILE", help="Save the table as a picture.")] = "",
) -> None:
    """Show two processes side by side: which walls stand between them, and what each of them sees.

    It works for any process, a container's or not. `host` is seen through this command's own eyes.
    """
    from minicontainer.inspect.subject import resolve
    from minicontainer.inspect.view import compare

    result = compare(resolve(one), resolve(other))
    if json:
        from json import dumps

        print(dumps(result.to_json(), indent=2, ensure_ascii=False))
    elif svg:
        from minicontainer.cli.output import console
        from minicontainer.cli.picture import save

        width = console().width
        save(picture(result, width), svg, width, f"minicontainer compare {one} {other}")
    elif sys.stdout.isatty():
        from minicontainer.cli.output import console

        screen = console()
        screen.print(picture(result, screen.width))
    else:
        print("\n".join(lines(result)))


# -- lines --------------------------------------------------------------------------------------


def lines(result: Comparison) -> Iterator[str]:
    """The comparison with a line for each fact, for grep and the like."""
    from minicontainer.cli.output import plain
    from minicontainer.cli.words import HIDDEN, describe
    from minicontainer.inspect.namespaces import ISOLATES

    left, right = result.left, result.right
    yield plain(f"{'':<9} {left.name}, process {left.pid} | {right.name}, process {right.pid}")
    for each in result.namespaces:
        inodes = " | ".join(str(number or HIDDEN) for number in (each.left, each.right))
        yield f"{SAME[each.same]:<9} {each.name} namespace: {inodes}; {ISOLATES[each.name]}"
    for each in result.facts:
        both = [describe(each.name, *side, MOST_IN_LINE) for side in ((left, each.left), (right, each.right))]
        yield plain(f"{SAME[each.same]:<9} {NAMES.get(each.name, each.name)}: {' | '.join(both)}")
    for name, text in shared(result.kernel):
        yield f"{SAME[True]:<9} {name}: {text}"
    if missing := hidden(result):
        yield missing


def shared(kernel: Kernel) -> list[tuple[str, str]]:
    """What no wall divides, in words."""
    from time import gmtime, strftime

    from minicontainer.cli.words import size

    return [
        ("kernel", kernel.release),
        ("boot id", kernel.boot_id),
        ("clock", strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(kernel.clock))),
        ("loaded modules", "none: this kernel takes none" if kernel.modules is None else str(kernel.modules)),
        ("CPUs", str(kernel.cpus)),
        ("memory", size(kernel.memory)),
    ]


def hidden(result: Comparison) -> str:
    """A sentence if something could not be seen, or an empty string."""
    if all(each.same is not None for each in (*result.namespaces, *result.facts)):
        return ""
    if os.geteuid() == 0:
        return "What is hidden takes more rights over that process than this root has."
    return "What is hidden belongs to another user's process: sudo shows it."


# -- a picture ----------------------------------------------------------------------------------


def picture(result: Comparison, width: int) -> RenderableType:
    """The comparison for a terminal of `width` columns."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    most = MOST if width < WIDE else MOST_WIDE
    kinds, facts, rest = namespace_table(result), fact_table(result, most), kernel_table(result.kernel)
    notes = [Text(text, "dim") for text in [hidden(result)] if text]
    if width < WIDE:
        return Group(kinds, Text(), facts, Text(), rest, *notes)
    beside = Table.grid(padding=(0, 4, 0, 0))
    beside.add_column(ratio=2)
    beside.add_column(ratio=3)
    beside.add_row(Group(kinds, Text(), rest, *notes), facts)
    return beside


def table(title: str, *headings: str) -> Table:
    """A table whose first two columns are the mark and the name of a fact."""
    from rich.table import Table

    result = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, title=title, title_style="bold")
    result.title_justify = "left"
    result.add_column("", width=1)
    result.add_column("", no_wrap=True)
    for heading, colour in zip(headings, COLOURS, strict=False):
        result.add_column(heading, header_style=f"bold {colour}", ratio=1, overflow="fold")
    return result


def heads(result: Comparison) -> list[str]:
    """The two columns' headings."""
    from rich.markup import escape

    from minicontainer.cli.output import plain

    sides = [(plain(each.name), f"process {each.pid}") for each in (result.left, result.right)]
    return [f"{escape(name)} [not bold dim]{process}[/]" for name, process in sides]


def mark(each: Fact) -> Text:
    from rich.text import Text

    return Text(*MARKS[each.same])


def namespace_table(result: Comparison) -> Table:
    """All namespaces: the same or not, by number."""
    from rich.text import Text

    from minicontainer.inspect.namespaces import ISOLATES

    apart = sum(each.same is False for each in result.namespaces)
    kinds = table(f"Namespaces: {apart} of {len(result.namespaces)} differ", *heads(result))
    kinds.padding = (0, 2, 0, 0)
    for column in kinds.columns[2:]:
        column.ratio, column.no_wrap, column.max_width = None, True, 24
    kinds.add_column("isolates", header_style="dim", style="dim", ratio=1)
    for each in result.namespaces:
        numbers = [Text(str(number)) if number else Text("hidden", "dim") for number in (each.left, each.right)]
        kinds.add_row(mark(each), each.name, *numbers, ISOLATES[each.name])
    return kinds


def fact_table(result: Comparison, most: int) -> Table:
    """What each of the two sees and may do."""
    from rich.text import Text

    from minicontainer.cli.output import plain
    from minicontainer.cli.words import HIDDEN, describe

    facts = table("What each sees, and may do", *heads(result))
    above: list[str] = []
    for each in result.facts:
        sides = ((result.left, each.left), (result.right, each.right))
        texts = [plain(describe(each.name, subject, value, most)) for subject, value in sides]
        if each.name != "gid_map" or texts != above:  # as a rule groups are mapped as users are
            cells = [Text(text, "dim" if text == HIDDEN else "") for text in texts]
            facts.add_row(mark(each), NAMES.get(each.name, each.name), *cells)
        above = texts
    return facts


def kernel_table(kernel: Kernel) -> Table:
    """What is the same on both sides of any wall."""
    rest = table("The same in any case: they share one kernel", "")
    rest.show_header = False
    for name, text in shared(kernel):
        rest.add_row("=", name, text)
    rest.columns[0].style = MARKS[True][1]
    return rest
