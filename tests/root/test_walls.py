"""Each wall up and down: what is tried works without it and fails with it, seen from outside where that can be.

The other features' pairs are in test_cgroup*.py, test_net*.py and test_privileges.py.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Run, Spawn
from tests.support import host_pid

pytestmark = pytest.mark.requires("root")

NO_NETWORK = ("--network", "none")


def namespaces(pid: int) -> dict[str, int]:
    return {kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in os.listdir(f"/proc/{pid}/ns")}


def mounts(pid: int | str) -> str:
    return Path(f"/proc/{pid}/mountinfo").read_text()


def test_every_namespace_is_new(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, rootfs, "sleep", "60")
    ours, theirs = namespaces(os.getpid()), namespaces(host_pid(state_root))
    shared = {kind for kind in ours if ours[kind] == theirs[kind]}
    assert shared == {"user", "time", "time_for_children"}


def test_userns_and_time_are_new_when_asked_for(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, "--userns", "auto", "--time-offset", "+1h", rootfs, "sleep", "60")
    ours, theirs = namespaces(os.getpid()), namespaces(host_pid(state_root))
    assert not [kind for kind in ours if ours[kind] == theirs[kind]]


# -- uts ----------------------------------------------------------------------------------------


def test_without_uts_the_host_is_renamed(minicontainer: Run, rootfs: Path) -> None:
    before = socket.gethostname()
    try:
        minicontainer("run", *NO_NETWORK, "--cap-add", "SYS_ADMIN", "--without", "uts", rootfs, "hostname", "intruder")
        assert socket.gethostname() == "intruder"
    finally:
        socket.sethostname(before)


def test_with_uts_only_the_container_is_renamed(minicontainer: Run, rootfs: Path) -> None:
    before = socket.gethostname()
    done = minicontainer(
        "run", *NO_NETWORK, "--cap-add", "SYS_ADMIN", rootfs, "sh", "-c", "hostname intruder && hostname"
    )
    assert done.stdout == "intruder\n"
    assert socket.gethostname() == before


# -- ipc ----------------------------------------------------------------------------------------

SHARED_SEGMENTS = "tail -n +2 /proc/sysvipc/shm | wc -l"


@pytest.fixture
def segment() -> int:
    """A System V shared memory segment on the host."""
    done = subprocess.run(["ipcmk", "-M", "4096"], check=True, capture_output=True, text=True)
    number = done.stdout.split()[-1]
    yield int(number)
    subprocess.run(["ipcrm", "-m", number], check=True)


def test_without_ipc_the_hosts_shared_memory_is_seen(minicontainer: Run, rootfs: Path, segment: int) -> None:
    done = minicontainer("run", *NO_NETWORK, "--without", "ipc", rootfs, "sh", "-c", SHARED_SEGMENTS)
    assert int(done.stdout) >= 1


def test_with_ipc_it_is_not(minicontainer: Run, rootfs: Path, segment: int) -> None:
    done = minicontainer("run", *NO_NETWORK, rootfs, "sh", "-c", SHARED_SEGMENTS)
    assert int(done.stdout) == 0


# -- pid ----------------------------------------------------------------------------------------


@pytest.fixture
def victim() -> subprocess.Popen[bytes]:
    """A process of the host."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_without_pid_a_process_of_the_host_is_killed(
    minicontainer: Run, rootfs: Path, victim: subprocess.Popen[bytes]
) -> None:
    minicontainer("run", *NO_NETWORK, "--without", "pid", rootfs, "kill", "-9", str(victim.pid))
    assert victim.wait(timeout=5) == -9


def test_with_pid_it_is_out_of_reach(minicontainer: Run, rootfs: Path, victim: subprocess.Popen[bytes]) -> None:
    done = minicontainer(
        "run", *NO_NETWORK, rootfs, "sh", "-c", f"kill -9 {victim.pid}; ls -d /proc/[0-9]* | wc -l; echo $$"
    )
    assert "No such process" in done.stderr
    assert done.stdout.split()[1] == "1"
    assert victim.poll() is None


