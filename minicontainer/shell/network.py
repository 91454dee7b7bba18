"""The paragraph of the network: the lines for `ip` and `nft` that the runtime itself uses.

The script's network is its own: a bridge, a table and addresses that nobody uses when the script is made. So it
and the runtime's containers can run side by side, and neither has to know the other's ledger.
"""

from __future__ import annotations

from minicontainer.errors import UnsupportedError
from minicontainer.isolation import bridge, names, ports, rules, usernet
from minicontainer.isolation.ledger import Ledger
from minicontainer.isolation.net import ACCEPT_RA
from minicontainer.linux import net
from minicontainer.linux.proc import is_user_mode_linux, read
from minicontainer.shell.paragraph import Paragraph
from minicontainer.shell.process import JOINED, join, new
from minicontainer.shell.text import feed, quote, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minicontainer.runtime.container import Container

BRIDGED = """\
A veth pair is a cable: one end is eth0 inside, the other is plugged into a bridge on the host, a switch of software
that is also the way out. Outside nobody knows the container's address, so packets leave under the host's."""

UNWATCHED = """\
packet rules, and a way beyond the host. The kernel where this was made has no nftables."""

HELPED = """\
Without root nothing can be plugged into the host's network. pasta opens a tap device in the container's namespace,
reads the packets that come out, and makes the connections that they ask for as any program would."""

ALONE = "Nothing is in it but a loopback interface, which is down at first."
MAN = "ip(8), network_namespaces(7)"
SHARED = "The host's network: no wall. Its names are the container's too."


def network(container: Container) -> Paragraph:
    mode = container.spec.minicontainer.network.mode
    wall, joined = new(container, "network"), join(container, "network")
    if joined or not wall:
        text = JOINED if joined else SHARED
        return Paragraph("net", text, "resolv.conf(5), hosts(5)", enter=joined, before=name_files(container))
    if mode != "bridge":
        up = ["ip link set lo up"]
        return Paragraph("net", ALONE, MAN, walls=wall, needs=("ip",), before=name_files(container), inside=up)
    return helped(container) if container.spec.minicontainer.rootless else bridged(container)


# -- a bridge -----------------------------------------------------------------------------------


class Unwritten:
    """A ledger that nobody else has written in: the bridge is the script's own."""

    def names(self) -> list[str]:
        return []

    def take(self, name: str, owner: str) -> None:
        pass


def bridged(container: Container) -> Paragraph:
    facts = survey()
    place, published = lease(container, facts)
    rename = renaming()
    name, table = rename(bridge.BRIDGE), rename(rules.TABLE)
    subnet = bridge.Subnet(*facts["subnet"])
    packet_rules = rules.table(bridge.BRIDGE, subnet.network4, subnet.network6, facts["others"])
    table_lines = [f"later 'nft delete table {table} 2>/dev/null'", feed("nft -f -", rename(*packet_rules))]
    before = [
        f'if [ -e /sys/class/net/{name} ] || [ -n "$(ip route show {subnet.network4})" ]; then',
        f'\tfail "{name} or {subnet.network4} is in use: have the script made anew"',
        "fi",
        *keep_settings(facts),
        f"later 'ip link del {name} 2>/dev/null'",
        feed("ip -batch -", rename(*bridge.bridge_lines(facts))),
        *(table_lines if facts["nat"] else ()),
        *(f"echo {value} >/proc/sys/{quote(rename(setting))}" for setting, value in bridge.settings(facts)),
    ]
    undo = f"ip link del {place['interface']} 2>/dev/null"  # the kernel may be quicker
    cable = rename(*bridge.outside_lines(place, 0)).replace("netns 0", "netns $pid")
    outside = [f"later {quote(undo)}", feed("ip -batch -", cable, expand=True)]
    if published:
        outside.append(feed("nft -f -", rename(*bridge.port_lines(place, published))))
    for port in sorted({port["hostPort"] for port in published if port["protocol"] == "udp"}):
        outside.append(f"{words(list(net.forget_flows(port).args))} >/dev/null 2>&1 || : # old flows, if you have it")
    return Paragraph(
        "net",
        BRIDGED,
        f"veth(4), bridge(8), nft(8), {MAN}",
        missing=() if facts["nat"] else [UNWATCHED],
        walls="--net",
        needs=("ip", "nft") if facts["nat"] else ("ip",),
        before=[*before, *name_files(container)],
        outside=outside,
        inside=["ip link set lo up", feed("ip -batch -", rename(*bridge.inside_lines(place))), *no_advertisements()],
        after=RESTORE if facts["before"] else (),
    )


