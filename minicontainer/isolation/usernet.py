"""The network of a container without root: a TCP/IP stack in an ordinary process.

To plug a cable into a bridge takes power over the host's network. Without it, pasta(1) or
slirp4netns(1) opens a tap device in the container's own namespace, where the container's maker has
that power, reads the packets that come out, and makes the connections that they ask for as any
program would. To the host the container's traffic is that process's.

    nsenter -t PID -U -n --preserve-credentials ip addr      look from inside
    ss -ltnp                                                 published ports belong to the helper
"""

from __future__ import annotations

import _socket
import errno
import os
import select

from minicontainer.errors import MinicontainerError, StateError, UnsupportedError
from minicontainer.isolation import ports
from minicontainer.linux import net, proc, process
from minicontainer.linux.programs import Job, Process, find_program, run
from minicontainer.quickjson import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any

    from minicontainer.runtime.container import Container
    from minicontainer.spec import Port
else:
    import _signal as signal

TOOLS = ("pasta", "slirp4netns")
"""What will do, the quicker one first."""

TUN = "/dev/net/tun"
PID_FILE = "network-helper.pid"
PLACE = {"address": "10.0.2.100", "gateway": "10.0.2.2", "address6": "", "gateway6": ""}
"""The container's place in a network that only it and the helper are in: slirp4netns' own choice, and pasta's here."""

MTU = "65520"
END_MILLISECONDS = 2000


def rootless_tool() -> str:
    """The helper that an ordinary user's container can have on this host, or an empty string."""
    return "" if obstacle() else usable()[0]


def usable() -> list[str]:
    """The helpers that are installed and can work here: pasta takes the host's way out as its model."""
    online = any(not route.length and route.device != "lo" for route in net.routes())
    return [name for name in TOOLS if find_program(name) and (online or name != "pasta")]


def obstacle() -> tuple[str, str] | None:
    """Why an ordinary user's container can have no network on this host, and the remedy; None if it can."""
    if not any(map(find_program, TOOLS)):
        return f"{' and '.join(TOOLS)} are not installed", "install the package passt"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} is not open to you", f"`sudo chmod 0666 {TUN}`"
    if not usable():
        return "this host has no default route, and pasta needs one", "connect it, or install slirp4netns"
    return None


def join(container: Container) -> None:
    """Choose helper and ports, in `record["network"]` and `record["ports"]`.

    Raises StateError if a port is taken, UnsupportedError if there is no helper.
    """
    if why := obstacle():
        cause, remedy = why
        raise UnsupportedError(f"no network without root: {cause}", f"{remedy}, or use --network none")
    tool = rootless_tool()
    container.record["network"] = {"helper": tool, **PLACE}
    container.record["ports"] = [choose(port) for port in container.spec.minicontainer.network.ports]


def choose(port: Port) -> dict[str, Any]:
    """A published port with a number that is free. Raises StateError."""
    address = port.host_ip or ports.ANY["4"]
    for number in range(port.host_port, max(port.host_port, port.host_port_last) + 1):
        if free := ports.free_port(ports.Binding(port.protocol, address, number)):
            return {
                "hostIp": port.host_ip,
                "hostPort": free,
                "containerPort": port.container_port,
                "protocol": port.protocol,
            }
    raise StateError(*ports.in_use(ports.Binding(port.protocol, address, port.host_port)))


def plug_in(container: Container, pid: int) -> None:
    """Start the helper for the waiting process `pid`, and return when the network is there."""
    place, published = container.record["network"], container.record["ports"]
    if place["helper"] == "pasta":
        run(Job(("pasta", *pasta_options(place, published), "-P", container.path(PID_FILE), *namespaces_of(pid))))
    else:
        start_slirp(container, pid, published)


def namespaces_of(pid: int) -> tuple[str, ...]:
    """The options by which pasta joins a process. By path: then newer versions end with it on their own."""
    return ("--userns", f"/proc/{pid}/ns/user", "--netns", f"/proc/{pid}/ns/net")


