"""`minicontainer cleanup` takes what a crash left, and nothing else: not what runs, not what is somebody else's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicontainer.isolation.ledger import Ledger
from minicontainer.linux import cgroup2, proc
from minicontainer.runtime.container import Container, all_containers, new_id
from minicontainer.spec import Spec
from tests.conftest import Run, Spawn
from tests.support import command, environment, requires, wait_until

pytestmark = requires("root", "command:nft", "command:ip")

Tool = subprocess.Popen[str]
SLEEP = "echo up; exec sleep 60"


def started(spawn: Spawn, rootfs: Path, *options: str | Path, **more: object) -> tuple[Tool, Container]:
    """A running container, and the tool that takes care of it."""
    before = {container.id for container in all_containers()}
    tool = spawn("run", *options, rootfs, "sh", "-c", SLEEP, **more)
    assert tool.stdout is not None
    assert tool.stdout.readline() == "up\n", tool.communicate()
    (container,) = (container for container in all_containers() if container.id not in before)
    return tool, container


def crash(tool: Tool) -> None:
    """The tool ends as no program can prepare for; its container's first process goes with it."""
    tool.kill()
    tool.wait()


def crashed(spawn: Spawn, rootfs: Path, *options: str | Path) -> Container:
    """What is left of a container whose tool was killed."""
    tool, container = started(spawn, rootfs, *options)
    crash(tool)
    assert wait_until(lambda: not container.pid)
    return container


def group_of(container: Container) -> str:
    return str(container.record["cgroup"])


def taken(container: Container) -> list[str]:
    with Ledger() as ledger:
        return ledger.owned_by(container.dir)


# -- what a crash left ------------------------------------------------------------------------------


def test_nothing_to_clean_up(minicontainer: Run) -> None:
    for _ in range(2):
        done = minicontainer("cleanup")
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to clean up\n", "")