def test_process_1_ends_and_all_end_with_it(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, rootfs, "sh", "-c", "sleep 4242 & exit 3")
    assert done.returncode == 3
    assert subprocess.run(["pgrep", "-f", "sleep 4242"], check=False).returncode == 1


def test_without_pid_too_nothing_is_left_running(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, "--without", "pid", rootfs, "sh", "-c", "sleep 4243 & exit 3")
    assert done.returncode == 3
    assert subprocess.run(["pgrep", "-f", "sleep 4243"], check=False).returncode == 1


# -- mounts -------------------------------------------------------------------------------------

MOUNT_TMPFS = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")


def test_without_mounts_a_mount_appears_on_the_host(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    target = tmp_path / "here"
    target.mkdir()
    command = ("mount", "-t", "tmpfs", "intruder", str(target))
    done = minicontainer("run", *NO_NETWORK, *MOUNT_TMPFS, "--without", "mounts", rootfs, *command)
    try:
        assert done.returncode == 0, done.stderr
        assert f" {target} " in mounts("self")
    finally:
        subprocess.run(["umount", str(target)], check=False)


def test_with_mounts_it_stays_inside(minicontainer: Run, rootfs: Path) -> None:
    before = mounts("self")
    script = "mount -t tmpfs intruder /mnt && grep -c intruder /proc/self/mountinfo"
    done = minicontainer("run", *NO_NETWORK, *MOUNT_TMPFS, rootfs, "sh", "-c", script)
    assert done.stdout == "1\n", done.stderr
    assert mounts("self") == before


# -- root ---------------------------------------------------------------------------------------

# The classic way out of a chroot: keep a foot outside, chroot again below, walk up.
WALK_OUT = "mkdir -p /tmp/x; cd /; chroot /tmp/x /bin/true 2>/dev/null; ls -d ../../../../../..%s"


def test_without_root_the_hosts_files_are_there(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    done = minicontainer("run", *NO_NETWORK, "--without", "root", rootfs, "cat", str(tmp_path / "secret"))
    assert done.stdout == "of the host"


def test_with_root_they_are_not(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    done = minicontainer("run", *NO_NETWORK, rootfs, "sh", "-c", f"cat {tmp_path}/secret; " + WALK_OUT % tmp_path)
    assert "of the host" not in done.stdout
    assert done.returncode != 0


def test_the_old_root_is_gone(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, rootfs, "sleep", "60")
    seen = [line.split()[4] for line in mounts(host_pid(state_root)).splitlines()]
    assert seen[0] == "/"
    assert {path.split("/")[1] for path in seen} <= {"", "proc", "dev", "sys", "etc"}


def test_the_rootfs_is_never_written(minicontainer: Run, rootfs: Path) -> None:
    def picture() -> list[tuple[str, float, int]]:
        return [(str(p), p.lstat().st_mtime, p.lstat().st_ino) for p in sorted(rootfs.rglob("*"))]

    before = picture()
    script = "echo x > /etc/motd; rm -r /home; mkdir /new; chmod 700 /tmp; touch /var/log/x; ls /new /etc/motd"
    assert minicontainer("run", *NO_NETWORK, rootfs, "sh", "-c", script).returncode in (0, 1)
    assert picture() == before


def test_keep_keeps_the_changes(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    keep = tmp_path / "changes"
    run = ("run", *NO_NETWORK, "--keep", keep, rootfs)
    assert minicontainer(*run, "sh", "-c", "echo kept > /root/note").returncode == 0
    assert (keep / "root" / "note").read_text() == "kept\n"
    assert minicontainer(*run, "cat", "/root/note").stdout == "kept\n"


def test_read_only(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, "--read-only", rootfs, "touch", "/x")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


# -- filesystems --------------------------------------------------------------------------------


def test_without_filesystems_no_device_is_safe(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, "--without", "filesystems", rootfs, "ls", "/proc", "/dev")
    assert done.stdout.split() == ["/dev:", "/proc:"]


@pytest.mark.parametrize("path", ["/proc/keys", "/proc/timer_list"])
def test_masked_files_are_empty(minicontainer: Run, rootfs: Path, path: str) -> None:
    if not os.path.exists(path):
        pytest.skip(f"this kernel has no {path}")
    masked = minicontainer("run", *NO_NETWORK, rootfs, "head", "-c", "16", path)
    assert masked.stdout == ""
    open_ = minicontainer("run", *NO_NETWORK, "--privileged", rootfs, "head", "-c", "16", path)
    assert open_.stdout != "" or path == "/proc/keys"


@pytest.mark.parametrize(
    "path", ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/randomize_va_space"]
)
def test_kernel_settings_are_read_only(minicontainer: Run, rootfs: Path, path: str) -> None:
    if not os.path.exists(path):
        pytest.skip(f"this kernel has no {path}")
    done = minicontainer("run", *NO_NETWORK, rootfs, "sh", "-c", f"test -e {path} && : >> {path}")
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_dev_has_the_harmless_nodes_only(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, rootfs, "ls", "/dev")
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert done.stdout.split() == expected.split()


# -- user ---------------------------------------------------------------------------------------


def test_without_user_root_inside_is_root_outside(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    volume = tmp_path / "shared"
    volume.mkdir(mode=0o700)
    done = minicontainer("run", *NO_NETWORK, "-v", f"{volume}:/v", rootfs, "touch", "/v/x")
    assert done.returncode == 0, done.stderr
    assert (volume / "x").stat().st_uid == 0


def test_with_user_it_is_nobody_there(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    volume = tmp_path / "shared"
    volume.mkdir(mode=0o700)
    run = ("run", *NO_NETWORK, "--userns", "auto", "-v", f"{volume}:/v", rootfs)
    done = minicontainer(*run, "touch", "/v/x")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    volume.chmod(0o777)
    assert minicontainer(*run, "touch", "/v/x").returncode == 0
    assert (volume / "x").stat().st_uid >= 1 << 30


def test_two_automatic_user_namespaces_share_no_id(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    for _ in range(2):
        spawn("run", *NO_NETWORK, "--userns", "auto", rootfs, "sleep", "60")
    maps = {Path(f"/proc/{host_pid(state_root, n)}/uid_map").read_text() for n in range(2)}
    assert len(maps) == 2


def test_a_map_by_hand(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", *NO_NETWORK, "--userns", "200000:300000:1000", rootfs, "sleep", "60")
    pid = host_pid(state_root)
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "200000", "1000"]
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", "300000", "1000"]
    assert os.stat(f"/proc/{pid}").st_uid == 200000


def test_own_ids_with_the_hosts_ipc(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """There the kernel refuses a new mqueue: it would be a view of a namespace that belongs to the host."""
    spawn("run", *NO_NETWORK, "--userns", "auto", "--ipc", "host", rootfs, "sleep", "60")
    ours, theirs = namespaces(os.getpid()), namespaces(host_pid(state_root))
    assert ours["ipc"] == theirs["ipc"]
    assert ours["user"] != theirs["user"]


def test_the_rootfs_belongs_to_root_in_a_user_namespace(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", *NO_NETWORK, "--userns", "auto", rootfs, "stat", "-c", "%u:%g", "/bin/busybox", "/")
    assert done.stdout.split() == ["0:0", "0:0"]
    assert (rootfs / "bin/busybox").stat().st_uid == 0


# -- time ---------------------------------------------------------------------------------------


@pytest.mark.requires("namespace:time")
def test_the_clock_is_shifted(minicontainer: Run, rootfs: Path) -> None:
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    plain = minicontainer("run", *NO_NETWORK, rootfs, "cat", "/proc/uptime")
    shifted = minicontainer("run", *NO_NETWORK, "--time-offset", "+1000h", rootfs, "cat", "/proc/uptime")
    assert 0 <= float(plain.stdout.split()[0]) - uptime < 3600
    assert 1000 * 3600 <= float(shifted.stdout.split()[0]) - uptime < 1001 * 3600
