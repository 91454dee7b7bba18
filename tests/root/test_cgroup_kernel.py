"""Control groups on the real kernel, by themselves: made, entered, frozen, killed, removed, and guarded by a program.

Works on a hybrid host too, where version 2 has no controllers: none of this needs one.
"""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minicontainer.errors import KernelError, UnsupportedError
from minicontainer.isolation import cgroup, devices
from minicontainer.linux import bpf, cgroup2, proc
from minicontainer.linux.process import CLONE_NEWCGROUP
from minicontainer.runtime.container import Container
from minicontainer.spec import Capabilities, DeviceRule, Linux, Namespace, Process, Spec
from tests.support import environment, requires, wait_until

pytestmark = requires("root", "cgroup2")

Born = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def group() -> Iterator[str]:
    """A group of this test's own."""
    path = f"{cgroup2.mount_point()}/minicontainer-test-{os.getpid()}/inner"
    cgroup2.make(path, cgroup2.mount_point())
    yield path
    if cgroup2.is_populated(path):
        cgroup2.kill(path)
    cgroup2.remove(path)


@pytest.fixture
def born() -> Iterator[Born]:
    """`born(group, code)` runs Python code in a process that is born in `group`, with clone3."""
    started: list[subprocess.Popen[str]] = []

    def start(group: str, code: str, flags: int = 0) -> subprocess.Popen[str]:
        script = f"""
            import os, sys
            from minicontainer.linux.process import clone3, unshare
            pid, _ = clone3({flags:#x}, os.open({group!r}, os.O_RDONLY))
            if pid:
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
        """
        script = textwrap.dedent(script) + textwrap.dedent(code)
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", script],
                text=True,
                env=environment(),
                stdout=subprocess.PIPE,
                stdin=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:  # the pipes are closed, not read to their end: the group's processes have them too
            pass


SLEEP = "os.execvp('sleep', ['sleep', '60'])"
FORK_AND_SLEEP = f"os.fork(); os.fork(); {SLEEP}"
COUNT = """
    import time
    while True:
        print("x", flush=True)
        time.sleep(0.002)
"""


def test_a_process_is_born_in_the_group(group: str, born: Born) -> None:
    born(group, SLEEP)
    assert wait_until(lambda: cgroup2.processes(group))
    (pid,) = cgroup2.processes(group)
    assert proc.read(f"/proc/{pid}/cgroup").splitlines()[-1] == "0::" + group.removeprefix(cgroup2.mount_point())
    assert cgroup2.group_of(pid) == group


def test_kill_reaches_all_descendants(group: str, born: Born) -> None:
    born(group, FORK_AND_SLEEP)
    assert wait_until(lambda: len(cgroup2.processes(group)) == 4)
    pids = cgroup2.processes(group)
    cgroup2.kill(group)
    assert not cgroup2.is_populated(group)
    assert not any(proc.start_time(pid) for pid in pids)


