"""The bridge network: a switch made of software, and a cable to it for each container.

A veth pair is a cable: what goes in at one end comes out at the other, and each end can be in its own
network namespace. One end is in the container, as eth0; the other is plugged into the bridge on the
host, which also is the host's own foot in that network and the containers' gateway: veth(4),
bridge(8). The first container makes the bridge, and the last one takes it away with all that came
with it.

    ip -d link show minic0; bridge link         watch it
    docs/network.md                             the way of a packet
"""

from __future__ import annotations

import os

from minicontainer.errors import MinicontainerError, StateError, UnsupportedError
from minicontainer.isolation import ports, rules
from minicontainer.isolation.ledger import Ledger
from minicontainer.linux import net
from minicontainer.linux.programs import run, try_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minicontainer.runtime.container import Container

BRIDGE = "minic0"
CANDIDATES = ((172, 29), (172, 30), (172, 31), *((172, n) for n in range(20, 29)), *((10, n) for n in range(200, 250)))
"""The first two bytes of the networks to choose from: private ones that neither Docker nor routers take first."""

ETHERNET_MTU, IPV6_MIN_MTU = 1500, 1280


class Subnet:
    """An IPv4 network of 16 bits, and an IPv6 one whose addresses read alike: 172.29.0.5 and fd00:172:29::5."""

    def __init__(self, first: int, second: int) -> None:
        self.bytes = (first, second)
        self.network4 = f"{first}.{second}.0.0/16"
        self.network6 = f"fd00:{first}:{second}::/64"  # fd00::/8 is for anybody's own use: RFC 4193

    def address4(self, number: int) -> str:
        """The IPv4 address of the host `number`, from 1 (the gateway) to 65534."""
        return f"{self.bytes[0]}.{self.bytes[1]}.{number >> 8}.{number & 255}"

    def address6(self, number: int) -> str:
        """Its IPv6 address: the same decimal digits, read as hexadecimal ones."""
        high = f"{number >> 8}:" if number >> 8 else ""
        return f"fd00:{self.bytes[0]}:{self.bytes[1]}::{high}{number & 255}"

    def mac(self, number: int) -> str:
        """Its hardware address. Made of the IPv4 address, so that no neighbour remembers a wrong one."""
        return f"02:42:{self.bytes[0]:02x}:{self.bytes[1]:02x}:{number >> 8:02x}:{number & 255:02x}"

    def is_free(self, routes: list[net.Route]) -> bool:
        """Whether the host has no route into either network yet."""
        address4, address6 = (net.pack_address(address(0)) for address in (self.address4, self.address6))
        return not any(route.overlaps(address4, 16) or route.overlaps(address6, 64) for route in routes)


# -- joining ------------------------------------------------------------------------------------


def join(container: Container) -> None:
    """Reserve the container's address and ports, in `record["network"]` and `record["ports"]`; make the bridge.

    Raises StateError if a port is taken, UnsupportedError if this host cannot do it.
    """
    wanted = container.spec.minicontainer.network.ports
    with Ledger() as ledger:
        facts = ledger.facts()
        if facts is None or not net.has_interface(BRIDGE):
            facts = set_up(ledger, facts)
        if wanted:
            if not facts["nat"]:
                raise UnsupportedError("this kernel's nftables has no NAT: ports cannot be published", "leave -p out")
            release(ledger, [name for name in ledger.names() if not os.path.exists(ledger.owner(name))])
        container.record["network"] = lease(ledger, container.dir, facts)
        families = "46" if facts["ipv6"] else "4"
        bindings = [b for port in wanted for b in ports.reserve(ledger, container.dir, port, families)]
    container.record["ports"] = [
        {"hostIp": b.address, "hostPort": b.port, "containerPort": b.container_port, "protocol": b.protocol}
        for b in bindings
    ]


