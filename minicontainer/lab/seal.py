"""The wall around the virtual machine: a seccomp filter under which no file can be changed.

User-Mode Linux is an ordinary program, and root inside it may mount the host's tree again (`mount -t
hostfs`), for writing too. So the program itself gets a filter: every call that makes, changes, renames
or removes a file fails with EROFS. Two things may be opened for writing: descriptors that it was given,
and a file without a name (O_TMPFILE), which is the machine's memory. That also means that nothing of it
can stay behind on the host's disk. It works for root and for an ordinary user alike: seccomp(2).

    grep -E 'Seccomp|NoNewPrivs' /proc/PID/status       watch it
"""

from __future__ import annotations

import errno
import os
from typing import Any

from minicontainer.errors import UnsupportedError

CHANGES_FILES = (
    "creat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
    "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "truncate",
    "utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr",
    "fremovexattr", "openat2", "open_by_handle_at", "io_uring_setup", "mount", "move_mount", "pivot_root", "acct",
)  # fmt: skip
MAKES_DIRECTORIES = ("mkdir", "mkdirat")
OPENS = (("open", 1), ("openat", 2))  # and where their flags are

UNNAMED = os.O_TMPFILE & ~os.O_DIRECTORY


def new_filter() -> Any:
    """The filter, ready for `load()`, which takes effect for this process and all that it starts.

    Raises UnsupportedError where libseccomp or its Python binding is missing.
    """
    try:
        from pyseccomp import ALLOW, ERRNO, MASKED_EQ, Arg, SyscallFilter
    except (ImportError, RuntimeError) as error:
        raise UnsupportedError(f"libseccomp cannot be used: {error}", "pip install pyseccomp") from None
    rules = SyscallFilter(ALLOW)
    refuse = ERRNO(errno.EROFS)
    for name in CHANGES_FILES:
        rules.add_rule(refuse, name)
    for name in MAKES_DIRECTORIES:
        rules.add_rule(ERRNO(errno.EEXIST), name)  # at EROFS, linux.uml 6.1 crashes when it starts
    for name, position in OPENS:
        for mask, value in (
            (os.O_ACCMODE, os.O_WRONLY),
            (os.O_ACCMODE | UNNAMED, os.O_RDWR),
            (os.O_CREAT, os.O_CREAT),
            (os.O_TRUNC, os.O_TRUNC),
        ):
            rules.add_rule(refuse, name, Arg(position, MASKED_EQ, mask, value))
    return rules
