"""`run --as-shell`: the script makes the same container as the command, as seen from outside, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicontainer.isolation import order
from minicontainer.linux import cgroup2, proc
from tests.conftest import Run, Spawn
from tests.network import HOST, Place, other_host
from tests.shells import PROGRAM, both, facts, known, running, script, shellcheck, without_us
from tests.support import command, environment, host_pid, requires, wait_until

pytestmark = requires("root", "command:shellcheck")

ALWAYS = ["a root that is nodev", "no CAP_MKNOD", "no filter of system calls"]
"""The differences of a container without a user namespace, from the command's."""

IDS = "--userns=1900000000:1900000000:65536"


USER = 54321
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # the tests' Python may be root's alone


def readable(folder: Path) -> None:
    """Let everybody reach what is in the folder."""
    for each in [folder, *folder.parents]:
        if each != Path("/tmp") and each.is_relative_to("/tmp"):
            each.chmod(each.stat().st_mode | 0o111)


@pytest.fixture(autouse=True)
def no_folder_left() -> Iterator[None]:
    before = set(Path("/tmp").glob("container-*"))
    yield
    assert set(Path("/tmp").glob("container-*")) <= before


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with a name that a shell could stumble over, and a file in it."""
    folder = tmp_path / 'it\'s a "folder" $(id)\n`x` \\ *'
    folder.mkdir()
    (folder / "file").write_text("hello\n")
    return folder


# -- the same container -------------------------------------------------------------------------

CASES = {
    "a bridge and ports": ("-p 40080:80 -p 40053:53/udp --add-host db:10.0.0.7 --dns 192.0.2.53", ALWAYS),
    "no network": ("--network none", ALWAYS),
    "the host's network": ("--network host", ALWAYS),
    "read-only": ("--network none --read-only --tmpfs /scratch:size=1m,mode=1777 --shm-size 1m", ALWAYS),
    "a user": ("--network none -u 1000:1001 --group-add 7 -w /srv/new", ALWAYS),
    "a user by name": ("--network none -u nobody -w /root", ALWAYS),
    "capabilities": ("--network none --cap-add NET_ADMIN --cap-drop CHOWN", ALWAYS),
    "no capabilities": ("--network none --cap-drop ALL", ["a root that is nodev", "no filter of system calls"]),
    "no new privileges": ("--network none --security-opt no-new-privileges", ALWAYS),
    "names": ("--network none -h box --domainname example.org", ALWAYS),
    "an underscore in the name": ("--network none -h b_x", ALWAYS),
    "limits of the process": ("--network none --ulimit nofile=100:200 --ulimit core=0 --oom-score-adj 500", ALWAYS),
    "kernel settings": ("--network none --sysctl net.ipv4.ip_default_ttl=9 --sysctl kernel.msgmax=9999", ALWAYS),
    "a device": ("--network none --device /dev/full:/dev/full2:r", ALWAYS),
    "another control group": ("--network none --cgroup-parent /as-shell/sub", ALWAYS),
    "shared with the host": (
        "--network none --pid host --ipc host --uts host --cgroupns host", [*ALWAYS, "other process numbers"]),
    "privileged": ("--network none --privileged", []),
    "unconfined": ("--network none --security-opt seccomp=unconfined", ["a root that is nodev", "no CAP_MKNOD"]),
    "own user ids": (f"{IDS} -u 1000 -w /root --device /dev/full", ["no filter of system calls"]),
    "own user ids, the rest shared": (
        f"{IDS} --network host --pid host", ["no filter of system calls", "other process numbers"]),
    "hardened": (f"--hardened {IDS}", ["no filter of system calls"]),
    "no input": ("--network none --interactive=false", ALWAYS),
}  # fmt: skip
"""Options, and what differs."""


@pytest.mark.parametrize("case", CASES)
def test_the_same_container(case: str, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    options, expected = CASES[case]
    differences = both(tmp_path, *options.split(), rootfs=rootfs)
    assert known(differences) == expected
    assert differences == {}
    assert shellcheck(tmp_path / "container.sh") == ""


@pytest.mark.requires("namespace:time")
def test_the_same_clocks(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    differences = both(tmp_path, "--network", "none", "--time-offset", "monotonic=-1s,boottime=2d", rootfs=rootfs)
    assert known(differences) == ALWAYS
    assert differences == {}


@pytest.mark.requires("command:tini-static")
def test_the_same_init(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    differences = both(tmp_path, "--network", "none", "--init", rootfs=rootfs)
    assert known(differences) == [*ALWAYS, "other process numbers"]
    assert differences == {}


FALL_WITH = {"seccomp": ["no filter of system calls"], "devices": ["a root that is nodev", "no CAP_MKNOD"],
             "cgroup": ["a root that is nodev", "no CAP_MKNOD"], "capabilities": ["no CAP_MKNOD"],
             "root": ["a root that is nodev"], "mounts": ["a root that is nodev"]}  # fmt: skip
"""Wall -> differences that are gone without it."""


@pytest.mark.parametrize("wall", order.names())
def test_the_same_without_a_wall(wall: str, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    network = () if wall == "net" else ("--network", "none")
    differences = both(tmp_path, *network, "--without", wall, rootfs=rootfs)
    if wall == "cgroup":
        differences.pop("processes in the group", None)  # that is everybody
    expected = [each for each in ALWAYS if each not in FALL_WITH.get(wall, ())]
    assert known(differences) == expected + ["other process numbers"] * (wall == "pid")
    assert differences == {}


@pytest.mark.parametrize("ids", [(), (IDS,)], ids=["root", "own ids"])
def test_the_same_volumes(ids: tuple[str, ...], odd: Path, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    """With a mount below one of them, which is read only too."""
    below = odd / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,noexec", "below", below], check=True)
    try:
        options = ["-v", f"{odd}:/data", "-v", f"{odd}:/fixed/deep:ro", "-v", f"{odd}/file:/etc/motd:ro"]
        if not ids:  # there nobody may take a folder without the mounts that cover a part of it
            options += ["--mount", f"type=bind,source={tmp_path},target=/one,bind-recursive=disabled,readonly"]
        differences = both(tmp_path, "--network", "none", *ids, *options, rootfs=rootfs)
    finally:
        subprocess.run(["umount", below], check=True)
    assert known(differences) == (["no filter of system calls"] if ids else ALWAYS)
    assert differences == {}


def test_the_same_variables_and_words(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    odd = ("-e", 'A=it\'s "q" $HOME `x` \\n \\ *\nnew', "-e", "B=", "-e", "PWD=/x", "-e", "C=\xe4\u20ac")
    differences = both(tmp_path, "--network", "none", *odd, rootfs=rootfs)
    assert known(differences) == ALWAYS
    assert differences == {}
    path = script(
        tmp_path, "--network", "none", rootfs, "printf", "%s|", "a b", "it's", "", "$(id)", "x\n\ny", "-n", "--"
    )
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert done.stdout == "a b|it's||$(id)|x\n\ny|-n|--|", done.stderr


def test_a_variable_that_a_shell_cannot_have_is_named(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "--network", "none", "-e", "a.b=1", "-e", "c=2", rootfs, "env")
    assert "# Not here: the variable a.b. A shell has none of that name." in path.read_text()
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert "c=2\n" in done.stdout and "a.b" not in done.stdout


@pytest.mark.parametrize("ids", [(), (IDS,)], ids=["root", "own ids"])
def test_another_containers_namespaces(ids: tuple[str, ...], spawn: Spawn, rootfs: Path, state_root: Path,
                                       tmp_path: Path) -> None:  # fmt: skip
    spawn("run", "--name", "other", "--network", "bridge", *ids, rootfs, "sleep", "600")
    other = host_pid(state_root)
    join = ("--network", "container:other", "--pid", "container:other", "--ipc", "container:other")
    path = script(tmp_path, *join, rootfs, *PROGRAM)
    assert shellcheck(path) == ""
    with running(["sh", str(path)], without_us()) as pid:
        for kind, same in (("net", True), ("pid", True), ("ipc", True), ("user", True), ("mnt", False), ("uts", False)):
            assert (proc.namespace(pid, kind) == proc.namespace(other, kind)) == same, kind
        assert facts(pid)["interface eth0"] == facts(other)["interface eth0"]
        assert facts(pid)["/etc/hosts"] == facts(other)["/etc/hosts"]
        inside = os.listdir(f"/proc/{other}/root/proc")
        assert sorted(filter(str.isdigit, inside), key=int)[0] == "1" and len([*filter(str.isdigit, inside)]) == 2


def test_mounts_of_the_host_come_in(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", shared], check=True)
    try:
        subprocess.run(["mount", "--make-shared", shared], check=True)
        (shared / "later").mkdir()
        path = script(tmp_path, "--network", "none", "-v", f"{shared}:/mnt:rslave", rootfs, *PROGRAM)
        with running(["sh", str(path)], without_us()) as pid:
            subprocess.run(["mount", "-t", "tmpfs", "later", shared / "later"], check=True)
            assert any(m.target == "/mnt/later" for m in proc.mounts(pid))
            subprocess.run(["umount", shared / "later"], check=True)
    finally:
        subprocess.run(["umount", shared], check=True)


# -- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_published_port_answers(protocol: str, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "-p", f"40080:80/{protocol}", rootfs, *PROGRAM)
    with running(["sh", str(path)], without_us()) as pid, Place(pid).server(80, protocol=protocol), other_host() as far:
        assert far.ask("198.51.1.1", 40080, protocol) == "198.51.1.2"
        assert HOST.ask("127.0.0.1", 40080, protocol)
        assert Place(pid).pings("198.51.1.2")


def test_a_network_that_is_taken_is_left_alone(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, rootfs, "true")
    network = re.findall(r"ip saddr != (\S+)", path.read_text())[0]
    HOST.run("ip", "route", "add", "unreachable", network)
    try:
        done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    finally:
        HOST.run("ip", "route", "del", "unreachable", network)
    assert done.returncode == 125 and "is in use: have the script made anew" in done.stderr


def test_beside_a_running_container(spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    """It takes a network of its own, and both can go first. The host's settings come back."""
    names = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/lo/forwarding")
    before = {name: proc.read(f"/proc/sys/{name}") for name in names}
    process = spawn("run", rootfs, "sh", "-c", "trap exit TERM; sleep 600 & wait")
    other = host_pid(state_root)
    path = script(tmp_path, rootfs, *PROGRAM)
    with running(["sh", str(path)], without_us()) as pid:
        assert Place(pid).addresses() and not set(Place(pid).addresses()) & set(Place(other).addresses())
        assert Place(other).pings(Place(other).ip("route", "show", "default")[0]["gateway"])
        process.terminate()
        process.wait(timeout=10)
        assert Place(pid).pings(Place(pid).ip("route", "show", "default")[0]["gateway"])
    assert {name: proc.read(f"/proc/sys/{name}") for name in names} == before


