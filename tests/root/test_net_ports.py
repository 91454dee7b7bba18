"""Published ports: reached from everywhere that they should be, from nowhere else, and had by one at a time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Run, Spawn
from tests.network import BRIDGE_UNUSED, HOST, Place, other_host, record
from tests.support import host_pid

pytestmark = [pytest.mark.requires("root", "command:ip", "command:nft"), BRIDGE_UNUSED]

SLEEP = ("sh", "-c", "trap exit TERM; sleep 600 & wait")


@pytest.fixture
def web(spawn: Spawn, rootfs: Path, state_root: Path) -> Iterator[Place]:
    """A container that serves on tcp and udp, published at port 40080 of the host."""
    spawn("run", "-p", "40080:80", "-p", "40080:80/udp", rootfs, *SLEEP)
    place = Place(host_pid(state_root))
    with place.server(80, "::", "tcp"), place.server(80, "::", "udp"):
        yield place


def mapped(address: str) -> str:
    """An IPv4 address as a server that listens on both families sees it."""
    return address if ":" in address else f"::ffff:{address}"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_from_the_host(protocol: str, web: Place) -> None:
    """From 127.0.0.1 the question comes from the gateway: an answer to the container's own 127.0.0.1 would be lost."""
    assert web.ask("::1", 80, protocol) == "::1"
    assert HOST.ask("127.0.0.1", 40080, protocol) == mapped("172.29.0.1")
    assert HOST.ask("::1", 40080, protocol) == "", "the kernel does not route ::1; see rules.py"
    for address in outer_addresses():
        assert HOST.ask(address, 40080, protocol) == mapped(address)


def outer_addresses() -> list[str]:
    """The host's own addresses on its network."""
    return [
        entry["local"]
        for link in HOST.ip("addr")
        if link["ifname"] not in ("lo", "minic0")
        for entry in link["addr_info"]
        if entry["scope"] == "global"
    ]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_from_another_host(protocol: str, web: Place) -> None:
    with other_host() as far:
        web.run("true")
        assert far.ask("198.51.1.1", 40080, protocol) == mapped("198.51.1.2")
        assert far.ask("fd00:198:1::1", 40080, protocol) == "fd00:198:1::2"
        assert far.ask("198.51.1.1", 80, protocol) == ""


STUBBORN = """
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.1)
print("asking", flush=True)
while True:
    client.sendto(b"?", ("198.51.1.1", 40080))
    try:
        print(client.recv(100).decode(), flush=True)
    except OSError:
        pass
"""


