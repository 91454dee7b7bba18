"""The bridge on a kernel that has no nftables, the lab's: neighbours and gateway, and no way beyond."""

from __future__ import annotations

from pathlib import Path

from minicontainer.linux import net
from tests.conftest import Run, Spawn
from tests.network import Place
from tests.support import host_pid, requires

pytestmark = requires("inside-lab", "root")


def test_containers_reach_each_other_and_the_host_only(
    minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    spawn("run", "--network", "bridge", rootfs, "sh", "-c", "trap exit TERM; sleep 600 & wait")
    first = Place(host_pid(state_root))
    done = minicontainer("run", "--network", "bridge", rootfs, "ping", "-c1", "-W2", first.addresses()[0])
    assert done.returncode == 0, done.stderr
    assert first.pings("172.29.0.1") and first.pings("fd00:172:29::1")
    assert net.sysctl("net/ipv4/ip_forward") == "0" == net.sysctl("net/ipv4/conf/minic0/route_localnet")


def test_ports_are_refused(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--network", "bridge", "-p", "40080:80", rootfs, "true")
    assert done.returncode == 125 and "NAT" in done.stderr and done.stderr.count("\n") == 1
    assert not net.has_interface("minic0")
