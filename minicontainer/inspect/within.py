"""What only a member of the namespaces can tell: the hostname, and the addresses of interfaces.

uname(2) and getifaddrs(3) answer for the caller's own namespaces. So a child joins those of the process
in question, asks, and brings the answers back through a pipe. It takes nothing else of the process's:
neither its root nor its numbers, so it cannot be met in there.

    nsenter -t PID -u hostname; nsenter -t PID -n ip addr       the same by hand
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from minicontainer.errors import KernelError
from minicontainer.linux import proc, process
from minicontainer.linux.process import CLONE_NEWNET, CLONE_NEWUSER, CLONE_NEWUTS

T = TypeVar("T")


@dataclass(frozen=True)
class Interface:
    """A network interface. `addresses` have their prefix length, `172.29.0.2/16`; None if they may not be seen."""

    name: str
    up: bool | None
    addresses: list[str] | None


def hostname(pid: int) -> str | None:
    """The host name that process `pid` sees."""
    return ask(pid, "uts", CLONE_NEWUTS, lambda: os.uname().nodename)


def interfaces(pid: int) -> list[Interface] | None:
    """The network interfaces that process `pid` sees, in the kernel's order."""
    found = ask(pid, "net", CLONE_NEWNET, own_interfaces)
    if found is not None:
        return [Interface(**each) for each in found]
    names = [row.partition(":")[0].strip() for row in proc.read(f"/proc/{pid}/net/dev").splitlines()[2:]]
    return [Interface(name, None, None) for name in names] or None


def own_interfaces() -> list[dict[str, Any]]:
    """This process's interfaces, as the properties of Interface."""
    import psutil

    up, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
    return [
        {
            "name": name,
            "up": name in up and up[name].isup,
            "addresses": [with_prefix(a.address, a.netmask) for a in addresses.get(name, ()) if a.family in INTERNET],
        }
        for _, name in socket.if_nameindex()
    ]


INTERNET = (socket.AF_INET, socket.AF_INET6)


def with_prefix(address: str, netmask: str | None) -> str:
    """`172.29.0.2` and `255.255.0.0` as `172.29.0.2/16`; an IPv6 address without its zone (`%eth0`)."""
    bare = address.partition("%")[0]
    return f"{bare}/{int(ipaddress.ip_address(netmask)).bit_count()}" if netmask else bare


# -- the child ----------------------------------------------------------------------------------


def ask(pid: int, kind: str, flag: int, question: Callable[[], T]) -> T | None:
    """The answer of a process in the `kind` namespace of `pid`; None if we may not join it."""
    if proc.namespace(pid, kind) == proc.namespace("self", kind):
        return question()
    import psutil  # noqa: F401  # before the fork: the child should load nothing

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            join(pid, kind, flag)
            os.write(writer, json.dumps(question()).encode())
        finally:
            os._exit(0)  # without an answer, if it failed
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def join(pid: int, kind: str, flag: int) -> None:
    """Move this process into a namespace of `pid`; if need be by way of its user namespace, as whose root it may."""
    target, users = (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in (kind, "user"))
    try:
        process.setns(target, flag)
    except KernelError:
        process.set_dumpable(False)  # root in there gets no hold of us
        process.setns(users, CLONE_NEWUSER)
        process.setns(target, flag)
