"""Networks: can the bridge be made, does somebody else's firewall stop it, and what has a user without root."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile

from minicontainer.doctor.attempt import attempt, why
from minicontainer.doctor.finding import Finding, limited, missing, ok
from minicontainer.errors import UnsupportedError
from minicontainer.isolation import bridge, rules, usernet
from minicontainer.isolation.ledger import Ledger
from minicontainer.linux import net, process
from minicontainer.linux.proc import read
from minicontainer.linux.programs import PACKAGES, find_program, run

PROGRAMS = ("ip", "nft", "nsenter")
"""What the bridge network is made with."""

NO_NAT = "nftables without NAT"
CABLE = "link add trial0 type veth peer name trial1"


def bridge_network() -> Finding:
    """Root's containers can have the bridge, with ports and a way out."""
    lacking = [name for name in PROGRAMS if not find_program(name)]
    if lacking:
        packages = " ".join(PACKAGES.get(name, name) for name in lacking)
        return missing(
            "bridge", f"no {', '.join(lacking)}", "no --network bridge", f"install {packages}, or --network none"
        )
    if os.geteuid() != 0:
        return ok("bridge", ", ".join(PROGRAMS), "root's containers may have it")
    with tempfile.TemporaryDirectory(prefix="minicontainer-doctor-") as folder:
        error = attempt(lambda: make_network(folder))
    if error is None:
        return ok(
            "bridge", "bridge, veth pair and nftables rules made", "containers have a network, ports can be published"
        )
    if error.cause == NO_NAT:
        return limited(
            "bridge",
            NO_NAT,
            "no way out of the bridge, and no -p",
            "load nft_chain_nat and nft_masq, or a newer kernel",
        )
    return missing(
        "bridge", why(error), "no --network bridge", "`modprobe -a bridge veth nf_tables`, or --network none"
    )


def make_network(folder: str) -> None:
    """Make the whole network in a network namespace of this process's own."""
    process.unshare(process.CLONE_NEWNET)
    with Ledger(f"{folder}/ledger") as ledger:
        facts = bridge.set_up(ledger, None)
        run(net.ip(CABLE))
        ledger.forget()
    if not facts["nat"]:
        raise UnsupportedError(NO_NAT)


def firewall() -> Finding:
    """Nobody else's rules drop what the bridge forwards."""
    if os.geteuid() != 0:
        return ok("firewall", "only root can read its rules", "does not concern containers without root")
    dropping = [*dropping_chains(), *dropping_legacy()]
    if not dropping:
        return ok("firewall", "forwards by default", "packets of the bridge pass")
    opening = f"`iptables -I FORWARD -i {bridge.BRIDGE} -j ACCEPT; iptables -I FORWARD -o {bridge.BRIDGE} -j ACCEPT`"
    return limited(
        "firewall", f"{' and '.join(dropping)} drops by default", "containers reach nothing beyond the bridge", opening
    )


def dropping_chains() -> list[str]:
    """Chains of nftables that drop what is forwarded unless a rule says otherwise, and that do not name our bridge."""
    listing = output("nft", "--json", "list", "chains")
    chains = [entry["chain"] for entry in json.loads(listing or '{"nftables": []}')["nftables"] if "chain" in entry]
    names = [
        (chain["family"], chain["table"], chain["name"])
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop"
    ]
    return [
        " ".join(name)
        for name in names
        if " ".join(name[:2]) != rules.TABLE and bridge.BRIDGE not in output("nft", "list", "chain", *name)
    ]


def dropping_legacy() -> list[str]:
    """The same of iptables' older half, if anybody uses it: to ask would load it into the kernel."""
    if "filter" not in read("/proc/net/ip_tables_names").split():
        return []
    listing = output("iptables-legacy", "-S", "FORWARD")
    return ["iptables FORWARD"] if "-P FORWARD DROP" in listing and bridge.BRIDGE not in listing else []


def output(name: str, *args: str) -> str:
    """What a program prints; nothing if it is not there or fails."""
    program = find_program(name)
    if program is None:
        return ""
    return subprocess.run([program, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def rootless_network() -> Finding:
    """An ordinary user's containers can have a network."""
    tools = [name for name in usernet.TOOLS if find_program(name)]
    alone = "a container without root has only its loopback"
    if not tools:
        return missing("rootless network", f"no {' or '.join(usernet.TOOLS)}", alone, "install the package passt")
    seen = ", ".join(tools)
    if not for_everybody(usernet.TUN):
        return limited(
            "rootless network", f"{seen}, but {usernet.TUN} is closed", alone, f"`sudo chmod 0666 {usernet.TUN}`"
        )
    return ok("rootless network", f"{seen}, {usernet.TUN}", "containers without root reach the network by it")


def for_everybody(path: str) -> bool:
    """Whether any user may read and write the file; for an ordinary user, whether they may."""
    if os.geteuid() != 0:
        return os.access(path, os.R_OK | os.W_OK)
    open_to_all = stat.S_IROTH | stat.S_IWOTH
    return os.path.exists(path) and os.stat(path).st_mode & open_to_all == open_to_all