# -- the life of the script ---------------------------------------------------------------------


def test_status_and_streams(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "--network", "none", rootfs, "sh", "-c", "read line; echo got $line; echo no >&2; exit 7")
    done = subprocess.run(["sh", path], input="this\n", capture_output=True, text=True, env=without_us())
    assert (done.returncode, done.stdout, done.stderr) == (7, "got this\n", "no\n")
    path = script(tmp_path, "--network", "none", rootfs, "sh", "-c", "kill -TERM $PPID; nosuchprogram")
    assert subprocess.run(["sh", path], capture_output=True, env=without_us()).returncode == 127
    path = script(tmp_path, "--network", "none", rootfs, "/no/such")
    assert subprocess.run(["sh", path], capture_output=True, env=without_us()).returncode == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_nothing_is_left(number: int, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "-p", "40080:80", IDS, rootfs, *PROGRAM)
    bridge = re.findall("later 'ip link del (minic[0-9]+)", path.read_text())[0]
    words = ["sh", str(path)]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=without_us())
    assert wait_until(lambda: list(Path(f"/sys/class/net/{bridge}").glob("brif/*")))
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (128 + number, "")


def test_who_kills_the_script_kills_the_container(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "--network", "none", rootfs, *PROGRAM)
    before = set(Path("/tmp").glob("container-*"))
    with running(["sh", str(path)], without_us()) as pid:
        group = cgroup2.group_of(pid)
        above = int(proc.status(int(proc.status(pid)["PPid"]))["PPid"])
        os.kill(above, signal.SIGKILL)
        assert wait_until(lambda: not proc.start_time(pid))
    for folder in set(Path("/tmp").glob("container-*")) - before:  # nobody is left to do it
        shutil.rmtree(folder)
    assert wait_until(lambda: not cgroup2.is_populated(group))
    cgroup2.remove(group)
    with contextlib.suppress(OSError):  # another container is there
        os.rmdir(os.path.dirname(group))


