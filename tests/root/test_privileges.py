"""Capabilities, no_new_privs, seccomp and identity on the real kernel.

Each attack is tried twice: with the wall down it reaches the kernel, with the wall up it does not.
What a process may do is read from outside, in the host's /proc/PID/status.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minicontainer import defaults
from minicontainer.linux import calls, capability, keyring, proc
from minicontainer.spec import Capabilities, Namespace, Root, Spec, User
from tests.conftest import Run, Spawn
from tests.support import environment, requires, wait_until

pytestmark = requires("root", "command:gcc")

RUN = ("run", "--network", "none")
DOCKER = "00000000a80425fb"
NONE = "0000000000000000"
OWN = f"{capability.capget()[1]:016x}"

PROBE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* probe NAME NUMBER ARGUMENT...: make the system call and print NAME, the errno or 0, and the result.
   A number after i386: goes through int $0x80, as a 32-bit program's does. The child of a clone ends. */
int main(int argc, char **argv) {
    if (!strcmp(argv[1], "euid"))
        return printf("%d\n", geteuid()) < 0;
    long a[6] = {0}, result;
    for (int i = 3; i < argc && i < 9; i++)
        a[i - 3] = strtoul(argv[i], 0, 0);
    if (!strncmp(argv[2], "i386:", 5)) {
#ifdef __x86_64__
        asm volatile("int $0x80" : "=a"(result) : "a"(atol(argv[2] + 5)), "b"(a[0]), "c"(a[1]), "d"(a[2]) : "memory");
        errno = result < 0 ? -result : 0;
#endif
    } else {
        errno = 0;
        result = syscall(strtoul(argv[2], 0, 0), a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    if (result == 0 && !strncmp(argv[1], "clone", 5))
        _exit(0);
    printf("%s,%d,%ld\n", argv[1], errno, result);
}
"""


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that makes one system call."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text(PROBE)
    subprocess.run(["gcc", "-static", "-O1", "-o", folder / "probe", folder / "probe.c"], check=True)
    return folder / "probe"


Errors = Callable[..., dict[str, int]]
Attack = Callable[..., dict[str, tuple[int, int]]]


@pytest.fixture
def attack(minicontainer: Run, rootfs: Path, probe: Path) -> Attack:
    """`attack(calls, *options)` makes the calls in one container: name -> (errno, result)."""

    def make(calls: dict[str, str], *options: str) -> dict[str, tuple[int, int]]:
        script = "".join(f'/probe "{name}" {call}\n' for name, call in calls.items())
        done = minicontainer(*RUN, *options, "-v", f"{probe}:/probe:ro", rootfs, "/bin/sh", "-c", script)
        assert done.returncode == 0, done.stderr
        rows = (line.split(",") for line in done.stdout.splitlines())
        return {name: (int(error), int(result)) for name, error, result in rows}

    return make


@pytest.fixture
def errors(attack: Attack) -> Errors:
    """`errors(calls, *options)`: name -> errno, 0 if the call worked."""
    return lambda *args: {name: error for name, (error, _) in attack(*args).items()}


@pytest.fixture
def inside(spawn: Spawn, rootfs: Path, state_root: Path) -> Callable[..., dict[str, str]]:
    """`inside(*options)` starts a container and gives the host's view of its process: /proc/PID/status."""

    def start(*options: str) -> dict[str, str]:
        command = spawn(*RUN, *options, rootfs, "/bin/sleep", "60")
        found: list[int] = []

        def running() -> bool:
            for path in state_root.glob("containers/*/state.json"):
                pid = json.loads(path.read_text())["pid"]
                if pid and proc.read(f"/proc/{pid}/cmdline").startswith("/bin/sleep"):
                    found.append(pid)
            return bool(found)

        assert wait_until(running)
        status = proc.status(found[0])
        os.kill(found[0], signal.SIGKILL)
        assert command.wait(10) == 128 + signal.SIGKILL
        return status

    return start


# -- seccomp ------------------------------------------------------------------------------------

