"""Lesson 01: the uts namespace, a hostname of its own."""

from __future__ import annotations

from minicontainer.lessons.expect import expect, like, other_than
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson


def check(inside: Inside) -> None:
    """It has a name, and the host does not share it."""
    name = inside.host.hostname()
    own = like("a uts namespace that the host does not share", lambda number: inside.own("uts"))
    expect(
        "the program is in a uts namespace of its own", inside.ns("uts"), own, "my_container.py, walls(); namespaces(7)"
    )
    look = "my_container.py, inside(): sethostname(2)"
    expect("it has a hostname of its own", inside.hostname(), other_than(name), look)
    expect("another program in the container sees one, too", inside.ask("hostname").text, other_than(name), look)
    inside.ask("hostname", "intruder")
    expect("when the container changes its hostname, the host keeps its own", inside.host.hostname(), name, look)


LESSON = Lesson(
    number=1,
    name="hostname",
    title="A name of its own",
    step="a uts namespace, and a hostname in it",
    feature="uts",
    check=check,
    attack=Attack(
        ("hostname", "intruder"),
        told="The container renames the machine.",
        host=("hostname",),
        succeeds="intruder",
        options=("--cap-add", "SYS_ADMIN"),
    ),
)
