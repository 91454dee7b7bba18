"""Who a process is and what it may do: credentials(7), user_namespaces(7), capabilities(7), seccomp(2).

grep -E 'Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp' /proc/PID/status; cat /proc/PID/uid_map     watch it
"""

from __future__ import annotations

from dataclasses import dataclass

from minicontainer.linux import proc
from minicontainer.linux.capability import CapabilitySet

SETS = {"effective": "Eff", "permitted": "Prm", "bounding": "Bnd", "inheritable": "Inh", "ambient": "Amb"}
MODES = {"0": "off", "1": "strict", "2": "filter"}


@dataclass(frozen=True)
class Range:
    """`count` ids from `inside` on are `outside` and following for the reader."""

    inside: int
    outside: int
    count: int


@dataclass(frozen=True)
class Ids:
    """A process's effective user and group, as the reader knows them and as it knows itself; its further groups.

    An id that its user namespace has no number for is None inside.
    """

    uid: int
    gid: int
    groups: list[int]
    uid_inside: int | None
    gid_inside: int | None


@dataclass(frozen=True)
class Seccomp:
    """`mode` is off, strict or filter."""

    mode: str
    filters: int


def id_map(pid: int, kind: str) -> list[Range]:
    """The `uid` or `gid` map of the user namespace that process `pid` is in."""
    rows = (row.split() for row in proc.read(f"/proc/{pid}/{kind}_map").splitlines())
    return [Range(int(inside), int(outside), int(count)) for inside, outside, count in rows]


def ids(status: dict[str, str], uids: list[Range], gids: list[Range]) -> Ids:
    """The ids in a /proc/PID/status, with the maps of its user namespace."""
    uid, gid = (int(status[key].split()[1]) for key in ("Uid", "Gid"))
    groups = sorted({int(group) for group in status["Groups"].split()} - {gid})
    return Ids(uid, gid, groups, translate(uid, uids), translate(gid, gids))


def translate(outside: int, ranges: list[Range]) -> int | None:
    """What the id `outside` is called inside."""
    for each in ranges:
        if each.outside <= outside < each.outside + each.count:
            return outside - each.outside + each.inside
    return None


def capabilities(status: dict[str, str]) -> dict[str, CapabilitySet]:
    """The five sets in a /proc/PID/status."""
    return {name: CapabilitySet(int(status["Cap" + short], 16)) for name, short in SETS.items()}


def seccomp(status: dict[str, str]) -> Seccomp:
    """What looks at its system calls. (Older kernels do not tell how many filters.)"""
    mode = MODES.get(status.get("Seccomp", "0"), "unknown")
    return Seccomp(mode, int(status.get("Seccomp_filters", mode == "filter")))
