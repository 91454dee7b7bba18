"""What each option does to a container that runs, read from the kernel inside it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from minicontainer.linux import proc
from tests.conftest import Run, Spawn
from tests.support import requires, wait_until

pytestmark = requires("root")


@pytest.fixture
def inside(minicontainer: Run, rootfs: Path) -> Run:
    """`inside("-e A=b", "echo $A")` runs a shell's words in a container and returns what they print."""

    def run(options: str, script: str, **more: object) -> str:
        done = minicontainer("run", "--network", "none", *options.split(), rootfs, "/bin/sh", "-c", script, **more)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).strip()

    return run


LOOKS = (
    # options, what a shell inside does, what it prints
    ("", "pwd; id -u; umask", "/\n0\n0022"),
    ("-w /a/b", "pwd", "/a/b"),
    ("-w /etc/../tmp", "pwd", "/tmp"),
    ("-e A=b -e C", "echo $A; env | grep -c ^C= || true", "b\n0"),
    ("-h box --domainname lab", "hostname; cat /proc/sys/kernel/domainname; echo $HOSTNAME", "box\nlab\nbox"),
    ("-u student", "id -u; id -g; id -G; echo $HOME", "1000\n1000\n1000\n/home/student"),
    ("-u 7:8 --group-add 9", "grep -E '^(Uid|Gid|Groups)' /proc/self/status | tr -s '\\t ' ' '",
     "Uid: 7 7 7 7\nGid: 8 8 8 8\nGroups: 8 9"),
    ("-u 7:8", "grep -E '^Cap(Eff|Prm)' /proc/self/status | cut -f 2", "0000000000000000\n0000000000000000"),
    ("--ulimit nofile=64:128 --ulimit core=0", "ulimit -Sn; ulimit -Hn; ulimit -c", "64\n128\n0"),
    ("--oom-score-adj 321", "cat /proc/self/oom_score_adj", "321"),
    ("--sysctl net.core.somaxconn=77 --sysctl kernel.msgmax=4096",
     "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax", "77\n4096"),
    ("--shm-size 1m", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2", "1024"),
    ("", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2", "65536"),
    ("--ipc none", "grep -c ' /dev/shm ' /proc/mounts || true", "0"),
    ("--tmpfs /x:size=1m,mode=700", "df -k /x | tail -1 | tr -s ' ' | cut -d ' ' -f 2; stat -c %a /x", "1024\n700"),
    ("--read-only", "touch /x 2>&1; touch /dev/x && echo dev", "touch: /x: Read-only file system\ndev"),
    ("--device /dev/null:/dev/mine", "stat -c '%F %t:%T' /dev/mine; echo x > /dev/mine && echo written",
     "character special file 1:3\nwritten"),
    ("--userns auto --device /dev/null:/dev/mine", "echo x > /dev/mine && echo written", "written"),
    ("--userns 70000:80000:10", "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '", "0 70000 10\n 0 80000 10"),
    ("--cap-drop ALL --cap-add CHOWN", "grep CapEff /proc/self/status | cut -f 2", "0000000000000001"),
    ("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status | cut -f 2", "1"),
    ("--security-opt seccomp=unconfined", "grep ^Seccomp: /proc/self/status | cut -f 2", "0"),
    ("", "grep ^Seccomp: /proc/self/status | cut -f 2", "2"),
)  # fmt: skip


@pytest.mark.parametrize("options, script, expected", LOOKS)
def test_look(inside: Run, options: str, script: str, expected: str) -> None:
    assert inside(options, script) == expected


def test_entrypoint(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--network", "none", "--entrypoint", "/bin/echo", rootfs, "a", "-n")
    assert done.stdout == "a -n\n"


def test_shared_namespaces(inside: Run) -> None:
    for kind, options in (
        ("pid", "--pid host"),
        ("ipc", "--ipc host"),
        ("uts", "--uts host"),
        ("cgroup", "--cgroupns host"),
        ("net", "--network host"),
    ):
        assert inside(options, f"readlink /proc/self/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}"), kind
        assert inside("", f"readlink /proc/self/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind


@requires("namespace:time")
def test_time_offset(inside: Run) -> None:
    shifted = float(inside("--time-offset +100d", "cat /proc/uptime").split()[0])
    assert 0 <= shifted - 100 * 86400 - time.clock_gettime(time.CLOCK_BOOTTIME) + 60 < 120


def test_volumes(inside: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    inside(f"-v {tmp_path}/a:/a", "echo hello > /a/file")
    assert (tmp_path / "a/file").read_text() == "hello\n"
    assert "Read-only" in inside(f"-v {tmp_path}/a:/a:ro", "touch /a/x 2>&1; true")
    assert inside(f"-v {tmp_path}/a/file:/etc/motd", "cat /etc/motd") == "hello"
    assert inside(f"-v {tmp_path}/new:/b", "ls /b") == "" and (tmp_path / "new").is_dir()
    assert inside(f"--mount type=bind,source={tmp_path}/a,target=/c,readonly", "cat /c/file") == "hello"


def test_a_read_only_volume_is_so_all_the_way_down(inside: Run, tmp_path: Path) -> None:
    below = tmp_path / "a/below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "below", below], check=True)
    try:
        assert "Read-only" in inside(f"-v {tmp_path}/a:/a:ro", "touch /a/below/x 2>&1; true")
        assert inside(f"-v {tmp_path}/a:/a", "touch /a/below/x && echo made") == "made"
    finally:
        subprocess.run(["umount", below], check=True)


def test_the_root_is_not_written_unless_kept(inside: Run, rootfs: Path, tmp_path: Path) -> None:
    inside("", "echo x > /made; rm /etc/motd")
    assert not (rootfs / "made").exists() and (rootfs / "etc/motd").exists()
    inside(f"--keep {tmp_path}/kept", "echo kept > /made")
    assert (tmp_path / "kept/made").read_text() == "kept\n"
    assert inside(f"--keep {tmp_path}/kept", "cat /made") == "kept", "and goes on from there"


def test_standard_input(minicontainer: Run, rootfs: Path) -> None:
    words = ("run", "--network", "none")
    assert minicontainer(*words, rootfs, "cat", input="hello").stdout == "hello"
    assert minicontainer(*words, "-i", rootfs, "cat", input="hello").stdout == "hello"
    assert minicontainer(*words, "-i=false", rootfs, "cat", input="hello").stdout == ""


@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 42", 42), ("exit 126", 126), ("kill -9 $$", 137)])
def test_exit_status(minicontainer: Run, rootfs: Path, script: str, status: int) -> None:
    # --pid host: in its own namespace process 1 cannot even kill itself, pid_namespaces(7).
    done = minicontainer("run", "--network", "none", "--pid", "host", rootfs, "sh", "-c", script)
    assert done.returncode == status


def test_a_container_by_name(spawn: Spawn, minicontainer: Run, rootfs: Path) -> None:
    script = "hostname; exec cat"
    first = spawn("run", "--network", "none", "--name", "web", rootfs, "sh", "-c", script, stdin=subprocess.PIPE)
    assert first.stdin and first.stdout and first.stdout.readline()
    looks = "for kind in net ipc uts; do readlink /proc/self/ns/$kind; done; cat /proc/1/comm"
    joined = ("--network", "container:web", "--pid", "container:web", "--ipc", "container:web")
    second = minicontainer("run", *joined, rootfs, "sh", "-c", looks)
    assert second.returncode == 0, second.stderr
    net, ipc, uts, comm = second.stdout.split()
    theirs = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and f"net:[{proc.namespace(pid, 'net')}]" == net]
    assert len(theirs) == 1 and os.readlink(f"/proc/{theirs[0]}/ns/ipc") == ipc
    assert os.readlink(f"/proc/{theirs[0]}/ns/uts") != uts
    assert comm == "cat"
    first.stdin.close()
    assert first.wait() == 0


def test_walls_that_are_down_are_named(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--without", "net,pid", rootfs, "readlink", "/proc/self/ns/net")
    assert done.stdout.strip() == os.readlink("/proc/self/ns/net")
    assert done.stderr == "minicontainer: note: walls down: net, pid; what is behind them is in reach\n"


def test_only_some_walls(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--only", "uts,pid", rootfs, "sh", "-c", "echo $$; readlink /proc/self/ns/mnt")
    pid, mnt = done.stdout.split()
    assert pid == "1" and mnt == os.readlink("/proc/self/ns/mnt"), "the host's files, as the note says"
    assert "walls down:" in done.stderr and "mounts" in done.stderr


def test_privileged_is_loud(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--privileged", "--network", "none", rootfs, "sh", "-c", "ls -d /sys/firmware /dev/mem")
    assert "note: --privileged: no seccomp, no masks" in done.stderr


def test_interrupt_reaches_the_container(spawn: Spawn, rootfs: Path) -> None:
    script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    process = spawn("run", "--network", "none", rootfs, "sh", "-c", script)
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert wait_until(lambda: process.poll() is not None)
    assert process.stdout.read() == "caught\n" and process.returncode == 5
