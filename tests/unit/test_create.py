"""From options to the OCI spec: Docker's defaults, and what each option changes in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicontainer import defaults
from minicontainer.cli.quick import parse_options
from minicontainer.engine import create, namespaces
from minicontainer.engine.options import Options
from minicontainer.errors import CommandNotFound, MinicontainerError, SpecError, UsageError
from minicontainer.isolation import user
from minicontainer.linux import cgroup2
from minicontainer.runtime.container import Container, new_id
from minicontainer.spec import DeviceRule, Namespace, Spec
from tests.support import environment

ID = "0123456789abcdef" * 4
SIX = ["mount", "pid", "ipc", "uts", "cgroup", "network"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a few accounts; and whoever runs the tests, the spec is root's."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("MINICONTAINER_ROOT", str(tmp_path / "state"))
    etc = tmp_path / "root/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:Web:/srv/web:/bin/false\nbad\nodd:x:x:y::/:\n7:x:70:70::/seven:\n"
    )
    (etc / "group").write_text("root:x:0:\nwheel:x:10:root,web\nlogs:x:50:web\nempty:x:51:\n")
    return tmp_path / "root"


def build(root: Path, words: str = "", *command: str) -> Spec:
    """The spec for `minicontainer run WORDS ROOT COMMAND`."""
    return create.build_spec(parse_options([*words.split(), str(root), *command]), str(root), ID)


def kinds(spec: Spec) -> list[str]:
    return [n.type for n in spec.linux.namespaces]


# -- defaults -----------------------------------------------------------------------------------


def test_defaults(root: Path) -> None:
    spec = build(root)
    assert spec.root.path == str(root) and not spec.root.readonly
    assert spec.process.args == ["/bin/sh"]
    assert spec.process.cwd == "/"
    assert spec.process.env == [f"PATH={defaults.PATH}", f"HOSTNAME={ID[:12]}", "HOME=/root"]
    assert spec.hostname == ID[:12]
    assert kinds(spec) == SIX and not any(n.path for n in spec.linux.namespaces)
    assert not spec.process.no_new_privileges
    assert spec.minicontainer.network.mode == "bridge"
    assert spec.minicontainer.overlay and not spec.minicontainer.overlay.keep
    assert spec.linux.resources.devices[0] == DeviceRule(allow=False), "first of all, every device is refused"


def test_default_capabilities_are_dockers_fourteen(root: Path) -> None:
    held = build(root).process.capabilities
    assert held and held.bounding == held.effective == held.permitted
    assert held.inheritable == held.ambient == []
    from minicontainer.linux.capability import NAMES

    assert sum(1 << NAMES.index(name) for name in held.bounding) == 0xA80425FB


def test_default_mounts_and_masks(root: Path) -> None:
    spec = build(root)
    places = {m.destination: m for m in spec.mounts}
    assert list(places) == ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]
    assert "ro" in places["/sys"].options and "ro" in places["/sys/fs/cgroup"].options
    assert "size=67108864" in places["/dev/shm"].options
    assert {"/proc/kcore", "/proc/keys", "/proc/interrupts", "/sys/firmware"} <= set(spec.linux.masked_paths)
    assert spec.linux.readonly_paths == ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    assert [d.path for d in spec.linux.devices] == [
        f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")
    ]


def test_it_survives_json(root: Path, tmp_path: Path) -> None:
    spec = build(
        root, "-m 64m -p 80:80 --ulimit nofile=5 --time-offset +1h --tmpfs /x -l a=b --device /dev/null:/dev/n"
    )
    spec.save(str(tmp_path / "config.json"))
    assert Spec.load(str(tmp_path / "config.json")) == spec


# -- the process --------------------------------------------------------------------------------


def test_command_and_entrypoint(root: Path) -> None:
    assert build(root, "", "ls", "-l").process.args == ["ls", "-l"]
    assert build(root, "--entrypoint /bin/echo", "a").process.args == ["/bin/echo", "a"]
    assert build(root, "--entrypoint /bin/echo").process.args == ["/bin/echo"]
    assert build(root, "--entrypoint=", "a").process.args == ["a"]
    with pytest.raises(CommandNotFound, match="empty"):
        build(root, "", "")


def test_environment(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("\ufeff# a comment\n\n  A=1\nB= two words \r\nHERE\nNOT_HERE\nC=from file\n")
    monkeypatch.setenv("HERE", "yes")
    monkeypatch.delenv("NOT_HERE", raising=False)
    env = build(root, f"-t --env-file {file} -e C=3 -e D -e HOME=/x -e PATH").process.env
    assert dict(entry.split("=", 1) for entry in env) == {
        "PATH": os.environ["PATH"],
        "HOSTNAME": ID[:12],
        "TERM": "xterm",
        "ENV": "/etc/profile",
        "HOME": "/x",
        "A": "1",
        "B": " two words ",
        "HERE": "yes",
        "C": "3",
    }


@pytest.mark.parametrize("text", ["=x\n", "A B=c\n", "A B\n", "A=\0\n", "\xff"])
def test_bad_environment_file(root: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "env").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="--env-file"):
        build(root, f"--env-file {tmp_path}/env")


def test_a_variable_without_value_here_is_taken_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    assert not any(entry.startswith("HOME=") for entry in build(root, "-e HOME").process.env)


def test_terminal(root: Path) -> None:
    assert build(root, "-t").process.terminal
    assert not build(root, "-i").process.terminal


USERS = (
    # --user, uid, gid, groups, home
    ("root", 0, 0, [0, 10], "/root"),
    ("0", 0, 0, [0, 10], "/root"),
    ("web", 33, 44, [44, 10, 50], "/srv/web"),
    ("33", 33, 44, [44, 10, 50], "/srv/web"),
    ("web:logs", 33, 50, [50], "/srv/web"),
    ("web:7", 33, 7, [7], "/srv/web"),
    ("1234", 1234, 0, [0], "/"),
    ("1234:5678", 1234, 5678, [5678], "/"),
    ("7", 70, 70, [70], "/seven"),
)


@pytest.mark.parametrize("who, uid, gid, groups, home", USERS)
def test_user(root: Path, who: str, uid: int, gid: int, groups: list[int], home: str) -> None:
    process = build(root, f"-u {who}").process
    assert (process.user.uid, process.user.gid, process.user.additional_gids) == (uid, gid, groups)
    assert f"HOME={home}" in process.env


def test_group_add(root: Path) -> None:
    assert build(root, "-u web --group-add empty --group-add 9 --group-add 10").process.user.additional_gids == [
        44, 10, 50, 51, 9,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words", ["-u nobody", "-u web:nobody", "-u odd", "--group-add nobody", "-u 4294967295", "-u -1"]
)
def test_unknown_user(root: Path, words: str) -> None:
    with pytest.raises(UsageError, match=r"there is no (user|group)"):
        build(root, words)


@pytest.mark.parametrize("trap", ["absolute link", "relative link", "pipe", "device", "folder", "missing"])
def test_a_hostile_passwd_is_not_followed(root: Path, trap: str) -> None:
    (root / "etc/passwd").unlink()
    outside = root.parent / "secret"
    outside.write_text("web:x:1:1::/:\n")
    match trap:
        case "absolute link":
            (root / "etc/passwd").symlink_to(outside)
        case "relative link":
            (root / "etc/passwd").symlink_to("../../secret")
        case "pipe":
            os.mkfifo(root / "etc/passwd")
        case "device":
            (root / "etc/passwd").symlink_to("/dev/zero")
        case "folder":
            (root / "etc/passwd").mkdir()
    with pytest.raises(UsageError, match="no user 'web'"):
        build(root, "-u web")


def test_links_inside_the_root_are_followed(root: Path) -> None:
    (root / "etc/passwd").rename(root / "accounts")
    (root / "etc/passwd").symlink_to("/accounts")
    assert build(root, "-u web").process.user.uid == 33


def test_ulimits_and_scores(root: Path) -> None:
    process = build(root, "--ulimit nofile=5:6 --ulimit core=0 --ulimit nofile=7 --oom-score-adj -500").process
    assert [(r.type, r.soft, r.hard) for r in process.rlimits] == [("RLIMIT_NOFILE", 7, 7), ("RLIMIT_CORE", 0, 0)]
    assert process.oom_score_adj == -500


def test_what_the_specification_has_no_words_for(root: Path, tmp_path: Path) -> None:
    spec = build(root, f"--name web1 --init -l a=b -l c --annotation x=y --stop-signal INT --keep {tmp_path}/kept")
    ours = spec.minicontainer
    assert (ours.name, ours.init, ours.labels, ours.stop_signal) == ("web1", True, {"a": "b", "c": ""}, "SIGINT")
    assert ours.overlay and ours.overlay.keep == f"{tmp_path}/kept"
    assert spec.annotations == {"x": "y"}


# -- rights -------------------------------------------------------------------------------------

CAPABILITIES = (
    ("--cap-drop ALL", set()),
    ("--cap-drop ALL --cap-add CHOWN", {"CAP_CHOWN"}),
    ("--cap-add CHOWN --cap-drop ALL", {"CAP_CHOWN"}),
    ("--cap-add NET_ADMIN", {*defaults.CAPABILITIES, "CAP_NET_ADMIN"}),
    ("--cap-drop MKNOD --cap-drop KILL", set(defaults.CAPABILITIES) - {"CAP_MKNOD", "CAP_KILL"}),
    ("--hardened", set()),
    ("--hardened --cap-add CHOWN", {"CAP_CHOWN"}),
)


@pytest.mark.parametrize("words, expected", CAPABILITIES)
def test_capabilities(root: Path, words: str, expected: set[str]) -> None:
    held = build(root, words).process.capabilities
    assert held and set(held.bounding) == expected


def test_all_capabilities_but_some(root: Path) -> None:
    everything = build(root, "--privileged").process.capabilities
    most = build(root, "--cap-add ALL --cap-drop SYS_ADMIN").process.capabilities
    assert everything and most
    assert set(everything.bounding) - set(most.bounding) == {"CAP_SYS_ADMIN"}
    assert len(everything.bounding) > 30


def test_privileged(root: Path) -> None:
    spec = build(root, "--privileged")
    assert spec.linux.seccomp is None and not spec.linux.masked_paths and not spec.linux.readonly_paths
    assert not any("ro" in m.options for m in spec.mounts if m.type in ("sysfs", "cgroup"))
    assert [r.allow for r in spec.linux.resources.devices] == [True]
    assert any(d.path == "/dev/full" for d in spec.linux.devices)
    assert len({d.path for d in spec.linux.devices}) == len(spec.linux.devices)


def test_hardened(root: Path) -> None:
    spec = build(root, "--hardened")
    assert spec.process.no_new_privileges and spec.root.readonly
    assert kinds(spec) == [*SIX, "user"]
    assert spec.linux.uid_mappings[0].host_id >= 100000 and spec.linux.uid_mappings[0].size == 65536
    assert spec.minicontainer.network.mode == "none"
    places = {m.destination: m.type for m in spec.mounts}
    assert places["/tmp"] == places["/run"] == "tmpfs"


def test_hardened_can_be_eased_by_name(root: Path) -> None:
    spec = build(root, "--hardened --userns host --network bridge --security-opt no-new-privileges=false -v /tmp:/run")
    assert kinds(spec) == SIX
    assert spec.minicontainer.network.mode == "bridge"
    assert not spec.process.no_new_privileges
    assert [m.type for m in spec.mounts if m.destination == "/run"] == ["bind"]


def test_no_new_privileges(root: Path) -> None:
    assert build(root, "--security-opt no-new-privileges").process.no_new_privileges


def test_devices(root: Path) -> None:
    spec = build(root, "--device /dev/null:/dev/mine:r")
    made = spec.linux.devices[-1]
    assert (made.path, made.type, made.major, made.minor) == ("/dev/mine", "c", 1, 3)
    rule = spec.linux.resources.devices[-1]
    assert (rule.allow, rule.type, rule.major, rule.minor, rule.access) == (True, "c", 1, 3, "r")


def test_devices_in_a_user_namespace_are_bound(root: Path) -> None:
    spec = build(root, "--userns auto --device /dev/null:/dev/mine")
    assert [(m.type, m.source) for m in spec.mounts if m.destination == "/dev/mine"] == [("bind", "/dev/null")]
    assert "/dev/mine" not in [d.path for d in spec.linux.devices]


def test_a_directory_of_devices(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no device"):
        build(root, f"--device {tmp_path}")


# -- limits -------------------------------------------------------------------------------------


def test_limits(root: Path) -> None:
    to = build(
        root, "-m 64m --memory-reservation 32m --cpus 0.5 -c 512 --pids-limit 10 --blkio-weight 20"
    ).linux.resources
    assert (to.memory.limit, to.memory.swap, to.memory.reservation) == (64 << 20, 128 << 20, 32 << 20)
    assert (to.cpu.quota, to.cpu.period, to.cpu.shares) == (50_000, 100_000, 512)
    assert to.pids and to.pids.limit == 10
    assert to.block_io.weight == 20


def test_unlimited(root: Path) -> None:
    to = build(root, "-m 64m --memory-swap -1 --pids-limit -1").linux.resources
    assert to.memory.swap == -1 and to.pids and to.pids.limit == -1


def test_limits_by_default_only_where_they_can_be_had(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup2, "top", lambda: "/somewhere")
    monkeypatch.setattr(cgroup2, "controllers", lambda group: ["pids", "memory"])
    usual, hardened = build(root).linux.resources, build(root, "--hardened").linux.resources
    assert usual.pids and usual.pids.limit == defaults.PIDS_LIMIT and usual.memory.limit is None
    assert hardened.pids and hardened.pids.limit == defaults.HARDENED_PIDS_LIMIT
    assert hardened.memory.limit == defaults.HARDENED_MEMORY
    monkeypatch.setattr(cgroup2, "controllers", lambda group: [])
    assert build(root).linux.resources.pids is None


def test_cgroup_parent_stays_below_the_top(root: Path) -> None:
    assert build(root, "--cgroup-parent ../../a/../b").linux.cgroups_path == f"/b/{ID}"


# -- network and namespaces ---------------------------------------------------------------------


def test_network(root: Path) -> None:
    to = build(
        root, "-p 8080:80 -p 53/udp --dns 1.1.1.1 --dns-search a.b --dns-option x --add-host h:::1"
    ).minicontainer.network
    assert [(p.host_port, p.container_port, p.protocol) for p in to.ports] == [(8080, 80, "tcp"), (0, 53, "udp")]
    assert (to.dns, to.dns_search, to.dns_options, to.hosts) == (["1.1.1.1"], ["a.b"], ["x"], ["h:::1"])


def test_network_settings_only_in_an_own_network(root: Path) -> None:
    assert build(root).linux.sysctl == dict(defaults.SYSCTLS)
    assert build(root, "--network host").linux.sysctl == {}
    assert build(root, "--without net").linux.sysctl == {}
    assert build(root, "--sysctl net.ipv4.ip_unprivileged_port_start=9").linux.sysctl[
        "net.ipv4.ip_unprivileged_port_start"
    ] == "9"  # fmt: skip


SHARED = (
    ("--network host", "network"),
    ("--pid host", "pid"),
    ("--ipc host", "ipc"),
    ("--uts host", "uts"),
    ("--cgroupns host", "cgroup"),
    ("--without net", "network"),
    ("--without pid", "pid"),
)


@pytest.mark.parametrize("words, kind", SHARED)
def test_sharing_the_hosts(root: Path, words: str, kind: str) -> None:
    spec = build(root, words)
    assert kinds(spec) == [k for k in SIX if k != kind]


def test_with_the_hosts_name_there_is_none_in_the_spec(root: Path) -> None:
    spec = build(root, "--uts host")
    assert spec.hostname == "" and f"HOSTNAME={os.uname().nodename}" in spec.process.env


def test_shared_memory_goes_with_ipc(root: Path) -> None:
    def shm(words: str) -> list[tuple[str, str]]:
        return [(m.type, m.source) for m in build(root, words).mounts if m.destination == "/dev/shm"]

    assert shm("--ipc private") == shm("--ipc shareable") == [("tmpfs", "shm")]
    assert shm("--ipc host") == [("bind", "/dev/shm")]
    assert shm("--ipc none") == []
    assert "size=1048576" in next(m for m in build(root, "--shm-size 1m").mounts if m.destination == "/dev/shm").options


def test_user_namespace(root: Path) -> None:
    spec = build(root, "--userns 200000:300000:1000")
    assert kinds(spec) == [*SIX, "user"]
    assert [(m.container_id, m.host_id, m.size) for m in spec.linux.uid_mappings] == [(0, 200000, 1000)]
    assert [(m.container_id, m.host_id, m.size) for m in spec.linux.gid_mappings] == [(0, 300000, 1000)]
    assert "net.ipv4.ping_group_range" not in spec.linux.sysctl


def test_in_a_user_namespace_the_hosts_proc_and_sys_are_borrowed(root: Path) -> None:
    spec = build(root, "--userns auto --pid host --network host")
    places = {m.destination: (m.type, m.source) for m in spec.mounts}
    assert places["/proc"] == ("bind", "/proc") and places["/sys"] == ("bind", "/sys")


def test_an_ordinary_user_gets_a_user_namespace(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    spec = build(root)
    assert "user" in kinds(spec) and spec.minicontainer.rootless
    for words in ("--userns host", "--userns 1:2:3", "--without user"):
        with pytest.raises(UsageError, match=r"root's rights"):
            build(root, words)


def test_with_a_single_id_there_are_no_groups(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(user, "subordinate_ids", lambda kind: None)
    assert build(root).process.user.additional_gids == []
    with pytest.raises(UsageError, match="--group-add"):
        build(root, "--group-add wheel")


def test_time_offset(root: Path) -> None:
    spec = build(root, "--time-offset +1h")
    offsets = spec.linux.time_offsets
    assert kinds(spec) == [*SIX, "time"]
    assert offsets.monotonic and offsets.boottime and offsets.monotonic.secs == offsets.boottime.secs == 3600


def other(spec: Spec) -> Container:
    """A container that "runs": its process is this one."""
    from minicontainer.linux.proc import start_time
    from minicontainer.runtime.container import state_root

    spec.minicontainer.name = "other"
    container = Container(new_id(), spec, "")
    container.dir = os.path.join(state_root(), "containers", container.id)
    container.create()
    container.save(pid=os.getpid(), start_time=start_time(os.getpid()), status="running")
    return container


def test_joining_another_container(root: Path) -> None:
    other(Spec())
    spec = build(root, "--network container:other --pid container:other --ipc container:other")
    paths = {n.type: n.path for n in spec.linux.namespaces}
    assert paths["network"] == f"/proc/{os.getpid()}/ns/net"
    assert paths["pid"] == f"/proc/{os.getpid()}/ns/pid"
    assert paths["ipc"] == f"/proc/{os.getpid()}/ns/ipc"
    assert paths["uts"] == "" and "user" not in paths
    assert spec.minicontainer.network.mode == "container:other" and spec.linux.sysctl == {}


def test_joining_means_its_user_namespace_too(root: Path) -> None:
    theirs = Spec()
    theirs.linux.namespaces = [Namespace(type="user")]
    other(theirs)
    spec = build(root, "--network container:other")
    assert spec.namespace("user") == Namespace(type="user", path=f"/proc/{os.getpid()}/ns/user")


def test_a_user_namespace_cannot_join_one_without(root: Path) -> None:
    other(Spec())
    with pytest.raises(UsageError, match="user namespace"):
        build(root, "--network container:other --userns auto")


def test_a_container_that_ended_cannot_be_joined(root: Path) -> None:
    other(Spec()).save(pid=0)
    with pytest.raises(MinicontainerError, match="not running"):
        build(root, "--pid container:other")
    with pytest.raises(MinicontainerError, match="no such container"):
        build(root, "--pid container:nobody")


# -- walls --------------------------------------------------------------------------------------


def test_walls(root: Path) -> None:
    assert build(root, "--without net,seccomp").minicontainer.without == ["net", "seccomp"]
    assert kinds(build(root, "--only uts,pid")) == ["pid", "uts"]
    assert "root" in build(root, "--without mounts").minicontainer.without, "it cannot stand alone"


def test_each_option_of_a_wall_exists() -> None:
    from minicontainer.isolation import order

    assert set(namespaces.OPTIONS_OF_WALL) <= set(order.names())
    assert {field for fields in namespaces.OPTIONS_OF_WALL.values() for field in fields} <= set(vars(Options()))


WALL_NEEDED = (
    "--without cgroup -m 64m",
    "--without cgroup --pids-limit 5",
    "--without net -p 80",
    "--without uts -h name",
    "--only pid --time-offset 1h",
    "--without filesystems -v /tmp:/a",
    "--without root --read-only",
    "--without mounts --keep /tmp/kept",
    "--without user --userns auto",
    "--only net --cap-add CHOWN",
)


@pytest.mark.parametrize("words", WALL_NEEDED)
def test_an_option_whose_wall_is_down_is_refused(root: Path, words: str) -> None:
    with pytest.raises(UsageError, match="needs the wall"):
        build(root, words)


def test_unknown_wall(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no wall 'secomp'; did you mean seccomp\?"):
        build(root, "--without secomp")


def test_what_falls_is_said(root: Path) -> None:
    def said(words: str) -> str:
        options = parse_options([*words.split(), str(root)])
        return " ".join(create.notes(create.build_spec(options, str(root), ID), options))

    assert said("") == ""
    assert "walls down: net, pid" in said("--without pid,net")
    assert "--privileged" in said("--privileged")
    assert "--publish means nothing" in said("--network host -p 80:80")


# -- contradictions -----------------------------------------------------------------------------

CONTRADICTIONS = (
    "--privileged --hardened",
    "--privileged --userns auto",
    "--only net --without pid",
    "--cpus 1 --cpu-quota 5000",
    "--cpus 1 --cpu-period 5000",
    "--cpus 0.001",
    "--cpus 100000",
    "-m 1m",
    "--memory-swap 64m",
    "-m 64m --memory-swap 32m",
    "-m 64m --memory-reservation 128m",
    "--cpuset-cpus 4000",
    "--cpuset-mems 4000",
    "--network none -p 80",
    "--hardened -p 80",
    "--uts host -h name",
    "--uts host --domainname name",
    "--network host --sysctl net.core.somaxconn=1",
    "--ipc host --sysctl kernel.msgmax=1",
    "--without ipc --sysctl fs.mqueue.msg_max=1",
    "--network container:x -p 80",
    "--network container:x --dns 1.1.1.1",
    "--network container:x --hostname name",
    "--init --pid host",
    "--time-offset=-50000d",
    "--keep /proc/nowhere/kept",
    "--keep /dev/null",
    "--tmpfs /a --tmpfs /a",
    "--tmpfs /a -v /tmp:/a",
    "--mount type=bind,source=/nowhere,target=/a",
    "--device /dev/nowhere",
    "--device /etc/passwd",
    "--device-read-bps /nowhere:1m",
    "--device-write-iops /dev/null:1",
    "--env-file /nowhere",
)


@pytest.mark.parametrize("words", CONTRADICTIONS)
def test_contradiction(root: Path, words: str) -> None:
    with pytest.raises((UsageError, SpecError)) as caught:
        build(root, words)
    assert caught.value.cause
    assert caught.value.remedy


@pytest.mark.parametrize("keep", [".", "root", "root/kept"])
def test_kept_changes_and_root_stay_apart(root: Path, monkeypatch: pytest.MonkeyPatch, keep: str) -> None:
    monkeypatch.chdir(root.parent)
    with pytest.raises(UsageError, match="lie in each other"):
        build(root, f"--keep {keep}")


# -- volumes ------------------------------------------------------------------------------------


def test_a_volume_takes_the_place_of_a_default_mount(root: Path) -> None:
    spec = build(root, "--tmpfs /dev/shm:size=1m")
    assert [m.options for m in spec.mounts if m.destination == "/dev/shm"] == [
        ["noexec", "nosuid", "nodev", "size=1048576"]
    ]


def test_an_own_dev_replaces_all_of_it(root: Path) -> None:
    spec = build(root, "-v /dev:/dev")
    assert [m.destination for m in spec.mounts if m.destination.startswith("/dev")] == ["/dev"]


def test_outer_mounts_come_first(root: Path) -> None:
    spec = build(root, "--tmpfs /a/b/c --tmpfs /a/b --tmpfs /a")
    assert [m.destination for m in spec.mounts[-3:]] == ["/a", "/a/b", "/a/b/c"]


def test_a_missing_source_is_made_last(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build(root, f"-v {tmp_path}/new/deep:/a --device /dev/nowhere")
    assert not (tmp_path / "new").exists()
    build(root, f"-v {tmp_path}/new/deep:/a")
    assert (tmp_path / "new/deep").is_dir()


def test_a_source_that_links_to_nothing(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="link to nothing"):
        build(root, f"-v {tmp_path}/link:/a")
    assert not (tmp_path / "nowhere").exists()


def test_a_source_that_cannot_be_made(root: Path) -> None:
    with pytest.raises(UsageError, match="cannot make"):
        build(root, "-v /proc/nowhere:/a")


# -- names --------------------------------------------------------------------------------------


def test_a_name_has_one_container(root: Path) -> None:
    first = other(Spec())
    with pytest.raises(MinicontainerError, match="the name other is taken"):
        other(Spec())
    for path in Path(first.dir).iterdir():
        path.unlink()
    Path(first.dir).rmdir()
    other(Spec())


def test_a_hundred_racers_for_one_name(root: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from minicontainer.runtime.container import Container, new_id, state_root\n"
        "from minicontainer.errors import StateError\n"
        "from minicontainer.spec import Spec\n"
        "won = 0\n"
        "for turn in range(25):\n"
        "    spec = Spec()\n"
        "    spec.minicontainer.name = f'name{turn}'\n"
        "    id = new_id()\n"
        "    try:\n"
        "        Container(id, spec, os.path.join(state_root(), 'containers', id)).create()\n"
        "        won += 1\n"
        "    except StateError:\n"
        "        pass\n"
        "print(won)\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment())
        for _ in range(4)
    ]
    assert sum(int(racer.communicate()[0]) for racer in racers) == 25