def test_a_crashed_container_goes_with_all_that_it_had(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    container = crashed(spawn, rootfs, "--name", "lost", "--network", "bridge", "-p", "80")
    assert os.path.isdir(container.dir) and os.path.isdir(group_of(container)) and len(taken(container)) >= 2
    done = minicontainer("cleanup")
    (row,) = done.stdout.splitlines()
    assert row.startswith(f"removed container {container.short_id} (lost): ")
    assert (done.returncode, done.stderr) == (0, "")
    assert not os.path.exists(container.dir) and not os.path.exists(group_of(container)) and not taken(container)
    assert minicontainer("cleanup").stdout == "nothing to clean up\n"


def test_its_name_is_free_again(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    crashed(spawn, rootfs, "--name", "again")
    assert "again is taken" in minicontainer("run", "--name", "again", rootfs, "true").stderr
    minicontainer("cleanup")
    assert minicontainer("run", "--name", "again", rootfs, "true").returncode == 0


def test_a_dry_run_changes_nothing(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    container = crashed(spawn, rootfs, "--network", "bridge")
    for _ in range(2):
        assert minicontainer("cleanup", "--dry-run").stdout.startswith(f"would remove container {container.short_id}")
    assert os.path.isdir(container.dir) and os.path.isdir(group_of(container)) and taken(container)
    minicontainer("cleanup")


def test_the_doctor_sees_it(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    container = crashed(spawn, rootfs)
    findings = {finding["name"]: finding for finding in json.loads(minicontainer("doctor", "--json").stdout)}
    assert findings["leftovers"]["state"] == "limited"
    assert container.short_id in findings["leftovers"]["seen"]
    assert "minicontainer cleanup" in findings["leftovers"]["remedy"]
    minicontainer("cleanup")
    findings = {finding["name"]: finding for finding in json.loads(minicontainer("doctor", "--json").stdout)}
    assert findings["leftovers"]["state"] == "ok"


def test_a_container_that_outlived_its_tool_is_ended(
    minicontainer: Run, spawn: Spawn, rootfs: Path, tmp_path: Path
) -> None:
    """The exec of a set-user-ID program clears the signal that would have ended it: PR_SET_PDEATHSIG(2const)."""
    other = tmp_path / "rootfs"
    shutil.copytree(rootfs, other, symlinks=True)
    (other / "bin/busybox").chmod(0o4755)
    tool, container = started(spawn, other, "-u", "1000", "--network", "bridge")
    crash(tool)
    time.sleep(0.2)
    pid = container.pid
    assert pid, "it ended with its tool"
    assert f"process {pid}" in minicontainer("cleanup", "--dry-run").stdout
    assert minicontainer("cleanup").returncode == 0
    assert not container.pid and not os.path.exists(container.dir)


@pytest.mark.parametrize("content", [None, "", "{", '{"pid": 1}', "[]", '{"id": 7}'], ids=str)
def test_directories_that_cannot_be_read(
    minicontainer: Run, state_root: Path, content: str | None, rootfs: Path
) -> None:
    folder = state_root / "containers" / new_id()
    (folder / "layer/work/work").mkdir(parents=True)
    if content is not None:
        (folder / "state.json").write_text(content)
    assert minicontainer("run", "--name", "other", rootfs, "true").returncode == 0  # it is in nobody's way
    done = minicontainer("cleanup")
    assert (done.returncode, done.stderr, not folder.exists()) == (0, "", True), done.stdout


def test_a_description_that_was_half_written(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    container = crashed(spawn, rootfs, "--network", "bridge", "-p", "80")
    Path(container.path("config.json")).write_text('{"ociVersion": "1.')
    assert minicontainer("cleanup").returncode == 0
    assert not os.path.exists(container.dir) and not os.path.exists(group_of(container)) and not taken(container)


def test_the_name_of_a_stranger_is_shown_without_its_escapes(minicontainer: Run, state_root: Path) -> None:
    (state_root / "containers" / "\x1b[31mred").mkdir(parents=True)
    assert "\x1b" not in minicontainer("cleanup").stdout


# -- what is left alone -----------------------------------------------------------------------------


def test_a_running_container_beside_it_stays(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    _, alive = started(spawn, rootfs, "--network", "bridge", "-p", "80")
    dead = crashed(spawn, rootfs, "--network", "bridge", "-p", "80")
    kept = taken(alive)
    minicontainer("cleanup")
    assert not os.path.exists(dead.dir) and not taken(dead)
    assert alive.pid and os.path.isdir(alive.dir) and taken(alive) == kept
    assert cgroup2.processes(group_of(alive)) and alive.pid in cgroup2.processes(group_of(alive))
    gateway = alive.record["network"]["gateway"]
    ping = ["nsenter", "-t", str(alive.pid), "-n", "--", "ping", "-c", "1", "-W", "2", gateway]
    if shutil.which("ping"):
        assert subprocess.run(ping, capture_output=True).returncode == 0
    rules = subprocess.run(["nft", "list", "table", "inet", "minicontainer"], capture_output=True, text=True).stdout
    assert alive.record["network"]["address"] in rules and dead.record["network"]["address"] not in rules
    assert minicontainer("cleanup").stdout == "nothing to clean up\n"


def test_another_state_folders_things_are_not_touched(
    minicontainer: Run, spawn: Spawn, rootfs: Path, tmp_path: Path
) -> None:
    container = crashed(spawn, rootfs, "--network", "bridge", "-p", "80")
    had = taken(container)
    other = environment(MINICONTAINER_ROOT=str(tmp_path / "other"))
    assert minicontainer("cleanup", env=other).stdout == "nothing to clean up\n"
    assert os.path.isdir(container.dir) and os.path.isdir(group_of(container)) and taken(container) == had
    assert minicontainer("cleanup").returncode == 0


def test_containers_start_and_end_while_cleanup_runs(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    cleanups = subprocess.Popen(
        ["sh", "-c", "for i in $(seq 15); do " + " ".join(command("cleanup")) + "; done"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for number in range(12):
        network = "bridge" if number % 3 == 0 else "none"
        done = minicontainer("run", "--network", network, rootfs, "true")
        assert (done.returncode, done.stderr) == (0, "")
    assert set(cleanups.communicate(timeout=60)[0].splitlines()) == {"nothing to clean up"}


def test_two_cleanups_at_once_share_the_work(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    containers = [crashed(spawn, rootfs, "--network", "bridge") for _ in range(3)]
    both = [
        subprocess.Popen(command("cleanup"), env=environment(), text=True, stderr=subprocess.PIPE) for _ in range(2)
    ]
    assert [one.communicate(timeout=60)[1] for one in both] == ["", ""]
    assert [one.returncode for one in both] == [0, 0]
    assert not any(os.path.exists(container.dir) for container in containers)


# -- things that lost their container -----------------------------------------------------------------


@pytest.fixture
def owner(state_root: Path) -> str:
    """The directory of a container that is gone."""
    (state_root / "containers").mkdir(parents=True)
    return str(state_root / "containers" / new_id())


@pytest.fixture
def group() -> Iterator[str]:
    """The path of a control group that is removed at the end."""
    path = f"{cgroup2.top()}/test-{os.getpid()}"
    yield path
    if os.path.isdir(path):
        cgroup2.kill(path)
        cgroup2.remove(path)


def test_a_group_of_a_lost_container_goes_with_its_processes(minicontainer: Run, owner: str, group: str) -> None:
    cgroup2.make(group, cgroup2.top(), owner=owner)
    sleeper = subprocess.Popen(["sleep", "60"])
    Path(group, "cgroup.procs").write_text(str(sleeper.pid))
    done = minicontainer("cleanup")
    assert done.stdout == f"removed control group {group}\n"
    assert sleeper.wait(timeout=5) == -9 and not os.path.exists(group)


@pytest.mark.parametrize("whose", ["nobody", "another state folder", "without a mark", "a container"])
def test_other_groups_stay(minicontainer: Run, owner: str, group: str, whose: str) -> None:
    mine = {"another state folder": "/var/lib/elsewhere/containers/abc", "a container": owner}
    cgroup2.make(group, cgroup2.top(), owner=mine.get(whose, cgroup2.NOBODY))
    if whose == "without a mark":
        os.removexattr(group, cgroup2.MARK)
    holder = Container(os.path.basename(owner), Spec(), owner)
    if whose == "a container":
        holder.create()
    assert minicontainer("cleanup").stdout == "nothing to clean up\n"
    assert os.path.isdir(group)
    shutil.rmtree(owner, ignore_errors=True)


def test_an_address_of_a_lost_container_is_free_again(
    minicontainer: Run, spawn: Spawn, rootfs: Path, owner: str
) -> None:
    started(spawn, rootfs, "--network", "bridge")
    with Ledger() as ledger:
        ledger.take("172.29.77.7", owner)
    assert minicontainer("cleanup").stdout == f"removed 172.29.77.7 of container {os.path.basename(owner)[:12]}\n"
    with Ledger() as ledger:
        assert "172.29.77.7" not in ledger.names()


def test_a_cable_of_a_lost_container_is_pulled(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    started(spawn, rootfs, "--network", "bridge")
    lines = "link add mcfeedfeedfeed type veth peer name mcpeer\nlink set mcfeedfeedfeed master minic0 up\n"
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
    assert minicontainer("cleanup").stdout == "removed interface mcfeedfeedfeed\n"
    assert "mcfeedfeedfeed" not in os.listdir("/sys/class/net")


# -- what fails ---------------------------------------------------------------------------------------


def test_what_cannot_be_removed_is_told_and_tried_again(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    first, second = crashed(spawn, rootfs), crashed(spawn, rootfs)
    subprocess.run(["mount", "-t", "tmpfs", "none", first.path("layer")], check=True)
    try:
        done = minicontainer("cleanup")
    finally:
        subprocess.run(["umount", first.path("layer")], check=True)
    assert done.returncode == 1
    (row,) = done.stderr.splitlines()
    assert row.startswith(f"minicontainer: cannot remove container {first.short_id}")
    assert os.path.isdir(first.dir) and not os.path.exists(second.dir), done.stdout
    done = minicontainer("cleanup")
    assert done.returncode == 0 and not os.path.exists(first.dir)


def test_what_a_run_could_not_remove_at_its_end(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    tool, container = started(spawn, rootfs, "--network", "bridge")
    subprocess.run(["mount", "-t", "tmpfs", "none", container.path("layer")], check=True)
    try:
        os.kill(container.pid, signal.SIGKILL)
        assert "`minicontainer cleanup` tries again" in tool.communicate(timeout=10)[1]
        assert os.path.exists(container.path("config.json")), "nobody could tell what is left to do"
    finally:
        subprocess.run(["umount", container.path("layer")], check=True)
    assert minicontainer("cleanup").returncode == 0
    assert not os.path.exists(container.dir)


def test_a_process_that_only_has_the_number_is_not_killed(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    container = crashed(spawn, rootfs)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        container.save(pid=stranger.pid, start_time=proc.start_time(stranger.pid) - 1)
        minicontainer("cleanup")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
