"""Sizes, durations, capabilities and the facts of a comparison in words."""

from __future__ import annotations

from typing import Any

import pytest

from minicontainer.cli import words
from minicontainer.inspect.census import Seen
from minicontainer.inspect.groups import Group, Limits
from minicontainer.inspect.rights import Ids, Range, Seccomp
from minicontainer.inspect.subject import Subject
from minicontainer.inspect.tree import Mount, Root
from minicontainer.inspect.view import Clocks
from minicontainer.inspect.within import Interface
from minicontainer.linux import capability

SOMEBODY = Subject("somebody", 1, 1)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"), (1, "1 B"), (2.6, "3 B"), (999, "999 B"), (1000, "1.0 KiB"), (1024, "1 KiB"), (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"), (10.4 * 1024, "10 KiB"), (3 << 30, "3 GiB"), (1 << 40, "1 TiB"), (5000 << 40, "5000 TiB"),
    ],
)  # fmt: skip
def test_sizes(number: float, text: str) -> None:
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.25, "0.25s"), (42.9, "42s"), (60, "1m"), (200, "3m20s"), (3600, "1h"), (3605, "1h"),
        (18600, "5h10m"), (1051200, "12d4h"), (-3600, "1h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_lists_are_cut_where_that_saves_something() -> None:
    items = [str(number) for number in range(10)]
    assert words.listed(items, 3) == "0, 1, 2, 7 more"
    assert words.listed(items[:4], 3) == "0, 1, 2, 3"
    assert words.listed([], 3) == ""


def test_capabilities_by_what_is_there_or_by_what_is_missing() -> None:
    everything = capability.supported()
    assert words.capabilities(everything) == f"all {capability.last() + 1}"
    assert words.capabilities(everything & ~capability.parse("sys_admin")) == "all but sys_admin"
    assert words.capabilities(0) == "none"
    assert words.capabilities(capability.parse("chown") | capability.parse("net_raw")) == "2: chown net_raw"


def sets(**masks: int) -> dict[str, int]:
    return {name: masks.get(name, 0) for name in ("effective", "permitted", "bounding", "inheritable", "ambient")}


CHOWN = int(capability.parse("chown"))
ROOT = Root("/", 1, 2, "ext4", "/dev/sda1", "rw", False)
KEPT = (
    Mount(1, "/", "overlay", "overlay", "/", False),
    Mount(2, "/proc", "proc", "proc", "/", False),
    Mount(3, "/proc/sys", "proc", "proc", "/sys", True),
    Mount(4, "/proc/keys", "devtmpfs", "devtmpfs", "/null", True),
    Mount(5, "/sys/firmware", "tmpfs", "tmpfs", "/", True),
    Mount(6, "/data", "ext4", "/dev/sda1", "/srv/www", True),
    Mount(7, "/etc/hosts", "ext4", "/dev/sda1", "/var/c/hosts", False),
)
FACTS: list[tuple[str, Any, str]] = [
    ("hostname", None, words.HIDDEN),
    ("hostname", "web", "web"),
    ("root", ROOT, "ext4 of /dev/sda1"),
    ("root", Root("/", 1, 2, "tmpfs", "tmpfs", "ro", True), "tmpfs, read-only"),
    ("root", Root("/srv", 1, 2, "", "", "", False), "the folder /srv (chroot)"),
    ("root", Root("/", 1, 2, "overlay", "overlay", "rw,lowerdir=/a:/b:/c,upperdir=/u", False), "overlay over 3 layers"),
    ("mounts", list(KEPT),
     "7: 4 in /proc /sys /dev (2 masked, 1 read-only); /data (/srv/www of /dev/sda1, ro), /etc/hosts"),
    ("mounts", [], "0: 0 in /proc /sys /dev"),
    ("processes", [Seen(1, 40, "sh", False), Seen(7, 41, "sleep", False)], "2: 1 sh, 7 sleep"),
    ("processes", [Seen(1, 1, "init", False), Seen(2, 2, "kthreadd", True)], "2, 1 of them the kernel's: 1 init"),
    ("interfaces", [Interface("lo", True, ["127.0.0.1/8", "::1/128"]),
                    Interface("eth0", True, ["10.0.0.2/8", "fe80::1/64"])], "lo, eth0 10.0.0.2/8"),
    ("interfaces", [Interface("lo", False, []), Interface("eth0", None, None)], "lo down, eth0"),
    ("uid_map", [Range(0, 0, 4294967295)], "every id is itself"),
    ("uid_map", [Range(0, 1000, 1), Range(1, 100000, 65536)], "0 is 1000; 1 is 100000 (65536 ids)"),
    ("gid_map", [], "none: no id has a meaning yet"),
    ("ids", Ids(0, 0, [], 0, 0), "uid 0, gid 0"),
    ("ids", Ids(1000, 1000, [27, 44], 1000, 1000), "uid 1000, gid 1000, groups 27, 44"),
    ("ids", Ids(100007, 100008, [], 7, 8), "uid 7, gid 8; outside 100007 and 100008"),
    ("ids", Ids(1000, 1000, [], 0, 0), "uid 0, gid 0; outside 1000"),
    ("ids", Ids(1000, 1000, [], None, None), "uid no id, gid no id; outside 1000"),
    ("capabilities", sets(effective=CHOWN, permitted=CHOWN, bounding=CHOWN), "1: chown"),
    ("capabilities", sets(bounding=CHOWN), "none; bounding 1: chown"),
    ("capabilities", sets(permitted=CHOWN, bounding=CHOWN, ambient=CHOWN),
     "none; permitted 1: chown; ambient 1: chown"),
    ("seccomp", Seccomp("off", 0), "off"),
    ("seccomp", Seccomp("filter", 1), "1 filter of system calls"),
    ("seccomp", Seccomp("filter", 3), "3 filters of system calls"),
    ("no_new_privs", True, "yes"),
    ("no_new_privs", False, "no"),
    ("cgroup", Group(f"/minicontainer/{'0123456789abcdef' * 4}", {}), "/minicontainer/0123456789ab"),
    ("cgroup", Group("/", {"memory": "/jobs"}), "/, /jobs (memory)"),
    ("limits", Limits(), "none"),
    ("limits", Limits(memory=64 << 20, swap=0, processes=50, cpus=0.5),
     "memory 64 MiB, swap 0 B, 50 processes, 0.5 CPUs"),
    ("clocks", Clocks(0, 0), "as the kernel counts"),
    ("clocks", Clocks(-7200, 3600), "-2h monotonic, +1h since boot"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "text"), FACTS, ids=[f"{name}-{n}" for n, (name, _, _) in enumerate(FACTS)])
def test_facts(name: str, value: Any, text: str) -> None:
    assert words.describe(name, SOMEBODY, value, 4) == text


def test_three_mounts_of_one_folder_are_one_item() -> None:
    mounts = [Mount(1, f"/etc/{name}", "ext4", "/dev/sda1", f"/c/{name}", False) for name in ("hosts", "hostname", "x")]
    assert words.describe("mounts", SOMEBODY, mounts, 4).endswith("; /etc/ (3 mounts)")
