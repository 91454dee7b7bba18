"""What the process itself can read quickly, or nobody else can: its own flags and names, and files as it sees them.

Each reader gives facts, three fields each: a name behind the mark `<` (before) or `>` (after), the value, nothing.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import stat
import struct

from minicontainer.linux.calls import libc
from minicontainer.linux.keyring import SYS_KEYCTL

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from minicontainer.linux.calls import Call

    Facts = tuple[str, ...]
else:
    import _socket as socket

LONGEST = 400


def argument(call: Call, position: int, name: str) -> Any:
    """An argument that may be given by position or by name; None if it is not."""
    return call.args[position] if position < len(call.args) else call.kwargs.get(name)


# -- files --------------------------------------------------------------------------------------


def file(mark: str, call: Call) -> Facts:
    """The file that the call names: type, mode, owner; a device's number, a link's target, how much a folder holds."""
    path_at, folder_at = PATHS[call.name]
    path, folder = call.args[path_at], argument(call, folder_at, "dir_fd")
    try:
        info = os.lstat(path, dir_fd=folder)
    except OSError:
        return ()
    text = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid}"
    if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        text += f" device {os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    elif stat.S_ISLNK(info.st_mode):
        text += f" -> {os.readlink(path, dir_fd=folder)}"
    elif mark == ">" and call.name == "mkdir" and folder is None and (entries := len(os.listdir(path))):
        text += f", with {entries} files in it"  # in cgroup2 the kernel makes them
    return mark + path, text, ""


NOWHERE = 9
PATHS = {"mkdir": (0, 2), "rmdir": (0, NOWHERE), "mknod": (0, 3), "chown": (0, NOWHERE), "symlink": (1, 2)}
"""Call -> the positions of its path, and of the descriptor of the folder that it begins at."""


def owner(mark: str, call: Call) -> Facts:
    """The owner of an open file."""
    info = os.fstat(call.args[0])
    return f"{mark}owner", f"{info.st_uid}:{info.st_gid}", ""


def attribute(mark: str, call: Call) -> Facts:
    """An extended attribute: xattr(7)."""
    path, name = call.args[:2]
    try:
        return mark + name, os.fsdecode(os.getxattr(path, name)), ""
    except OSError:
        return ()


def content(mark: str, call: Call) -> Facts:
    """A file that is about to be written, or has been. Some can only be written."""
    return read(mark, call.args[0], call.args[0])


def read(mark: str, name: str, path: str) -> Facts:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        text = os.read(fd, LONGEST).decode("utf-8", "replace").replace("\0", " ")
        return mark + name, " ".join(text.split()), ""
    except OSError:
        return ()
    finally:
        os.close(fd)


def descriptors(mark: str, call: Call) -> Facts:
    """The open files that an exec would leave open."""
    left = []
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            if not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                left.append(str(number))
        except OSError:
            pass  # that of the listing itself
    return f"{mark}open after exec", ", ".join(left), ""


OPTIONS = {"ro": os.ST_RDONLY, "nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV, "noexec": os.ST_NOEXEC}


def held(mark: str, call: Call) -> Facts:
    """The options of a mount, attached or not, by its descriptor: fstatvfs(3)."""
    flags = os.fstatvfs(call.args[0]).f_flag
    options = ",".join(name for name, bit in OPTIONS.items() if flags & bit)
    return f"{mark}options of the mount held by {call.args[0]}", options or "none", ""


# -- the process --------------------------------------------------------------------------------

PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_GET_KEEPCAPS = 2, 3, 7
KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING = 0, -3
SIOCGIFFLAGS, IFF_UP = 0x8913, 1


def hostname(mark: str, call: Call) -> Facts:
    return f"{mark}hostname", os.uname().nodename, ""


def domainname(mark: str, call: Call) -> Facts:
    return read(mark, "domainname", "/proc/sys/kernel/domainname")


def dumpable(mark: str, call: Call) -> Facts:
    return f"{mark}dumpable", str(libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)), ""


def keepcaps(mark: str, call: Call) -> Facts:
    return f"{mark}keepcaps", str(libc.prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0)), ""


def pdeathsig(mark: str, call: Call) -> Facts:
    number = ctypes.c_int()
    libc.prctl(PR_GET_PDEATHSIG, ctypes.addressof(number), 0, 0, 0)
    return f"{mark}parent death signal", str(number.value), ""


def limit(mark: str, call: Call) -> Facts:
    name = call.args[0]
    soft, hard = resource.getrlimit(getattr(resource, name))
    return mark + name, f"{soft} {hard}".replace("-1", "unlimited"), ""


def keyring(mark: str, call: Call) -> Facts:
    operation, which = ctypes.c_long(KEYCTL_GET_KEYRING_ID), ctypes.c_long(KEY_SPEC_SESSION_KEYRING)
    number = libc.syscall(ctypes.c_long(SYS_KEYCTL), operation, which, ctypes.c_long(0))
    return f"{mark}session keyring", str(number), ""


def loopback(mark: str, call: Call) -> Facts:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answer = fcntl.ioctl(sock.fileno(), SIOCGIFFLAGS, struct.pack("16s24x", b"lo"))
    sock.close()
    (flags,) = struct.unpack_from("H", answer, 16)
    return f"{mark}lo", "up" if flags & IFF_UP else "down", ""


FACTS: dict[str, Callable[[str, Call], Facts]] = {
    "mkdir": file,
    "rmdir": file,
    "symlink": file,
    "mknod": file,
    "chown": file,
    "fchown": owner,
    "setxattr": attribute,
    "write_file": content,
    "mount_setattr": held,
    "close_range": descriptors,
    "sethostname": hostname,
    "setdomainname": domainname,
    "set_dumpable": dumpable,
    "set_keepcaps": keepcaps,
    "set_pdeathsig": pdeathsig,
    "setrlimit": limit,
    "join_session_keyring": keyring,
    "loopback_up": loopback,
}
