"""`minicontainer compare`, held against what the kernel says: /proc, nsenter, and the container itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minicontainer.inspect.namespaces import ISOLATES
from minicontainer.linux import capability, proc
from tests.conftest import Run, Spawn
from tests.support import command, environment, host_pid, requires, wait_until

pytestmark = requires("root")

SLEEP = ("sh", "-c", "trap exit TERM; sleep 600 & wait")
NAMES = (
    "root", "mounts", "processes", "hostname", "interfaces", "uid_map", "gid_map", "ids", "capabilities", "seccomp",
    "no_new_privs", "cgroup", "limits", "clocks",
)  # fmt: skip


class Answer:
    """What `compare --json` says."""

    def __init__(self, text: str) -> None:
        self.all: dict[str, Any] = json.loads(text)
        self.namespaces = {each["name"]: each for each in self.all["namespaces"]}
        self.facts = {each["name"]: each for each in self.all["facts"]}

    def same(self) -> set[str]:
        """The kinds of namespaces that it calls the same."""
        return {kind for kind, each in self.namespaces.items() if each["same"] is True}

    def left(self, name: str) -> Any:
        return self.facts[name]["left"]


def ask(minicontainer: Run, *args: str | int) -> Answer:
    done = minicontainer("compare", *map(str, args), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return Answer(done.stdout)


@contextmanager
def process(*words: str | Path, ready: str = "") -> Iterator[int]:
    """A process with walls of its own, made without us; its pid, once it is called `ready`."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as started:
        try:
            assert wait_until(lambda: not ready or proc.status(started.pid).get("Name") == ready)
            yield started.pid
        finally:
            started.kill()


def inodes(pid: int | str) -> dict[str, int]:
    return {
        kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in ISOLATES if os.path.exists(f"/proc/self/ns/{kind}")
    }


# -- namespaces -------------------------------------------------------------------------------------

WALLS: dict[tuple[str, ...], set[str]] = {
    ("--network", "none"): {"user", "time"},
    ("--network", "none", "--userns", "auto"): {"time"},
    ("--network", "none", "--time-offset", "1h"): {"user"},
    ("--network", "host"): {"net", "user", "time"},
    ("--without", "net"): {"net", "user", "time"},
    ("--network", "none", "--without", "pid"): {"pid", "user", "time"},
    ("--network", "none", "--without", "uts"): {"uts", "user", "time"},
    ("--network", "none", "--without", "ipc"): {"ipc", "user", "time"},
    ("--network", "none", "--without", "cgroup"): {"cgroup", "user", "time"},
    ("--network", "none", "--without", "mounts"): {"mnt", "user", "time"},
    ("--only", "uts"): set(ISOLATES) - {"uts"},
}
"""Options of `run` -> the namespaces that the container shares with the host."""


