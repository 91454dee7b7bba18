"""Lesson 06: a writable layer over the root filesystem, which itself is never written."""

from __future__ import annotations

import os

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

LAYER = "my_container.py, inside(): the overlay; lowerdir is only read, upperdir must be new"
LEFT = "/left-behind"
WHOLE = "/etc/passwd"
LOG = 'mknod /the-log c 1 11 && { true >> /the-log && echo "opened for writing"; rm /the-log; }'
"""Makes the kernel's log, /dev/kmsg, as a device in the new layer, and opens it."""

BY_HAND = """cd {rootfs} && mount -t tmpfs tmpfs /tmp && mkdir /tmp/upper /tmp/work /tmp/root
mount -t overlay -o nodev,lowerdir=.,upperdir=/tmp/upper,workdir=/tmp/work overlay /tmp/root
cd /tmp/root && pivot_root . mnt && umount -l mnt && exec "$@" """
"""What the solution does, in the shell."""


def left_behind(inside: Inside) -> str:
    """What a container that comes later finds of what one wrote before it."""
    try:
        return inside.ask("cat", LEFT).out
    finally:
        inside.ask("rm", "-f", LEFT)


def check(inside: Inside) -> None:
    """Everything can be changed, and the next container finds all as it was."""
    own = inside.stat("/")
    whose = "the host's" if own and os.path.samestat(own, os.stat("/")) else "its own"
    expect("its root directory is its own", whose, "its own", "lesson 04; pivot_root(2)")  # or we write on the host's
    wrote = inside.ask("sh", "-c", f"echo written > {LEFT} && cat {LEFT}")
    expect("a file can be written and read again", wrote.text or wrote.err, "written", LAYER)
    expect("the next container finds nothing of it", left_behind(inside), "", LAYER)
    root = inside.mount("/")
    expect("its root is an overlay", root.fstype if root else "", "overlay", LAYER)
    inside.ask("rm", WHOLE)
    whole = like("the whole file", lambda seen: "root" in seen)
    expect(f"a container removes {WHOLE}, the next one has it", inside.ask("cat", WHOLE).text, whole, LAYER)
    refused = like("not opened", lambda seen: "opened" not in seen)
    expect("a device made in the layer does not open", inside.ask("sh", "-c", LOG).out, refused, "MS_NODEV, lesson 05")
    before = {mount.id for mount in inside.host.mounts()}
    inside.ask("true")
    new = [mount.target for mount in inside.host.mounts() if mount.id not in before]
    expect("nothing stays mounted on the host", new, [], "MS_PRIVATE, lesson 03")


LESSON = Lesson(
    number=6,
    name="layers",
    title="Layers: the landlord's furniture",
    step="a fresh layer over ROOTFS at each start",
    check=check,
    attack=Attack(
        ("sh", "-c", "echo intruder > /etc/issue"),
        told="The container leaves something in the root filesystem for whoever starts there next.",
        host=("sh", "-c", "cat {rootfs}/etc/issue && rm {rootfs}/etc/issue"),
        succeeds="intruder",
        down=("--volume", "{rootfs}/etc:/etc"),
    ),
    others={"unshare": f"unshare --mount --pid --fork --kill-child sh -c '{BY_HAND}' sh"},
)
