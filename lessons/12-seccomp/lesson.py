"""Lesson 12: the filter of system calls."""

from __future__ import annotations

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

FILTER = "my_container.py, inside(): kit.seccomp, last of all; its list"
ALL = ("unshare", "--user", "--map-root-user", "grep", "CapEff", "/proc/self/status")
USEFUL = "mkdir /tmp/a 2>/dev/null || mkdir /a; ls / | sort | head -1 && sleep 0 && echo works"


def check(inside: Inside) -> None:
    """A filter is there, it stops what it should, and it lets the rest pass."""
    expect("a filter of system calls is in force: Seccomp", inside.status().get("Seccomp"), "2", FILTER)
    refused = like("another than 0", bool)
    calls = {"unshare": ALL, "mount": ("mount", "-t", "tmpfs", "none", "/mnt"), "sethostname": ("hostname", "intruder")}
    for call, program in calls.items():
        answer = inside.ask(*program)
        expect(f"{call} is refused: the status of `{' '.join(program)}`", answer.status, refused, FILTER)
    working = inside.ask("sh", "-c", USEFUL)
    expect("what programs need is not", working.out.splitlines()[-1:], ["works"], working.err or FILTER)


LESSON = Lesson(
    number=12,
    name="seccomp",
    title="System calls: what may be asked for",
    step="a filter that refuses the calls a container has no use for",
    feature="seccomp",
    check=check,
    options=("--network", "none"),
    attack=Attack(
        ALL,
        told="The container makes a user namespace, in which it has all capabilities.",
        succeeds="000001ff",
    ),
)
