"""Lesson 03: the mount namespace, propagation, and a /proc of its own."""

from __future__ import annotations

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

PRIVATE = 'my_container.py, inside(): kit.mount(None, "/", ...); mount(2): MS_PRIVATE, MS_REC'


def shared(inside: Inside) -> str:
    """The mounts of the container that are kept in step with others, in words."""
    found = [mount.target for mount in inside.mounts() if any(word.startswith("shared:") for word in mount.propagation)]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def processes(inside: Inside) -> str:
    """The process numbers in its /proc, in words."""
    numbers = sorted(int(name) for name in inside.files("/proc") if name.isdecimal())
    return " ".join(map(str, numbers)) if len(numbers) < 5 else f"{len(numbers)} processes, up to {numbers[-1]}"


def check(inside: Inside) -> None:
    """Its mount table is its own, nothing in it is shared, and its /proc shows its own processes."""
    own = like("a mount namespace that the host does not share", lambda number: inside.own("mnt"))
    expect("the program is in a mount namespace of its own", inside.ns("mnt"), own, "my_container.py, walls()")
    expect("none of its mounts is shared", shared(inside), like("no shared mounts", lambda seen: not seen), PRIVATE)
    few = like("1 and hardly another", lambda seen: seen.split()[:1] == ["1"])
    expect("its /proc shows its own processes", processes(inside), few, "my_container.py, inside(): /proc; proc(5)")
    before = {mount.id for mount in inside.host.mounts()}
    inside.ask("true")
    new = [mount.target for mount in inside.host.mounts() if mount.id not in before]
    expect("what it mounts does not come out", new, like("no new mounts on the host", lambda seen: not seen), PRIVATE)


LESSON = Lesson(
    number=3,
    name="mounts",
    title="Mounts: a floor plan of one's own",
    step="a mount table with nothing shared, and a /proc of its own",
    feature="mounts",
    check=check,
    attack=Attack(
        ("mount", "-t", "tmpfs", "intruder", "/mnt"),
        told="The container mounts a file system of its own over a directory of the host.",
        host=("grep", "^intruder /mnt", "/proc/mounts"),
        succeeds="intruder",
        options=("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"),
    ),
)
