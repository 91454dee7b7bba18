"""Lesson 08: a network of its own, and a cable to the host."""

from __future__ import annotations

import itertools
import shlex
import socket
import struct
import time

from minicontainer.lessons.expect import containing, expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson
from minicontainer.linux.proc import read

CABLE = "my_container.py, outside(): a cable to the child; "
SERVICE = "while true; do echo the secrets of the host | busybox nc -l -p 5432; done"
CLIENT = "for i in 1 2 3 4 5; do nc 127.0.0.1 5432 </dev/null 2>&1 && break; sleep 0.2; done"
BY_HAND = """
unshare --net sh -ec '
    number=$(( $$ * 4 % 65536 ))
    network=10.98.$((number / 256)) last=$((number % 256))
    ip link add by-hand$$ type veth peer name eth0
    ip link set by-hand$$ netns $PPID
    nsenter --net=/proc/$PPID/ns/net ip addr add $network.$((last + 1))/30 dev by-hand$$
    nsenter --net=/proc/$PPID/ns/net ip link set by-hand$$ up
    ip link set lo up
    ip link set eth0 up
    ip addr add $network.$((last + 2))/30 dev eth0
    ip route add default via $network.$((last + 1))
    exec chroot {rootfs} "$@"' sh "$@"
exit $?
"""
PATIENCE = 3.0  # seconds: the kernel takes a dead namespace apart when it has time


def interfaces(pid: int | str = "self") -> list[str]:
    """The network interfaces that a process sees."""
    return sorted(line.partition(":")[0].strip() for line in read(f"/proc/{pid}/net/dev").splitlines()[2:])


def addresses(pid: int) -> list[str]:
    """The IPv4 addresses that are a process's own: the leaves `host LOCAL` of its routing table."""
    lines = read(f"/proc/{pid}/net/fib_trie").splitlines()
    leaves = [above.split()[-1] for above, line in itertools.pairwise(lines) if line.endswith("host LOCAL")]
    return sorted(set(leaves))


def gateway(pid: int) -> str:
    """Where a process's network sends what is for everybody else; empty if there is no such route: proc_net(5)."""
    for row in (line.split() for line in read(f"/proc/{pid}/net/route").splitlines()[1:]):
        if row[1] == "00000000" and row[2] != "00000000":
            return socket.inet_ntoa(struct.pack("=I", int(row[2], 16)))
    return ""


def after_a_while(wanted: list[str]) -> list[str]:
    """The host's interfaces, as soon as they are `wanted`, or after a few seconds."""
    deadline = time.monotonic() + PATIENCE
    while interfaces() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return interfaces()


def check(inside: Inside) -> None:
    """Its network is its own, works by itself, reaches the host by a cable, and leaves nothing."""
    own = like("a network namespace that the host does not share", lambda number: inside.own("net"))
    expect("the program is in a network namespace of its own", inside.ns("net"), own, "my_container.py, walls()")
    names = interfaces(inside.pid)
    expect("it has a cable: its interfaces", names, containing("eth0"), CABLE + "ip link add type veth")
    expect("loopback is up: its addresses", addresses(inside.pid), containing("127.0.0.1"), CABLE + "ip link set lo up")
    route = like("an address", bool)
    expect("it has a default route, by way of", gateway(inside.pid), route, CABLE + "ip route add default via")
    before = interfaces()
    for address in ("127.0.0.1", gateway(inside.pid)):
        answer = inside.ask("ping", "-c1", "-W2", address)
        expect(f"`ping {address}` inside gets an answer: its status", answer.status, 0, CABLE + "is the other end up?")
    expect("a cable goes with its container: the host's interfaces", after_a_while(before), before, "ip link")


LESSON = Lesson(
    number=8,
    name="network",
    title="Network: a cable to the street",
    step="a network of its own, with loopback up and a cable to the host",
    feature="net",
    needs=("root", "command:ip", "command:busybox"),
    check=check,
    options=("--network", "bridge"),
    others={"unshare": shlex.join(("sh", "-c", BY_HAND, "sh"))},
    attack=Attack(
        ("sh", "-c", CLIENT),
        told="A service on the host listens for the host alone. The container asks it.",
        before=("sh", "-c", SERVICE),
        succeeds="the secrets of the host",
        down=("--network", "host"),
    ),
)