def lease(ledger: Ledger, owner: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Take the lowest free address for `owner`. All that there is to say about its place in the network."""
    subnet = Subnet(*facts["subnet"])
    taken = set(ledger.names())
    number = next((n for n in range(2, 65535) if subnet.address4(n) not in taken), 0)
    if not number:
        raise StateError(f"no address is left in {subnet.network4}", "`minicontainer cleanup` may free some")
    ledger.take(subnet.address4(number), owner)
    return {
        "bridge": BRIDGE,
        "interface": veth_name(owner),
        "mac": subnet.mac(number),
        "mtu": facts["mtu"],
        "nat": facts["nat"],  # False: no way beyond the host
        "address": subnet.address4(number),
        "gateway": subnet.address4(1),
        "address6": subnet.address6(number) if facts["ipv6"] else "",
        "gateway6": subnet.address6(1) if facts["ipv6"] else "",
    }


def veth_name(owner: str) -> str:
    """The name of the host's end of the cable of the container in the folder `owner`."""
    id = os.path.basename(owner)
    if len(id) >= 12 and not set(id[:12]) - set("0123456789abcdef"):
        return "mc" + id[:12]
    from binascii import crc32  # an id that its user chose: two may begin alike

    return f"mc{crc32(os.fsencode(owner)):08x}"


# -- the cable ----------------------------------------------------------------------------------


def outside_lines(place: dict[str, Any], pid: int) -> tuple[str, ...]:
    """On the host: make the pair with one end in the namespace of `pid`, plug the other into the bridge."""
    name, mtu = place["interface"], place["mtu"]
    return (
        f"link add {name} mtu {mtu} type veth peer name eth0 mtu {mtu} address {place['mac']} netns {pid}",
        f"link set {name} master {place['bridge']} addrgenmode none up",
        f"link set {name} type bridge_slave hairpin on",  # a container may ask for what itself publishes
    )


def inside_lines(place: dict[str, Any]) -> tuple[str, ...]:
    """In the container's namespace: addresses, and a way to everywhere else."""
    lines = [f"addr add {place['address']}/16 brd + dev eth0"]
    if place["address6"]:
        lines += [f"addr add {place['address6']}/64 dev eth0 nodad"]  # the ledger knows that nobody has it
    lines += ["link set eth0 up", f"route add default via {place['gateway']}"]
    if place["address6"]:
        lines += [f"route add default via {place['gateway6']}"]
    return tuple(lines)


def port_lines(place: dict[str, Any], published: list[dict[str, Any]]) -> tuple[str, ...]:
    """The elements of the table that lead published ports to the container."""
    return tuple(
        rules.publish(
            port["protocol"],
            port["hostIp"],
            port["hostPort"],
            place["address6" if ":" in port["hostIp"] else "address"],
            port["containerPort"],
        )
        for port in published
    )


def plug_in(container: Container, pid: int) -> None:
    """Connect the waiting process `pid`, and lead the published ports to it."""
    place, published = container.record["network"], container.record["ports"]
    jobs = [net.ip(*outside_lines(place, pid))]
    if published:
        jobs.append(net.nft(*port_lines(place, published)))
    run(*jobs)
    run(net.ip_inside(pid, *inside_lines(place)))
    if udp := {port["hostPort"] for port in published if port["protocol"] == "udp"}:
        # Where a flow's packets go was decided with its first, before this container was there.
        try_run(*map(net.forget_flows, sorted(udp)))


# -- leaving ------------------------------------------------------------------------------------


def leave(container: Container) -> None:
    """Take away what the container has on the host; the last one takes the network. Does no harm twice."""
    ledger, owner = Ledger(), container.dir
    if not os.path.isdir(ledger.dir):
        return
    if ledger.in_use(besides=owner):
        unplug(owner)  # takes its time, so not under the lock
    with ledger:
        if ledger.in_use(besides=owner):
            unplug(owner)
            release(ledger, ledger.owned_by(owner))
        else:
            tear_down(ledger)


def unplug(owner: str) -> None:
    """Remove a container's cable. The kernel may be doing it too, if the namespace at the other end has gone."""
    name = veth_name(owner)
    if net.has_interface(name):
        try_run(net.ip(f"link del {name}"))


def release(ledger: Ledger, names: list[str]) -> None:
    """Take ports back and strike everything named out of the ledger."""
    bindings = filter(None, map(ports.Binding.parse, names))
    lines = [rules.unpublish(b.protocol, b.address, b.port) for b in bindings]
    if lines:
        try:
            run(net.nft(*lines))
        except MinicontainerError:  # one of them was never added: then none has been taken back
            try_run(*map(net.nft, lines))
    ledger.drop(names)


# -- the whole network --------------------------------------------------------------------------


def set_up(ledger: Ledger, facts: dict[str, Any] | None) -> dict[str, Any]:
    """Make the bridge, the table and the kernel settings. `facts`: those that were, if the bridge has been lost."""
    if facts is not None or net.has_interface(BRIDGE):
        take_away()
    if facts is None:
        facts = survey()
        ledger.keep(facts)
    try:
        run(net.ip(*bridge_lines(facts)), net.nft(*table(facts)))
    except MinicontainerError as error:
        if not net.has_interface(BRIDGE) or not is_lacking(error):
            raise
        make_do(facts)
        ledger.keep(facts)
    for name, value in settings(facts):
        net.set_sysctl(name, value)
    return facts


def table(facts: dict[str, Any]) -> tuple[str, ...]:
    """The `nft` lines that make our table."""
    subnet = Subnet(*facts["subnet"])
    return rules.table(BRIDGE, subnet.network4, subnet.network6, facts["others"], facts["nat"])


def make_do(facts: dict[str, Any]) -> None:
    """For kernels whose nftables has no NAT, or that have none: containers reach each other and the host, safely."""
    facts["nat"] = False
    try:
        run(net.nft(*table(facts)))
    except MinicontainerError as error:
        if not is_lacking(error):
            raise
        facts["forward"] = False  # nothing would stand between the container and the host's other networks


def is_lacking(error: MinicontainerError) -> bool:
    """Whether `nft` failed for something that the kernel was built without."""
    return any(reason in str(error) for reason in ("not supported", "No such file or directory"))


def survey() -> dict[str, Any]:
    """Choose the network, and note how the host is before anything is changed."""
    routes = net.routes()
    subnet = next((subnet for pair in CANDIDATES if (subnet := Subnet(*pair)).is_free(routes)), None)
    if subnet is None:
        raise UnsupportedError("the host has routes into every network that a bridge could use", "use --network none")
    ipv6 = net.sysctl("net/ipv6/conf/all/disable_ipv6") == net.sysctl("net/ipv6/conf/default/disable_ipv6") == "0"
    uplinks = {route.device for route in routes if not route.length and route.device != "lo"}
    mtu = min((net.mtu(name) for name in uplinks), default=0) or ETHERNET_MTU
    before, others = {}, {}
    for family, switch in (("ipv4", "net/ipv4/ip_forward"), ("ipv6", "net/ipv6/conf/all/forwarding")):
        if net.sysctl(switch) == "0" and (ipv6 or family == "ipv4"):
            before.update({name: net.sysctl(name) for name in net.forwarding_settings(family)})
            others[family] = sorted(net.interfaces() - {"lo", BRIDGE})
    if "ipv4" in others:  # switched together with forwarding
        before["net/ipv4/conf/all/accept_redirects"] = net.sysctl("net/ipv4/conf/all/accept_redirects")
    if "ipv6" in others:  # with 1 the host would forget routes that a router told it
        heard = {f"net/ipv6/conf/{route.device}/accept_ra" for route in routes if route.advertised and not route.length}
        before.update({name: "1" for name in sorted(heard) if net.sysctl(name) == "1"})
    return {
        "subnet": list(subnet.bytes),
        "mtu": max(mtu, IPV6_MIN_MTU),
        "ipv6": ipv6,
        "nat": True,
        "forward": True,
        "before": before,
        "others": others,
        "interfaces": sorted(net.interfaces()),
    }


def bridge_lines(facts: dict[str, Any]) -> tuple[str, ...]:
    """The `ip` lines that make the bridge."""
    subnet = Subnet(*facts["subnet"])
    lines = [
        f"link add {BRIDGE} mtu {facts['mtu']} address {subnet.mac(1)} type bridge",
        f"addr add {subnet.address4(1)}/16 brd + dev {BRIDGE}",
    ]
    if facts["ipv6"]:
        # Nobody else is there to have these. Until it is sure of a link-local one, it would ask for no neighbour.
        lines += [f"addr add {address}/64 dev {BRIDGE} nodad" for address in (subnet.address6(1), "fe80::1")]
    return (*lines, f"link set {BRIDGE} addrgenmode none up")


def settings(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The kernel settings that the network needs, in order."""
    wanted = []
    if facts["ipv6"]:  # a container must not be able to advertise itself to the host as its router
        wanted += [(f"net/ipv6/conf/{BRIDGE}/accept_ra", "0")]
    if facts["nat"]:  # for published ports on 127.0.0.1
        wanted += [(f"net/ipv4/conf/{BRIDGE}/route_localnet", "1")]
    if facts["forward"]:
        wanted += [(name, "2") for name in facts["before"] if name.endswith("/accept_ra")]  # listen although forwarding
        wanted += [("net/ipv4/ip_forward", "1")]
        wanted += [("net/ipv6/conf/all/forwarding", "1")] if facts["ipv6"] else []
    return wanted


def take_away() -> None:
    """Remove the bridge and the table, whichever is there."""
    try_run(net.ip(f"link del {BRIDGE}"), net.nft(f"delete table {rules.TABLE}"))


def tear_down(ledger: Ledger) -> None:
    """Take the network away and leave the host as `survey` found it."""
    facts = ledger.facts() or {}
    take_away()
    for owner in {ledger.owner(name) for name in ledger.names()}:
        unplug(owner)
    newcomers = net.interfaces() - set(facts.get("interfaces", ()))
    if not any(os.path.isdir(f"/sys/class/net/{name}/bridge") for name in newcomers):
        for name, value in facts.get("before", {}).items():
            if net.sysctl(name):
                net.set_sysctl(name, value)
    # else another bridge has come up since, whose network may rely on forwarding by now: Docker's, say
    ledger.forget()
