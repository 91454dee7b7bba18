"""What the values of options mean: Docker's grammar of sizes, times, ports, limits, devices and mounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minicontainer.engine import devices, mounts, parse
from minicontainer.engine.parse import Invalid
from minicontainer.engine.ports import ports

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

GOOD: tuple[tuple[Callable[[str], Any], str, Any], ...] = (
    (parse.byte_size, "64", 64),
    (parse.byte_size, "64b", 64),
    (parse.byte_size, "64k", 64 * KIB),
    (parse.byte_size, "64m", 64 * MIB),
    (parse.byte_size, "64M", 64 * MIB),
    (parse.byte_size, "64mb", 64 * MIB),
    (parse.byte_size, "64MiB", 64 * MIB),
    (parse.byte_size, "1g", GIB),
    (parse.byte_size, "1.5g", 3 * GIB // 2),
    (parse.byte_size, "2t", 2048 * GIB),
    (parse.size_or_unlimited, "-1", -1),
    (parse.cpus, "1.5", 1_500_000_000),
    (parse.cpus, "2", 2_000_000_000),
    (parse.cpus, "0.01", 10_000_000),
    (parse.integer, "-1", -1),
    (parse.integer, "+7", 7),
    (parse.number_set, "0-2,4", [0, 1, 2, 4]),
    (parse.cpuset, "0,1", "0,1"),
    (parse.cpuset, "", ""),
    (parse.duration, "+1h30m", 5400 * 10**9),
    (parse.duration, "-90s", -90 * 10**9),
    (parse.duration, "1.5s", 1_500_000_000),
    (parse.duration, "20", 20 * 10**9),
    (parse.name, "web_1.a-b", "web_1.a-b"),
    (parse.hostname, "a-b.example", "a-b.example"),
    (parse.domain, ".", "."),
    (parse.ip_address, "2001:db8::1", "2001:db8::1"),
    (parse.host_entry, "db:192.0.2.7", "db:192.0.2.7"),
    (parse.host_entry, "db=192.0.2.7", "db:192.0.2.7"),
    (parse.host_entry, "db:::1", "db:::1"),
    (parse.host_entry, "db:[::1]", "db:::1"),
    (parse.host_entry, "db=[::1]", "db:::1"),
    (parse.host_entry, "host.docker.internal:host-gateway", "host.docker.internal:host-gateway"),
    (parse.absolute, "//a/./b/../c/", "/a/c"),
    (parse.pair, "a=b=c", ("a", "b=c")),
    (parse.pair, "a", ("a", "")),
    (parse.assignment, "A=b=c", "A=b=c"),
    (parse.user, "1000:1000", "1000:1000"),
    (parse.userns, "100000:100000:65536", "100000:100000:65536"),
    (parse.signal, "term", "SIGTERM"),
    (parse.signal, "SIGINT", "SIGINT"),
    (parse.signal, "9", "SIGKILL"),
    (parse.signal, "RTMIN+3", "SIGRTMIN+3"),
    (parse.capability, "net_admin", "CAP_NET_ADMIN"),
    (parse.capability, "CAP_KILL", "CAP_KILL"),
    (parse.capability, "all", "ALL"),
    (parse.sysctl, "net.core.somaxconn=1024", ("net.core.somaxconn", "1024")),
    (parse.sysctl, "net/core/somaxconn=1024", ("net.core.somaxconn", "1024")),
    (parse.sysctl, "kernel.sem=1 2 3 4", ("kernel.sem", "1 2 3 4")),
    (parse.security_option, "no-new-privileges", ("no-new-privileges", "true")),
    (parse.security_option, "no-new-privileges:false", ("no-new-privileges", "false")),
    (parse.security_option, "no-new-privileges=true", ("no-new-privileges", "true")),
    (parse.security_option, "seccomp=unconfined", ("seccomp", "unconfined")),
    (parse.security_option, "seccomp:/a=b.json", ("seccomp", "/a=b.json")),
    (devices.device, "/dev/fuse", ("/dev/fuse", "/dev/fuse", "rwm")),
    (devices.device, "/dev/fuse:/dev/x", ("/dev/fuse", "/dev/x", "rwm")),
    (devices.device, "/dev/fuse:r", ("/dev/fuse", "/dev/fuse", "r")),
    (devices.device, "/dev/fuse:/dev/x:rw", ("/dev/fuse", "/dev/x", "rw")),
    (devices.throttle_bytes, "/dev/sda:1m", ("/dev/sda", MIB)),
    (devices.throttle_operations, "/dev/sda:100", ("/dev/sda", 100)),
)


@pytest.mark.parametrize("read, text, expected", GOOD)
def test_value(read: Callable[[str], Any], text: str, expected: object) -> None:
    assert read(text) == expected


BAD: tuple[tuple[Callable[[str], Any], tuple[str, ...]], ...] = (
    (parse.boolean, ("", "yes", "2")),
    (parse.integer, ("", "x", "1.5", "1_000", "٣", " 1", "--1", "9" * 20)),
    (parse.byte_size, ("", "m", "-1", "1.5.2m", "64q", "1e9", "64 64", "9" * 19 + "p", "٣", ".5g")),
    (parse.cpus, ("", "x", "-1", "1/2", "0.0000000001", "1.")),
    (parse.number_set, ("", "a", "1-", "-1", "3-1", "1,,2", "0-99999999")),
    (parse.duration, ("", "+", "h", "1x", "+-1h", "1h1", "1000000d", "1.2.3s")),
    (parse.time_offset, ("realtime=1h", "=1h", "monotonic=", "1h,")),
    (parse.name, ("", "a", "-a", ".a", "a/b", "../x", "a b", "ä1", "a" * 129)),
    (parse.hostname, ("", "-a", "a b", "a/b", "a\n", "a" * 65, "ä")),
    (parse.ip_address, ("", "1.2.3", "1.2.3.4.5", "::g", "localhost", "1.2.3.4\0")),
    (parse.host_entry, ("", "db", "db:", ":1.2.3.4", "db:x", "a:b=1.2.3.4", "a b:1.2.3.4")),
    (parse.absolute, ("", "a", "./a", "~")),
    (parse.pair, ("", "=b", "a b=c")),
    (parse.assignment, ("", "=b")),
    (parse.user, ("", ":1", "a:b:c", "a b")),
    (parse.userns, ("", "x", "1:2", "1:2:x", "-1:2:3", "keep-id")),
    (parse.words, ("", "a,,b", ",")),
    (parse.signal, ("", "SIG", "FOO", "0", "99", "RTMIN+99", "_DFL", "SIG_DFL")),
    (parse.capability, ("", "CAP_", "NET_ADMINN", "0", "CAP_CAP_KILL_")),
    (parse.ulimit, (
        "", "nofile", "nofile=", "nofile=x", "files=1", "nofile=2:1", "nofile=-1:5", "nofile=-2", "nofile=1:2:3",
    )),
    (parse.sysctl, (
        "", "net.core.somaxconn", "kernel.panic=1", "vm.swappiness=1", "net.=", "=1", "kernel.sem=",
        "net.../../kernel.panic=1", "netfoo=1",
    )),
    (parse.security_option, (
        "", "seccomp", "seccomp=", "apparmor=x", "label=disable", "foo=bar", "no-new-privileges=x",
        "systempaths=unconfined",
    )),
    (devices.device, ("", "fuse", "/dev/a:/dev/b:rwx", "/dev/a:/dev/b:rr", "/dev/a:b", "/a:/b:r:w", "/dev/a:")),
    (devices.device_rule, ("", "c 1:3", "x 1:3 rwm", "c 1 rwm", "c 1:3 rwx", "c 1:3  rwm", "c -1:3 rwm", "c 1:x r")),
    (devices.throttle_bytes, ("", "1m", "/dev/sda", "/dev/sda:", "/dev/sda:x", "sda:1m", "/dev/sda:0")),
    (ports, (
        "", ":", "x", "0", "65536", "80/xyz", "80/", "80:", ":80:80", "a:80:80", "1.2.3:80:80", "::1:80:80",
        "90-80:90-80", "80-90:80-85", "80-", "1.2.3.4:x:80", "[::1]:80:80:80", "-80",
    )),
    (mounts.volume, (
        "", "/a", "a:/b", "/a:b", "/a:/", "/a:/..", "/a:/proc", "/a:/proc/sys", "/a://sys/", "/a:/b/../proc/1",
        "/a:/b:rx", "/a:/b:ro,rw", "/a:/b:ro:rw", "/a:/b:shared,slave", "/a:", ":/b",
    )),
    (mounts.mount, (
        "", "type=bind", "type=volume,target=/a", "target=/a", "type=bind,target=/a", "type=bind,source=/a",
        "type=tmpfs,source=/a,target=/b", "type=bind,source=/a,target=/b,tmpfs-size=1",
        "type=bind,source=/a,target=/b,foo", "type=bind,source=/a,target=/b,foo=bar", "type=bind,source=,target=/b",
        "type=tmpfs,target=/b,tmpfs-size=x", "type=tmpfs,target=/b,tmpfs-mode=9",
        "type=bind,source=/a,target=/b,bind-propagation=x", "type=bind,source=/a,target=/b,readonly=x",
        "type=bind,source=/a,target=/b,bind-recursive=x", "type=npipe,source=/a,target=/b",
    )),
    (mounts.tmpfs, (
        "", "a", "/", "/proc", "/a:foo", "/a:size", "/a:size=", "/a:size=x", "/a:mode=8", "/a:mode=77777", "/a:uid=x",
        "/a:,", "/a:size=%",
    )),
)  # fmt: skip


@pytest.mark.parametrize("read, text", [(read, text) for read, texts in BAD for text in texts])
def test_bad_value_has_cause_and_remedy(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert caught.value.cause.split()[0] in ("is", "has", "names", "would"), "the cause goes on after the value"
    assert caught.value.remedy


def test_ulimit() -> None:
    limit = parse.ulimit("nofile=1024:-1")
    assert (limit.type, limit.soft, limit.hard) == ("RLIMIT_NOFILE", 1024, 2**64 - 1)
    assert parse.ulimit("core=0").hard == 0


def test_time_offset() -> None:
    both = parse.time_offset("-1.5s")
    assert both.monotonic == both.boottime and both.monotonic
    assert (both.monotonic.secs, both.monotonic.nanosecs) == (-2, 500_000_000)
    each = parse.time_offset("boottime=2d")
    assert each.monotonic is None and each.boottime and each.boottime.secs == 172800


def test_device_rule() -> None:
    rule = devices.device_rule("c 42:* rw")
    assert (rule.allow, rule.type, rule.major, rule.minor, rule.access) == (True, "c", 42, None, "rw")


PORTS = (
    # text, (host ip, host port, last, container port, protocol)…
    ("80", ("", 0, 0, 80, "tcp")),
    ("8080:80", ("", 8080, 0, 80, "tcp")),
    ("8080:80/udp", ("", 8080, 0, 80, "udp")),
    ("8080:80/TCP", ("", 8080, 0, 80, "tcp")),
    ("127.0.0.1:8080:80", ("127.0.0.1", 8080, 0, 80, "tcp")),
    ("127.0.0.1::80", ("127.0.0.1", 0, 0, 80, "tcp")),
    ("[::1]:8080:80/sctp", ("::1", 8080, 0, 80, "sctp")),
    ("80-81", ("", 0, 0, 80, "tcp"), ("", 0, 0, 81, "tcp")),
    ("8080-8081:80-81", ("", 8080, 0, 80, "tcp"), ("", 8081, 0, 81, "tcp")),
    ("8000-9000:80", ("", 8000, 9000, 80, "tcp")),
)


@pytest.mark.parametrize("text, expected", [(row[0], row[1:]) for row in PORTS])
def test_ports(text: str, expected: tuple[tuple[str, int, int, int, str], ...]) -> None:
    found = [(p.host_ip, p.host_port, p.host_port_last, p.container_port, p.protocol) for p in ports(text)]
    assert tuple(found) == expected


MOUNTS: tuple[tuple[Callable[[str], mounts.Volume], str, tuple[str, str, str, str]], ...] = (
    # reader, text, (type, source, destination, options)
    (mounts.volume, "/a:/b", ("bind", "/a", "/b", "rbind,rprivate")),
    (mounts.volume, "/a:/b:ro", ("bind", "/a", "/b", "rbind,rprivate,ro,rro")),
    (mounts.volume, "/a:/b/../c/:rw,rslave,z", ("bind", "/a", "/c", "rbind,rslave")),
    (mounts.volume, "/a:/dev", ("bind", "/a", "/dev", "rbind,rprivate")),
    (mounts.volume, "/a:/process", ("bind", "/a", "/process", "rbind,rprivate")),
    (mounts.mount, "type=bind,source=/a,target=/b", ("bind", "/a", "/b", "rbind,rprivate")),
    (mounts.mount, "type=bind,src=/a,dst=/b,readonly", ("bind", "/a", "/b", "rbind,rprivate,ro,rro")),
    (mounts.mount, "type=bind,src=/a,dst=/b,ro=false", ("bind", "/a", "/b", "rbind,rprivate")),
    (mounts.mount, 'type=bind,"src=/a,b",dst=/b', ("bind", "/a,b", "/b", "rbind,rprivate")),
    (mounts.mount, "type=bind,src=/a,dst=/b,ro,bind-recursive=writable", ("bind", "/a", "/b", "rbind,rprivate,ro")),
    (mounts.mount, "type=bind,src=/a,dst=/b,bind-recursive=disabled,bind-propagation=slave",
     ("bind", "/a", "/b", "bind,slave")),
    (mounts.mount, "type=tmpfs,target=/b", ("tmpfs", "tmpfs", "/b", "noexec,nosuid,nodev")),
    (mounts.mount, "type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=1777,readonly",
     ("tmpfs", "tmpfs", "/b", "noexec,nosuid,nodev,size=1048576,mode=1777,ro")),
    (mounts.tmpfs, "/b", ("tmpfs", "tmpfs", "/b", "noexec,nosuid,nodev")),
    (mounts.tmpfs, "/b:size=64m,exec,mode=755,uid=7",
     ("tmpfs", "tmpfs", "/b", "nosuid,nodev,size=67108864,exec,mode=755,uid=7")),
    (mounts.tmpfs, "/b:size=50%", ("tmpfs", "tmpfs", "/b", "noexec,nosuid,nodev,size=50%")),
)  # fmt: skip


@pytest.mark.parametrize("read, text, expected", MOUNTS)
def test_mounts(read: Callable[[str], mounts.Volume], text: str, expected: tuple[str, str, str, str]) -> None:
    made = read(text).mount
    assert (made.type, made.source, made.destination, ",".join(made.options)) == expected


def test_a_relative_source_is_of_our_own_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mounts.volume("./x:/b").mount.source == f"{tmp_path}/x"
    assert mounts.volume(".:/b").mount.source == str(tmp_path)
    assert mounts.mount("type=bind,source=x,target=/b").mount.source == f"{tmp_path}/x"


def test_only_the_old_form_makes_its_source() -> None:
    assert mounts.volume("/a:/b").create
    assert not mounts.mount("type=bind,source=/a,target=/b").create
