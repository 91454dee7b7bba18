"""Lesson 10: the user namespace."""

from __future__ import annotations

import os

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

OUTSIDE = "my_container.py, outside(): which users inside are which outside"
KEY = 'mknod /tmp/disk b 8 0 && ls -l /tmp/disk && echo "got through"'

ORDINARY = "setpriv --reuid 1000 --regid 1000 --clear-groups"


def owner(inside: Inside) -> int:
    """The user, as the host counts, that the process is: the effective one."""
    return int(inside.status()["Uid"].split()[1])


def groups_of_root(inside: Inside) -> list[str]:
    """Those that a container has if it is started by somebody who is in one."""
    if os.geteuid() == 0:
        os.setgroups([0])
    return [group for group in inside.subject.start().status()["Groups"].split() if group == "0"]


def check(inside: Inside) -> None:
    """Root inside is somebody else outside."""
    own = like("a user namespace that the host does not share", lambda number: inside.own("user"))
    expect("the program is in a user namespace of its own", inside.ns("user"), own, "my_container.py, walls()")
    look = f"cat /proc/{inside.pid}/uid_map"
    for name, table in (("uid_map", inside.uid_map()), ("gid_map", inside.gid_map())):
        mapped = like("0 inside among them", lambda rows: any(first == 0 for first, *_ in rows))
        expect(f"its {name} says who root is: it maps", table, mapped, look.replace("uid_map", name))
        nobody = like("another than 0", lambda rows: all(outside > 0 for _, outside, _ in rows))
        expect(f"root inside is not root outside, says its {name}", table, nobody, OUTSIDE)
    expect("the program is root inside", inside.ask("id", "-u").text, "0", "my_container.py, inside(): os.setuid(0)")
    expect("the program is, as the host counts, user", owner(inside), inside.uid_map()[0][1], f"ps -o uid {inside.pid}")
    expect("no groups of the host's root come in with it", groups_of_root(inside), [], "os.setgroups([])")
    made = inside.ask("sh", "-c", KEY)
    expect("a device file of the host's disk cannot be made", made.out, like("nothing", lambda text: not text), OUTSIDE)


LESSON = Lesson(
    number=10,
    name="users",
    title="Users: whose root is it?",
    step="root inside is an ordinary user outside",
    feature="user",
    needs=("root", "userns"),
    check=check,
    options=("--network", "none", "--userns", "auto"),
    others={
        "unshare": f"{ORDINARY} unshare --user --map-root-user --mount --pid --fork --kill-child"
        " sh -c 'cd {rootfs} && mount -t proc proc proc && exec chroot . \"$@\"' sh",
        "bubblewrap": f"{ORDINARY} bwrap --unshare-all --uid 0 --gid 0 --bind {{rootfs}} / --proc /proc --dev /dev",
    },
    attack=Attack(
        ("sh", "-c", KEY),
        told="The container's root makes a device file with the numbers of the house's disk.",
        succeeds="got through",
        down=("--userns", "host"),
        up=("--userns", "auto"),
    ),
)