CALLS = {
    "unshare a user namespace": "272 0x10000000",
    "clone a user namespace": "56 0x10000011 0",
    "clone a mount namespace": "56 0x20011 0",
    "clone3": "435 0 0",
    "mount": "165 0 0 0 0 0",
    "fsopen": "430 0 0",
    "setns": "308 -1 0",
    "keyctl": "250 0 0xfffffffd 0",
    "add_key": "248 0 0 0 0 0",
    "request_key": "249 0 0 0 0",
    "io_uring_setup": "425 1 0",
    "bpf": "321 0 0 0",
    "perf_event_open": "298 0 0 0 0 0",
    "userfaultfd": "323 0",
    "open_by_handle_at": "304 -1 0 0",
    "kexec_load": "246 0 0 0 0xffffffff",
    "init_module": "175 0 0 0",
    "socket AF_VSOCK": "41 40 1 0",
    "socket AF_ALG": "41 38 5 0",
    "socket AF_ALG with a bit above": "41 0x100000026 5 0",
    "personality ADDR_NO_RANDOMIZE": "135 0x0040000",
    "TIOCSTI": "16 1 0x5412 0",
    "TIOCSTI with a bit above": "16 1 0x100005412 0",
    "i386 unshare": "i386:310 0x10000000",
    "i386 socket AF_ALG": "i386:359 38 5 0",
    "i386 ioctl TIOCSTI": "i386:54 1 0x5412 0",
    "i386 keyctl": "i386:288 0 0xfffffffd 0",
    "a call of the future": "1000",
}
"""Attacks as numbers of x86-64, most without their last arguments: it is enough that the kernel looks at them."""

HARMLESS = {
    "getpid": "39",
    "clone a thread's way": "56 0x11 0",
    "socket AF_INET": "41 2 1 0",
    "personality Linux": "135 0",
    "i386 getpid": "i386:20",
}


@requires("machine:x86_64")
def test_seccomp(errors: Errors) -> None:
    up = errors(CALLS)
    assert up == dict.fromkeys(CALLS, errno.EPERM) | {"clone3": errno.ENOSYS, "a call of the future": errno.ENOSYS}


@requires("machine:x86_64")
def test_seccomp_down(errors: Errors) -> None:
    """The attacks that work: what fails does so for want of capabilities or arguments, not of the call."""
    down = errors(CALLS, "--without", "seccomp")
    for name in ("unshare a user namespace", "clone a user namespace", "keyctl", "personality ADDR_NO_RANDOMIZE",
                 "i386 unshare", "i386 keyctl"):  # fmt: skip
        assert down[name] == 0, name
    for name in ("io_uring_setup", "add_key", "request_key"):
        assert down[name] == errno.EFAULT, name
    for name in ("socket AF_ALG", "socket AF_VSOCK", "i386 socket AF_ALG", "socket AF_ALG with a bit above"):
        assert down[name] != errno.EPERM, name  # 0, or EAFNOSUPPORT where the kernel lacks the family
    for name in ("TIOCSTI", "i386 ioctl TIOCSTI", "TIOCSTI with a bit above"):
        assert down[name] == errno.ENOTTY, name
    assert down["clone3"] == errno.EINVAL


@requires("machine:x86_64")
def test_seccomp_hinders_nobody(errors: Errors) -> None:
    assert errors(HARMLESS) == dict.fromkeys(HARMLESS, 0)


@requires("machine:x86_64")
def test_a_capability_opens_its_calls(errors: Errors) -> None:
    admin = errors(CALLS, "--cap-add", "SYS_ADMIN")
    assert admin["unshare a user namespace"] == admin["clone a mount namespace"] == 0
    assert admin["mount"] == errno.EFAULT
    assert admin["setns"] == errno.EBADF
    assert admin["keyctl"] == admin["io_uring_setup"] == admin["TIOCSTI"] == errno.EPERM


@requires("machine:x86_64")
def test_privileged_has_no_filter(errors: Errors) -> None:
    assert errors(CALLS, "--privileged")["mount"] == errno.EFAULT


def test_mounting(minicontainer: Run, rootfs: Path) -> None:
    command = (rootfs, "/bin/sh", "-c", "mount -t tmpfs none /tmp && echo mounted")
    assert "mounted" not in minicontainer(*RUN, *command).stdout
    assert "mounted" not in minicontainer(*RUN, "--without", "seccomp", *command).stdout  # two walls
    assert "mounted" not in minicontainer(*RUN, "--without", "capabilities", *command).stdout
    both = minicontainer(*RUN, "--without", "seccomp", "--without", "capabilities", *command)
    assert both.stdout == "mounted\n"


