"""What the learner is told after a check: plain lines, coloured where a terminal is to read them."""

from __future__ import annotations

import os
import sys

from minicontainer.cli.output import plain
from minicontainer.lessons import catalogue
from minicontainer.lessons.checking import Verdict
from minicontainer.lessons.lesson import Lesson
from minicontainer.lessons.progress import Progress

COLOURS = {"red": 31, "green": 32, "yellow": 33, "bold": 1, "dim": 2}


def style(text: str, colour: str) -> str:
    """`text` in a colour, if standard output is a terminal that is to have colours: no-color.org."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def verdict_lines(lesson: Lesson, verdict: Verdict) -> list[str]:
    """The verdict; if it is bad, the first thing that is wrong: expected, seen, where to look."""
    time = style(f"({verdict.seconds:.1f} s)", "dim")
    if verdict.passed:
        return [f"{style('✓', 'green')} {style(lesson.label, 'bold')}: passed {time}"]
    lines = [
        f"{style('✗', 'red')} {style(lesson.label, 'bold')}: not yet {time}",
        f"  should be so:  {plain(verdict.claim)}",
    ]
    for name, text in (("expected", verdict.wanted), ("seen", verdict.seen), ("look at", verdict.look)):
        rows = text.splitlines() or [""]
        if text:
            lines += [
                f"  {name + ':':<13}  {plain(row)}" if n == 0 else " " * 17 + plain(row) for n, row in enumerate(rows)
            ]
    return lines


def after_success(lesson: Lesson) -> str:
    """What to do next."""
    following = [each for each in catalogue.lessons() if each.number > lesson.number]
    if not following:
        return "  that was the last lesson: `minicontainer lesson list`"
    return f"  next: `minicontainer lesson run {following[0].number}` ({following[0].title})"


def table(progress: Progress) -> list[str]:
    """All lessons with what was done, a line each."""
    lines = []
    here = current(progress)
    for lesson in catalogue.lessons():
        record = progress.lessons.get(f"{lesson.number:02}")
        done, mark, colour = "", " ", "dim"
        if record:
            mark, colour = {"passed": ("✓", "green"), "failed": ("✗", "red")}.get(record.result, ("·", "yellow"))
            tries = "1 try" if record.tries == 1 else f"{record.tries} tries" if record.tries else ""
            hints = "1 hint" if record.hints == 1 else f"{record.hints} hints" if record.hints else ""
            done = ", ".join(filter(None, (tries, hints)))
        pointer = style("▸", "bold") if here and lesson.number == here.number else " "
        lines.append(f"{pointer} {style(mark, colour)} {lesson.number:02}  {lesson.title:<40} {done}".rstrip())
    return lines


def current(progress: Progress) -> Lesson | None:
    """The lesson that the learner is at: the first with an exercise that was not passed."""
    return next((each for each in catalogue.lessons() if each.has_exercise and not progress.passed(each.number)), None)
