"""Lesson 02: the pid namespace, process 1 and its duties."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson
from minicontainer.lessons.subject import find

WALLS = "my_container.py, walls(); pid_namespaces(7)"


def left_behind(inside: Inside) -> int:
    """The pid of a process that process 1 of a container has left, on the host; 0 if it ended with the container."""
    sleeper = ("sleep", f"31{inside.pid}")
    inside.ask("sh", "-c", f"{' '.join(sleeper)} >&- 2>&- & sleep 0.1")
    pid = find([*sleeper])
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pid


def check(inside: Inside) -> None:
    """The program is number 1, reaches nobody outside, and leaves nobody behind."""
    own = like("a pid namespace that the host does not share", lambda number: inside.own("pid"))
    expect("the program is in a pid namespace of its own", inside.ns("pid"), own, WALLS)
    expect("it is process 1 there", inside.pids()[-1], 1, f"grep NSpid /proc/{inside.pid}/status")
    answer = inside.ask("sh", "-c", f"kill -0 {inside.host.pid} && echo it arrives")
    lost = like("no such process", lambda seen: "arrives" not in seen)
    expect("a signal from inside does not arrive at a process of the host", answer.text, lost, WALLS)
    none = like("no process left", lambda pid: not pid)
    expect("what process 1 leaves behind ends with it", left_behind(inside), none, WALLS)


LESSON = Lesson(
    number=2,
    name="processes",
    title="Processes: somebody must be number 1",
    step="a pid namespace, in which the program is process 1",
    feature="pid",
    check=check,
    attack=Attack(
        ("sh", "-c", '[ "$PPID" -gt 0 ] && kill -0 "$PPID" && echo "within reach"'),
        told="The program asks whether it may send a signal to its parent, which is a process of the host.",
        succeeds="within reach",
    ),
)