def test_a_profile_of_the_user(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    profile = tmp_path / "no-mkdir.json"
    refuse = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSPC}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refuse]}))
    done = minicontainer(*RUN, "--security-opt", f"seccomp={profile}", rootfs, "/bin/mkdir", "/tmp/new")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


def test_a_wrong_profile_starts_nothing(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    profile = tmp_path / "wrong.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_MAYBE"}')
    done = minicontainer(*RUN, "--security-opt", f"seccomp={profile}", rootfs, "/bin/true")
    assert done.returncode == 125
    assert "defaultAction: there is no 'SCMP_ACT_MAYBE'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "filters"),
    [((), "1"), (("--hardened",), "1"), (("--without", "seccomp"), "0"), (("--privileged",), "0"),
     (("--security-opt", "seccomp=unconfined"), "0")],
)  # fmt: skip
def test_a_filter_is_there(inside: Callable[..., dict[str, str]], options: tuple[str, ...], filters: str) -> None:
    status = inside(*options)
    assert status["Seccomp"] == ("2" if filters == "1" else "0")
    assert status.get("Seccomp_filters", filters) == filters


# -- capabilities -------------------------------------------------------------------------------

ROOT_AND_USER = [
    ((), DOCKER, DOCKER),
    (("-u", "1000"), NONE, DOCKER),
    (("--cap-add", "NET_ADMIN"), "00000000a80435fb", "00000000a80435fb"),
    (("--cap-drop", "ALL"), NONE, NONE),
    (("--cap-drop", "ALL", "--cap-add", "CHOWN"), "0000000000000001", "0000000000000001"),
    (("--cap-drop", "net_raw", "--cap-drop", "CAP_MKNOD"), "00000000a00405fb", "00000000a00405fb"),
    (("--hardened",), NONE, NONE),
    (("--privileged",), OWN, OWN),
    (("--cap-add", "ALL"), OWN, OWN),
    (("--without", "capabilities"), OWN, OWN),
    (("--without", "capabilities", "-u", "1000"), NONE, OWN),
    (("--security-opt", "no-new-privileges"), DOCKER, DOCKER),
]


@pytest.mark.parametrize(("options", "effective", "bounding"), ROOT_AND_USER)
def test_the_five_sets(
    inside: Callable[..., dict[str, str]], options: tuple[str, ...], effective: str, bounding: str
) -> None:
    status = inside(*options)
    assert status["CapEff"] == status["CapPrm"] == effective
    assert status["CapBnd"] == bounding
    assert status["CapInh"] == status["CapAmb"] == NONE


def test_capabilities(minicontainer: Run, rootfs: Path) -> None:
    """CAP_NET_ADMIN; the filter lets it pass."""
    attack = (rootfs, "/bin/sh", "-c", "ip link set lo mtu 1400 && echo done")
    assert minicontainer(*RUN, *attack).stdout == ""
    assert minicontainer(*RUN, "--without", "capabilities", *attack).stdout == "done\n"


@requires("machine:x86_64")
def test_priority_over_the_host_s_processes(errors: Errors) -> None:
    """CAP_SYS_NICE."""
    attack = {"setpriority": "141 0 0 -5"}
    assert errors(attack)["setpriority"] == errno.EACCES
    assert errors(attack, "--without", "capabilities")["setpriority"] == 0


def test_no_exec_brings_them_back(minicontainer: Run, tmp_path: Path, probe: Path, rootfs: Path) -> None:
    """A file with all capabilities in its attributes cannot be started, or starts without them."""
    root = tmp_path / "root"
    shutil.copytree(rootfs, root, symlinks=True)
    shutil.copy(root / "bin" / "busybox", root / "powerful")
    everything = b"\x01\x00\x00\x02" + b"\xff\xff\xff\xff\x00\x00\x00\x00" * 2  # VFS_CAP_REVISION_2, effective
    os.setxattr(root / "powerful", "security.capability", everything)
    script = "cp /powerful /tmp/grep; /powerful grep CapEff /proc/self/status || echo refused"
    done = minicontainer(*RUN, "-u", "1000", root, "/bin/sh", "-c", script)
    assert "refused" in done.stdout or DOCKER in done.stdout
    assert OWN not in done.stdout


