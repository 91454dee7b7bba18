"""Trying a thing out: in a child process, whose namespaces, mounts and rights end with it."""

from __future__ import annotations

import os
from collections.abc import Callable

from minicontainer.errors import KernelError, MinicontainerError, pack, unpack
from minicontainer.linux import process
from minicontainer.linux.files import write_file
from minicontainer.linux.mount import MS_PRIVATE, MS_REC, mount

NOBODY = 65534
"""The user and group without any rights: what root becomes to try what others may."""

CRASHED = "the attempt was ended by signal"


def attempt(action: Callable[[], object]) -> MinicontainerError | None:
    """Do `action` in a child process. Its error, or None if it went well."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException as error:
            os.write(writer, pack(error))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        return MinicontainerError(f"{CRASHED} {-status}")
    return unpack(said) if said else None


def why(error: MinicontainerError) -> str:
    """The cause alone, without the remedy."""
    return error.cause if not isinstance(error, KernelError) else str(error.args[0]) + ": " + os.strerror(error.errno)


# -- steps of attempts --------------------------------------------------------------------------


def become_nobody() -> None:
    """Give up root for good."""
    process.setgroups([])
    process.setresgid(NOBODY, NOBODY, NOBODY)
    process.setresuid(NOBODY, NOBODY, NOBODY)
    process.set_dumpable(True)  # else /proc/self would still be root's


def enter_user_namespace(flags: int = 0) -> None:
    """A user namespace in which this process is root, with the namespaces `flags` below it: user_namespaces(7)."""
    uid, gid = os.geteuid(), os.getegid()
    process.unshare(process.CLONE_NEWUSER | flags)
    if uid != 0:
        write_file("/proc/self/setgroups", "deny")
    write_file("/proc/self/uid_map", f"0 {uid} 1\n")
    write_file("/proc/self/gid_map", f"0 {gid} 1\n")


def own_mounts() -> None:
    """A mount table that reaches nobody else: as root, or in a user namespace."""
    if os.geteuid() == 0:
        process.unshare(process.CLONE_NEWNS)
    else:
        enter_user_namespace(process.CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
