"""Lesson 05: /proc, /sys and /dev, with what is dangerous in them shut."""

from __future__ import annotations

import os
import stat

from minicontainer.lessons.expect import containing, expect, like, without
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

PLACE = "my_container.py, inside(): "
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
KNOB = 'true >> /proc/sys/kernel/core_pattern && echo "opened for writing"'
LOG = 'mknod "$0/the-log" c 1 11 && { true >> "$0/the-log" && echo "opened for writing"; rm "$0/the-log"; }'
"""Makes the kernel's log, /dev/kmsg, in the folder `$0`, and opens it."""


def device(inside: Inside, path: str) -> str:
    """What kind of file that is, in words: for a device, its numbers."""
    found = inside.stat(path)
    if not found:
        return "nothing"
    if not stat.S_ISCHR(found.st_mode):
        return "no device"
    return f"device {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


def check(inside: Inside) -> None:
    """What is dangerous cannot be written, what is secret not read, and no device but the harmless ones opened."""
    sys = inside.mount("/sys")
    expect("/sys is a sysfs", sys.fstype if sys else "", "sysfs", PLACE + 'rootfs + "/sys"')
    options = sys.options.split(",") if sys else []
    expect("/sys is read-only", options, containing("ro"), PLACE + "MS_RDONLY; `mount` shows the options")
    refused = like("not opened", lambda seen: "opened" not in seen)
    expect("/proc/sys/kernel/core_pattern is read-only", inside.ask("sh", "-c", KNOB).out, refused, PLACE + "/proc/sys")
    size = len(inside.read("/proc/timer_list"))
    expect("/proc/timer_list is masked", f"{size} bytes in it", "0 bytes in it", PLACE + "/dev/null on top; proc(5)")
    for name, (major, minor) in DEVICES.items():
        node = device(inside, f"/dev/{name}")
        expect(f"there is a /dev/{name}", node, f"device {major}:{minor}", PLACE + "/dev; null(4)")
    names = inside.files("/dev")
    expect("/dev has harmless devices only", names, without("kmsg", "mem", "port"), PLACE + "a tmpfs at /dev")
    expect("/dev has its links", names, containing("fd", "stdin", "stdout", "stderr", "ptmx"), PLACE + "os.symlink")
    pts = inside.mount("/dev/pts")
    expect("its terminals are its own, in /dev/pts", pts.fstype if pts else "", "devpts", PLACE + "/dev/pts; pts(4)")
    for folder in ("/tmp", "/dev"):
        seen = inside.ask("sh", "-c", LOG, folder).out
        expect(f"a device made in {folder} does not open", seen, refused, PLACE + f"{folder}, MS_NODEV; mount(2)")


LESSON = Lesson(
    number=5,
    name="proc-sys-dev",
    title="/proc, /sys and /dev: windows into the cellar",
    step="/proc and /sys with the dangerous parts shut, and a /dev with harmless devices",
    feature="filesystems",
    check=check,
    attack=Attack(
        ("sh", "-c", KNOB),
        told="The container names the program that the kernel starts, as root on the host, when another one crashes.",
        succeeds="opened for writing",
        down=("--privileged",),
    ),
)
