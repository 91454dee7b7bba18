"""The lab's machine from inside: what the tests beside this one, and the lessons, count on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicontainer.linux import proc
from tests.support import command, environment, requires, wait_until

pytestmark = requires("inside-lab", "root")
CGROUP = Path("/sys/fs/cgroup")


@pytest.fixture
def veth() -> Iterator[str]:
    """A pair of interfaces; making it loads a module."""
    subprocess.run(["ip", "link", "add", "lab0", "type", "veth", "peer", "name", "lab1"], check=True)
    yield "lab0"
    subprocess.run(["ip", "link", "del", "lab0"], check=True)


def test_cgroup_version_2_with_its_controllers() -> None:
    assert {"cpu", "io", "memory", "pids"} <= set((CGROUP / "cgroup.controllers").read_text().split())
    assert {"cpu", "io", "memory", "pids"} <= set((CGROUP / "cgroup.subtree_control").read_text().split())


def test_the_file_systems_of_a_host_are_there() -> None:
    kinds = {mount.target: mount.fstype for mount in proc.mounts()}
    expected = {"/": "overlay", "/proc": "proc", "/sys": "sysfs", "/sys/fs/cgroup": "cgroup2", "/dev": "devtmpfs"}
    expected |= {"/dev/pts": "devpts", "/dev/shm": "tmpfs", "/tmp": "tmpfs", "/run": "tmpfs"}
    assert {target: kinds.get(target) for target in expected} == expected
    assert "shared:" in "".join(proc.mounts()[0].propagation)


def test_every_capability_and_every_id() -> None:
    assert int(proc.status()["CapEff"], 16) == (1 << (int(proc.read("/proc/sys/kernel/cap_last_cap")) + 1)) - 1
    assert proc.read("/proc/self/uid_map").split() == ["0", "0", "4294967295"]


def test_the_root_can_be_written(tmp_path: Path) -> None:
    Path("/etc/lab-was-here").write_text("only in here")
    os.unlink("/etc/lab-was-here")


def test_an_overlay_on_the_root_and_one_in_a_user_namespace(tmp_path: Path) -> None:
    script = "cd {0} && mkdir u w m && mount -t overlay none -o lowerdir={1},upperdir=u,workdir=w m && touch m/new"
    for name, lower, wrapper in (("root", "/usr", ["unshare", "-m"]), ("user", tmp_path, ["unshare", "-Urm"])):
        (tmp_path / name).mkdir()
        subprocess.run([*wrapper, "sh", "-c", script.format(tmp_path / name, lower)], check=True)
        assert os.listdir(tmp_path / name / "u") == ["new"]


def test_the_loopback_interface_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    with socket.create_server(("::1", 0), family=socket.AF_INET6):
        pass


def test_modules_are_loaded_when_they_are_asked_for(veth: str) -> None:
    subprocess.run(["ip", "-6", "addr", "add", "fd00::1/64", "dev", veth], check=True)
    rule = ["POSTROUTING", "-s", "10.0.0.0/8", "-j", "MASQUERADE"]
    subprocess.run(["iptables-legacy", "-t", "nat", "-A", *rule], check=True)
    subprocess.run(["iptables-legacy", "-t", "nat", "-D", *rule], check=True)
    for node in ("/dev/net/tun", "/dev/fuse"):
        os.close(os.open(node, os.O_RDWR))


def test_process_1_reaps_orphans() -> None:
    """The shell's child outlives it, and becomes process 1's."""
    orphan = int(subprocess.run(["sh", "-c", "sleep 1 >&- 2>&- & echo $!"], capture_output=True, check=True).stdout)
    assert wait_until(lambda: proc.status(orphan).get("PPid") == "1", 5)
    assert wait_until(lambda: not os.path.exists(f"/proc/{orphan}"), 5)


def test_a_lab_in_the_lab_is_refused() -> None:
    done = subprocess.run(command("lab", "true"), capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)
    assert "this is the lab already" in done.stderr


def test_the_clock_is_the_hosts_and_goes_on() -> None:
    began = time.time()
    assert began > os.stat(sys.executable).st_ctime
    time.sleep(0.05)
    assert time.time() > began
