"""Steps on a terminal, to be read from the last row, from 60 columns on.

    ── uts ─────────────────────────────────────── lesson 1: hostname ──
            own host name

     17 child  sethostname("box") = 0
               Give the container its name; the host keeps its own.
               sethostname(2), uts_namespaces(7)
               hostname: castle → box

Long lines are broken where a reader would: behind a comma, a bar, a slash.
"""

from __future__ import annotations

import os

from rich.console import Console
from rich.text import Text

from minicontainer.narrate import reasons
from minicontainer.narrate.step import CHILD, PARENT
from minicontainer.narrate.writers import Writer, gains

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minicontainer.narrate.step import Step

GUTTER = 12
"""Columns before the text: number, and who."""

WORDS, CODE = " ", " ,|/"
"""Characters behind which a line of prose, or one of arguments, may be broken."""

SHOWN, LINES_SHOWN, CHANGES_SHOWN = 4, 8, 12
"""How many flags of an argument, lines of what is fed to a program, lines about changes. The other forms have all."""

MARGIN = 4
WHO = {PARENT: "bold cyan", CHILD: "bold magenta"}


class Screen(Writer):
    def __init__(self, output: int, id: str) -> None:
        super().__init__(output, id)
        self.console = Console(force_terminal=True, highlight=False, markup=False, emoji=False)
        self.headed: str | None = None
        self.introduced: set[str] = set()
        self.begun: Step | None = None

    def begin(self, step: Step) -> None:
        self.said.clear()  # one step at a time: nobody remembers
        self.show([*self.heading(step), *self.call(step, "")])
        self.flush()
        self.begun = step

    def write(self, step: Step) -> None:
        if self.begun is step:
            self.show(self.outcome(step))
        else:
            self.show([*self.heading(step), *self.call(step, step.told_result), *self.changes(step)])

    def show(self, lines: list[Text]) -> None:
        with self.console.capture() as capture:
            for line in lines:
                self.console.print(line, soft_wrap=True)
        self.put(capture.get())

    @property
    def width(self) -> int:
        """Columns, now."""
        return os.get_terminal_size(self.output).columns if self.screen else int(os.environ.get("COLUMNS", "80"))

    # -- the parts of a step ------------------------------------------------------------------------

    def heading(self, step: Step) -> Iterator[Text]:
        """When a feature begins: its name, its lesson, what it is for."""
        if step.feature == self.headed:
            return
        self.headed = step.feature
        number, purpose = reasons.FEATURES[step.feature]
        left, right = f"── {step.feature or 'process'} ", f" lesson {number}: {reasons.LESSONS[number]} ──"
        yield Text()
        yield Text(left + "─" * max(0, self.width - len(left) - len(right)) + right, "bold yellow")
        if step.feature not in self.introduced:
            yield from self.lines(purpose, "yellow", WORDS)
        self.introduced.add(step.feature)
        yield Text()

    def call(self, step: Step, result: str) -> Iterator[Text]:
        """Who makes which call, with its result if it is known; and why, unless that has just been said."""
        style = "bold red" if step.error else "bold"
        first, *rest = self.lines(f"{step.call}({', '.join(map(shorten, step.args))})", style, CODE)
        lines = [
            Text.assemble(f"{step.number:4} ", (f"{step.who:6} ", WHO.get(step.who, "bold")), first[GUTTER:]),
            *rest,
        ]
        yield from self.beside(lines, f"= {result}", style) if result else lines
        why = reasons.why(step)
        if self.is_new(step, why):
            yield from self.beside(list(self.lines(why, "default", WORDS)), reasons.man(step), "cyan")

    def beside(self, lines: list[Text], text: str, style: str) -> list[Text]:
        """`text` behind the last of `lines` if there is room, else below it."""
        if len(lines[-1]) + 2 + len(text) > self.width:
            return [*lines, *self.lines(text, style, WORDS)]
        lines[-1].append(f" {self.short(text)}", style)
        return lines

    def outcome(self, step: Step) -> list[Text]:
        """What came of a step that has been shown before it was made."""
        return [*self.lines(f"= {step.told_result}", "bold red" if step.error else "bold", CODE), *self.changes(step)]

    def changes(self, step: Step) -> Iterator[Text]:
        """What the kernel says now that it did not say before."""
        names = list({**step.before, **step.after})
        told = 0
        for number, name in enumerate(names):
            if told >= CHANGES_SHOWN:
                yield from self.lines(f"… and {len(names) - number} more", "green", CODE)
                return
            for line in self.change(name, step.before.get(name), step.after.get(name)):
                told += 1
                yield line

    def change(self, name: str, old: str | list[str] | None, new: str | list[str] | None) -> Iterator[Text]:
        if isinstance(old, list) or isinstance(new, list):
            lost, gained = gains(old, new)
            if lost:
                yield from self.lines(f"{name} − {listed(lost)}", "red", CODE)
            if gained:
                yield from self.lines(f"{name} + {listed(gained)}", "green", CODE)
        elif not old:
            yield from self.lines(f"{name}: {new}", "green", CODE)
        elif not new:
            yield from self.lines(f"{name}: {old} → gone", "red", CODE)
        else:
            yield from self.lines(f"{name}: {old} → {new}", "green", CODE)

    def lines(self, text: str, style: str, breaks: str) -> Iterator[Text]:
        """A text broken into lines that fit, the first at the gutter, those of code further in then."""
        margin = MARGIN if breaks == CODE else 0
        for part in self.short(text).split("\n"):
            for number, line in enumerate(broken(part, self.width - GUTTER, margin, breaks)):
                yield Text(" " * (GUTTER + (margin if number else 0)) + line, style)


def shorten(argument: str) -> str:
    """Of a long list of flags, or of lines, the first few."""
    flags, lines = argument.split("|"), argument.split("\n")
    if len(lines) > 2 * LINES_SHOWN:
        return "\n".join([*lines[:LINES_SHOWN], f"… {len(lines) - LINES_SHOWN} more lines"])
    return "|".join(flags[:SHOWN]) + f"|… {len(flags) - SHOWN} more" if len(flags) > 2 * SHOWN else argument


def listed(words: list[str]) -> str:
    """The same of a list of words."""
    return ", ".join(words[:SHOWN]) + (f" … and {len(words) - SHOWN} more" if len(words) > 2 * SHOWN else "")


def broken(text: str, width: int, margin: int, breaks: str) -> Iterator[str]:
    """`text` in lines of at most `width`, all but the first `margin` shorter, broken behind one of `breaks`."""
    room = width
    while len(text) > room:
        cut = max(text.rfind(mark, room // 3, room) for mark in breaks) + 1 or room
        yield text[:cut].rstrip()
        text, room = text[cut:].lstrip(), width - margin
    yield text
