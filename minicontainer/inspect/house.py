"""The machine and its containers at one moment: a house, its apartments, and who is at home.

Counters of the kernel only grow: processor time, bytes of a network. A rate is the difference between two
looks, so whoever looks keeps the look before (`Watcher`).

    systemd-cgtop; top; ip -s link          the same, one subject at a time
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import psutil

from minicontainer.errors import SpecError, StateError
from minicontainer.inspect import groups
from minicontainer.inspect.namespaces import namespaces
from minicontainer.linux import cgroup2, proc
from minicontainer.runtime.container import Container, state_root

OWN, HOST = "own", "host"


@dataclass(frozen=True)
class Tenant:
    """A process of a container: its number in there, its number on the host, its name, its resident bytes."""

    number: int
    pid: int
    name: str
    memory: int


@dataclass(frozen=True)
class Traffic:
    """Bytes so far and bytes a second, in and out."""

    received: int
    sent: int
    receiving: float
    sending: float


@dataclass(frozen=True)
class Apartment:
    """A running container."""

    id: str
    name: str
    command: str
    root: str
    seconds: float
    """Since its first process began."""
    tenants: list[Tenant]
    walls: dict[str, str]
    """Kind of namespace -> `own`, `host`, or the name of the container that it shares it with."""
    addresses: list[str]
    ports: list[str]
    """`8080→80/tcp`."""
    memory: int
    """Bytes, as its control group counts them; without the controller what its processes have resident."""
    cpu: float
    """CPUs' worth of time since the last look."""
    limits: groups.Limits
    traffic: Traffic | None
    """None with the host's network."""
    frozen: bool


@dataclass(frozen=True)
class House:
    """The machine."""

    hostname: str
    release: str
    seconds: float
    """Since boot."""
    cpus: int
    cpu: float
    """CPUs' worth of time since the last look."""
    memory: int
    memory_total: int
    load: float
    """Of one minute."""
    processes: int
    addresses: dict[str, list[str]]
    """Interface of the host that is up -> its addresses (IPv4)."""
    apartments: list[Apartment]


