"""What the lab needs of the host: x86-64, two packages, and room for the machine's memory.

The machine's memory is a file without a name (O_TMPFILE, open(2)), mapped by all of its processes; it
lies on a tmpfs where there is room, since on a disk it would be slow.

    ls -l /proc/$(pgrep -o linux.uml)/fd | grep deleted       watch it
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from minicontainer.errors import UnsupportedError, UsageError
from minicontainer.linux import proc

KERNEL = Path("/usr/bin/linux.uml")
MODULES = Path("/usr/lib/uml/modules")
SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin"
SMALLEST = 128 << 20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def check_host() -> None:
    """Raise UnsupportedError, with what to do, unless the lab can be started here."""
    install = "sudo apt-get install user-mode-linux kmod (Debian, Ubuntu); elsewhere use a virtual machine"
    if inside():
        raise UnsupportedError("this is the lab already, and a lab cannot hold another", "run the command itself")
    if platform.machine() != "x86_64":
        raise UnsupportedError(
            f"the lab's kernel, User-Mode Linux, exists for x86-64 only and this is {platform.machine()}",
            "use a virtual machine (QEMU with your distribution's kernel) and work in there",
        )
    if not os.access(KERNEL, os.X_OK):
        raise UnsupportedError(f"the lab's kernel {KERNEL} is not installed", install)
    if not any(MODULES.glob("*/modules.dep")):
        raise UnsupportedError(f"the modules of the lab's kernel are not in {MODULES}", install)
    if not shutil.which("modprobe", path=SYSTEM_FOLDERS):
        raise UnsupportedError("modprobe is not installed", install)


def inside() -> bool:
    """Whether this process runs in the lab."""
    return proc.is_user_mode_linux()


def memory_size(text: str) -> int:
    """The bytes that `1G`, `512M` or a plain number means. Raises UsageError."""
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].upper() in UNITS else (text, "")
    if not number.isascii() or not number.isdecimal():
        raise UsageError(f"--memory {text!r} is not a size", "give a number and a unit, such as 1G or 512M")
    size = int(number) * UNITS[unit]
    if size < SMALLEST:
        raise UsageError(f"--memory {text} is too little to boot in", f"give {SMALLEST >> 20}M or more")
    return size


def memory_folder(size: int) -> str:
    """The first of /dev/shm, $TMPDIR, /tmp and /var/tmp that can hold the machine's memory of `size` bytes.

    Raises UnsupportedError if none can.
    """
    reasons = []
    for folder in dict.fromkeys(filter(None, ("/dev/shm", os.environ.get("TMPDIR"), "/tmp", "/var/tmp"))):
        if problem := next(_problems(folder, size), None):
            reasons.append(f"{folder} {problem}")
        else:
            return folder
    raise UnsupportedError(
        f"no place for the lab's {size >> 20} MB of memory: " + ", ".join(reasons),
        "make room, give less with --memory, or set TMPDIR to a directory with room",
    )


def _problems(folder: str, size: int) -> Iterator[str]:
    try:
        room = os.statvfs(folder)
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600))
    except OSError as error:
        yield f"cannot be used ({error.strerror})"
        return
    if room.f_bavail * room.f_frsize < size:
        yield f"has {room.f_bavail * room.f_frsize >> 20} MB free"
    if room.f_flag & os.ST_NOEXEC:
        yield "is mounted noexec"