def test_a_failure_on_the_way_leaves_nothing(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    """Each step of the way in turn does not work."""
    path = script(tmp_path, rootfs, "true")
    text = path.read_text()
    calls = re.findall(r"^\t?(\w+_(?:before|outside|inside|finish))$", text.partition("# ── all in order")[2], re.M)
    assert len(calls) > 10
    for call in calls:
        path.write_text(re.sub(rf"^(\t?){call}$", r"\1false", text, flags=re.M))
        done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us(), timeout=60)
        assert done.returncode in (1, 125), (call, done.stderr)


def test_what_it_refuses(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, rootfs, "true")
    readable(tmp_path)

    def says(*words: str | Path, **options: object) -> str:
        done = subprocess.run(words, capture_output=True, text=True, env=without_us(), **options)  # type: ignore[call-overload]
        assert done.returncode == 125 and done.stdout == ""
        return str(done.stderr)

    assert "no arguments" in says("sh", path, "more")
    assert "save it to a file" in says("sh", input=path.read_text(), cwd=tmp_path)
    assert "it takes root" in says(*AS_USER, "sh", path)
    text = path.read_text().replace("command -v nft", "command -v nonesuch")
    path.write_text(text)
    assert "install the package nftables" in says("sh", path)


@pytest.mark.requires("command:strace")
def test_it_runs_only_what_debian_has(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path, trace = script(tmp_path, "-p", "40080:80", rootfs, "/bin/true"), tmp_path / "trace"
    subprocess.run(["strace", "-f", "-qq", "-e", "trace=execve", "-o", trace, "sh", path], check=True, env=without_us())
    programs = {os.path.basename(found) for found in re.findall(r'execve\("([^"]+)".* = 0$', trace.read_text(), re.M)}
    packages = {
        "coreutils": {"cat", "chown", "cp", "env", "id", "ln", "mkdir", "mkfifo", "mknod", "mktemp", "readlink",
                      "realpath", "rm", "rmdir", "sleep", "true"},
        "util-linux": {"findmnt", "nsenter", "pivot_root", "setpriv", "setsid", "unshare"},
        "mount": {"mount", "umount"}, "dash": {"sh"}, "iproute2": {"ip"}, "nftables": {"nft"}, "sed": {"sed"},
        "findutils": {"find"}, "hostname": {"hostname"}, "conntrack": {"conntrack"}, "grep": {"grep"},
    }  # fmt: skip
    assert programs - {name for names in packages.values() for name in names} == set()


def test_printing_makes_nothing(minicontainer: Run, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = minicontainer("run", "--as-shell", "-v", f"{missing}:/data", "-p", "40080:80", rootfs, "true")
    assert done.returncode == 0 and done.stderr == ""
    assert not missing.exists() and not state_root.exists()
    path = tmp_path / "container.sh"
    path.write_text(done.stdout)
    subprocess.run(["sh", path], check=True, env=without_us())
    assert missing.is_dir()


def test_it_does_not_explain_what_it_does_not_do(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--as-shell", "--explain", rootfs, "true")
    assert done.returncode == 125 and done.stderr.count("\n") == 1


# -- links in the rootfs ------------------------------------------------------------------------


@pytest.fixture
def trap(rootfs: Path, tmp_path: Path) -> Path:
    """A root filesystem of our own, to be spoilt."""
    folder = tmp_path / "trap"
    shutil.copytree(rootfs, folder, symlinks=True)
    return folder


def test_links_lead_nowhere(trap: Path, state_root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (trap / "up").symlink_to("../../../../../../../.." + str(outside))
    (trap / "full").symlink_to(outside)
    (trap / "etc/hosts").unlink(missing_ok=True)
    (trap / "etc/hosts").symlink_to(f"{outside}/hosts")
    volumes = ("-v", f"{tmp_path}/one:/up/one", "-v", f"{tmp_path}/two:/full/two")
    path = script(tmp_path, "--network", "none", *volumes, "-w", "/full/three", trap, "sh", "-c", "pwd; cat /etc/hosts")
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert done.stdout.startswith(f"{outside}/three\n127.0.0.1"), done.stderr
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("link", "target", "options", "says"),
    [
        ("proc", "tmp", (), "/proc in the rootfs is a link"),
        ("sys", "/tmp", (), "/sys in the rootfs is a link"),
        ("data", "/proc/self", ("-v", "/tmp:/data/x"), "/data/x in the rootfs is a link to /proc/"),
        ("loop", "loop", ("-v", "/tmp:/loop"), "/loop is a link that leads in a circle"),
    ],
)
def test_links_that_are_refused(link: str, target: str, options: tuple[str, ...], says: str, trap: Path,
                                state_root: Path, tmp_path: Path) -> None:  # fmt: skip
    place = trap / link
    if place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(target)
    words = ["--network", "none", *options, trap, "true"]
    path = script(tmp_path, *words)
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert done.returncode == 125 and says in done.stderr


# -- without root -------------------------------------------------------------------------------


@pytest.mark.requires("userns")
def test_an_ordinary_users_script(trap: Path, state_root: Path, tmp_path: Path) -> None:
    subprocess.run(["chown", "-R", f"{USER}:{USER}", trap], check=True)
    readable(tmp_path)
    program = "id -u; touch /root/mine; cat /proc/self/uid_map"
    words = [*AS_USER, *READ_ALL, *command("run", "--as-shell", "--network", "none", trap, "sh", "-c", program)]
    printed = subprocess.run(words, capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL)
    assert printed.returncode == 0, printed.stderr
    path = tmp_path / "container.sh"
    path.write_text(printed.stdout)
    assert shellcheck(path) == ""
    done = subprocess.run([*AS_USER, "sh", path], capture_output=True, text=True, env=without_us())
    assert [line.split() for line in done.stdout.splitlines()] == [["0"], ["0", str(USER), "1"]], done.stderr
    assert not (trap / "root/mine").exists()
