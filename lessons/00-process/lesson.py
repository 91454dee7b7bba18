"""Lesson 00: a process, before there are any walls."""

from __future__ import annotations

import re
import signal

from minicontainer.lessons.expect import expect, like, other_than
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Lesson

MAIN = "my_container.py, main(): what os.waitpid returned; waitpid(2), wstatus in wait(2)"


def check(inside: Inside) -> None:
    """The program is a process of its own, and the subject ends as the program did."""
    expect(
        "the program runs in a process of its own", inside.pid, other_than(inside.host.pid, "our own pid"), "pstree -p"
    )
    for status in (0, 7):
        seen = inside.ask("sh", "-c", f"exit {status}").status
        expect(f"a program that ends with status {status} is reported so", seen, status, MAIN)
    expect("a program that signal 9 ended is reported as 128 + 9", inside.end(signal.SIGKILL), 137, MAIN)
    answer = inside.ask("no-such-program")
    expect("a program that does not exist is no success", answer.status, other_than(0, "a"), "my_container.py, start()")
    one_line = like(
        "a line that says so", lambda text: re.search("no-such-program|not found", text) and "Traceback" not in text
    )
    expect("a program that does not exist is told", answer.err, one_line, "my_container.py: except FileNotFoundError")


LESSON = Lesson(
    number=0,
    name="process",
    title="A process",
    step="end as the program ended: its status, or 128 and the signal's number",
    needs=(),
    check=check,
    options=("--network", "none"),
)
