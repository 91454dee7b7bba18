"""The network wall: each mode as the kernel sees it, the way out, the names, and what is left: nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicontainer.isolation.ledger import Ledger
from minicontainer.isolation.net import Net
from minicontainer.linux import net
from minicontainer.runtime.container import Container
from tests.conftest import Run, Spawn
from tests.network import BRIDGE_UNUSED, HOST, Place, empty_place, other_host, record
from tests.support import command, environment, host_pid, wait_until

pytestmark = [pytest.mark.requires("root", "command:ip", "command:nft"), BRIDGE_UNUSED]

BRIDGE = Path("/sys/class/net/minic0")
SLEEP = ("sh", "-c", "trap exit TERM; sleep 600 & wait")


@pytest.fixture
def inside(spawn: Spawn, rootfs: Path, state_root: Path) -> Iterator[Place]:
    """A running container on the bridge."""
    spawn("run", rootfs, *SLEEP)
    yield Place(host_pid(state_root))


def settings() -> dict[str, str]:
    """All kernel settings of this network namespace that are not counters."""
    return {
        str(path): path.read_text()
        for family in ("ipv4", "ipv6")
        for path in Path(f"/proc/sys/net/{family}").rglob("*")
        if path.is_file() and os.access(path, os.R_OK) and path.stat().st_mode & 0o444
        if path.parent.parent.name != "route" and path.name not in ("stable_secret", "flush")
    }


# -- modes --------------------------------------------------------------------------------------


def test_none_is_a_new_namespace_with_loopback(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "--network", "none", rootfs, *SLEEP)
    place = Place(host_pid(state_root))
    assert [(link["ifname"], "UP" in link["flags"]) for link in place.ip("link")] == [("lo", True)]
    assert place.ip("route") == [] and place.pings("127.0.0.1") and place.pings("::1")
    assert not BRIDGE.exists()


def test_host_is_no_namespace(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "--network", "host", rootfs, *SLEEP)
    assert os.readlink(f"/proc/{host_pid(state_root)}/ns/net") == os.readlink("/proc/self/ns/net")
    assert not BRIDGE.exists()


def test_bridge_as_the_kernel_sees_it(inside: Place) -> None:
    assert inside.addresses() == ["172.29.0.2", "fd00:172:29::2"]
    assert inside.ip("link", "show", "eth0")[0]["address"] == "02:42:ac:1d:00:02"
    assert [route["gateway"] for route in inside.ip("route", "show", "default")] == ["172.29.0.1"]
    assert [route["gateway"] for route in inside.ip("-6", "route", "show", "default")] == ["fd00:172:29::1"]
    assert HOST.addresses("minic0") == ["172.29.0.1", "fd00:172:29::1"]
    assert [name[:2] for name in os.listdir(BRIDGE / "brif")] == ["mc"]
    uplink = HOST.ip("route", "show", "default")
    assert inside.ip("link", "show", "eth0")[0]["mtu"] == (net.mtu(uplink[0]["dev"]) if uplink else 1500)


def test_gateway_and_neighbour_answer(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    places = []
    for number in range(2):
        spawn("run", rootfs, *SLEEP)
        places.append(Place(host_pid(state_root, number)))
    for address in ("172.29.0.1", "fd00:172:29::1", *places[1].addresses()):
        assert places[0].pings(address), address


def test_container_mode_shares_the_other_ones_loopback(
    minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    spawn("run", "--name", "web", "--hostname", "webhost", "--dns", "192.0.2.99", rootfs, *SLEEP)
    with Place(host_pid(state_root)).server(80, "127.0.0.1"):
        script = "nc -w 2 127.0.0.1 80 </dev/null; echo; cat /etc/resolv.conf; grep webhost /etc/hosts"
        done = minicontainer("run", "--network", "container:web", rootfs, "sh", "-c", script)
    assert done.stdout.startswith("127.0.0.1\nnameserver 192.0.2.99\n") and "172.29.0.2\twebhost" in done.stdout


# -- attacks ------------------------------------------------------------------------------------


def test_without_net_the_hosts_loopback_and_interfaces_are_there(minicontainer: Run, rootfs: Path) -> None:
    with HOST.server(40999, "127.0.0.1"):
        script = "ls /sys/class/net; nc -w 2 127.0.0.1 40999 </dev/null"
        done = minicontainer("run", "--without", "net", rootfs, "sh", "-c", script)
    assert done.stdout.split() == [*sorted(os.listdir("/sys/class/net")), "127.0.0.1"]


@pytest.mark.parametrize("mode", ["none", "bridge"])
def test_with_net_they_are_not(mode: str, minicontainer: Run, rootfs: Path) -> None:
    with HOST.server(40999, "127.0.0.1"):
        script = "ls /sys/class/net; nc -w 2 127.0.0.1 40999 </dev/null"
        done = minicontainer("run", "--network", mode, rootfs, "sh", "-c", script)
    assert done.stdout.split() == {"none": ["lo"], "bridge": ["eth0", "lo"]}[mode] and done.returncode != 0


ABSTRACT = (
    "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0minicontainer-test'); print(s.recv(9).decode())"
)


@pytest.mark.parametrize(("walls", "reached"), [(("--without", "net"), True), ((), False)])
def test_abstract_sockets_of_the_host(
    walls: tuple[str, ...], reached: bool, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    """A unix socket without a file belongs to the network namespace: unix(7)."""
    spawn("run", *walls, rootfs, *SLEEP)
    place = Place(host_pid(state_root))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0minicontainer-test")
        server.listen()
        client = subprocess.Popen(
            [*place.enter, sys.executable, "-c", ABSTRACT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if reached:
            server.accept()[0].sendall(b"welcome")
        out, err = client.communicate(timeout=10)
    assert (out == "welcome\n") if reached else ("ConnectionRefusedError" in err)


def reach_for_hosts_loopback(place: Place) -> str:
    """Send to 127.0.0.1 by way of the gateway, with all the power over its own namespace that a container can have."""
    place.run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
    place.run("ip", "addr", "flush", "dev", "lo")
    place.run("ip", "route", "add", "127.0.0.1", "via", "172.29.0.1")
    return place.ask("127.0.0.1", 40999)


def test_the_hosts_loopback_through_the_gateway(inside: Place) -> None:
    with HOST.server(40999, "127.0.0.1"):
        assert reach_for_hosts_loopback(inside) == ""
        HOST.run("nft", "flush", "chain", "inet", "minicontainer", "no_lies")
        assert inside.ask("127.0.0.1", 40999) == "172.29.0.2"


def test_only_what_is_published_is_reached_from_another_host(inside: Place) -> None:
    with other_host() as far, inside.server(80):
        far.run("ip", "route", "add", "172.29.0.0/16", "via", "198.51.1.1")
        assert far.ask("172.29.0.2", 80) == "" and HOST.ask("172.29.0.2", 80) == "172.29.0.1"


def test_the_host_does_not_become_a_router(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    if net.sysctl("net/ipv4/ip_forward") == "1":
        pytest.skip("this host forwards packets anyway")
    with other_host(1) as first, other_host(2) as second:
        spawn("run", rootfs, *SLEEP)
        host_pid(state_root)
        for place, mine, other in ((first, 1, 2), (second, 2, 1)):
            place.run("ip", "route", "add", f"198.51.{other}.0/24", "via", f"198.51.{mine}.1")
            place.run("ip", "route", "add", f"fd00:198:{other}::/64", "via", f"fd00:198:{mine}::1")
        assert not first.pings("198.51.2.2") and not first.pings("fd00:198:2::2")
        assert first.pings("198.51.1.1") and first.pings("fd00:198:1::1")


# -- out, and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_outside_a_container_has_the_hosts_address(protocol: str, spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    with other_host() as far:
        spawn("run", rootfs, *SLEEP)
        place = Place(host_pid(state_root))
        with far.server(7000, protocol=protocol):
            assert place.ask("198.51.1.2", 7000, protocol) == "198.51.1.1"
        with far.server(7000, "::", protocol=protocol):
            assert place.ask("fd00:198:1::2", 7000, protocol) == "fd00:198:1::1"


# -- many, and none -----------------------------------------------------------------------------


def test_eight_at_once_have_eight_addresses(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    for _ in range(8):
        spawn("run", rootfs, *SLEEP)
    host_pid(state_root, 7)  # all are there
    places = [Place(host_pid(state_root, number)) for number in range(8)]
    assert len({place.addresses()[0] for place in places}) == 8
    assert all(place.pings("172.29.0.1") for place in places)
    assert len(os.listdir(BRIDGE / "brif")) == 8


def test_the_last_one_leaves_the_host_as_it_was(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    before = settings()
    first, second = (spawn("run", rootfs, *SLEEP) for _ in range(2))
    host_pid(state_root, 1)
    assert net.sysctl("net/ipv4/ip_forward") == "1"
    for process, there in ((first, True), (second, False)):
        process.terminate()
        process.wait(timeout=10)
        assert BRIDGE.exists() == there
        assert bool(HOST.run("nft", "list", "table", "inet", "minicontainer", check=False)) == there
        assert os.path.exists(Ledger().dir) == there
    assert settings() == before


def test_another_process_cleans_up_after_a_crash(
    minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    process = spawn("run", "-p", "40080:80", rootfs, *SLEEP)
    pid = host_pid(state_root)
    folder = next(state_root.glob("containers/*"))
    process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert BRIDGE.exists() and len(os.listdir(Ledger().dir)) > 1
    for _ in range(2):
        Net().after(Container.load(str(folder)))
        assert not BRIDGE.exists() and not os.path.exists(Ledger().dir)
    minicontainer("cleanup")  # what the other features have


def test_what_a_vanished_container_had_is_free_again(
    minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    with Ledger() as ledger:
        for name in ("172.29.0.2", "tcp-0.0.0.0-40080", "tcp-::-40080"):
            ledger.take(name, "/nonexistent/containers/gone")
    assert minicontainer("run", "-p", "40080:80", rootfs, "true").returncode == 0
    assert not os.path.exists(Ledger().dir)


# -- another host's ways ------------------------------------------------------------------------


def run_in(place: Place, rootfs: Path, *script: str) -> str:
    """The output of a container that is started from another network namespace, with its own bridge."""
    words = [*place.enter, *command("run", rootfs, "sh", "-c", *script)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_network_that_the_host_has_a_route_into_is_not_taken(rootfs: Path, state_root: Path) -> None:
    with empty_place() as place:
        place.run("ip", "link", "add", "lan0", "up", "type", "bridge")
        place.run("ip", "route", "add", "172.29.128.0/17", "dev", "lan0")
        place.run("ip", "route", "add", "fd00:172:30::/48", "dev", "lan0")
        shown = run_in(place, rootfs, "ip -4 -o addr show eth0; ip -6 -o addr show eth0")
        assert " 172.31.0.2/16 " in shown and " fd00:172:31::2/64 " in shown
        assert [link["ifname"] for link in place.ip("link")] == ["lo", "lan0"]


def test_a_host_without_ipv6(rootfs: Path, state_root: Path) -> None:
    with empty_place() as place:
        place.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        shown = run_in(place, rootfs, "ip addr show eth0; cat /etc/hosts")
        assert "172.29.0.2/16" in shown and "fd00" not in shown


# -- names --------------------------------------------------------------------------------------


def test_names_as_asked_for(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer(
        "run", "--hostname", "web", "--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:2",
        "--add-host", "db:10.0.0.7", "--add-host", "me:host-gateway",
        rootfs, "cat", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname",
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "nameserver 192.0.2.53", "search example.org", "options ndots:2",
        "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix", "ff02::1\tip6-allnodes", "ff02::2\tip6-allrouters",
        "172.29.0.2\tweb", "fd00:172:29::2\tweb", "10.0.0.7\tdb", "172.29.0.1\tme",
        "web",
    ]  # fmt: skip


def test_the_containers_root_owns_its_names(minicontainer: Run, rootfs: Path) -> None:
    script = "stat -c %u:%g:%a /etc/resolv.conf /etc/hosts /etc/hostname; echo 10.0.0.8 new >> /etc/hosts"
    done = minicontainer("run", "--userns", "auto", rootfs, "sh", "-c", script)
    assert done.stdout.split() == ["0:0:644"] * 3 and done.returncode == 0


def test_a_record_tells_the_place(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", rootfs, *SLEEP)
    pid = host_pid(state_root)
    place = record(state_root, pid)["network"]
    assert [place["address"], place["address6"]] == Place(pid).addresses()
    assert place["interface"] in os.listdir(BRIDGE / "brif")
