"""A process's control groups and the limits that hold for it: cgroups(7).

A limit of a group holds for all groups below it, so the one that counts is the tightest on the way up.
Where version 1 is mounted beside version 2, each controller is in one of the two.

    cat /proc/PID/cgroup; grep . /sys/fs/cgroup/…/{memory,pids,cpu}.max     watch it
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

from minicontainer.linux import cgroup2, proc

UNLIMITED = 1 << 60
"""Bytes. Version 1 has no word for it and writes the greatest number that it can hold."""


@dataclass(frozen=True)
class Limits:
    """What a process and its group may use. None is unlimited."""

    memory: int | None = None
    """Bytes."""
    swap: int | None = None
    """Bytes of swap alone."""
    processes: int | None = None
    """Processes and threads."""
    cpus: float | None = None
    """CPUs' worth of time."""


@dataclass(frozen=True)
class Group:
    """`path` is its place in version 2, `others` in the hierarchies of version 1 where it is not at the top."""

    path: str
    others: dict[str, str]


def group(pid: int) -> Group:
    """Where process `pid` is, as paths from the root of the reader's cgroup namespace."""
    rows = dict(rows_of(pid))
    return Group(rows.pop("", ""), {name: path for name, path in rows.items() if path != "/"})


def rows_of(pid: int) -> Iterator[tuple[str, str]]:
    """Each hierarchy in /proc/PID/cgroup: its controllers (none for version 2), and the path."""
    for row in proc.read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = row.split(":", 2)
        yield controllers, path


def limits(pid: int) -> Limits:
    """The limits that hold for process `pid`."""
    return limits_of(cgroup2.group_of(pid), places(pid))


def limits_of(group: str, others: dict[str, str] | None = None) -> Limits:
    """The limits of the directory `group`; `others` are directories of version 1, by controller."""
    found: dict[str, float] = {}
    for name, top, read in [(name, group, read) for name, read in VERSION_2.items()] + [
        (name, (others or {}).get(controller, ""), read) for name, (controller, read) in VERSION_1.items()
    ]:
        values = [value for place in upwards(top) if (value := read(place)) is not None]
        if values:
            found[name] = min([*values, found.get(name, values[0])])
    return Limits(**{field.name: found.get(field.name) for field in fields(Limits)})  # type: ignore[arg-type]


def upwards(group: str) -> Iterator[str]:
    """The group's directory and those above it, as far as they are groups."""
    while group and os.path.exists(f"{group}/cgroup.procs"):
        yield group
        group = os.path.dirname(group)


def places(pid: int) -> dict[str, str]:
    """Controller -> directory of `pid`, for those that are bound to version 1."""
    rows = {name: path for controllers, path in rows_of(pid) for name in controllers.split(",") if name}
    mounted = {}
    for mount in proc.mounts() if rows else ():
        if mount.fstype == "cgroup":
            for name in mount.super_options.split(","):
                if name in rows:
                    mounted[name] = mount.target + rows[name].rstrip("/")
    return mounted


# -- one file -----------------------------------------------------------------------------------


def number(file: str) -> Callable[[str], int | None]:
    """A reader of a file with one number or `max`."""

    def read(group: str) -> int | None:
        value = cgroup2.number(group, file)
        return value if value is not None and value < UNLIMITED else None

    return read


def cpu_max(group: str) -> float | None:
    """cpu.max, `QUOTA PERIOD` in microseconds, as a number of CPUs."""
    match cgroup2.words(group, "cpu.max"):
        case [quota, period] if quota.isdecimal():
            return int(quota) / int(period)
    return None


def cfs_quota(group: str) -> float | None:
    """The same in version 1, where -1 is unlimited."""
    quota, period = cgroup2.number(group, "cpu.cfs_quota_us"), cgroup2.number(group, "cpu.cfs_period_us")
    return quota / period if quota and period else None


VERSION_2: dict[str, Callable[[str], float | None]] = {
    "memory": number("memory.max"),
    "swap": number("memory.swap.max"),
    "processes": number("pids.max"),
    "cpus": cpu_max,
}
VERSION_1: dict[str, tuple[str, Callable[[str], float | None]]] = {
    "memory": ("memory", number("memory.limit_in_bytes")),
    "processes": ("pids", number("pids.max")),
    "cpus": ("cpu", cfs_quota),
}
"""Limit -> controller and reader."""
