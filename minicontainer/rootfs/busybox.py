"""A root filesystem from busybox: one program that looks at the name it was called by.

`bin/ls` is a link to `bin/busybox`, which sees `ls` as its argument zero and acts as ls. Linked
statically it needs no library and no loader, so a single file makes a system.

    busybox --list-full      the names that it answers to
"""

from __future__ import annotations

import shutil
import subprocess

from minicontainer.errors import UnsupportedError
from minicontainer.rootfs import host
from minicontainer.rootfs.tree import Tree

PROGRAM = "/bin/busybox"
NAMES_OF_IT = ("busybox-static", "busybox.static", "busybox")


def fill(tree: Tree) -> None:
    """Copy the machine's busybox and make a link for each name, `sh` last."""
    found = next(filter(None, (shutil.which(name, path=host.FOLDERS) for name in NAMES_OF_IT)), None)
    if found is None:
        raise UnsupportedError(
            "busybox is not installed",
            "install the package busybox-static, or take this machine's own programs: "
            "`minicontainer rootfs build --from host DIR`",
        )
    tree.copy(found, PROGRAM)
    for library in host.libraries([found]):  # none, when it is static
        tree.copy(library, library)
    applets = subprocess.run([found, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    for name in sorted(applets, key=lambda name: name == "bin/sh"):
        if name not in ("bin/busybox", "linuxrc"):  # itself, and the start of a ramdisk
            tree.link(f"/{name}", PROGRAM)
