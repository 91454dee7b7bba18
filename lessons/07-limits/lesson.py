"""Lesson 07: a control group with fuses for memory, processes and processor time."""

from __future__ import annotations

import os
import shlex
import time

from minicontainer.lessons.expect import between, expect, like, other_than
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

FUSES = "my_container.py, outside(): a fuse is a file in "
MEGABYTE = 1 << 20
BOMB = "for i in $(seq 250); do sleep 2 & done; echo $i processes"
BY_HAND = """
group=/sys/fs/cgroup/by-hand-$$
mkdir $group
cd $group
echo 64M >memory.max; echo 0 >memory.swap.max; echo 50 >pids.max; echo 50000 100000 >cpu.max
(
    echo 0 >cgroup.procs
    exec unshare --cgroup --mount sh -ec '
        cd {rootfs}; mount -t proc proc proc; mount -B /dev dev
        exec chroot . "$@"' sh "$@"
) && status=0 || status=$?
cd /
rmdir $group
exit $status
"""
PATIENCE = 3.0  # seconds


def number(inside: Inside, file: str) -> int:
    """The fuse in that file of its group; 0 if there is none, or none set."""
    first = inside.limit(file).partition(" ")[0]
    return int(first) if first.isdecimal() else 0


def is_gone(folder: str) -> bool:
    """Whether the directory goes soon."""
    deadline = time.monotonic() + PATIENCE
    while os.path.isdir(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not os.path.isdir(folder)


def check(inside: Inside) -> None:
    """It is in a group of its own, with fuses that blow, sees no other, and the group goes with it."""
    group = inside.cgroup()
    ours = Inside(inside.subject, os.getpid()).cgroup()
    expect("the program is in a control group of its own", group, other_than(ours), f"cat /proc/{inside.pid}/cgroup")
    fuse = like("1 MB to 256 MB, in bytes", lambda seen: MEGABYTE <= seen <= 256 * MEGABYTE)
    quota = like("a number of microseconds", bool)
    expect("its memory has a fuse, memory.max", number(inside, "memory.max"), fuse, FUSES + group)
    expect("its processes have one, pids.max", number(inside, "pids.max"), between(1, 200), FUSES + group)
    expect("its processor time is rationed, cpu.max", number(inside, "cpu.max"), quota, FUSES + group)
    expect("it has a cgroup namespace of its own", inside.own("cgroup"), True, "kit.unshare(kit.CLONE_NEWCGROUP)")
    seen = inside.ask("cat", "/proc/self/cgroup").text.splitlines()[-1:]
    expect("its group is the root of all groups to it", seen, ["0::/"], "first into the group, then the namespace")
    size = 2 * number(inside, "memory.max") // MEGABYTE
    eater = inside.ask("dd", "if=/dev/zero", "of=/dev/null", f"bs={size}M", "count=1")
    expect(f"a program that fills {size} MB is killed: its status", eater.status, 137, "memory.swap.max: is it 0?")
    bomb = inside.ask("sh", "-c", BOMB)
    full = like("less than 250 processes", lambda text: "250 processes" not in text)
    expect("a program that starts 250 others gets", bomb.out, full, f"{group}/pids.max")
    inside.end()
    expect(f"when the program has ended, {group} is gone", is_gone(group), True, "my_container.py, main(): os.rmdir")


LESSON = Lesson(
    number=7,
    name="limits",
    title="Limits: a meter and a fuse",
    step="a control group with limits for memory, processes and processor time",
    feature="cgroup",
    needs=("root", "cgroup2:memory", "cgroup2:pids", "cgroup2:cpu"),
    check=check,
    options=("--network", "none", "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5"),
    others={"unshare": shlex.join(("sh", "-ec", BY_HAND, "sh"))},
    attack=Attack(
        ("dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"),
        told="The container takes 100 MB of the house's memory.",
        succeeds="1+0 records out",
        down=("--without", "cgroup"),
        up=("--memory", "20m"),
    ),
)
