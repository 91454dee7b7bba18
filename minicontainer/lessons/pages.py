"""A lesson on paper: the narrative through a pager on a terminal, plain Markdown in a pipe."""

from __future__ import annotations

import difflib
import os
import sys

from minicontainer.errors import UsageError
from minicontainer.lessons import catalogue, text
from minicontainer.lessons.lesson import Lesson


def show(lesson: Lesson) -> None:
    """The narrative and the exercise."""
    parts = [text.readable(lesson.text(name)) for name in ("README.md", "exercise.md") if lesson.text(name)]
    page("\n".join(parts))


def page(markdown: str) -> None:
    """Markdown for people."""
    if not sys.stdout.isatty():
        print(markdown)
        return
    from rich.markdown import Markdown

    _paged(Markdown(markdown))


def solution(lesson: Lesson, diff: bool) -> None:
    """The whole of it, or what is new. Raises UsageError if there is none."""
    if not lesson.solution.exists():
        raise UsageError(f"lesson {lesson.label} has no solution", "it has no exercise either")
    code = lesson.solution.read_text(encoding="utf-8")
    if diff:
        earlier = catalogue.before(lesson)
        source = earlier.solution if earlier else catalogue.skeleton() / "my_container.py"
        old = source.read_text(encoding="utf-8").splitlines(keepends=True)
        names = (f"before lesson {lesson.number:02}", f"after lesson {lesson.number:02}")
        code = "".join(difflib.unified_diff(old, code.splitlines(keepends=True), *names))
    if not sys.stdout.isatty():
        print(code, end="")
        return
    from rich.syntax import Syntax

    _paged(Syntax(code, "diff" if diff else "python", background_color="default"))


def _paged(content: object) -> None:
    from minicontainer.cli.output import console

    os.environ.setdefault("LESS", "-RFX")
    screen = console()
    with screen.pager(styles=True):
        screen.print(content)
