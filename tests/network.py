"""What the network tests share: looking from inside a network namespace, talking across, and another host.

Everything stays on this machine: the other host is a network namespace with a cable to this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minicontainer.linux import net
from tests.support import wait_until

BRIDGE_UNUSED = pytest.mark.skipif(net.has_interface("minic0"), reason="a container of this host is on the bridge")
"""For tests of the first container and the last."""

SERVER = """
import socket, sys
protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((address, port))
if protocol == "tcp":
    server.listen()
print("ready", flush=True)
while True:
    if protocol == "udp":
        _, peer = server.recvfrom(100)
        server.sendto(peer[0].encode(), peer)
    else:
        connection, peer = server.accept()
        connection.recv(1)
        connection.sendall(peer[0].encode())
        connection.close()
"""
"""Tells everyone who asks the address that they come from."""

CLIENT = """
import socket, sys
protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
client.settimeout(2)
try:
    client.connect((address, port))
    client.send(b"?")
    print(client.recv(100).decode(), end="")
except OSError as error:
    print(error, file=sys.stderr)
"""


class Place:
    """A network namespace, by a process that is in it."""

    def __init__(self, pid: int | None = None) -> None:
        self.enter = ["nsenter", "-t", str(pid), "-n"] if pid else []

    def run(self, *words: str, check: bool = True) -> str:
        """The output of a program of the host, run there."""
        return subprocess.run([*self.enter, *words], check=check, capture_output=True, text=True).stdout

    def ip(self, *words: str) -> Any:
        """What `ip` lists there."""
        return json.loads(self.run("ip", "-json", *words) or "[]")

    def addresses(self, device: str = "eth0") -> list[str]:
        """The addresses of an interface, without its link-local one."""
        found = self.ip("addr", "show", "dev", device)[0]["addr_info"]
        return [entry["local"] for entry in found if entry["scope"] != "link"]

    def pings(self, address: str) -> bool:
        """Whether `address` answers."""
        words = [*self.enter, "busybox", "ping6" if ":" in address else "ping", "-c1", "-W2", address]
        return subprocess.run(words, capture_output=True).returncode == 0

    def ask(self, address: str, port: int, protocol: str = "tcp") -> str:
        """What a server there answers, or an empty string."""
        return self.run(sys.executable, "-c", CLIENT, protocol, address, str(port))

    @contextmanager
    def server(self, port: int, address: str = "0.0.0.0", protocol: str = "tcp") -> Iterator[None]:
        """A server on that port, which answers with the address that the question comes from."""
        words = [*self.enter, sys.executable, "-c", SERVER, protocol, address, str(port)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()
            process.communicate()


HOST = Place()


@contextmanager
def empty_place() -> Iterator[Place]:
    """A network namespace with nothing in it but a loopback interface that is up."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        assert wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        place = Place(process.pid)
        place.run("ip", "link", "set", "lo", "up")
        yield place
    finally:
        process.kill()
        process.wait()


@contextmanager
def other_host(number: int = 1) -> Iterator[Place]:
    """Another host, 198.51.N.2 and fd00:198:N::2, on a cable to this one, 198.51.N.1 and fd00:198:N::1."""
    with empty_place() as place:
        name, pid = f"far{number}", place.enter[2]
        HOST.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid)
        try:
            for here, device, end in ((HOST, name, 1), (place, "eth0", 2)):
                here.run("ip", "addr", "add", f"198.51.{number}.{end}/24", "dev", device)
                here.run("ip", "addr", "add", f"fd00:198:{number}::{end}/64", "dev", device, "nodad")
                here.run("ip", "addr", "add", f"fe80::{end}/64", "dev", device, "nodad")
                here.run("ip", "link", "set", device, "addrgenmode", "none", "up")
            yield place
        finally:
            HOST.run("ip", "link", "del", name)


def record(state_root: Path, pid: int) -> dict[str, Any]:
    """What the running container whose first process is `pid` has written down of itself."""
    records = [json.loads(path.read_text()) for path in state_root.glob("containers/*/state.json")]
    return next(entry for entry in records if entry["pid"] == pid)
