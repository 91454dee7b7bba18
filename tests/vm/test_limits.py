"""Limits that hold: hit from inside a container, watched from outside in the files of its control group.

Needs the controllers of cgroup version 2; the lab's machine has them all but cpuset.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minicontainer.errors import UnsupportedError
from minicontainer.isolation import cgroup
from minicontainer.linux import cgroup2
from minicontainer.rootfs import build
from minicontainer.runtime.container import Container
from minicontainer.spec import Cpu, Memory, Pids, Resources
from tests.conftest import Run, Spawn
from tests.support import command, environment, host_pid, requires, wait_until

pytestmark = requires("root", "cgroup2:memory", "cgroup2:pids", "cgroup2:cpu", "cgroup2:io")

MIB = 1 << 20
HOG = "tail /dev/zero"  # keeps the longest line in memory, and there is no end to this one
NOBODY = 65534
BUSY = "while :; do :; done"

Group = Callable[..., str]


@pytest.fixture
def group(spawn: Spawn, rootfs: Path, state_root: Path) -> Group:
    """`group(options, script)` starts a container and returns the directory of its control group."""

    def start(*args: str) -> str:
        *options, script = args
        spawn("run", "--network", "none", *options, rootfs, "sh", "-c", script)
        return cgroup2.group_of(host_pid(state_root))

    return start


# -- memory ---------------------------------------------------------------------------------------


def test_a_hog_is_killed_at_its_limit_and_that_is_told(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--network", "none", "-m", "32m", "--memory-swap", "32m", rootfs, "tail", "/dev/zero")
    assert done.returncode == 137
    assert "reached the memory limit" in done.stderr


def test_a_hog_without_limit_gets_more(minicontainer: Run, rootfs: Path) -> None:
    """The same hunger, with its end in sight: one line of 24 MiB."""
    for options, got in ((), f"{24 * MIB}\n"), (("-m", "16m", "--memory-swap", "16m"), "0\n"):
        eat = f"head -c {24 * MIB} /dev/zero | tail | wc -c"
        assert minicontainer("run", "--network", "none", *options, rootfs, "sh", "-c", eat).stdout == got


def test_memory_stays_below_the_limit_and_the_shell_survives(group: Group) -> None:
    path = group("-m", "32m", "--memory-swap", "32m", f"{HOG}; sleep 60")
    assert wait_until(lambda: cgroup2.pairs(path, "memory.events")["oom_kill"] == 1, 30)
    assert cgroup2.number(path, "memory.max") == 32 * MIB
    assert (cgroup2.number(path, "memory.peak") or 0) <= 32 * MIB
    assert cgroup2.is_populated(path)


def test_the_smallest_limit_starts(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--network", "none", "-m", "6m", rootfs, "echo", "here")
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-m", "64m"), {"memory.max": 64 * MIB, "memory.swap.max": 64 * MIB}),
        (("-m", "64m", "--memory-swap", "96m"), {"memory.max": 64 * MIB, "memory.swap.max": 32 * MIB}),
        (("-m", "64m", "--memory-swap", "64m"), {"memory.max": 64 * MIB, "memory.swap.max": 0}),
        (("-m", "64m", "--memory-swap", "-1"), {"memory.max": 64 * MIB, "memory.swap.max": None}),
        (("-m", "64m", "--memory-reservation", "32m"), {"memory.low": 32 * MIB}),
        ((), {"memory.max": None, "memory.swap.max": None, "memory.low": 0}),
    ],
)
def test_memory_files(options: tuple[str, ...], expected: dict[str, int | None], group: Group) -> None:
    path = group(*options, "sleep 60")
    assert {file: cgroup2.number(path, file) for file in expected} == expected


@pytest.fixture
def swap(tmp_path: Path) -> Iterator[None]:
    """64 MiB of swap space on the machine."""
    file = tmp_path / "swap"
    file.write_bytes(bytes(64 * MIB))
    file.chmod(0o600)
    device = subprocess.run(
        ["losetup", "--find", "--show", file], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(["mkswap", device], check=True, capture_output=True)
    subprocess.run(["swapon", device], check=True)
    yield
    subprocess.run(["swapoff", device], check=True)
    subprocess.run(["losetup", "--detach", device], check=True)


@requires("command:losetup", "command:mkswap")
def test_swap_is_used_up_to_its_limit(swap: None, group: Group) -> None:
    path = group("-m", "16m", "--memory-swap", "24m", f"{HOG}; sleep 60")
    assert wait_until(lambda: cgroup2.pairs(path, "memory.events")["oom_kill"] == 1, 60)
    assert cgroup2.pairs(path, "memory.swap.events")["max"] > 0
    assert (cgroup2.number(path, "memory.swap.current") or 0) <= 8 * MIB


def test_limits_of_a_running_container_can_be_changed(group: Group, state_root: Path) -> None:
    path = group("-m", "64m", "sleep 60")
    (folder,) = (state_root / "containers").iterdir()
    container = Container.load(str(folder))
    cgroup.update(container, Resources(memory=Memory(limit=96 * MIB, swap=128 * MIB), pids=Pids(limit=7)))
    files = {"memory.max": 96 * MIB, "memory.swap.max": 32 * MIB, "pids.max": 7}
    assert {file: cgroup2.number(path, file) for file in files} == files
    with pytest.raises(UnsupportedError, match="this kernel has none"):
        cgroup.update(container, Resources(cpu=Cpu(cpus="0")))


# -- pids -----------------------------------------------------------------------------------------

BOMB = "bomb() { bomb | bomb & }; bomb; sleep 60"


def test_a_fork_bomb_stops_at_its_limit(group: Group) -> None:
    path = group("--pids-limit", "20", BOMB)
    assert wait_until(lambda: cgroup2.pairs(path, "pids.events")["max"] > 0, 30)
    assert (cgroup2.number(path, "pids.peak") or 0) <= 20
    assert (cgroup2.number(path, "pids.current") or 0) <= 20


@pytest.mark.parametrize(
    ("options", "limit"), [(("--pids-limit", "20"), 20), (("--pids-limit", "-1"), None), ((), 2048)]
)
def test_pids_file(options: tuple[str, ...], limit: int | None, group: Group) -> None:
    assert cgroup2.number(group(*options, "sleep 60"), "pids.max") == limit


def test_without_a_limit_there_are_more(group: Group) -> None:
    path = group("--pids-limit", "-1", "for i in $(seq 40); do sleep 60 & done; wait")
    assert wait_until(lambda: (cgroup2.number(path, "pids.current") or 0) > 40, 30)


# -- cpu ------------------------------------------------------------------------------------------


def share_of_cpu(group: str) -> float:
    """CPU time that the group uses in a while, as a part of the time that passes."""
    began, before = time.monotonic(), cgroup2.pairs(group, "cpu.stat")["usage_usec"]
    time.sleep(2)
    return (cgroup2.pairs(group, "cpu.stat")["usage_usec"] - before) / 1e6 / (time.monotonic() - began)


def test_cpus_throttles(group: Group) -> None:
    path = group("--cpus", "0.1", BUSY)
    assert wait_until(lambda: cgroup2.pairs(path, "cpu.stat")["nr_throttled"] > 0)
    assert share_of_cpu(path) < 0.25


def test_without_cpus_it_takes_what_it_can(group: Group) -> None:
    path = group(BUSY)
    assert share_of_cpu(path) > 0.25
    assert cgroup2.pairs(path, "cpu.stat")["nr_throttled"] == 0


@pytest.mark.parametrize(
    ("options", "file", "text"),
    [
        (("--cpus", "0.5"), "cpu.max", ["50000", "100000"]),
        (("--cpu-quota", "20000", "--cpu-period", "50000"), "cpu.max", ["20000", "50000"]),
        (("--cpu-shares", "512"), "cpu.weight", ["59"]),
        ((), "cpu.weight", ["100"]),
    ],
)
def test_cpu_files(options: tuple[str, ...], file: str, text: list[str], group: Group) -> None:
    assert cgroup2.words(group(*options, "sleep 60"), file) == text


# -- io -------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A block device of this test's own."""
    file = tmp_path / "disk"
    file.write_bytes(bytes(4 * MIB))
    name = subprocess.run(
        ["losetup", "--find", "--show", file], check=True, capture_output=True, text=True
    ).stdout.strip()
    yield Path(name)
    subprocess.run(["losetup", "--detach", name], check=True)


