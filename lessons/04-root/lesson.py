"""Lesson 04: a root directory of its own, and no way up from there."""

from __future__ import annotations

import os
import tempfile

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

INSIDE = "my_container.py, inside(): "
SECRET = "of the host"
ESCAPE = """
mkdir -p /tmp/cell && cp /bin/busybox /tmp/cell && cd / &&
nsenter --root=/tmp/cell /busybox sh -c 'cd ../../../../../../../../../../..; exec /busybox chroot . cat "$0"' "$0"
rm -r /tmp/cell
"""
"""chroot(2) moves the root below the current directory; from there `..` never meets it. `$0` is what to read."""


def root(inside: Inside) -> str:
    """Whose root directory the container's is."""
    own = inside.stat("/")
    return "the host's" if own and os.path.samestat(own, os.stat("/")) else "its own"


def old_roots(inside: Inside) -> list[str]:
    """Where in the container the host's root is mounted."""
    hosts = [mount for mount in inside.host.mounts() if mount.target == "/"]
    what = {(mount.source, mount.super_options, mount.root) for mount in hosts}
    return [mount.target for mount in inside.mounts() if (mount.source, mount.super_options, mount.root) in what]


def check(inside: Inside) -> None:
    """Its root is its own, the old one is gone, and nobody climbs out."""
    expect("its root directory is its own", root(inside), "its own", INSIDE + "kit.pivot_root; pivot_root(2)")
    nowhere = like("nowhere", lambda seen: not seen)
    expect("the old root is not mounted in it any more", old_roots(inside), nowhere, INSIDE + "kit.umount")
    with tempfile.NamedTemporaryFile("w", prefix="secret-") as file:
        file.write(SECRET)
        file.flush()
        read = inside.ask("sh", "-c", ESCAPE, file.name).out
    nothing = like("nothing of the host's", lambda seen: SECRET not in seen)
    expect("nobody climbs out of it as out of a chroot", read, nothing, INSIDE + "pivot_root(2) instead of chroot(2)")
    mounted = like("a mount, as pivot_root(2) needs it", bool)
    expect("its root directory is a mount", inside.mount("/"), mounted, INSIDE + "kit.mount(rootfs, rootfs, …)")
    proc = inside.mount("/proc")
    expect("it has a /proc", proc.fstype if proc else "", "proc", INSIDE + 'rootfs + "/proc"')


LESSON = Lesson(
    number=4,
    name="root",
    title="The root: where all paths begin",
    step="ROOTFS as its root directory, by pivot_root",
    feature="root",
    check=check,
    attack=Attack(
        ("cat", "{dir}/secret"),
        told="The container reads a file of the host.",
        succeeds=SECRET,
    ),
)
