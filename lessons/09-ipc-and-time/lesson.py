"""Lesson 09: the ipc namespace, and the time namespace."""

from __future__ import annotations

import os
import subprocess

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson
from minicontainer.linux.proc import read

WALLS = "my_container.py, walls(); "
SIZE = "4242"


def check(inside: Inside) -> None:
    """Nothing of the host is on its notice board, and its clocks since boot are its own."""
    own = like("an ipc namespace that the host does not share", lambda number: inside.own("ipc"))
    expect("the program is in an ipc namespace of its own", inside.ns("ipc"), own, WALLS + "ipc_namespaces(7)")
    subprocess.run(["ipcmk", "--shmem", SIZE], check=True, stdout=subprocess.DEVNULL)  # on the stand-in for the host
    board = inside.ask("cat", "/proc/sysvipc/shm").text.splitlines()[1:]
    expect("no shared memory of the host is seen inside", board, [], WALLS + "ipcs --shmems")
    if not os.path.exists("/proc/self/ns/time"):
        return  # the lab's kernel has none
    own = like("a time namespace that the host does not share", lambda number: inside.own("time"))
    expect("the program is in a time namespace of its own", inside.ns("time"), own, WALLS + "kit.CLONE_NEWTIME")
    offsets = [" ".join(row.split()) for row in read(f"/proc/{inside.pid}/timens_offsets").splitlines()]
    other = like("other than 0", lambda rows: rows and all(row.split()[1] != "0" for row in rows))
    expect("its clocks since boot tell another time than the host's, by", offsets, other, WALLS + "time_namespaces(7)")


LESSON = Lesson(
    number=9,
    name="ipc-and-time",
    title="Notice boards and clocks",
    step="an ipc namespace; and a time namespace, where the kernel has them",
    feature="ipc",
    check=check,
    options=("--network", "none", "--time-offset", "+1h"),
    others={
        "unshare": "unshare --ipc --time --boottime 3600 --monotonic 3600 --mount --pid --fork --kill-child"
        " sh -c 'cd {rootfs} && mount -t proc proc proc && exec chroot . \"$@\"' sh",
    },
    attack=Attack(
        ("cat", "/proc/sysvipc/shm"),
        told="There is shared memory of 4242 bytes on the host. The container looks for it.",
        before=("ipcmk", "--shmem", SIZE),
        succeeds=f" {SIZE} ",
    ),
)
