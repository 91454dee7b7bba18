"""Root filesystems: the files that a container calls `/`.

A root filesystem is nothing but a folder. Its programs run on the kernel of the host, so they must
be for its kind of CPU, and everything they need at run time must be in the folder as well: the
loader that the kernel starts for a dynamic program (`ld-linux`), the libraries that the loader
looks for, the interpreter of a script. There are three ways to fill one:

    busybox   one static program under 270 names; needs nothing else
    host      this machine's own sh, coreutils and friends, with the libraries that `ldd` names
    debian    a real Debian, made by mmdebstrap from the machine's own package sources; apt works in it

    file rootfs/bin/busybox; ldd /bin/ls        what a program needs
    sudo chroot rootfs /bin/sh                  the oldest container of all, with hardly a wall

See hier(7) for what belongs where.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from minicontainer.errors import UsageError
from minicontainer.rootfs import busybox, debian, host
from minicontainer.rootfs.tree import Tree

FOLDERS = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "home/student": 0o755, "lib": 0o755, "mnt": 0o755,
    "opt": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755, "sbin": 0o755, "srv": 0o755, "sys": 0o555,
    "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/lib": 0o755, "usr/local": 0o755, "usr/local/bin": 0o755,
    "usr/sbin": 0o755, "usr/share": 0o755, "var": 0o755, "var/log": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
"""The empty part of the skeleton, with modes that git does not keep."""

STUDENT = 1000
SOURCES = ("busybox", "host", "debian")


def build(
    folder: str, source: str = "busybox", suite: str = "", say: Callable[[str], None] = lambda line: None
) -> None:
    """Make `folder` a root filesystem, or complete the one that it is; `say` hears what was done.

    `source` is one of SOURCES; `suite` names the release for debian (default: the machine's own).
    To build again is harmless: what is there and right stays. /bin/sh comes last, so a root without
    it was interrupted. Raises UsageError for a folder with other things in it, UnsupportedError
    where the machine lacks a tool.
    """
    if source not in SOURCES:
        raise UsageError(f"there is no root filesystem from {source!r}", f"choose one of {', '.join(SOURCES)}")
    root = Path(folder).absolute()
    if source == "debian":
        debian.make(root, suite, skeleton(), say)
        return
    tree = Tree(root)
    prepare(root)
    (busybox.fill if source == "busybox" else host.fill)(tree)
    say(f"{folder}: {tree.files} files and {tree.links} links from {source}, {tree.changed} of them new or changed")


def prepare(root: Path) -> None:
    """Lay the skeleton in `root`, which must be new, empty, or a root of ours."""
    etc = root / "etc"
    try:
        if root.exists() and any(root.iterdir()) and not is_ours(root):
            raise UsageError(f"{root} holds something else", "name a folder that is new or empty")
        for name, mode in FOLDERS.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name).chmod(mode)
        if not etc.samefile(skeleton()):
            shutil.copytree(skeleton(), etc, dirs_exist_ok=True)
        for file in etc.iterdir():
            file.chmod(0o644)  # whatever the umask of the checkout was
        if os.geteuid() == 0:
            os.chown(root / "home/student", STUDENT, STUDENT)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}", "choose a folder that you may write to") from None


def is_ours(root: Path) -> bool:
    """Whether `root` was built from our skeleton."""
    try:
        return "ID=minicontainer\n" in (root / "etc/os-release").read_text()
    except (OSError, UnicodeDecodeError):
        return False


def skeleton() -> Path:
    """The folder that becomes /etc: in the installed package, or in the checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "share/rootfs/etc"
    return installed if installed.is_dir() else package.parent / "rootfs/etc"
