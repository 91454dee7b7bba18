"""The network of an ordinary user's container: pasta or slirp4netns, its ports, its end.

The user is a number that nobody has. /dev/net/tun is opened to it in a mount namespace of the test's
own, as udev opens it to everybody.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minicontainer.linux import proc
from tests.network import HOST, Place, empty_place, other_host
from tests.support import command, environment, host_pid, wait_until

pytestmark = [pytest.mark.requires("root", "userns", "command:setpriv"), pytest.mark.usefixtures("open_to_the_user")]

USER = 54321
TUN_FOR_ALL = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200"
AS_USER = f"exec setpriv --reuid={USER} --regid={USER} --clear-groups"
READ_ALL = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
"""The interpreter of the tests may lie where only root can read. This right changes nothing."""

SLEEP = ("sh", "-c", "trap exit TERM; sleep 600 & wait")

TOOL_NAMES = ("pasta", "slirp4netns")
TOOLS = [pytest.param(name, marks=pytest.mark.requires(f"command:{name}"), id=name) for name in TOOL_NAMES]


@pytest.fixture
def open_to_the_user(state_root: Path, tmp_path: Path) -> None:
    """Let the user reach the state folder, which is theirs."""
    state_root.mkdir()
    os.chown(state_root, USER, USER)
    for folder in tmp_path.parents:
        if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o111)
    tmp_path.chmod(0o711)


@pytest.fixture
def own_rootfs(rootfs: Path, tmp_path: Path) -> Path:
    """A root filesystem that belongs to the user."""
    folder = tmp_path / "rootfs"
    shutil.copytree(rootfs, folder, symlinks=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", folder], check=True)
    return folder


def words_for(*args: str | Path, tool: str = "", tun: bool = True) -> list[str]:
    """The command line as the user, with that helper only ("" for all), with or without the tun device."""
    others = [path for name in TOOL_NAMES if tool not in ("", name) and (path := shutil.which(name))]
    script = (
        [f"mount --bind /dev/null {path}" for path in others] + [TUN_FOR_ALL] * tun + [f'{AS_USER} {READ_ALL} "$@"']
    )
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", " && ".join(script), "sh", *command(*args)]


@contextmanager
def running(*args: str | Path, tool: str = "") -> Iterator[subprocess.Popen[str]]:
    """The command in the background; ended as a user would end it, if the test has not done so."""
    process = subprocess.Popen(words_for(*args, tool=tool), env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


def helpers() -> list[str]:
    """The helpers that work for the user."""
    theirs = [
        pid for pid in os.listdir("/proc") if pid.isdigit() and proc.status(pid).get("Uid", "").startswith(f"{USER}\t")
    ]
    names = [proc.read(f"/proc/{pid}/cmdline").split("\0")[0] for pid in theirs]
    return [name for name in names if name in TOOL_NAMES]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_network_and_a_published_port(tool: str, protocol: str, own_rootfs: Path, state_root: Path) -> None:
    """The way out is the helper's own: to the host's other addresses it is as any program of the user."""
    with running("run", "-p", f"40080:80/{protocol}", own_rootfs, *SLEEP, tool=tool) as process:
        place = Place(host_pid(state_root))
        assert place.addresses()[0] == "10.0.2.100"
        assert [route["gateway"] for route in place.ip("route", "show", "default")] == ["10.0.2.2"]
        assert helpers() == [tool]
        with other_host(), place.server(80, protocol=protocol):
            assert wait_until(lambda: HOST.ask("198.51.1.1", 40080, protocol))
        process.terminate()
        process.wait(timeout=10)
        assert helpers() == []


@pytest.mark.parametrize("tool", TOOLS)
def test_the_hosts_loopback_is_not_carried_inside(tool: str, own_rootfs: Path, state_root: Path) -> None:
    with HOST.server(40999, "127.0.0.1"), running("run", own_rootfs, *SLEEP, tool=tool):
        place = Place(host_pid(state_root))
        assert place.ask("127.0.0.1", 40999) == ""
        assert [link["ifname"] for link in place.ip("link")] == ["lo", "eth0"]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_crash_is_cleaned_up(tool: str, own_rootfs: Path, state_root: Path) -> None:
    with running("run", own_rootfs, *SLEEP, tool=tool) as process:
        pid = host_pid(state_root)
        process.send_signal(signal.SIGKILL)
        assert wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    subprocess.run(words_for("cleanup"), env=environment(), check=True, capture_output=True)
    assert wait_until(lambda: helpers() == [])


@pytest.mark.requires("command:pasta")
def test_a_free_port_is_chosen_and_a_taken_one_refused(own_rootfs: Path, state_root: Path) -> None:
    with running("run", "-p", "80", own_rootfs, *SLEEP):
        pid = host_pid(state_root)
        record = json.loads(next(state_root.glob("containers/*/state.json")).read_text())
        port = record["ports"][0]["hostPort"]
        with Place(pid).server(80):
            assert HOST.ask("127.0.0.1", port)
        words = words_for("run", "-p", f"{port}:80", own_rootfs, "true")
        done = subprocess.run(words, env=environment(), capture_output=True, text=True)
        assert done.returncode == 125 and "already in use" in done.stderr


def test_without_a_helper_there_is_no_network_and_that_is_said(own_rootfs: Path, state_root: Path) -> None:
    for mode, status in (([], 0), (["--network", "bridge"], 125)):
        words = words_for("run", *mode, own_rootfs, "ls", "/sys/class/net", tool="none at all")
        done = subprocess.run(words, env=environment(), capture_output=True, text=True)
        assert done.returncode == status and done.stdout == ("" if status else "lo\n"), done.stderr
        assert "pasta and slirp4netns are not installed" in done.stderr and "passt" in done.stderr


def test_a_closed_tun_device_is_named(own_rootfs: Path, state_root: Path) -> None:
    if os.stat("/dev/net/tun").st_mode & 0o006:
        pytest.skip("/dev/net/tun is open to everybody here")
    words = words_for("run", "--network", "bridge", own_rootfs, "true", tun=False)
    done = subprocess.run(words, env=environment(), capture_output=True, text=True)
    assert done.returncode == 125 and "/dev/net/tun" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.requires("command:pasta", "command:slirp4netns")
def test_pasta_needs_a_way_out_and_slirp4netns_does_not(own_rootfs: Path, state_root: Path) -> None:
    with empty_place() as offline:
        for tool, expected in (("pasta", "no default route"), ("", "10.0.2.100/24")):
            words = [*offline.enter, *words_for("run", own_rootfs, "ip", "addr", tool=tool)]
            done = subprocess.run(words, env=environment(), capture_output=True, text=True)
            assert done.returncode == 0 and expected in done.stdout + done.stderr, done.stderr
