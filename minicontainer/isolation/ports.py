"""Published ports: which ones are free, and whose they are.

A port has two kinds of users: processes with a socket on it, which bind(2) finds, and other
containers, which only the ledger knows, as their ports are rewritten before a socket is looked for.

    nft list map inet minicontainer any4      the published ports
    ss -ltnup                                 the processes' own
"""

from __future__ import annotations

import errno
import os

from minicontainer.errors import StateError, UnsupportedError, UsageError
from minicontainer.isolation.ledger import Ledger
from minicontainer.linux import net

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minicontainer.spec import Port

ANY = {"4": "0.0.0.0", "6": "::"}
TRIES = 100


class Binding:
    """One port of one address of the host, and the port of the container that it leads to."""

    def __init__(self, protocol: str, address: str, port: int, container_port: int = 0) -> None:
        self.protocol = protocol
        self.address = address
        self.port = port
        self.container_port = container_port

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol} of {self.address}"

    @property
    def name(self) -> str:
        """As it stands in the ledger."""
        return f"{self.protocol}-{self.address}-{self.port}"

    @classmethod
    def parse(cls, name: str) -> Binding | None:
        """The binding that a ledger's entry is, or None for an entry of another kind."""
        if name.count("-") != 2:
            return None
        protocol, address, port = name.split("-")
        return cls(protocol, address, int(port))

    def clashes(self, other: Binding) -> bool:
        """Whether both cannot be there at once: same port, and one address, or one of the two any."""
        any_address = ANY[family(self.address)]
        return (self.protocol, self.port, family(self.address)) == (
            other.protocol,
            other.port,
            family(other.address),
        ) and (self.address == other.address or any_address in (self.address, other.address))


def family(address: str) -> str:
    """The version of IP that an address belongs to."""
    return "6" if ":" in address else "4"


def addresses(port: Port, families: str) -> list[str]:
    """The host's addresses that a port is published on, where the bridge speaks `families`, "4" or "46"."""
    if port.host_ip and family(port.host_ip) not in families:
        raise UnsupportedError(f"cannot publish on {port.host_ip}: IPv6 is off on this host", "use an IPv4 address")
    return [port.host_ip] if port.host_ip else [ANY[f] for f in families]


def reserve(ledger: Ledger, owner: str, port: Port, families: str) -> list[Binding]:
    """Take a port for `owner` in the ledger, on each of its addresses. Raises StateError if it is not free."""
    for number in candidates(port, families):
        bindings = [Binding(port.protocol, a, number, port.container_port) for a in addresses(port, families)]
        reason = next(filter(None, (why_not(ledger, binding) for binding in bindings)), None)
        if reason is None:
            for binding in bindings:
                ledger.take(binding.name, owner)
            return bindings
    raise StateError(*reason)  # type: ignore[misc]


def candidates(port: Port, families: str) -> Iterator[int]:
    """The host ports that would do."""
    if port.host_port:
        yield from range(port.host_port, max(port.host_port, port.host_port_last) + 1)
    else:
        for _ in range(TRIES):
            yield free_port(Binding(port.protocol, addresses(port, families)[0], 0))


def why_not(ledger: Ledger, binding: Binding) -> tuple[str, str] | None:
    """None if the port is free, else cause and remedy. Raises UsageError if it cannot be published at all."""
    for name in ledger.names():
        other = Binding.parse(name)
        if other and binding.clashes(other):
            return (
                f"port {binding} is already allocated, to container {os.path.basename(ledger.owner(name))[:12]}",
                "choose another host port (0 is any free one); if that container has crashed: `minicontainer cleanup`",
            )
    return None if free_port(binding) else in_use(binding)


def in_use(binding: Binding) -> tuple[str, str]:
    """Cause and remedy for a port that a process has."""
    return (
        f"port {binding} is already in use, by a process of this host",
        f"choose another host port (0 is any free one); `ss -lnp sport = {binding.port}` shows the process",
    )


def free_port(binding: Binding) -> int:
    """The binding's port, or any for 0, if no process has it; else 0. Raises UsageError if no one could have it."""
    try:
        return net.free_port(binding.protocol, binding.address, binding.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return 0
        number = error.errno or 0
    remedy = {
        errno.EADDRNOTAVAIL: "`ip addr` lists the addresses of this host",
        errno.EACCES: "ports below 1024 are root's here; `sysctl net.ipv4.ip_unprivileged_port_start` can change that",
    }
    raise UsageError(f"cannot publish port {binding}: {os.strerror(number)}", remedy.get(number, ""))