@requires("command:losetup")
def test_io_limits_are_written(disk: Path, group: Group) -> None:
    path = group("--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:100", "sleep 60")
    number = disk.stat().st_rdev
    device, *limits = cgroup2.words(path, "io.max")
    assert device == f"{os.major(number)}:{os.minor(number)}"
    assert sorted(limits) == sorted(["rbps=1048576", "wbps=max", "riops=max", "wiops=100"])


@requires("command:losetup")
def test_reading_a_disk_is_slowed_down(disk: Path, minicontainer: Run, rootfs: Path) -> None:
    """A megabyte at 256 KiB a second, past the cache: io.stat would say the same, but the group is gone then."""
    read = ("dd", f"if={disk}", "of=/dev/null", "bs=65536", "count=16", "iflag=direct")
    began = time.monotonic()
    done = minicontainer(
        "run", "--network", "none", "--device", disk, "--device-read-bps", f"{disk}:256k", rootfs, *read
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > 2


# -- all of it ------------------------------------------------------------------------------------

COUNT = "while :; do echo x; sleep 0.02; done"


def test_freeze_stops_a_container_and_thaw_resumes_it(group: Group) -> None:
    path = group(BUSY)
    cgroup2.freeze(path)
    used = cgroup2.pairs(path, "cpu.stat")["usage_usec"]
    assert not wait_until(lambda: cgroup2.pairs(path, "cpu.stat")["usage_usec"] != used, 0.5)
    cgroup2.thaw(path)
    assert wait_until(lambda: cgroup2.pairs(path, "cpu.stat")["usage_usec"] > used)


def test_group_and_parent_are_gone_afterwards(minicontainer: Run, rootfs: Path) -> None:
    minicontainer("run", "--network", "none", "-m", "64m", "--cpus", "0.5", rootfs, "true")
    assert not os.path.exists(f"{cgroup2.mount_point()}/minicontainer")


def test_cgroup_parent(group: Group) -> None:
    path = group("--cgroup-parent", "/jobs/night", "-m", "64m", "sleep 60")
    assert os.path.dirname(path) == f"{cgroup2.mount_point()}/jobs/night"
    assert cgroup2.number(path, "memory.max") == 64 * MIB


def test_a_controller_that_is_missing_everywhere_is_refused(minicontainer: Run, rootfs: Path) -> None:
    """The lab's kernel has no cpuset."""
    if "cpuset" in cgroup2.controllers(cgroup2.mount_point()):
        pytest.skip("this kernel has the cpuset controller")
    done = minicontainer("run", "--network", "none", "--cpuset-cpus", "0", rootfs, "true")
    assert done.returncode == 125
    assert "cpuset" in done.stderr and "this kernel has none" in done.stderr


@pytest.fixture
def delegated() -> Iterator[str]:
    """A group that is handed over to somebody, here without the processes that would make it busy."""
    path = f"{cgroup2.mount_point()}/delegated"
    os.mkdir(path)
    yield path
    assert wait_until(lambda: not cgroup2.is_populated(path))
    for place, _, _ in os.walk(path, topdown=False):
        os.rmdir(place)


def test_processes_in_the_way_are_moved_when_a_limit_needs_it(delegated: str, rootfs: Path, state_root: Path) -> None:
    """No internal processes: the command itself sits in the only group that it has, as in a container."""
    enter = f"echo $$ > {delegated}/cgroup.procs; exec unshare --cgroup --mount sh -c"
    nested = 'umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
    run = command(
        "run", "--network", "none", "-m", "64m", rootfs, "cat", "/sys/fs/cgroup/memory.max", "/proc/self/cgroup"
    )
    done = subprocess.run(
        ["sh", "-c", f"{enter} '{nested}' -- \"$@\"", "--", *run], capture_output=True, text=True, env=environment()
    )
    assert done.stdout.split() == [str(64 * MIB), "0::/"], done.stderr
    assert "memory" in cgroup2.words(delegated, "cgroup.subtree_control")
    assert os.listdir(f"{delegated}/{cgroup2.LEAF}")
    assert not os.path.exists(f"{delegated}/minicontainer")


@pytest.fixture
def users_run() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """`users_run(group, options…, command…)` runs a container as an ordinary user whose shell is in `group`."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/state")
        build(f"{folder}/rootfs")
        for place, _, _ in os.walk(folder):
            os.chown(place, NOBODY, NOBODY)
        become = f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"

        def run(group: str, *args: str) -> subprocess.CompletedProcess[str]:
            options = [arg for arg in args if arg.startswith("-")]
            words = command("run", "--network=none", *options, f"{folder}/rootfs", *args[len(options) :])
            enter = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; {become} "$@"', "--", *words]
            env = environment(MINICONTAINER_ROOT=f"{folder}/state", HOME="/nonexistent")
            return subprocess.run(enter, capture_output=True, text=True, env=env)

        yield run


def test_an_ordinary_user_can_set_limits_where_it_was_delegated(delegated: str, users_run: Run) -> None:
    """As in a systemd user session: the shell in a group of its own, below one that belongs to the user."""
    for file in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(f"{delegated}/{file}", NOBODY, NOBODY)
    os.mkdir(f"{delegated}/session")
    done = users_run(f"{delegated}/session", "-m=64m", "cat", "/sys/fs/cgroup/memory.max")
    assert (done.returncode, done.stdout.split()) == (0, [str(64 * MIB)]), done.stderr
    assert not os.path.exists(f"{delegated}/minicontainer")


def test_an_ordinary_user_without_delegation_is_told_how_to_get_it(delegated: str, users_run: Run) -> None:
    done = users_run(delegated, "-m=64m", "true")
    assert done.returncode == 125
    assert "not delegated to this user" in done.stderr and "Delegate=yes" in done.stderr


def test_an_ordinary_user_without_delegation_runs_without_limits(delegated: str, users_run: Run) -> None:
    done = users_run(delegated, "cat", "/proc/self/cgroup")
    assert (done.returncode, done.stdout) == (0, "0::/\n"), done.stderr
