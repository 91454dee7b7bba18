"""Networks as the kernel has them: interfaces, addresses, routes, packet rules.

A network namespace is a whole network stack of its own: interfaces, addresses, routing table,
firewall, sockets and ports. A fresh one holds nothing but a loopback interface that is down. Links
are changed over rtnetlink(7), packet rules over nfnetlink; `ip` and `nft` speak both, and their
lines are ones that a reader can repeat. The one thing done by hand is the oldest interface of all,
netdevice(7): an ioctl on any socket.

    ip -d addr; ip route; bridge link         watch it
    nft list table inet minicontainer
    nsenter -t PID -n ip addr                 look from inside
"""

from __future__ import annotations

import _socket
import fcntl
import os
import struct

from minicontainer.linux.calls import syscall
from minicontainer.linux.files import write_file
from minicontainer.linux.proc import read
from minicontainer.linux.programs import Job

SIOCSIFFLAGS, SIOCGIFMTU = 0x8914, 0x8921
IFF_UP = 1
RTF_ADDRCONF = 0x40000  # learnt from a router advertisement
MAX_NAME = 15
"""The longest name of an interface (IFNAMSIZ counts the zero byte)."""


def ip(*lines: str) -> Job:
    """`ip` commands as one job; it stops at the first that fails: ip(8)."""
    return Job(("ip", "-batch", "-"), lines)


def ip_inside(pid: int, *lines: str) -> Job:
    """The same in the network namespace of process `pid`: nsenter(1)."""
    return Job(("nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"), lines)


def nft(*lines: str) -> Job:
    """Commands of nft as one job, and one transaction: all of them or none: nft(8)."""
    return Job(("nft", "-f", "-"), lines)


def forget_flows(port: int) -> Job:
    """Have the kernel's connection tracking forget the udp flows to `port` of this host: conntrack(8)."""
    return Job(("conntrack", "-D", "-p", "udp", "--orig-port-dst", str(port)))


@syscall
def loopback_up() -> None:
    """Set the flag IFF_UP of `lo` in this process's network namespace: netdevice(7)."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        fcntl.ioctl(sock.fileno(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    finally:
        sock.close()


def has_interface(name: str) -> bool:
    """Whether this process's network namespace has an interface of that name: if_nametoindex(3)."""
    try:
        return _socket.if_nametoindex(name) > 0
    except OSError:
        return False


def interfaces() -> set[str]:
    """The names of all interfaces in this process's network namespace: if_nameindex(3)."""
    return {name for _, name in _socket.if_nameindex()}


def mtu(name: str) -> int:
    """The largest packet that interface `name` carries, in bytes; 0 if there is none: netdevice(7)."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        answer = fcntl.ioctl(sock.fileno(), SIOCGIFMTU, struct.pack("16s24x", name.encode()))
        return int(struct.unpack_from("i", answer, 16)[0])
    except OSError:
        return 0
    finally:
        sock.close()


class Route:
    """One route: to the network `destination` of `length` bits, by the interface `device`."""

    def __init__(self, destination: bytes, length: int, device: str, advertised: bool = False) -> None:
        self.destination = destination
        self.length = length
        self.device = device
        self.advertised = advertised

    def overlaps(self, destination: bytes, length: int) -> bool:
        """Whether the two networks share an address. Default routes overlap with nothing."""
        if len(destination) != len(self.destination) or not self.length:
            return False
        bits = min(length, self.length)
        shift = 8 * len(destination) - bits
        return int.from_bytes(destination, "big") >> shift == int.from_bytes(self.destination, "big") >> shift


def routes() -> list[Route]:
    """The routes of both families in the main table: proc_net(5), /proc/net/route and ipv6_route."""
    found = []
    for row in read("/proc/self/net/route").splitlines()[1:]:
        device, destination, _, _, _, _, _, mask = row.split()[:8]
        network = bytes.fromhex(destination)[::-1]  # these two columns are in the machine's (little-endian) order
        found.append(Route(network, int(mask, 16).bit_count(), device))
    for row in read("/proc/self/net/ipv6_route").splitlines():
        destination, length, *_, flags, device = row.split()
        if device != "lo":
            found.append(
                Route(bytes.fromhex(destination), int(length, 16), device, bool(int(flags, 16) & RTF_ADDRCONF))
            )
    return found


def pack_address(text: str) -> bytes:
    """The 4 or 16 bytes of an address. Raises ValueError if it is none: inet_pton(3)."""
    try:
        return _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, UnicodeError):
        raise ValueError(text) from None


def sysctl(name: str) -> str:
    """The value of a kernel setting, named by its path below /proc/sys; empty if there is none: sysctl(8)."""
    return read("/proc/sys/" + name)


def set_sysctl(name: str, value: str) -> None:
    """Change a kernel setting, unless it has that value already."""
    if sysctl(name) != value:
        write_file("/proc/sys/" + name, value)


def forwarding_settings(family: str) -> list[str]:
    """The names of all `forwarding` settings of "ipv4" or "ipv6", the one for `all` first, as it sets the others."""
    folder = f"net/{family}/conf"
    try:
        names = os.listdir("/proc/sys/" + folder)
    except FileNotFoundError:
        return []
    return [f"{folder}/{name}/forwarding" for name in sorted(names, key=lambda name: (name != "all", name))]


def free_port(protocol: str, address: str, port: int) -> int:
    """Whether `port` of `address` is free on this host: the port, or for port 0 any that is. Raises OSError."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    kind = _socket.SOCK_DGRAM if protocol == "udp" else _socket.SOCK_STREAM
    sock = _socket.socket(family, kind, _socket.IPPROTO_SCTP if protocol == "sctp" else 0)
    try:
        if protocol != "udp":
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)  # connections that ended lately do not matter
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        return int(sock.getsockname()[1])
    finally:
        sock.close()