class Watcher:
    """Looks at the machine again and again. The first look knows no rates yet: they are 0."""

    def __init__(self) -> None:
        self.host = namespaces()
        self.known: dict[str, tuple[tuple[int, int], Container]] = {}
        self.counters: dict[tuple[str, str], tuple[float, float]] = {}
        psutil.cpu_percent()

    def look(self) -> House:
        """The house now."""
        cpus, memory = psutil.cpu_count() or 1, psutil.virtual_memory()
        containers = self.containers()
        inodes = {container.id: namespaces(container.pid) for container in containers}
        names = {container.id: container.spec.minicontainer.name or container.short_id for container in containers}
        apartments = [self.apartment(container, names, inodes) for container in containers]
        homes = {container.id for container in containers}
        self.counters = {key: value for key, value in self.counters.items() if key[0] in homes}
        return House(
            hostname=os.uname().nodename,
            release=os.uname().release,
            seconds=time.time() - psutil.boot_time(),
            cpus=cpus,
            cpu=psutil.cpu_percent() * cpus / 100,
            memory=memory.total - memory.available,
            memory_total=memory.total,
            load=os.getloadavg()[0],
            processes=len(psutil.pids()),
            addresses=host_addresses(),
            apartments=[apartment for apartment in apartments if apartment.tenants],
        )

    def containers(self) -> list[Container]:
        """The running ones, oldest first. Their files are read again only when they have changed."""
        folder = os.path.join(state_root(), "containers")
        try:
            ids = os.listdir(folder)
        except FileNotFoundError:
            ids = []
        known = {}
        for id in ids:
            try:
                place = os.stat(os.path.join(folder, id, "state.json"))
                stamp = place.st_mtime_ns, place.st_ino
                if id in self.known and self.known[id][0] == stamp:
                    known[id] = self.known[id]
                else:
                    known[id] = stamp, Container.load(os.path.join(folder, id))
            except (OSError, StateError, SpecError):
                continue  # being made, or going
        self.known = known
        running = [container for _, container in known.values() if container.pid]
        return sorted(running, key=lambda container: (container.record["start_time"], container.id))

    def apartment(self, container: Container, names: dict[str, str], inodes: dict[str, Any]) -> Apartment:
        """One container. `names` and `inodes` are those of all of them, by id."""
        spec, record, group = container.spec, container.record, container.record.get("cgroup", "")
        tenants = tenants_of(members(container), container.pid)
        walls = {kind: self.wall(container.id, kind, names, inodes) for kind in self.host}
        limits = groups.limits_of(group)
        place = self.place(container, inodes)
        usage = cgroup2.number(group, "memory.current")
        return Apartment(
            id=container.id,
            name=names[container.id],
            command=" ".join(spec.process.args),
            root=container.root,
            seconds=age(container.pid),
            tenants=tenants,
            walls=walls,
            addresses=[place[key] for key in ("address", "address6") if place.get(key)],
            ports=list(dict.fromkeys(map(published, record.get("ports", ())))),  # once for both families
            memory=sum(tenant.memory for tenant in tenants) if usage is None else usage,
            cpu=self.rate(container.id, "cpu", processor_seconds(group, tenants)),
            limits=limits,
            traffic=self.traffic(container) if walls.get("net") != HOST else None,
            frozen=cgroup2.pairs(group, "cgroup.events").get("frozen") == 1,
        )

    def wall(self, id: str, kind: str, names: dict[str, str], inodes: dict[str, Any]) -> str:
        """Whose namespace of that kind a container is in."""
        mine = inodes[id].get(kind)
        if mine == self.host[kind]:
            return HOST
        return next((names[other] for other, theirs in inodes.items() if other != id and theirs.get(kind) == mine), OWN)

    def place(self, container: Container, inodes: dict[str, Any]) -> dict[str, Any]:
        """The record of the network that a container is in: its own, or that of the container that it has joined."""
        home = inodes[container.id].get("net")
        for _, other in self.known.values():
            if other.record.get("network") and home and inodes.get(other.id, {}).get("net") == home:
                return dict(other.record["network"])
        return {}

    def traffic(self, container: Container) -> Traffic:
        """What has passed its interfaces, but for the loopback."""
        received = sent = 0
        for row in proc.read(f"/proc/{container.pid}/net/dev").splitlines()[2:]:
            name, _, counts = row.partition(":")
            if name.strip() != "lo":
                received, sent = received + int(counts.split()[0]), sent + int(counts.split()[8])
        rates = [self.rate(container.id, key, count) for key, count in (("received", received), ("sent", sent))]
        return Traffic(received, sent, *rates)

    def rate(self, id: str, key: str, count: float) -> float:
        """How much a counter of a container has grown since the last look, for each second."""
        now = time.monotonic()
        then, before = self.counters.get((id, key), (now, count))
        self.counters[id, key] = now, count
        return max(0.0, count - before) / (now - then) if now > then else 0.0


# -- who is at home -------------------------------------------------------------------------------


def members(container: Container) -> list[int]:
    """The container's processes: all in its control group; without one, the first and its descendants."""
    if group := container.record.get("cgroup"):
        return sorted(cgroup2.processes(group))
    try:
        first = psutil.Process(container.pid)
        return [first.pid, *(child.pid for child in first.children(recursive=True))]
    except psutil.Error:
        return []


def tenants_of(pids: list[int], first: int) -> list[Tenant]:
    """The processes as the container's first one knows them."""
    depth = len(proc.status(first).get("NSpid", "").split())
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                name, memory = process.name(), process.memory_info().rss
        except psutil.Error:
            continue  # it has just ended
        numbers = proc.status(pid).get("NSpid", "").split()[depth - 1 :]
        found.append(Tenant(int(numbers[0]) if numbers else pid, pid, name, memory))
    return found


def processor_seconds(group: str, tenants: list[Tenant]) -> float:
    """Processor time used so far: by all that have ever been in the control group; without it, by those alive."""
    if spent := cgroup2.pairs(group, "cpu.stat"):
        return spent["usage_usec"] / 1e6
    total = 0.0
    for tenant in tenants:
        try:
            times = psutil.Process(tenant.pid).cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total


def age(pid: int) -> float:
    """Seconds since process `pid` began."""
    try:
        return max(0.0, time.time() - psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def published(port: dict[str, Any]) -> str:
    """A port in a container's record as `8080→80/tcp`."""
    return f"{port['hostPort']}→{port['containerPort']}/{port['protocol']}"


def host_addresses() -> dict[str, list[str]]:
    """The interfaces of this network namespace that are up and have an IPv4 address, but for the loopback."""
    up = {name for name, facts in psutil.net_if_stats().items() if facts.isup and name != "lo"}
    found = {
        name: [each.address for each in addresses if each.family.name == "AF_INET"]
        for name, addresses in psutil.net_if_addrs().items()
        if name in up
    }
    return {name: addresses for name, addresses in found.items() if addresses}