@pytest.mark.parametrize("options", WALLS, ids=" ".join)
def test_different_exactly_where_the_kernel_has_two(
    options: tuple[str, ...], minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    program = ("sleep", "600") if "mounts" in options or "--only" in options else SLEEP
    spawn("run", "--name", "web", *options, rootfs, *program)
    pid = host_pid(state_root)
    answer = ask(minicontainer, "web")
    theirs, ours = inodes(pid), inodes("self")
    for kind, each in answer.namespaces.items():
        assert (each["left"], each["right"]) == (theirs[kind], ours[kind])
        assert each["same"] == (theirs[kind] == ours[kind])
        assert each["isolates"]
    assert answer.same() == WALLS[options] & set(ours)
    assert answer.all["left"]["pid"] == pid


def test_containers_that_share_a_network(minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "--name", "web", "--network", "none", rootfs, *SLEEP)
    host_pid(state_root)
    spawn("run", "--name", "sidecar", "--network", "container:web", rootfs, *SLEEP)
    host_pid(state_root, 1)
    answer = ask(minicontainer, "web", "sidecar")
    assert "net" in answer.same() and not answer.same() & {"mnt", "pid", "uts", "ipc", "cgroup"}
    assert answer.facts["interfaces"]["same"] is True
    assert [answer.all[side]["name"] for side in ("left", "right")] == ["web", "sidecar"]


@requires("command:unshare")
def test_any_process_not_only_ours(minicontainer: Run) -> None:
    with process("unshare", "--uts", "--ipc", "sh", "-c", "hostname far; exec sleep 600", ready="sleep") as pid:
        answer = ask(minicontainer, pid)
        assert set(answer.namespaces) - answer.same() == {"uts", "ipc"}
        assert answer.left("hostname") == "far"
        assert answer.facts["hostname"]["right"] == os.uname().nodename
        assert answer.all["left"] == {"name": "sleep", "pid": pid, "container": None}
        assert answer.facts["mounts"]["same"] is True and answer.facts["root"]["same"] is True
        assert ask(minicontainer, pid, pid).same() == set(answer.namespaces)


@requires("command:unshare")
def test_what_looks_alike_is_not_the_same(minicontainer: Run) -> None:
    """A copy of the mount table, and a second loopback, are others of their kind."""
    script = "ip link set lo up; exec sleep 600"
    words = ("unshare", "--mount", "--net", "sh", "-c", script)
    with process(*words, ready="sleep") as one, process(*words, ready="sleep") as other:
        answer = ask(minicontainer, one, other)
        mounts, links = answer.facts["mounts"], answer.facts["interfaces"]
        places = [[mount["target"] for mount in mounts[side]] for side in ("left", "right")]
        assert places[0] == places[1] and mounts["same"] is False
        assert links["left"] == links["right"] and links["same"] is False
        assert answer.facts["root"]["same"] is True


# -- what each sees ---------------------------------------------------------------------------------


@pytest.fixture
def web(spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path) -> int:
    """A container with most walls up; its pid on the host."""
    volume = f"{tmp_path}:/data:ro"
    options = ("--name", "web", "--hostname", "inside", "--userns", "auto", "--time-offset", "monotonic=2h,boottime=3h")
    spawn("run", *options, "-v", volume, "--security-opt", "no-new-privileges", "-u", "7:8", rootfs, *SLEEP)
    return host_pid(state_root)


def test_each_fact_is_the_kernels(minicontainer: Run, web: int, rootfs: Path, tmp_path: Path) -> None:
    answer = ask(minicontainer, "web")
    assert tuple(answer.facts) == NAMES
    status, place = proc.status(web), os.stat(f"/proc/{web}/root/")
    root = answer.left("root")
    assert (root["device"], root["inode"], root["fstype"]) == (place.st_dev, place.st_ino, "overlay")
    assert [m["target"] for m in answer.left("mounts")] == [m.target for m in proc.mounts(web)]
    data = next(m for m in answer.left("mounts") if m["target"] == "/data")
    assert data["read_only"] is True and data["part"].endswith(tmp_path.name)
    inside, outside, count = map(int, Path(f"/proc/{web}/uid_map").read_text().split())
    assert answer.left("uid_map") == [{"inside": inside, "outside": outside, "count": count}]
    groups = sorted(set(map(int, status["Groups"].split())) - {outside + 8})
    own = {"uid": outside + 7, "gid": outside + 8, "uid_inside": 7, "gid_inside": 8}
    assert answer.left("ids") == {**own, "groups": groups}
    for name, short in (("effective", "CapEff"), ("bounding", "CapBnd"), ("ambient", "CapAmb")):
        assert answer.left("capabilities")[name] == capability.names(int(status[short], 16))
    assert answer.left("capabilities")["effective"] == [] and "CAP_CHOWN" in answer.left("capabilities")["bounding"]
    assert answer.left("seccomp") == {"mode": "filter", "filters": int(status["Seccomp_filters"])}
    assert answer.left("no_new_privs") is True and answer.facts["no_new_privs"]["right"] is False
    assert answer.left("clocks") == {"monotonic": 7200, "boottime": 10800}
    assert f"0::{answer.left('cgroup')['path']}\n" in Path(f"/proc/{web}/cgroup").read_text()
    assert {name for name, each in answer.facts.items() if each["same"]} <= {"limits"}


def test_hostname_processes_and_addresses_are_those_inside(minicontainer: Run, web: int) -> None:
    answer = ask(minicontainer, "web")
    assert answer.left("hostname") == "inside"
    seen = {each["number"]: each for each in answer.left("processes")}
    assert {number: each["name"] for number, each in seen.items()} == {1: "sh", 2: "sleep"}
    assert seen[1]["pid"] == web
    everybody = {each["pid"] for each in answer.facts["processes"]["right"]}
    assert {each["pid"] for each in seen.values()} < everybody
    told = subprocess.run(["nsenter", "-t", str(web), "-n", "ip", "-j", "addr"], capture_output=True, check=True)
    links = {
        link["ifname"]: sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"])
        for link in json.loads(told.stdout)
    }
    assert {each["name"]: sorted(each["addresses"]) for each in answer.left("interfaces")} == links
    assert any(address.startswith("172.") for address in links["eth0"])


def test_nested_containers_are_seen_from_above(minicontainer: Run) -> None:
    """A pid namespace in a pid namespace: the outer one sees all, the inner one only its own."""
    script = "unshare --pid --fork --kill-child sleep 600 & wait"
    with process("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script, ready="unshare") as pid:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        assert wait_until(lambda: children.read_text())
        outer = int(children.read_text())
        answer = None

        def nested() -> bool:
            nonlocal answer
            answer = ask(minicontainer, outer)
            return [each["name"] for each in answer.left("processes")] == ["sh", "unshare", "sleep"]

        assert wait_until(nested)
        assert answer is not None
        assert [each["number"] for each in answer.left("processes")] == [1, 2, 3]
        inner = ask(minicontainer, answer.left("processes")[2]["pid"])
        assert [(each["number"], each["name"]) for each in inner.left("processes")] == [(1, "sleep")]


def test_a_chroot_is_another_root_in_the_same_mounts(minicontainer: Run, rootfs: Path) -> None:
    with process("chroot", rootfs, "/bin/sleep", "600", ready="sleep") as pid:
        answer = ask(minicontainer, pid)
        assert answer.same() == set(answer.namespaces)
        assert answer.facts["root"]["same"] is False
        assert answer.left("root")["path"] == str(rootfs)
        assert answer.left("mounts") == []


def test_what_the_kernel_shares(minicontainer: Run, web: int) -> None:
    kernel = ask(minicontainer, "web").all["kernel"]
    assert kernel["release"] == os.uname().release
    assert kernel["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert kernel["cpus"] == os.cpu_count()
    assert set(kernel) == {"release", "version", "boot_id", "clock", "modules", "cpus", "memory"}
    modules = Path("/proc/modules")
    assert kernel["modules"] == (len(modules.read_text().splitlines()) if modules.exists() else None)


@requires("command:mount")
def test_limits_of_version_1(minicontainer: Run, tmp_path: Path) -> None:
    """Where the pids controller is in a version 1 hierarchy, its limits are found there."""
    top = next((m.target for m in proc.mounts() if m.fstype == "cgroup" and "pids" in m.super_options.split(",")), "")
    if not top:
        pytest.skip("the pids controller is not in version 1 here")
    group = Path(top, f"compare-test-{os.getpid()}")
    group.mkdir()
    try:
        (group / "pids.max").write_text("77")
        with process("sh", "-c", f"echo $$ > {group}/cgroup.procs; exec sleep 600", ready="sleep") as pid:
            answer = ask(minicontainer, pid)
            assert answer.left("limits")["processes"] == 77
            assert any(
                "pids" in name and path == f"/{group.name}" for name, path in answer.left("cgroup")["others"].items()
            )
    finally:
        assert wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


# -- how it says so ---------------------------------------------------------------------------------


def test_piped_it_is_plain_lines(minicontainer: Run, web: int) -> None:
    done = minicontainer("compare", "web")
    assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["web,", "process", str(web), "|", "host,", "process", lines[0].split()[-1]]
    assert any(line.startswith("different hostname: inside | ") for line in lines)
    assert any(line.startswith(f"same      kernel: {os.uname().release}") for line in lines)
    assert len([line for line in lines if " namespace: " in line]) == len(inodes("self"))


@requires("command:script")
@pytest.mark.parametrize("columns", [80, 160])
def test_at_a_terminal_it_is_a_table(columns: int, minicontainer: Run, web: int) -> None:
    words = " ".join(command("compare", "web"))
    done = subprocess.run(
        ["script", "-qec", f"stty cols {columns}; {words}", "/dev/null"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment(TERM="xterm"), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "\x1b[32m≠" in done.stdout and "\x1b[33m=" in done.stdout
    assert "they share one kernel" in done.stdout


def test_a_picture(minicontainer: Run, web: int, tmp_path: Path) -> None:
    done = minicontainer("compare", "web", "--svg", tmp_path / "picture.svg", env=environment(COLUMNS="160"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = (tmp_path / "picture.svg").read_text()
    assert text.startswith("<svg ") and "inside" in text and "@font-face" not in text


def test_by_the_beginning_of_an_id(minicontainer: Run, web: int, state_root: Path) -> None:
    (id,) = os.listdir(state_root / "containers")
    assert ask(minicontainer, id[:10]).all["left"] == {"name": "web", "pid": web, "container": id}


def test_names_from_a_container_cannot_reach_the_terminal(
    minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    script = r"printf '\033[31mred' > /proc/$$/comm; trap exit TERM; sleep 600 & wait"
    spawn("run", "--name", "web", "--network", "none", rootfs, "sh", "-c", script)
    pid = host_pid(state_root)
    assert wait_until(lambda: "red" in Path(f"/proc/{pid}/comm").read_text())
    for words in (("compare", "web"), ("compare", str(pid)), ("compare", "web", "--json"), ("view", "--once")):
        done = minicontainer(*words)
        assert done.returncode == 0 and "[31mred" in done.stdout and "\x1b" not in done.stdout


# -- as an ordinary user ----------------------------------------------------------------------------

AS_USER = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
"""The interpreter of the tests may lie where only root can read; hence this one right."""


def as_user(*args: str | int, state: Path) -> subprocess.CompletedProcess[str]:
    words = [*AS_USER, *command("compare", *map(str, args))]
    env = environment(MINICONTAINER_ROOT=str(state))
    return subprocess.run(words, capture_output=True, text=True, env=env, timeout=60)


@requires("command:setpriv")
def test_an_ordinary_user_is_told_what_they_may_not_see(web: int, tmp_path: Path) -> None:
    done = as_user(web, "--json", state=tmp_path / "none")
    assert (done.returncode, done.stderr) == (0, "")
    answer = Answer(done.stdout)
    for each in answer.namespaces.values():
        assert each["left"] is None and each["same"] is None and each["right"]
    for name in ("processes", "hostname"):
        assert answer.left(name) is None and answer.facts[name]["same"] is None
    assert answer.left("root")["inode"] is None
    assert answer.left("no_new_privs") is True and answer.left("seccomp")["mode"] == "filter"
    assert answer.left("uid_map")[0]["count"] == 65536
    lines = as_user(web, state=tmp_path / "none").stdout.splitlines()
    assert any(line.startswith("hidden    hostname: not for you to see | ") for line in lines)
    assert lines[-1] == "What is hidden belongs to another user's process: sudo shows it."


@requires("command:setpriv", "userns")
def test_an_ordinary_user_sees_their_own(tmp_path: Path) -> None:
    script = "hostname mine; exec sleep 600"
    user = (*AS_USER[:4], "unshare", "--user", "--map-root-user", "--uts", "--net", "sh", "-c", script)
    with process(*user, ready="sleep") as pid:
        done = as_user(pid, "--json", state=tmp_path / "none")
        assert (done.returncode, done.stderr) == (0, "")
        answer = Answer(done.stdout)
        assert set(answer.namespaces) - answer.same() == {"user", "uts", "net"}
        assert answer.left("hostname") == "mine"
        assert answer.left("interfaces") == [{"name": "lo", "up": False, "addresses": []}]
        assert answer.left("ids")["uid_inside"] == 0


@pytest.fixture
def users_rootfs(rootfs: Path, state_root: Path, tmp_path: Path) -> Path:
    """A root filesystem of the user's, and a state folder that is theirs and that they can reach."""
    folder = tmp_path / "rootfs"
    shutil.copytree(rootfs, folder, symlinks=True)
    state_root.mkdir()
    subprocess.run(["chown", "-R", "65534:65534", folder, state_root], check=True)
    for above in (tmp_path, *tmp_path.parents):
        if above.is_relative_to("/tmp") and above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o111)
    return folder


@requires("command:setpriv", "userns")
def test_an_ordinary_users_own_container(users_rootfs: Path, state_root: Path) -> None:
    words = [*AS_USER, *command("run", "--name", "mine", "--network", "none", users_rootfs, *SLEEP)]
    with subprocess.Popen(words, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            pid = host_pid(state_root)
            done = as_user("mine", "--json", state=state_root)
            assert (done.returncode, done.stderr) == (0, "")
            answer = Answer(done.stdout)
            for kind, inode in inodes(pid).items():
                assert answer.namespaces[kind]["left"] == inode
            assert answer.same() == {"time"} & set(answer.namespaces)
            assert [each["number"] for each in answer.left("processes")] == [1, 2]
            assert answer.left("hostname") and answer.left("interfaces")[0]["addresses"]
            assert answer.left("ids")["uid_inside"] == 0 and answer.left("ids")["uid"] == 65534
            assert all(each["same"] is not None for each in answer.facts.values())
        finally:
            started.terminate()
            started.wait(10)


# -- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("nobody",), "no such container: nobody"),
        (("999999999",), "no such process or container: 999999999"),
        (("",), "no such container: "),
        ((str(os.getpid()), "nobody"), "no such container: nobody"),
        ((), "Missing argument"),
    ],
)
def test_errors_are_one_line(words: tuple[str, ...], cause: str, minicontainer: Run) -> None:
    done = minicontainer("compare", *words)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"minicontainer: {cause}") and done.stderr.count("\n") == 1


def test_a_zombie_has_nothing_to_compare(minicontainer: Run) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    assert wait_until(lambda: "Z" in proc.status(zombie.pid)["State"])
    done = minicontainer("compare", str(zombie.pid))
    zombie.wait()
    assert done.returncode == 125
    assert done.stderr.startswith(f"minicontainer: process {zombie.pid} has ended; ")


def test_a_container_that_does_not_run(minicontainer: Run, web: int, state_root: Path, tmp_path: Path) -> None:
    (id,) = os.listdir(state_root / "containers")
    copy = tmp_path / "other" / "containers" / id
    shutil.copytree(state_root / "containers" / id, copy, ignore=shutil.ignore_patterns("layer", "rootfs", "lower"))
    state = json.loads((copy / "state.json").read_text())
    (copy / "state.json").write_text(json.dumps({**state, "start_time": 1}))
    done = minicontainer("compare", "web", env=environment(MINICONTAINER_ROOT=str(tmp_path / "other")))
    assert done.returncode == 125
    assert done.stderr.startswith("minicontainer: container web is not running; ")