def test_kill_without_cgroup_kill(group: str, born: Born, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on kernels before 5.14."""
    born(group, FORK_AND_SLEEP)
    assert wait_until(lambda: len(cgroup2.processes(group)) == 4)
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not path.endswith("cgroup.kill") and exists(path))
    cgroup2.kill(group)
    assert not cgroup2.is_populated(group)


def test_freeze_stops_and_thaw_resumes(group: str, born: Born) -> None:
    text = born(group, COUNT).stdout
    assert text and text.readline() == "x\n"
    counter = io.FileIO(os.dup(text.fileno()))
    os.set_blocking(counter.fileno(), False)
    cgroup2.freeze(group)
    assert cgroup2.pairs(group, "cgroup.events")["frozen"] == 1
    counter.readall()  # what it had written by then
    assert not wait_until(counter.readall, 0.2)
    cgroup2.thaw(group)
    assert wait_until(counter.readall)
    counter.close()


def test_a_frozen_group_can_be_killed(group: str, born: Born) -> None:
    born(group, SLEEP)
    assert wait_until(lambda: cgroup2.processes(group))
    cgroup2.freeze(group)
    cgroup2.kill(group)
    assert not cgroup2.is_populated(group)


def test_wait_for_gives_up(group: str) -> None:
    assert not cgroup2.wait_for(group, "populated", 1, 0.05)


def test_remove_takes_nested_groups_and_the_parents_that_we_made(group: str) -> None:
    os.makedirs(f"{group}/a/b")
    cgroup2.remove(group)
    assert not os.path.exists(os.path.dirname(group))
    cgroup2.remove(group)


def test_remove_leaves_the_groups_of_others(group: str) -> None:
    parent = os.path.dirname(group)
    os.removexattr(parent, cgroup2.MARK)
    cgroup2.remove(group)
    assert os.listdir(parent)
    os.rmdir(parent)


def test_remove_leaves_a_parent_with_another_child(group: str) -> None:
    sibling = f"{os.path.dirname(group)}/sibling"
    os.mkdir(sibling)
    cgroup2.remove(group)
    assert os.path.isdir(sibling)
    cgroup2.remove(sibling)
    assert not os.path.exists(os.path.dirname(group))


def test_remove_does_not_kill(group: str, born: Born) -> None:
    born(group, SLEEP)
    assert wait_until(lambda: cgroup2.processes(group))
    with pytest.raises(KernelError, match="EBUSY"):
        cgroup2.remove(group)


def test_group_made_while_the_parent_is_removed() -> None:
    """Two processes that make and remove groups below one parent as fast as they can."""
    mount = cgroup2.mount_point()
    code = f"""
        import os
        from minicontainer.linux import cgroup2
        for _ in range(300):
            group = "{mount}/minicontainer-test-race/%d" % os.getpid()
            cgroup2.make(group, "{mount}")
            cgroup2.remove(group)
    """
    racers = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment()) for _ in range(2)]
    assert [racer.wait(60) for racer in racers] == [0, 0]
    assert not os.path.exists(f"{mount}/minicontainer-test-race")


# -- the namespace --------------------------------------------------------------------------------

SHOW = "print(open('/proc/self/cgroup').read().splitlines()[-1], flush=True)"


def test_cgroup_namespace_made_inside_hides_the_path(group: str, born: Born) -> None:
    output, _ = born(group, f"unshare({int(CLONE_NEWCGROUP):#x}); {SHOW}").communicate()
    assert output == "0::/\n"


def test_cgroup_namespace_made_by_the_clone_is_rooted_at_the_childs_group(group: str, born: Born) -> None:
    """And not at the parent's: the flags of clone3 work together."""
    output, _ = born(group, SHOW, int(CLONE_NEWCGROUP)).communicate()
    assert output == "0::/\n"


def test_without_the_namespace_the_path_shows(group: str, born: Born) -> None:
    output, _ = born(group, SHOW).communicate()
    assert output == f"0::{group.removeprefix(cgroup2.mount_point())}\n"


# -- devices --------------------------------------------------------------------------------------

FORBIDDEN = os.makedev(1, 11)  # kmsg
ALLOWED = os.makedev(1, 5)  # zero


def attack(node: Path, device: int) -> str:
    """Code that makes a device node and opens it, and tells how far it came."""
    return f"""
        import errno, stat
        os.mknod({str(node)!r}, stat.S_IFCHR | 0o600, {device})
        print("made", flush=True)
        try:
            os.close(os.open({str(node)!r}, os.O_RDONLY | os.O_NONBLOCK))
            print("opened", flush=True)
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)
    """


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "node"
    (tmp_path / "node").unlink(missing_ok=True)


def test_wall_down_a_made_node_opens_the_device(group: str, born: Born, node: Path) -> None:
    assert born(group, attack(node, FORBIDDEN)).communicate()[0].split() == ["made", "opened"]


def test_wall_up_it_does_not(group: str, born: Born, node: Path) -> None:
    devices.attach(group, devices.rules_of([]))
    assert born(group, attack(node, FORBIDDEN)).communicate()[0].split() == ["made", "EPERM"]


def test_wall_up_harmless_devices_open(group: str, born: Born, node: Path) -> None:
    devices.attach(group, devices.rules_of([]))
    assert born(group, attack(node, ALLOWED)).communicate()[0].split() == ["made", "opened"]


def test_a_device_that_was_asked_for_opens(group: str, born: Born, node: Path) -> None:
    asked = DeviceRule(allow=True, type="c", major=1, minor=11, access="r")
    devices.attach(group, devices.rules_of([DeviceRule(allow=False), asked]))
    assert born(group, attack(node, FORBIDDEN)).communicate()[0].split() == ["made", "opened"]


def test_making_nodes_can_be_denied(group: str, born: Born, node: Path) -> None:
    bpf_program = bpf.bpf_prog_load(bpf.device_program([]))
    directory = os.open(group, os.O_RDONLY)
    bpf.bpf_prog_attach(directory, bpf_program)
    os.close(directory)
    os.close(bpf_program)
    assert born(group, attack(node, ALLOWED)).communicate()[0].split() == []


def test_the_verifier_takes_many_rules(group: str, born: Born, node: Path) -> None:
    many: list[Any] = [(i % 2 == 0, "abc"[i % 3], i, None, ("r", "rw", "rwm")[i % 3]) for i in range(500)]
    devices.attach(group, [*many, *devices.rules_of([])])
    assert born(group, attack(node, FORBIDDEN)).communicate()[0].split() == ["made", "EPERM"]


def test_the_verifier_tells_what_it_does_not_like() -> None:
    with pytest.raises(KernelError) as raised:
        bpf.bpf_prog_load(bytes([0x95, 0, 0, 0, 0, 0, 0, 0]))  # exit without an answer
    assert raised.value.call == "bpf_prog_load" and "R0" in raised.value.remedy


# -- the feature ----------------------------------------------------------------------------------


@pytest.fixture
def container(state_root: Path) -> Iterator[Container]:
    spec = Spec(
        process=Process(capabilities=Capabilities(bounding=["CAP_MKNOD", "CAP_KILL"], permitted=["CAP_MKNOD"])),
        linux=Linux(namespaces=[Namespace(type="cgroup")]),
    )
    made = Container(f"test{os.getpid()}", spec, str(state_root / "containers" / "one"))
    made.create()
    yield made
    cgroup.Cgroup().after(made)
    for name in os.listdir(made.dir):
        os.unlink(made.path(name))
    os.rmdir(made.dir)


def test_feature_makes_the_group_and_another_process_removes_it(container: Container, born: Born) -> None:
    feature = cgroup.Cgroup()
    feature.before(container)
    group = f"{cgroup2.mount_point()}/minicontainer/{container.id}"
    assert os.path.isdir(group) and os.fstat(feature.cgroup_fd).st_ino == os.stat(group).st_ino
    born(group, FORK_AND_SLEEP)
    assert wait_until(lambda: len(cgroup2.processes(group)) == 4)
    feature.outside(container, 0)
    assert feature.cgroup_fd == -1
    later = Container.load(container.dir)
    cgroup.Cgroup().after(later)
    cgroup.Cgroup().after(later)
    assert not os.path.exists(group)


def test_a_group_with_processes_is_refused_and_left_alone(container: Container, group: str, born: Born) -> None:
    born(group, SLEEP)
    assert wait_until(lambda: cgroup2.processes(group))
    container.spec.linux.cgroups_path = group.removeprefix(cgroup2.mount_point())
    with pytest.raises(cgroup.StateError, match="there are processes"):
        cgroup.Cgroup().before(container)
    cgroup.Cgroup().after(container)
    assert cgroup2.is_populated(group)


def test_after_does_not_kill_in_a_group_that_is_not_ours(container: Container, group: str, born: Born) -> None:
    born(group, SLEEP)
    assert wait_until(lambda: cgroup2.processes(group))
    os.removexattr(group, cgroup2.MARK)
    container.save(cgroup=group)
    cgroup.Cgroup().after(container)
    assert cgroup2.is_populated(group)


def test_devices_feature_guards_the_group(container: Container, born: Born, node: Path) -> None:
    cgroup.Cgroup().before(container)
    devices.Devices().before(container)
    assert born(container.record["cgroup"], attack(node, FORBIDDEN)).communicate()[0].split() == ["made", "EPERM"]
    assert "warnings" not in container.record


def test_devices_feature_without_a_group_drops_mknod(container: Container) -> None:
    devices.Devices().before(container)
    for made in (container, Container.load(container.dir)):
        capabilities = made.spec.process.capabilities
        assert capabilities and capabilities.bounding == ["CAP_KILL"] and capabilities.permitted == []
        assert "CAP_MKNOD dropped" in made.record["warnings"][0] and made.record["nodev"]


def test_devices_feature_in_a_user_namespace_goes_without(container: Container) -> None:
    container.spec.linux.namespaces.append(Namespace(type="user"))
    devices.Devices().before(container)
    assert container.spec.process.capabilities and "CAP_MKNOD" in container.spec.process.capabilities.bounding


def test_a_device_node_can_be_made_and_used_here(tmp_path: Path) -> None:
    """The pair's ground: here mknod works at all, and the file system takes device nodes."""
    path = tmp_path / "null"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert path.read_bytes() == b""
    path.unlink()


# -- controllers ----------------------------------------------------------------------------------


@pytest.mark.skipif(cgroup.available("memory"), reason="version 2 has the memory controller here")
def test_a_limit_that_cannot_be_kept_is_refused(container: Container) -> None:
    container.spec.linux.resources.memory.limit = 64 << 20
    with pytest.raises(UnsupportedError) as raised:
        cgroup.Cgroup().before(container)
    assert "memory" in raised.value.cause and "minicontainer lab" in raised.value.remedy
    if v1 := [m for m in proc.mounts() if m.fstype == "cgroup" and "memory" in m.super_options.split(",")]:
        assert f"bound to cgroup v1 at {v1[0].target}" in raised.value.cause
        assert "systemd.unified_cgroup_hierarchy=1" in raised.value.remedy
    assert "cgroup" not in container.record


def test_no_limit_is_no_reason_to_refuse(container: Container) -> None:
    container.spec.linux.resources.memory.limit = -1
    cgroup.Cgroup().before(container)
    assert os.path.isdir(container.record["cgroup"])


# -- without root ---------------------------------------------------------------------------------

NOBODY = 65534
AS_NOBODY = f"""
    from minicontainer.linux import cgroup2
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
    top = cgroup2.top()
    print(top or "none", flush=True)
    if top:
        cgroup2.make(top + "/minicontainer/abc", top)
        pid, _ = clone3(0, os.open(top + "/minicontainer/abc", os.O_RDONLY))
        if pid == 0:
            print(cgroup2.group_of(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        cgroup2.remove(top + "/minicontainer/abc")
"""


def test_an_ordinary_user_has_no_group(group: str, born: Born) -> None:
    assert born(group, AS_NOBODY).communicate()[0] == "none\n"


def test_an_ordinary_user_has_what_was_delegated(group: str, born: Born) -> None:
    inner = f"{group}/session"
    os.mkdir(inner)
    for file in ("", "cgroup.procs", "cgroup.subtree_control"):
        os.chown(f"{group}/{file}", NOBODY, NOBODY)
    output, _ = born(inner, AS_NOBODY).communicate()
    assert output.split() == [group, f"{group}/minicontainer/abc"]
    assert not os.path.exists(f"{group}/minicontainer")