def test_inheritable_and_ambient_from_a_bundle(tmp_path: Path, rootfs: Path) -> None:
    """What only a config.json can ask for: a user other than root who keeps one capability over exec."""
    port = ["CAP_NET_BIND_SERVICE"]
    spec = Spec(root=Root(path=str(rootfs), readonly=True), mounts=defaults.mounts())
    spec.process.args = ["/bin/grep", "Cap", "/proc/self/status"]
    spec.process.user = User(uid=1000, gid=1000)
    spec.process.capabilities = Capabilities(
        bounding=[*port, "CAP_KILL"], permitted=port, effective=port, inheritable=port, ambient=port
    )
    spec.linux.namespaces = [Namespace(type=kind) for kind in ("mount", "pid", "ipc", "uts", "network", "cgroup")]
    spec.save(str(tmp_path / "config.json"))
    command = [sys.executable, "-m", "minicontainer.oci", "--root", tmp_path / "state", "run", "--bundle", tmp_path]
    done = subprocess.run([*command, "ambient"], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    sets = dict(line.split(":\t") for line in done.stdout.splitlines())
    one = "0000000000000400"
    assert sets == {"CapInh": one, "CapPrm": one, "CapEff": one, "CapBnd": "0000000000000420", "CapAmb": one}


MISSING = {
    "CAP_SYS_ADMIN": (("run", "--only", "seccomp"), "a filter takes no_new_privs"),
    "CAP_SETPCAP": (RUN, "capbset_drop(CAP_DAC_READ_SEARCH): EPERM"),
}


@pytest.mark.parametrize("missing", MISSING)
def test_a_process_without_the_privilege_is_told(minicontainer: Run, rootfs: Path, missing: str) -> None:
    number = capability.Capability(capability.NAMES.index(missing))
    command, complaint = MISSING[missing]
    done = minicontainer(*command, rootfs, "/bin/true", preexec_fn=lambda: capability.capbset_drop(number))
    assert done.returncode == 125
    assert complaint in done.stderr


# -- no_new_privs -------------------------------------------------------------------------------


@pytest.fixture
def suid_rootfs(tmp_path: Path, probe: Path, rootfs: Path) -> Path:
    """A root filesystem with a set-user-ID program of root's."""
    root = tmp_path / "root"
    shutil.copytree(rootfs, root, symlinks=True)
    shutil.copy(probe, root / "probe")
    (root / "probe").chmod(0o4755)
    return root


def test_no_new_privs(minicontainer: Run, suid_rootfs: Path) -> None:
    def euid(*options: str) -> str:
        done = minicontainer(*RUN, "-u", "1000", *options, suid_rootfs, "/probe", "euid")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert euid() == "0"
    assert euid("--security-opt", "no-new-privileges") == "1000"
    assert euid("--security-opt", "no-new-privileges", "--without", "no_new_privs") == "0"


def test_no_new_privs_is_seen_from_outside(inside: Callable[..., dict[str, str]]) -> None:
    assert inside("--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"


# -- identity -----------------------------------------------------------------------------------


def test_identity(inside: Callable[..., dict[str, str]]) -> None:
    status = inside("-u", "1000:100", "--group-add", "7", "--group-add", "8")
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["100"] * 4
    assert set(status["Groups"].split()) == {"7", "8", "100"}


def test_none_of_our_groups_is_left(inside: Callable[..., dict[str, str]]) -> None:
    ours = os.getgroups()
    os.setgroups([4, 27])
    try:
        assert set(inside("-u", "1000:100")["Groups"].split()) == {"100"}
    finally:
        os.setgroups(ours)


# -- keyring ------------------------------------------------------------------------------------


@requires("machine:x86_64")
def test_the_session_keyring_is_not_the_host_s(attack: Attack) -> None:
    call = {"keyctl": "250 0 0xfffffffd 0"}  # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING
    ours = calls.libc.syscall(ctypes.c_long(keyring.SYS_KEYCTL), ctypes.c_long(0), ctypes.c_long(-3), ctypes.c_long(1))
    assert ours > 0
    error, theirs = attack(call, "--without", "seccomp")["keyctl"]
    assert error == 0
    assert theirs not in (0, ours)
