"""The control group of a container, with the command line: works on every host, with or without controllers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from minicontainer.isolation import cgroup
from minicontainer.linux import cgroup2, proc
from minicontainer.runtime.container import Container
from tests.conftest import Run, Spawn
from tests.support import command, environment, host_pid, requires, wait_until

pytestmark = requires("root", "cgroup2")

NO_NETWORK = ("--network", "none")


def open_device(major: int, minor: int) -> tuple[str, ...]:
    """Make a node and open it; busybox would read it too, and that fails where the device has nothing to say."""
    return "sh", "-c", f"mknod /tmp/node c {major} {minor} && echo made && : < /tmp/node && echo opened"


# -- the group ------------------------------------------------------------------------------------


def test_own_group_named_by_the_id_and_gone_afterwards(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    command = spawn("run", *NO_NETWORK, rootfs, "sleep", "60")
    pid = host_pid(state_root)
    group = cgroup2.group_of(pid)
    assert group == f"{cgroup2.mount_point()}/minicontainer/{os.listdir(state_root / 'containers')[0]}"
    os.kill(pid, signal.SIGKILL)
    command.wait(10)
    assert not os.path.exists(group)


def test_all_processes_are_in_it(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, rootfs, "sh", "-c", "sleep 60 & (sleep 60 & setsid sleep 60 &) & wait")
    group = cgroup2.group_of(host_pid(state_root))
    assert wait_until(lambda: len(cgroup2.processes(group)) == 4)


def test_without_cgroup_it_is_in_the_callers(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, "--without", "cgroup", rootfs, "sleep", "60")
    assert cgroup2.group_of(host_pid(state_root)) == cgroup2.group_of()


def test_a_runaway_dies_with_the_container(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """Where there is no pid namespace to take all processes with it, the group does."""
    command = spawn("run", *NO_NETWORK, "--pid", "host", rootfs, "sh", "-c", "setsid sleep 61 & exec sleep 60")
    first = host_pid(state_root)
    group = cgroup2.group_of(first)
    assert wait_until(lambda: len(cgroup2.processes(group)) == 2)
    runaway = next(pid for pid in cgroup2.processes(group) if pid != first)
    os.kill(first, signal.SIGKILL)
    assert command.wait(10) == 137
    assert not proc.start_time(runaway)


def test_without_cgroup_a_runaway_survives(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    walls = ("--pid", "host", "--without", "cgroup")
    command = spawn("run", *NO_NETWORK, *walls, rootfs, "sh", "-c", "sleep 61 & echo $!; exec sleep 60")
    assert command.stdout
    runaway = int(command.stdout.readline())
    os.kill(host_pid(state_root), signal.SIGKILL)
    try:
        assert command.wait(10) == 137
        assert proc.start_time(runaway)
    finally:
        os.kill(runaway, signal.SIGKILL)
        assert wait_until(lambda: not proc.start_time(runaway))


def test_freeze_and_thaw(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, rootfs, "sh", "-c", "while :; do sleep 0.01; done")
    group = cgroup2.group_of(host_pid(state_root))
    cgroup2.freeze(group)
    frozen = sorted(cgroup2.processes(group))
    assert not wait_until(lambda: sorted(cgroup2.processes(group)) != frozen, 0.3)
    cgroup2.thaw(group)
    assert wait_until(lambda: sorted(cgroup2.processes(group)) != frozen)


def test_the_group_for_one_more_process(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """exec: where the first process is now, even if it has moved on to a group of its own making."""
    spawn("run", *NO_NETWORK, rootfs, "sleep", "60")
    pid = host_pid(state_root)
    container = Container.load(str(next((state_root / "containers").iterdir())))
    for group in (cgroup2.group_of(pid), f"{cgroup2.group_of(pid)}/init"):
        os.makedirs(group, exist_ok=True)
        Path(group, "cgroup.procs").write_text(str(pid))
        fd = cgroup.open_group(container)
        assert os.path.samestat(os.fstat(fd), os.stat(group))
        os.close(fd)


def test_cgroup_parent(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    command = spawn("run", *NO_NETWORK, "--cgroup-parent", "/minicontainer-test/jobs", rootfs, "sleep", "60")
    pid = host_pid(state_root)
    parent = os.path.dirname(cgroup2.group_of(pid))
    assert parent == f"{cgroup2.mount_point()}/minicontainer-test/jobs"
    os.kill(pid, signal.SIGKILL)
    command.wait(10)
    assert not os.path.exists(os.path.dirname(parent))


# -- what the container sees of it ----------------------------------------------------------------


def test_own_group_is_the_root_inside(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, rootfs, "cat", "/proc/self/cgroup")
    assert {line.split(":")[2] for line in done.stdout.splitlines()} == {"/"}


def test_with_the_hosts_namespace_the_path_shows(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, "--cgroupns", "host", rootfs, "cat", "/proc/self/cgroup")
    assert "0::/minicontainer/" in done.stdout


def test_no_descriptor_of_the_group_inside(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer(
        "run", *NO_NETWORK, rootfs, "sh", "-c", "ls /proc/self/fd; exec 3</dev/null; readlink /proc/self/fd/*"
    )
    assert "cgroup" not in done.stdout


def test_the_group_cannot_be_changed_from_inside(minicontainer: Run, rootfs: Path) -> None:
    for file in ("cgroup.procs", "cgroup.freeze", "cgroup.subtree_control"):
        done = minicontainer("run", *NO_NETWORK, rootfs, "sh", "-c", f"echo 0 > /sys/fs/cgroup/{file}")
        assert done.returncode != 0 and "Read-only file system" in done.stderr
    done = minicontainer("run", *NO_NETWORK, rootfs, "mkdir", "/sys/fs/cgroup/more")
    assert "Read-only file system" in done.stderr


# -- devices --------------------------------------------------------------------------------------

DEVICES = {"kmsg": (1, 11), "zero": (1, 5), "fuse": (10, 229), "tun": (10, 200), "loop-control": (10, 237)}
HARMFUL = ["kmsg", *(name for name in ("fuse", "tun", "loop-control") if os.path.exists(f"/sys/class/misc/{name}"))]
WITH_SYSLOG = (*NO_NETWORK, "--cap-add", "SYSLOG")  # the driver of kmsg wants it


@pytest.mark.parametrize("name", HARMFUL)
def test_with_devices_a_made_node_is_useless(name: str, minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *WITH_SYSLOG, rootfs, *open_device(*DEVICES[name]))
    assert done.stdout == "made\n" and "Operation not permitted" in done.stderr


@pytest.mark.parametrize("name", HARMFUL)
def test_without_devices_a_made_node_opens_the_device(name: str, minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *WITH_SYSLOG, "--without", "devices", rootfs, *open_device(*DEVICES[name]))
    assert done.stdout == "made\nopened\n", done.stderr


def test_harmless_devices_open(minicontainer: Run, rootfs: Path) -> None:
    assert minicontainer("run", *NO_NETWORK, rootfs, *open_device(*DEVICES["zero"])).stdout == "made\nopened\n"


@pytest.mark.parametrize("name", HARMFUL)
def test_a_device_rule_lets_one_in(name: str, minicontainer: Run, rootfs: Path) -> None:
    major, minor = DEVICES[name]
    rule = f"c {major}:{minor} r"
    done = minicontainer("run", *WITH_SYSLOG, "--device-cgroup-rule", rule, rootfs, *open_device(major, minor))
    assert done.stdout == "made\nopened\n", done.stderr
    write = ("sh", "-c", f"mknod /tmp/node c {major} {minor}; : > /tmp/node")
    done = minicontainer("run", *WITH_SYSLOG, "--device-cgroup-rule", rule, rootfs, *write)
    assert "Operation not permitted" in done.stderr


def test_privileged_opens_all(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, "--privileged", rootfs, *open_device(*DEVICES["kmsg"]))
    assert done.stdout == "made\nopened\n", done.stderr


@pytest.mark.parametrize(("walls", "output"), [((), ""), (("--without", "devices"), "opened\n")])
def test_a_device_node_in_a_volume(
    walls: tuple[str, ...], output: str, minicontainer: Run, rootfs: Path, tmp_path: Path
) -> None:
    """No mknod needed: it lies there already, as it could in an image."""
    node = tmp_path / "kmsg"
    os.mknod(node, 0o600 | 0o020000, os.makedev(*DEVICES["kmsg"]))
    run = ("run", *WITH_SYSLOG, *walls, "-v", f"{tmp_path}:/v")
    done = minicontainer(*run, rootfs, "sh", "-c", ": < /v/kmsg && echo opened")
    node.unlink()
    assert done.stdout == output


# -- limits ---------------------------------------------------------------------------------------

LIMITS = {
    "memory": ("-m", "64m"),
    "pids": ("--pids-limit", "50"),
    "cpu": ("--cpus", "0.5"),
    "cpuset": ("--cpuset-cpus", "0"),
}


@pytest.mark.parametrize("controller", LIMITS)
def test_a_limit_holds_or_is_refused_by_name(controller: str, minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, *LIMITS[controller], rootfs, "echo", "here")
    if cgroup.available(controller):
        assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
        return
    assert done.returncode == 125
    assert len(done.stderr.splitlines()) == 1
    assert f"the {controller} controller of cgroup v2" in done.stderr and "minicontainer lab" in done.stderr


# -- where no program can be attached -------------------------------------------------------------


def test_without_a_program_neither_mknod_nor_nodes_of_the_image(
    minicontainer: Run, rootfs: Path, tmp_path: Path
) -> None:
    """No cgroup2 in sight, as on a host of version 1 alone: the file systems refuse instead, and that is said."""
    copy = tmp_path / "rootfs"
    shutil.copytree(rootfs, copy, symlinks=True)
    os.mknod(copy / "node", 0o666 | 0o020000, os.makedev(*DEVICES["zero"]))
    hidden = ["unshare", "--mount", "sh", "-c", f'umount -l {cgroup2.mount_point()}; exec "$@"', "--"]
    script = "mknod /tmp/node c 1 5; cat /node; head -c 1 /dev/zero | wc -c; grep CapBnd /proc/self/status"
    run = command("run", *NO_NETWORK, copy, "sh", "-c", script)
    done = subprocess.run([*hidden, *run], capture_output=True, text=True, env=environment())
    (copy / "node").unlink()
    assert "mknod: /tmp/node: Operation not permitted" in done.stderr
    assert "can't open '/node': Permission denied" in done.stderr
    assert "CAP_MKNOD dropped" in done.stderr
    assert done.stdout.split() == ["1", "CapBnd:", "00000000a00425fb"]
