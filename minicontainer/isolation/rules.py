"""The packet rules of the bridge network: one nftables table of our own, nft(8).

Base chains of different tables all see a packet, whoever made them. So this table adds to what the
host has and touches none of it; but it cannot take a `drop` of another table back either.

What changes from container to container is not a rule but an element of a map: adding and removing
one is a single atomic step, in which two containers cannot get in each other's way.

    nft list table inet minicontainer     watch it
    nft monitor trace                     follow one packet (`meta nftrace set 1`)
"""

from __future__ import annotations

TABLE = "inet minicontainer"

FILTER = """\
table inet minicontainer {
    # A container speaks under its own network's addresses only, and not to what listens on the host's
    # 127.0.0.1, which route_localnet would else let it reach.
    chain no_lies {
        type filter hook prerouting priority raw
        iifname $BRIDGE ip saddr != $SUBNET4 drop
        iifname $BRIDGE ip6 saddr != { $SUBNET6, fe80::/10, :: } drop
        iifname $BRIDGE ip daddr 127.0.0.0/8 drop
    }
    # From elsewhere only published ports can be reached, and answers come back.
    chain forward {
        type filter hook forward priority filter
        iifname != $BRIDGE oifname $BRIDGE ct state { established, related } accept
        iifname != $BRIDGE oifname $BRIDGE ct status dnat accept
        iifname != $BRIDGE oifname $BRIDGE drop
    }
}
"""

NO_ROUTER = """\
add rule inet minicontainer forward meta nfproto $FAMILY iifname { $OTHERS } oifname { $OTHERS } drop
"""
"""Forwarding was off on this host: switching it on for the bridge does not make it a router between its networks."""

NAT = """\
table inet minicontainer {
    # Published ports: [address of the host .] protocol . port  ->  address of the container . port
    map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
    map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
    map one4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
    map one6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }

    chain published {
        dnat ip to ip daddr . meta l4proto . th dport map @one4
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @one6
        fib daddr type local dnat ip to meta l4proto . th dport map @any4
        fib daddr type local dnat ip6 to meta l4proto . th dport map @any6
    }
    # From other hosts and from containers. A neighbour may send packets for our 127.0.0.1: not those.
    chain from_network {
        type nat hook prerouting priority dstnat
        ip daddr != 127.0.0.0/8 jump published
        ip6 daddr != ::1 jump published
    }
    # From the host's own processes, 127.0.0.1 included. Not ::1: the kernel refuses answers for it that come
    # in from elsewhere, and a connection that is refused at once has its client try 127.0.0.1.
    chain from_host {
        type nat hook output priority -100
        ip6 daddr != ::1 jump published
        meta nfproto ipv4 jump published
    }
    # Outside nobody knows the container's address, so packets leave under the host's. And hairpin: a
    # container, or the host's 127.0.0.1, that asks for a published port must be answered by way of the
    # host, which alone can put the changed address right.
    chain leaving {
        type nat hook postrouting priority srcnat
        oifname != $BRIDGE ip saddr $SUBNET4 masquerade
        oifname != $BRIDGE ip6 saddr $SUBNET6 masquerade
        oifname $BRIDGE ct status dnat ip saddr { 127.0.0.0/8, $SUBNET4 } masquerade
        oifname $BRIDGE ct status dnat ip6 saddr $SUBNET6 masquerade
    }
}
"""


def table(bridge: str, subnet4: str, subnet6: str, others: dict[str, list[str]], nat: bool = True) -> tuple[str, ...]:
    """The lines that make the whole table.

    `others` holds, for ipv4 and ipv6, the interfaces between which nothing may be forwarded. `nat` is
    False for kernels whose nftables has none.
    """
    text = FILTER + (NAT if nat else "")
    for family, names in others.items():
        if names:
            quoted = ", ".join(f'"{name}"' for name in names)
            text += NO_ROUTER.replace("$FAMILY", family).replace("$OTHERS", quoted)
    text = text.replace("$BRIDGE", f'"{bridge}"').replace("$SUBNET4", subnet4).replace("$SUBNET6", subnet6)
    return tuple(text.splitlines())


def publish(protocol: str, address: str, port: int, target: str, target_port: int) -> str:
    """The line that leads `port` of the host's `address` (0.0.0.0 and :: are any) to a container's."""
    name, key = _key(protocol, address, port)
    return f"add element {TABLE} {name} {{ {key} : {target} . {target_port} }}"


def unpublish(protocol: str, address: str, port: int) -> str:
    """The line that takes it back."""
    name, key = _key(protocol, address, port)
    return f"delete element {TABLE} {name} {{ {key} }}"


def _key(protocol: str, address: str, port: int) -> tuple[str, str]:
    """The name of the map, and the key in it."""
    family = "6" if ":" in address else "4"
    if address in ("0.0.0.0", "::"):
        return "any" + family, f"{protocol} . {port}"
    return "one" + family, f"{address} . {protocol} . {port}"
