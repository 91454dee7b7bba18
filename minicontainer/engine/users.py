"""Who a container's first process is: `-u`, with the names in the root's own /etc/passwd and /etc/group.

Those files belong to the container and may be anything: a symbolic link out of the root, a device, a
pipe that never ends. So they are opened as below the root (openat2), looked at before they are read,
and read up to a size. passwd(5), group(5).
"""

from __future__ import annotations

import os
import stat

from minicontainer.errors import KernelError, UsageError
from minicontainer.linux.paths import open_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.spec import User

LARGEST_FILE = 16 << 20
LARGEST_ID = (1 << 32) - 2  # the last one means "no change" to chown(2)


def read_in(root: int, path: str) -> str:
    """The text of a regular file below the root directory `root`; empty if there is none."""
    try:
        place = open_in(root, path)
    except KernelError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            return ""
        with open(f"/proc/self/fd/{place}", "rb") as file:
            return file.read(LARGEST_FILE).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(place)


def rows(text: str, width: int) -> list[list[str]]:
    """The lines of passwd or group with at least `width` fields, in file order."""
    return [fields for line in text.splitlines() if len(fields := line.split(":")) >= width]


def look_up(root: int, wanted: str, extra_groups: list[str], user: User) -> str:
    """Fill in `user` for `NAME|UID[:GROUP|GID]` (empty: root); the home directory is returned.

    A user's groups in /etc/group come along unless a group is given. Raises UsageError.
    """
    who, _, group = wanted.partition(":")
    who = who or "0"
    groups = rows(read_in(root, "/etc/group"), 4)
    accounts = rows(read_in(root, "/etc/passwd"), 7)
    account = next((row for row in accounts if who in (row[0], row[2]) and is_id(row[2]) and is_id(row[3])), None)
    name, uid, gid, home = "", who, "0", "/"
    if account:
        name, _, uid, gid, _, home = account[:6]
    elif not is_id(who):
        raise UsageError(
            f"there is no user {who!r} in the container's /etc/passwd", "use a numeric id, or add the user"
        )
    user.uid, user.gid = int(uid), int(gid)
    others: list[int] = []
    if group:
        user.gid = group_id(groups, group)
    elif name:
        others = [int(row[2]) for row in groups if is_id(row[2]) and name in row[3].split(",")]
    others += [group_id(groups, extra) for extra in extra_groups]
    user.additional_gids = list(dict.fromkeys([user.gid, *others]))
    return home or "/"


def group_id(groups: list[list[str]], wanted: str) -> int:
    """The number of a group by name or number. Raises UsageError."""
    for row in groups:
        if wanted == row[0] and is_id(row[2]):
            return int(row[2])
    if is_id(wanted):
        return int(wanted)
    raise UsageError(
        f"there is no group {wanted!r} in the container's /etc/group", "use a numeric id, or add the group"
    )


def is_id(text: str) -> bool:
    """Whether it is a user or group number."""
    return text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= LARGEST_ID
