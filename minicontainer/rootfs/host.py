"""A root filesystem from this machine's own programs, on any distribution, with no download.

A dynamic program is not complete in itself. Its header names a loader (PT_INTERP, elf(5)), which
the kernel starts in its place, and the loader finds the libraries, ld.so(8). `ldd` asks the loader
which ones, so each program is copied with what `ldd` names, to the same paths.

    ldd /bin/ls;  readelf -l /bin/ls | grep interpreter
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from minicontainer.errors import UnsupportedError
from minicontainer.rootfs.tree import Tree

FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = """
    [ awk base64 basename bash cat chgrp chmod chown chroot cksum clear cmp comm cp cut date dd df diff dirname dmesg du
    echo env expr false find free getent grep groups gunzip gzip head hostname id ip kill less ln ls lsns md5sum mkdir
    mkfifo mknod mktemp more mount mv nice nl nohup nproc nsenter od paste pgrep ping pivot_root pkill printenv printf
    ps pwd readlink realpath rm rmdir sed seq setpriv sha256sum shuf sleep sort split stat stty sync tac tail tar tee
    test timeout top touch tr true truncate tty umount uname uniq unshare uptime vmstat watch wc which whoami xargs yes
    sh
""".split()  # noqa: SIM905
"""What is copied, where the machine has it; sh last, since it is the sign of a filled root."""

FOUND = re.compile(r"(/\S+) \(0x[0-9a-f]+\)")  # `libc.so.6 => /lib/libc.so.6 (0x7f…)`, `/lib64/ld-linux… (0x7f…)`


def fill(tree: Tree) -> None:
    """Copy the programs to /bin and what they need to where they look for it."""
    programs = {name: path for name in PROGRAMS if (path := elf(name))}
    if "sh" not in programs:
        raise UnsupportedError("this machine has no sh that could be copied", "build from busybox")
    for library in libraries(sorted(set(programs.values()))):
        tree.copy(library, library)
    if os.path.exists("/etc/ld.so.cache"):  # where the loader finds libraries outside of its own folders
        tree.copy("/etc/ld.so.cache", "/etc/ld.so.cache")
    for name, path in programs.items():
        file = f"/bin/{os.path.basename(path)}"
        tree.copy(path, file)
        if file != f"/bin/{name}":
            tree.link(f"/bin/{name}", file)


def elf(name: str) -> str:
    """The real path of an installed program, or an empty string if there is none or it is a script."""
    found = shutil.which(name, path=FOLDERS)
    if found is None:
        return ""
    path = os.path.realpath(found)
    try:
        with open(path, "rb") as file:
            return path if file.read(4) == b"\x7fELF" else ""
    except OSError:  # executable but not readable
        return ""


def libraries(programs: list[str]) -> list[str]:
    """All loaders and libraries that these programs of the host need, and the C library's name services."""
    if shutil.which("ldd") is None:
        raise UnsupportedError("ldd is not installed", "it comes with the C library's tools (libc-bin, glibc-common)")
    listing = subprocess.run(["ldd", *programs], capture_output=True, text=True, env={"LC_ALL": "C", "PATH": FOLDERS})
    needed = set(FOUND.findall(listing.stdout))
    for path in list(needed):
        if os.path.basename(path) == "libc.so.6":  # it opens these on its own when asked for a user or a host
            needed.update(map(str, Path(path).parent.glob("libnss_[fd][in]*s.so.2")))
    return sorted(needed)