@pytest.mark.requires("command:conntrack")
def test_who_asked_by_udp_before_there_was_an_answer(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """The kernel knows the flow and would go on delivering its packets to the host itself."""
    spawn("run", rootfs, *SLEEP)  # connection tracking is at work
    host_pid(state_root)
    with other_host() as far:
        words = [*far.enter, sys.executable, "-c", STUBBORN]
        client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert client.stdout and client.stdout.readline() == "asking\n"
        try:
            spawn("run", "-p", "40080:80/udp", rootfs, *SLEEP)
            with Place(host_pid(state_root, 1)).server(80, protocol="udp"):
                assert client.stdout.readline() == "198.51.1.2\n"
        finally:
            client.kill()
            client.communicate()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_hairpin(protocol: str, web: Place, spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """The container itself, and its neighbour, ask for the host's port: the answer has to come by way of the host."""
    spawn("run", rootfs, *SLEEP)
    for place in (web, Place(host_pid(state_root, 1))):
        assert place.ask("172.29.0.1", 40080, protocol) == mapped("172.29.0.1")
        assert place.ask("fd00:172:29::1", 40080, protocol) == "fd00:172:29::1"


def test_published_on_loopback_only(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """A neighbour on the wire can send packets for our 127.0.0.1; they must not reach what is published there."""
    spawn("run", "-p", "127.0.0.1:40080:80", rootfs, *SLEEP)
    with Place(host_pid(state_root)).server(80), other_host() as far:
        assert HOST.ask("127.0.0.1", 40080) == "172.29.0.1"
        assert far.ask("198.51.1.1", 40080) == ""
        far.run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
        far.run("ip", "addr", "flush", "dev", "lo")
        far.run("ip", "route", "add", "127.0.0.1", "via", "198.51.1.1")
        assert far.ask("127.0.0.1", 40080) == ""


def test_one_port_on_two_addresses_of_two_containers(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    with other_host() as far:
        for number, address in enumerate(("127.0.0.1", "198.51.1.1")):
            spawn("run", "-p", f"{address}:40080:80", rootfs, *SLEEP)
            host_pid(state_root, number)
        first, second = (Place(host_pid(state_root, number)) for number in range(2))
        with first.server(80):
            assert HOST.ask("127.0.0.1", 40080) and not far.ask("198.51.1.1", 40080)
        with second.server(80):
            assert not HOST.ask("127.0.0.1", 40080) and far.ask("198.51.1.1", 40080)


def test_any_free_port_is_written_down(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "-p", "80", rootfs, *SLEEP)
    pid = host_pid(state_root)
    ports = record(state_root, pid)["ports"]
    assert [(port["hostIp"], port["containerPort"], port["protocol"]) for port in ports] == [
        ("0.0.0.0", 80, "tcp"),
        ("::", 80, "tcp"),
    ]
    assert ports[0]["hostPort"] == ports[1]["hostPort"] != 0
    with Place(pid).server(80):
        assert HOST.ask("127.0.0.1", ports[0]["hostPort"]) == "172.29.0.1"


def test_a_range_gives_the_first_that_is_free(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    with listener("127.0.0.1", 40080):
        spawn("run", "-p", "40080-40085:80", rootfs, *SLEEP)
        spawn("run", "-p", "40080-40085:80", rootfs, *SLEEP)
        host_pid(state_root, 1)  # both are there
        pids = [host_pid(state_root, number) for number in range(2)]
        assert {record(state_root, pid)["ports"][0]["hostPort"] for pid in pids} == {40081, 40082}


@contextmanager
def listener(address: str, port: int, kind: int = socket.SOCK_STREAM) -> Iterator[None]:
    """A process of the host that has a port: this one."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind((address, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
        yield


@pytest.mark.parametrize(
    ("kind", "wish"), [(socket.SOCK_STREAM, "40080:80"), (socket.SOCK_DGRAM, "0.0.0.0:40080:80/udp")]
)
def test_a_port_that_a_process_has(kind: int, wish: str, minicontainer: Run, rootfs: Path) -> None:
    with listener("127.0.0.1", 40080, kind):
        done = minicontainer("run", "-p", wish, rootfs, "true")
    assert done.returncode == 125 and "already in use" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("wish", "taken"),
    [("40080:90", True), ("127.0.0.1:40080:90", True), ("40080:90/udp", False), ("40081:90", False)],
)
def test_a_port_that_a_container_has(
    wish: str, taken: bool, minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    spawn("run", "-p", "40080:80", rootfs, *SLEEP)
    host_pid(state_root)
    done = minicontainer("run", "-p", wish, rootfs, "true")
    if taken:
        holder = next(state_root.glob("containers/*")).name[:12]
        assert done.returncode == 125 and f"already allocated, to container {holder}" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_of_eight_that_want_one_port_one_gets_it(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    processes = [spawn("run", "-p", "40080:80", rootfs, *SLEEP) for _ in range(8)]
    host_pid(state_root)
    lost = []
    for process in processes:
        try:
            lost.append(process.communicate(timeout=5)[1])
        except subprocess.TimeoutExpired:
            continue
    assert len(lost) == 7 and all("already allocated" in text for text in lost)
    listing = json.loads(HOST.run("nft", "-j", "list", "map", "inet", "minicontainer", "any4"))
    assert len(listing["nftables"][1]["map"]["elem"]) == 1


def test_an_address_that_the_host_has_not(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "-p", "203.0.113.7:40080:80", rootfs, "true")
    assert done.returncode == 125 and "203.0.113.7" in done.stderr and "ip addr" in done.stderr
