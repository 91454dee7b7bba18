"""The network's data: addresses, lines for ip and nft, the ledger, ports, names. No root, no kernel state."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from minicontainer.errors import MinicontainerError, StateError, UnsupportedError, UsageError
from minicontainer.isolation import bridge, names, ports, rules, usernet
from minicontainer.isolation.bridge import Subnet
from minicontainer.isolation.ledger import Ledger
from minicontainer.linux import calls, net, programs
from minicontainer.linux.net import Route
from minicontainer.linux.programs import Job
from minicontainer.runtime.container import Container
from minicontainer.spec import Network, Port, Spec

FACTS: dict[str, Any] = {"subnet": [172, 29], "mtu": 1500, "ipv6": True, "nat": True, "forward": True}
ID = "0123456789ab" + "c" * 52


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "network" / "1"))


@pytest.fixture
def container(tmp_path: Path) -> Container:
    folder = tmp_path / "containers" / ID
    folder.mkdir(parents=True)
    return Container(ID, Spec(hostname="web"), str(folder))


# -- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "address4", "address6", "mac"),
    [
        (1, "172.29.0.1", "fd00:172:29::1", "02:42:ac:1d:00:01"),
        (255, "172.29.0.255", "fd00:172:29::255", "02:42:ac:1d:00:ff"),
        (256, "172.29.1.0", "fd00:172:29::1:0", "02:42:ac:1d:01:00"),
        (65534, "172.29.255.254", "fd00:172:29::255:254", "02:42:ac:1d:ff:fe"),
    ],
)
def test_addresses(number: int, address4: str, address6: str, mac: str) -> None:
    subnet = Subnet(172, 29)
    assert (subnet.address4(number), subnet.address6(number), subnet.mac(number)) == (address4, address6, mac)
    assert net.pack_address(address4) and net.pack_address(address6)


def test_no_two_numbers_share_an_ipv6_address() -> None:
    subnet = Subnet(172, 29)
    assert len({net.pack_address(subnet.address6(number)) for number in range(1, 65535)}) == 65534


@pytest.mark.parametrize(
    ("address", "length", "free"),
    [
        ("172.29.0.0", 16, False),
        ("172.29.200.0", 24, False),
        ("172.16.0.0", 12, False),
        ("172.30.0.0", 16, True),
        ("0.0.0.0", 0, True),
        ("fd00:172:29::", 64, False),
        ("fd00::", 8, False),
        ("fd00::", 64, True),
        ("::", 0, True),
    ],
)
def test_a_network_is_free_unless_a_route_leads_into_it(address: str, length: int, free: bool) -> None:
    assert Subnet(172, 29).is_free([Route(net.pack_address(address), length, "eth0")]) == free


def test_names_of_cables_fit_and_differ() -> None:
    owners = [
        f"/state/containers/{ID}",
        "/state/containers/web-1",
        "/state/containers/web-2",
        "/other/containers/web-1",
    ]
    found = [bridge.veth_name(owner) for owner in owners]
    assert found[0] == "mc0123456789ab"
    assert len(set(found)) == len(found) and all(len(name) <= net.MAX_NAME for name in found)


# -- lines --------------------------------------------------------------------------------------


def test_what_is_told_is_what_is_run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(calls, "observer", lambda call: told.append(str(call)))
    with ledger:
        container = Container(ID, Spec(), f"/state/containers/{ID}")
        container.record["network"] = bridge.lease(ledger, container.dir, FACTS)
        container.record["ports"] = [{"hostIp": "::", "hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
        bridge.plug_in(container, 4711)
    assert told == [
        "run(ip -batch - <<END\n"
        "link add mc0123456789ab mtu 1500 type veth peer name eth0 mtu 1500 address 02:42:ac:1d:00:02 netns 4711\n"
        "link set mc0123456789ab master minic0 addrgenmode none up\n"
        "link set mc0123456789ab type bridge_slave hairpin on\nEND\n"
        ", nft -f - <<END\n"
        "add element inet minicontainer any6 { tcp . 8080 : fd00:172:29::2 . 80 }\nEND\n)",
        "run(nsenter -t 4711 -n ip -batch - <<END\n"
        "addr add 172.29.0.2/16 brd + dev eth0\n"
        "addr add fd00:172:29::2/64 dev eth0 nodad\n"
        "link set eth0 up\n"
        "route add default via 172.29.0.1\n"
        "route add default via fd00:172:29::1\nEND\n)",
    ]


def test_without_ipv6_no_line_has_any(ledger: Ledger) -> None:
    facts = {**FACTS, "ipv6": False}
    with ledger:
        place = bridge.lease(ledger, "/state/containers/x", facts)
    lines = bridge.inside_lines(place) + bridge.bridge_lines(facts) + bridge.outside_lines(place, 1)
    assert not [line for line in lines if "fd00" in line or "fe80" in line]
    assert not [name for name, _ in bridge.settings({**facts, "before": {}}) if "ipv6" in name]


def test_ports_are_elements() -> None:
    assert rules.publish("udp", "0.0.0.0", 53, "172.29.0.2", 5353) == (
        "add element inet minicontainer any4 { udp . 53 : 172.29.0.2 . 5353 }"
    )
    assert rules.publish("tcp", "::1", 80, "fd00:172:29::2", 80) == (
        "add element inet minicontainer one6 { ::1 . tcp . 80 : fd00:172:29::2 . 80 }"
    )
    assert rules.unpublish("tcp", "127.0.0.1", 80) == "delete element inet minicontainer one4 { 127.0.0.1 . tcp . 80 }"


def test_the_table_is_ours_alone() -> None:
    text = "\n".join(
        rules.table("minic0", "172.29.0.0/16", "fd00:172:29::/64", {"ipv4": ["eth0", "wlan0"], "ipv6": []})
    )
    assert "$" not in text and "flush" not in text and "delete" not in text
    assert {line.split(" {")[0] for line in text.splitlines() if line.startswith("table")} == {"table " + rules.TABLE}
    assert 'nfproto ipv4 iifname { "eth0", "wlan0" } oifname { "eth0", "wlan0" } drop' in text
    assert "nfproto ipv6" not in text


@pytest.mark.parametrize(
    ("job", "output", "blamed"),
    [
        (net.ip("link add x", "link set x up"), "Cannot find device\nCommand failed -:2", " at `link set x up`"),
        (net.nft("table inet x {", "  foo", "}"), "/dev/stdin:2:3-5: Error: syntax error", " at `foo`"),
        (net.ip("link add x"), "no permission", ""),
    ],
)
def test_the_line_that_failed_is_named(job: Job, output: str, blamed: str) -> None:
    assert programs.blamed_line(job, output) == blamed


def test_a_program_that_fails_or_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MinicontainerError, match="`sh -c echo why >&2; exit 3` failed: why"):
        programs.run(Job(("sh", "-c", "echo why >&2; exit 3")))
    with pytest.raises(UnsupportedError, match="install the package minicontainer-nothing"):
        programs.run(Job(("true",)), Job(("minicontainer-nothing",)))
    programs.try_run(Job(("false",)))


# -- the ledger ---------------------------------------------------------------------------------


def test_the_lowest_free_address_is_taken(ledger: Ledger) -> None:
    with ledger:
        assert [bridge.lease(ledger, f"/c/{n}", FACTS)["address"] for n in range(3)] == [
            "172.29.0.2", "172.29.0.3", "172.29.0.4"]  # fmt: skip
        ledger.drop(ledger.owned_by("/c/1"))
        assert bridge.lease(ledger, "/c/3", FACTS)["address"] == "172.29.0.3"


def test_a_ledger_with_nothing_in_it_is_gone(ledger: Ledger, tmp_path: Path) -> None:
    with ledger:
        ledger.take("172.29.0.2", str(tmp_path))
        ledger.keep(FACTS)
    with ledger:
        assert ledger.facts() == FACTS and ledger.names() == ["172.29.0.2"]
        assert ledger.in_use() and ledger.owner("172.29.0.2") == str(tmp_path)
        with pytest.raises(FileExistsError):
            ledger.take("172.29.0.2", "/somebody/else")
        ledger.forget()
    assert not os.path.exists(ledger.dir)


def test_an_owner_that_is_gone_does_not_count(ledger: Ledger) -> None:
    with ledger:
        ledger.take("172.29.0.2", "/nonexistent")
        assert ledger.owned_by("/nonexistent") == ["172.29.0.2"] and not ledger.in_use()
        ledger.forget()


# -- ports --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("tcp-0.0.0.0-80", "tcp-0.0.0.0-80", True),
        ("tcp-0.0.0.0-80", "tcp-127.0.0.1-80", True),
        ("tcp-127.0.0.1-80", "tcp-0.0.0.0-80", True),
        ("tcp-127.0.0.1-80", "tcp-127.0.0.2-80", False),
        ("tcp-0.0.0.0-80", "udp-0.0.0.0-80", False),
        ("tcp-0.0.0.0-80", "tcp-0.0.0.0-81", False),
        ("tcp-0.0.0.0-80", "tcp-::-80", False),
        ("tcp-::-80", "tcp-::1-80", True),
    ],
)
def test_clashes(one: str, other: str, clash: bool) -> None:
    first, second = ports.Binding.parse(one), ports.Binding.parse(other)
    assert first and second and first.name == one and first.clashes(second) == clash


def test_addresses_in_the_ledger_are_not_ports() -> None:
    assert ports.Binding.parse("172.29.0.2") is None


def test_both_families_are_reserved_or_none(ledger: Ledger) -> None:
    with ledger, socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::1", 0))
        server.listen()
        number = server.getsockname()[1]
        with pytest.raises(StateError, match=f"port {number}/tcp of :: is already in use"):
            ports.reserve(ledger, "/c/1", Port(host_port=number, container_port=80), "46")
        assert ledger.names() == []
        ports.reserve(ledger, "/c/1", Port(host_port=number, container_port=80), "4")
        assert ledger.names() == [f"tcp-0.0.0.0-{number}"]
        ledger.forget()


def test_ipv6_ports_need_ipv6(ledger: Ledger) -> None:
    with ledger, pytest.raises(UnsupportedError, match="IPv6 is off"):
        ports.reserve(ledger, "/c/1", Port(host_ip="::1", host_port=8080, container_port=80), "4")


def test_pastas_ports() -> None:
    published = [
        {"hostIp": "", "hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostIp": "127.0.0.1", "hostPort": 8081, "containerPort": 81, "protocol": "tcp"},
    ]
    words = usernet.pasta_options(usernet.PLACE, published)
    assert words[-6:] == ("-t", "8080:80", "-t", "127.0.0.1/8081:81", "-u", "none")
    assert "--no-map-gw" in words and words[words.index("-T") + 1] == words[words.index("-U") + 1] == "none"


# -- names --------------------------------------------------------------------------------------


def reading(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "read", lambda path: files.get(path, ""))


@pytest.mark.parametrize(
    ("host", "resolved", "mode", "expected"),
    [
        ("nameserver 192.0.2.1\nsearch a b", "", "bridge", "nameserver 192.0.2.1\nsearch a b\n"),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.1", "", "bridge", "nameserver 192.0.2.1\n"),
        ("nameserver 127.0.0.53\noptions edns0", "nameserver 192.0.2.9", "bridge", "nameserver 192.0.2.9\n"),
        ("nameserver ::1\nnameserver fe80::1%eth0", "", "none", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ("nameserver 127.0.0.53", "nameserver 192.0.2.9", "host", "nameserver 127.0.0.53\n"),
        ("# none", "", "bridge", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
    ],
)  # fmt: skip
def test_name_servers(
    host: str, resolved: str, mode: str, expected: str, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading({"/etc/resolv.conf": host, names.SYSTEMD_RESOLVED: resolved}, monkeypatch)
    container.spec.minicontainer.network = Network(mode=mode)
    assert names.resolv_conf(container) == expected


def test_the_hosts_names_with_the_hosts_network(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    reading({"/etc/hosts": "127.0.0.1 localhost\n192.0.2.2 machine"}, monkeypatch)
    container.spec.minicontainer.network = Network(mode="host", hosts=["db:10.0.0.7", "here:host-gateway"])
    assert names.hosts(container, "web").splitlines()[1:] == ["192.0.2.2 machine", "10.0.0.7\tdb", "127.0.0.1\there"]


def test_a_domain_makes_a_full_name(container: Container) -> None:
    container.spec.domainname = "example.org"
    container.spec.minicontainer.network = Network(mode="none")
    assert names.hosts(container, "web").splitlines()[-1] == "127.0.1.1\tweb.example.org web"


@pytest.mark.parametrize(
    "entry", ["db", "db:", ":10.0.0.7", "a b:10.0.0.7", "db:10.0.0.300", "db:example.org", "x\ny:::1"]
)
def test_bad_hosts(entry: str) -> None:
    with pytest.raises(UsageError, match="--add-host"):
        names.extra_host(entry, {})


@pytest.mark.parametrize(("entry", "line"), [("db:fd00::7", "fd00::7\tdb"), ("db:[fd00::7]", "fd00::7\tdb")])
def test_hosts_with_ipv6(entry: str, line: str) -> None:
    assert names.extra_host(entry, {}) == line


def test_bad_dns(container: Container) -> None:
    container.spec.minicontainer.network = Network(mode="bridge", dns=["one.one.one.one"])
    with pytest.raises(UsageError, match="--dns"):
        names.resolv_conf(container)


def test_three_files_are_written(container: Container) -> None:
    container.spec.minicontainer.network = Network(mode="none")
    names.write(container)
    assert sorted(os.listdir(container.dir)) == ["hostname", "hosts", "resolv.conf"]
    assert Path(container.path("hostname")).read_text() == "web\n"
    assert {oct(os.stat(container.path(name)).st_mode & 0o777) for name in names.FILES} == {"0o644"}