def survey() -> dict[str, Any]:
    """The facts of the script's network. What the host was like before is known best by the runtime, if it runs."""
    facts = bridge.survey()
    facts["nat"] = facts["forward"] = not is_user_mode_linux()  # which has no nftables
    if theirs := Ledger().facts():
        facts["before"] = theirs["before"]
    return facts


def lease(container: Container, facts: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The container's place in the network, and its ports: what `bridge.join` notes down."""
    ledger: Ledger = Unwritten()  # type: ignore[assignment]
    if container.spec.minicontainer.network.ports and not facts["nat"]:
        raise UnsupportedError("this kernel's nftables has no NAT: ports cannot be published", "leave -p out")
    place = bridge.lease(ledger, container.dir, facts)
    container.record["network"] = place
    return place, [
        {"hostIp": b.address, "hostPort": b.port, "containerPort": b.container_port, "protocol": b.protocol}
        for port in container.spec.minicontainer.network.ports
        for b in ports.reserve(ledger, container.dir, port, "46" if facts["ipv6"] else "4")
    ]


def renaming() -> Callable[..., str]:
    """A function that puts lines together and gives bridge and table in them names that are free."""
    number = next(n for n in range(1, 1000) if not net.has_interface(f"minic{n}"))

    def rename(*lines: str) -> str:
        return "\n".join(lines).replace(bridge.BRIDGE, f"minic{number}").replace(rules.TABLE, f"{rules.TABLE}{number}")

    return rename


def keep_settings(facts: dict[str, Any]) -> list[str]:
    """Lines that see to it that the host's kernel settings come back, if its packets were not forwarded before."""
    if not facts["before"]:
        return []
    values = "\n".join(f"{name} {value}" for name, value in facts["before"].items())
    return ["bridges=$(echo /sys/class/net/*/bridge)", feed('cat >"$dir/settings"', values), "later net_after"]


RESTORE = (
    "# Not if another bridge has come up meanwhile: its network may rely on forwarding by now.",
    "newcomer=''",
    "for each in /sys/class/net/*/bridge; do",
    '\tcase " $bridges " in *" $each "*) ;; *) newcomer=$each ;; esac',
    "done",
    '[ -e "$newcomer" ] || while read -r name value; do',
    '\t[ ! -e "/proc/sys/$name" ] || printf %s "$value" >"/proc/sys/$name"',
    'done <"$dir/settings"',
)


def no_advertisements() -> list[str]:
    """The route is set; no neighbour is to offer another."""
    return [f"[ ! -e /proc/sys/{ACCEPT_RA} ] || echo 0 >/proc/sys/{ACCEPT_RA}"]


# -- a helper -----------------------------------------------------------------------------------


def helped(container: Container) -> Paragraph:
    if usernet.rootless_tool() != "pasta":
        cause, remedy = usernet.obstacle() or ("the script has a network without root only with pasta", "")
        raise UnsupportedError(cause, remedy or "install the package passt, or use --network none")
    place = {"helper": "pasta", **usernet.PLACE}
    container.record["network"] = place
    published = [usernet.choose(port) for port in container.spec.minicontainer.network.ports]
    options = words(list(usernet.pasta_options(place, published)))
    return Paragraph(
        "net",
        HELPED,
        f"pasta(1), {MAN}",
        walls="--net",
        needs=("ip", "pasta"),
        before=name_files(container),
        outside=[
            """later 'kill "$(cat "$dir/pasta.pid")" 2>/dev/null'""",
            f'pasta {options} -P "$dir/pasta.pid" --userns "/proc/$pid/ns/user" --netns "/proc/$pid/ns/net"',
        ],
        inside=["ip link set lo up", *no_advertisements()],
    )


# -- names --------------------------------------------------------------------------------------


def name_files(container: Container) -> list[str]:
    """Lines that write the container's resolv.conf, hosts and hostname."""
    mode, spec = container.spec.minicontainer.network.mode, container.spec
    if not mode:
        return []
    if mode.startswith("container:"):
        from minicontainer.runtime.container import find

        other = find(mode.partition(":")[2])
        content = {name: read(other.path(name)) for name in names.FILES}
    else:
        import os

        hostname = spec.hostname or os.uname().nodename
        content = {
            "resolv.conf": names.resolv_conf(container),
            "hosts": names.hosts(container, hostname),
            "hostname": hostname,
        }
    container.record["files"] = [name for name in names.FILES if content[name]]
    return [feed(f'cat >"$dir/{name}"', content[name]) for name in container.record["files"]]
