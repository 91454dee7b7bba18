"""All that can be seen of one process's walls and of what it sees, and two such views side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

from minicontainer.errors import StateError
from minicontainer.inspect import groups, rights, tree, within
from minicontainer.inspect.census import Census, Seen
from minicontainer.inspect.kernel import Kernel, kernel
from minicontainer.inspect.namespaces import ISOLATES, namespaces
from minicontainer.inspect.subject import Subject
from minicontainer.linux import proc
from minicontainer.linux.capability import CapabilitySet, names


@dataclass(frozen=True)
class Clocks:
    """What the time namespace adds to the clocks, in seconds."""

    monotonic: float
    boottime: float


@dataclass(frozen=True)
class View:
    """One process. What the reader may not see is None."""

    root: tree.Root | None
    mounts: list[tree.Mount] | None
    processes: list[Seen] | None
    hostname: str | None
    interfaces: list[within.Interface] | None
    uid_map: list[rights.Range]
    gid_map: list[rights.Range]
    ids: rights.Ids
    capabilities: dict[str, CapabilitySet]
    seccomp: rights.Seccomp
    no_new_privs: bool
    cgroup: groups.Group
    limits: groups.Limits
    clocks: Clocks | None


def look(subject: Subject, census: Census) -> View:
    """The view of a process. Raises StateError if it ends meanwhile."""
    pid = subject.pid
    try:
        status = proc.status(pid)
        uids, gids = rights.id_map(pid, "uid"), rights.id_map(pid, "gid")
        view = View(
            root=tree.root(pid),
            mounts=tree.mounts(pid),
            processes=census.seen_by(pid),
            hostname=within.hostname(pid),
            interfaces=within.interfaces(pid),
            uid_map=uids,
            gid_map=gids,
            ids=rights.ids(status, uids, gids),
            capabilities=rights.capabilities(status),
            seccomp=rights.seccomp(status),
            no_new_privs=status.get("NoNewPrivs") == "1",
            cgroup=groups.group(pid),
            limits=groups.limits(pid),
            clocks=clocks(pid),
        )
    except KeyError:  # a status without its lines
        view = None
    if view is None or not subject.is_alive():
        raise StateError(f"process {pid} ended while it was looked at", "look at one that stays")
    return view


def clocks(pid: int) -> Clocks | None:
    """The offsets that hold for process `pid`: time_namespaces(7). Zero where the kernel has no such namespaces."""
    if not os.path.exists("/proc/self/timens_offsets"):
        return Clocks(0, 0)
    rows = [row.split() for row in proc.read(f"/proc/{pid}/timens_offsets").splitlines()]
    return Clocks(**{name: int(seconds) + int(nanos) / 1e9 for name, seconds, nanos in rows}) if rows else None


# -- two of them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """One thing about two processes. `same` is None if one of the two may not be seen."""

    name: str
    left: Any
    right: Any
    same: bool | None

    def to_json(self) -> dict[str, Any]:
        """The fact as a JSON object."""
        return {"name": self.name, "left": plain(self.left), "right": plain(self.right), "same": self.same}


@dataclass(frozen=True)
class Comparison:
    """Two processes side by side, and what they share in any case."""

    left: Subject
    right: Subject
    namespaces: list[Fact]
    facts: list[Fact]
    kernel: Kernel

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return {
            **{side: who(getattr(self, side)) for side in ("left", "right")},
            "namespaces": [{**fact.to_json(), "isolates": ISOLATES[fact.name]} for fact in self.namespaces],
            "facts": [fact.to_json() for fact in self.facts],
            "kernel": asdict(self.kernel),
        }


def compare(left: Subject, right: Subject) -> Comparison:
    """Look at both. Raises StateError if one of them ends meanwhile."""
    census = Census()
    one, other = namespaces(left.pid), namespaces(right.pid)
    kinds = [fact(kind, one[kind], other[kind]) for kind in one]
    views = look(left, census), look(right, census)
    facts = [fact(field.name, *(getattr(view, field.name) for view in views)) for field in fields(View)]
    net = next(each.same for each in kinds if each.name == "net")
    facts = [replace(each, same=net) if each.name == "interfaces" else each for each in facts]  # two lo look alike
    return Comparison(left, right, kinds, facts, kernel())


def fact(name: str, left: Any, right: Any) -> Fact:
    """A fact, and whether both sides agree on what identifies it."""
    key = IDENTITY.get(name, lambda value: value)
    one, other = (None if value is None else key(value) for value in (left, right))
    return Fact(name, left, right, None if one is None or other is None else one == other)


IDENTITY: dict[str, Callable[[Any], Any]] = {
    "root": lambda root: root.inode and (root.device, root.inode),
    "processes": lambda seen: [(each.number, each.pid) for each in seen],
}
"""What makes two values the same, where that is not all of them. None if it cannot be told."""


def who(subject: Subject) -> dict[str, Any]:
    """A subject as a JSON object."""
    return {"name": subject.name, "pid": subject.pid, "container": subject.container and subject.container.id}


def plain(value: Any) -> Any:
    """A value made of records as JSON values; capabilities by name."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, CapabilitySet):
        return names(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
