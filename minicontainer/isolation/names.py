"""Names in the network: the container's /etc/resolv.conf, /etc/hosts and /etc/hostname.

The three files depend on where the container is connected, so an image cannot have them. They are
written to the container's directory and bind-mounted over the rootfs' own: resolv.conf(5), hosts(5),
hostname(5).

    findmnt --task PID /etc/hosts      watch it
"""

from __future__ import annotations

import os

from minicontainer.errors import UsageError
from minicontainer.linux import net
from minicontainer.linux.proc import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container

FILES = ("resolv.conf", "hosts", "hostname")

LOCAL_NAMES = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)

SYSTEMD_RESOLVED = "/run/systemd/resolve/resolv.conf"
"""The real servers, where /etc/resolv.conf names only systemd-resolved's own on 127.0.0.53."""

PUBLIC_SERVERS = ("8.8.8.8", "8.8.4.4")
"""As Docker: what to ask if the host knows no server that can be reached from another network namespace."""

HOST_GATEWAY = "host-gateway"
"""In `--add-host NAME:host-gateway`: the host, as seen from the container."""


def write(container: Container) -> None:
    """Write the three files into the container's directory. Raises UsageError for a bad --dns or --add-host."""
    network = container.spec.minicontainer.network
    if network.mode.startswith("container:"):
        copy(container, network.mode.partition(":")[2])
        return
    hostname = container.spec.hostname or os.uname().nodename
    content = {"resolv.conf": resolv_conf(container), "hosts": hosts(container, hostname), "hostname": hostname + "\n"}
    for name, text in content.items():
        put(container, name, text)


def copy(container: Container, name: str) -> None:
    """Who shares a network shares its names: copy the files of the container `name`."""
    from minicontainer.runtime.container import find

    other = find(name)
    for file in FILES:
        if os.path.exists(other.path(file)):
            put(container, file, read(other.path(file)) + "\n")


def put(container: Container, name: str, text: str) -> None:
    """Write one file, owned by the container's root."""
    path = container.path(name)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    linux = container.spec.linux
    if os.geteuid() == 0:
        uid, gid = (next((m.host_id for m in maps if m.container_id == 0), 0) for maps in
                    (linux.uid_mappings, linux.gid_mappings))  # fmt: skip
        os.chown(path, uid, gid)


# -- resolv.conf --------------------------------------------------------------------------------


def resolv_conf(container: Container) -> str:
    """What was asked for; for the rest what the host has, as far as it is of use inside."""
    network = container.spec.minicontainer.network
    rows = [row.split() for row in read("/etc/resolv.conf").splitlines()]
    if network.mode != "host" and not servers(rows):
        rows = [row.split() for row in read(SYSTEMD_RESOLVED).splitlines()] or rows
    own = network.mode == "host"
    chosen = network.dns or ([row[1] for row in rows if row[:1] == ["nameserver"]] if own else servers(rows))
    for address in network.dns:
        check_address("--dns", address)
    search = network.dns_search or values(rows, "search") or values(rows, "domain")
    options = network.dns_options or values(rows, "options")
    lines = [f"nameserver {address}" for address in chosen or PUBLIC_SERVERS]
    lines += [f"search {' '.join(search)}"] if search and search != ["."] else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join(lines) + "\n"


def servers(rows: list[list[str]]) -> list[str]:
    """The name servers in a resolv.conf that are not on a loopback or link-local address of the host."""
    return [
        row[1]
        for row in rows
        if len(row) > 1
        and row[0] == "nameserver"
        and not row[1].startswith(("127.", "0.", "fe80:", "::ffff:127."))
        and row[1] != "::1"
    ]


def values(rows: list[list[str]], keyword: str) -> list[str]:
    """The words after the last `keyword` in a resolv.conf; the last one counts."""
    return next((row[1:] for row in reversed(rows) if row[:1] == [keyword]), [])


# -- hosts --------------------------------------------------------------------------------------


def hosts(container: Container, hostname: str) -> str:
    """The local names, the container's own, and those of --add-host."""
    network, place = container.spec.minicontainer.network, container.record.get("network") or {}
    if network.mode == "host":
        lines = read("/etc/hosts").splitlines()
    else:
        lines = [f"{address}\t{names}" for address, names in LOCAL_NAMES]
        names = f"{hostname}.{container.spec.domainname} {hostname}" if container.spec.domainname else hostname
        own = [place.get("address", ""), place.get("address6", "")]
        lines += [f"{address}\t{names}" for address in filter(None, own)] or [f"127.0.1.1\t{names}"]
    return "\n".join(lines + [extra_host(entry, place) for entry in network.hosts]) + "\n"


def extra_host(entry: str, place: dict[str, str]) -> str:
    """The line for one `--add-host NAME:IP`."""
    name, _, address = entry.partition(":")
    if address == HOST_GATEWAY:
        address = place.get("gateway", "127.0.0.1")
    address = address.strip("[]")
    if not name or set(name) & set(" \t\n#"):
        raise UsageError(f"--add-host {entry!r} has no name in front", "write NAME:IP, as in db:10.0.0.7")
    check_address("--add-host", address)
    return f"{address}\t{name}"


def check_address(option: str, text: str) -> None:
    """Raises UsageError unless `text` is an IP address."""
    try:
        net.pack_address(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} is not an IP address", "write one like 10.0.0.7 or fd00::7") from None