def pasta_options(place: dict[str, Any], published: list[dict[str, Any]]) -> tuple[str, ...]:
    """What pasta is to do. It would else carry every port that is open on either side to the other."""
    words = ["--quiet", "--config-net", "--no-map-gw", "-I", "eth0", "-T", "none", "-U", "none"]
    words += ["-a", place["address"], "-n", "24", "-g", place["gateway"]]
    for protocol, option in (("tcp", "-t"), ("udp", "-u")):
        specs = [
            f"{port['hostIp']}{'/' if port['hostIp'] else ''}{port['hostPort']}:{port['containerPort']}"
            for port in published
            if port["protocol"] == protocol
        ]
        for spec in specs or ["none"]:
            words += [option, spec]
    return tuple(words)


def start_slirp(container: Container, pid: int, published: list[dict[str, Any]]) -> None:
    """Start slirp4netns. It ends when the pipe's other end closes, which is when this process ends."""
    ready, tell_ready = os.pipe()
    until, _ = os.pipe()  # the other end is for nobody to write to; the kernel closes it with us
    folder = os.open(container.dir, os.O_PATH | os.O_DIRECTORY)
    for fd in (tell_ready, until, folder):
        os.set_inheritable(fd, True)
    socket = f"/proc/self/fd/{folder}/slirp4netns.sock"  # a socket's path has at most 107 bytes: unix(7)
    job = Job(
        (
            "slirp4netns", "--configure", f"--mtu={MTU}", "--disable-host-loopback", "--enable-ipv6",
            f"--api-socket={socket}", f"--ready-fd={tell_ready}", f"--exit-fd={until}",
            "--netns-type=path", f"--userns-path=/proc/{pid}/ns/user", f"/proc/{pid}/ns/net", "eth0",
        )
    )  # fmt: skip
    started = Process(job)
    with open(container.path(PID_FILE), "w", encoding="ascii") as file:
        file.write(f"{started.pid} {proc.start_time(started.pid)}")
    os.close(tell_ready)
    os.close(until)
    if not os.read(ready, 1):
        raise MinicontainerError(started.finish() or "slirp4netns ended at once")
    for port in published:
        ask_slirp(socket, port)
    for fd in (ready, folder, started.output):
        os.close(fd)


def ask_slirp(path: str, port: dict[str, Any]) -> None:
    """Have slirp4netns publish one port: slirp4netns(1), "API socket"."""
    wish = {
        "proto": port["protocol"],
        "host_addr": port["hostIp"] or "0.0.0.0",
        "host_port": port["hostPort"],
        "guest_port": port["containerPort"],
    }
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
        sock.sendall(line({"execute": "add_hostfwd", "arguments": wish}).encode())
        sock.shutdown(_socket.SHUT_WR)
        answer = sock.recv(4096).decode()
    finally:
        sock.close()
    if '"error"' in answer:
        raise StateError(f"slirp4netns cannot publish port {port['hostPort']}: {answer}", "choose another host port")


def leave(container: Container) -> None:
    """End the helper, if there is one, and see it gone."""
    words = proc.read(container.path(PID_FILE)).split()
    if not words:
        return
    pid = int(words[0])
    try:
        pidfd = process.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return
        raise
    try:
        if is_helper(container, words):
            process.pidfd_send_signal(pidfd, signal.SIGKILL)
            gone = select.poll()
            gone.register(pidfd, select.POLLIN)
            gone.poll(END_MILLISECONDS)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        pass  # pasta has left our family
    finally:
        os.close(pidfd)


def is_helper(container: Container, words: list[str]) -> bool:
    """Whether the process in the file, "PID START_TIME" or pasta's "PID", is still who it was."""
    if len(words) == 2:
        return proc.start_time(int(words[0])) == int(words[1])
    return container.dir in proc.read(f"/proc/{words[0]}/cmdline")
