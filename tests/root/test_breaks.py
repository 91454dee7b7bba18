"""How other container runtimes were broken, tried on ours.

Each attack is made as its finder made it, as far as it concerns the runtime. Where a wall of ours stands
in its way that can be taken down, it is tried without first, to see that it is a real one.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minicontainer import defaults
from minicontainer.spec import Namespace, Root, Spec
from tests.conftest import Run, Spawn
from tests.support import CHECKOUT, environment, host_pid, requires, wait_until

pytestmark = requires("root", "command:gcc")

NO_NETWORK = ("--network", "none")
REFUSED = 125


def build(target: Path, source: str, *options: str) -> Path:
    """Compile a C program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-O1", *(options or ["-static"]), "-o", target, "-x", "c", "-"]
    subprocess.run(command, input=source, text=True, check=True)
    return target


@pytest.fixture
def root(tmp_path: Path, rootfs: Path) -> Path:
    """A root filesystem to make hostile."""
    copy = tmp_path / "root"
    shutil.copytree(rootfs, copy, symlinks=True)
    return copy


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that must be neither read nor changed."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "secret").write_text("secret of the host")
    yield folder
    assert sorted(os.listdir(folder)) == ["secret"]
    assert (folder / "secret").read_text() == "secret of the host"


def is_one_line(text: str) -> bool:
    return text.startswith("minicontainer: ") and text.count("\n") == 1


# -- CVE-2019-5736: the runtime's own program, through /proc/self/exe --------------------------------

LOADER = r"""
/* Stands where the host's interpreter looks for its loader, so the kernel starts it in the interpreter's name. */
static long call(long number, const void *a, const void *b, const void *c) {
    long result;
    asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

void _start(void) {
    const char *arguments[] = {"/second", 0}, *environment[] = {0};
    call(2 /* open */, "/proc/self/exe", 0 /* O_RDONLY */, 0); /* gets the lowest number, 3, and keeps it */
    call(59 /* execve */, "/second", arguments, environment);
    call(60 /* exit */, 0, 0, 0);
}
"""

SECOND = r"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Hold on to the interpreter until nobody executes it any more, then write to it. */
int main(void) {
    prctl(PR_SET_PDEATHSIG, 0);
    char name[100] = {0};
    readlink("/proc/self/fd/3", name, sizeof name - 1);
    printf("armed with %s\n", name);
    fflush(stdout);
    for (int i = 0; i < 400; i++, usleep(20000)) {
        int fd = open("/proc/self/fd/3", O_WRONLY | O_APPEND);
        if (fd >= 0)
            return write(fd, "# overwritten", 13) != 13;
    }
    return 1;
}
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """A copy of the interpreter, to be lost. The machine's own is never at risk."""
    copy = tmp_path / "host" / "python"
    copy.parent.mkdir()
    shutil.copy(os.path.realpath(sys.executable), copy)
    return copy


@pytest.fixture
def start(interpreter: Path, state_root: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start(*options_and_root, command)` runs minicontainer by the copy."""
    started = []

    def run(*args: str | Path) -> subprocess.Popen[str]:
        path = f"{CHECKOUT}:{sysconfig.get_path('purelib')}"
        env = environment(PYTHONHOME=sys.base_prefix, PYTHONPATH=path)
        command = [interpreter, "-m", "minicontainer", "run", *NO_NETWORK, *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, text=True, **pipes))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()
    subprocess.run([sys.executable, "-m", "minicontainer", "cleanup"], env=environment(), capture_output=True)


def loader_of(program: Path) -> str:
    """The loader that an ELF program names."""
    listing = subprocess.run(["readelf", "-l", program], capture_output=True, text=True, check=True).stdout
    return re.search(r"interpreter: (\S+)\]", listing).group(1)  # type: ignore[union-attr]


@pytest.fixture
def hostile_image(root: Path, interpreter: Path) -> Path:
    """A root filesystem that wants to be run by the program that runs it."""
    build(root / loader_of(interpreter).lstrip("/"), LOADER, "-nostdlib", "-static-pie", "-fno-stack-protector")
    build(root / "second", SECOND)
    for name, interpreter_line in {
        "entry": "/proc/self/exe",
        "by-link": "/link",
        "by-thread": "/proc/thread-self/exe",
    }.items():
        (root / name).write_text(f"#!{interpreter_line}\n")
        (root / name).chmod(0o755)
    (root / "link").symlink_to("/chain")
    (root / "chain").symlink_to("proc/self/exe")
    build(root / "by-loader", "void _start(void) {}", "-nostdlib", "-pie", "-Wl,-dynamic-linker,/proc/self/exe")
    return root


REFUSE_EXECVEAT = {"names": ["execveat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
NO_EXECVEAT = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [REFUSE_EXECVEAT]})


@requires("machine:x86_64")
def test_the_interpreter_is_overwritten_without_the_trampoline(
    start: Callable[..., subprocess.Popen[str]], hostile_image: Path, interpreter: Path, tmp_path: Path
) -> None:
    """A profile that refuses execveat takes the trampoline away. The attack is a real one."""
    profile = tmp_path / "profile.json"
    profile.write_text(NO_EXECVEAT)
    process = start("--security-opt", f"seccomp={profile}", hostile_image, "/entry")
    assert process.stdout.readline() == f"armed with {interpreter}\n"  # type: ignore[union-attr]
    process.kill()  # else it executes the file, and writing fails with ETXTBSY
    assert wait_until(lambda: interpreter.read_bytes().endswith(b"# overwritten"))


@requires("machine:x86_64")
@pytest.mark.parametrize("entry", ["/entry", "/by-link", "/by-thread", "/by-loader", "/proc/self/exe", "/chain"])
def test_the_interpreter_is_out_of_reach(
    start: Callable[..., subprocess.Popen[str]], hostile_image: Path, interpreter: Path, entry: str
) -> None:
    before = interpreter.read_bytes()
    process = start(hostile_image, entry)
    output, complaint = process.communicate(timeout=10)
    assert "armed" not in output
    assert process.returncode in (126, 128 + signal.SIGSEGV)  # not everywhere can it be a loader, even of nothing
    assert complaint == ""
    assert interpreter.read_bytes() == before


@requires("machine:x86_64")
def test_in_a_user_namespace_it_could_not_be_written(
    start: Callable[..., subprocess.Popen[str]], hostile_image: Path, interpreter: Path, tmp_path: Path
) -> None:
    """The second wall: root inside is nobody to the file."""
    profile = tmp_path / "profile.json"
    profile.write_text(NO_EXECVEAT)
    process = start("--userns", "auto", "--security-opt", f"seccomp={profile}", hostile_image, "/entry")
    assert process.stdout.readline() == f"armed with {interpreter}\n"  # type: ignore[union-attr]
    process.kill()
    assert not wait_until(lambda: interpreter.read_bytes().endswith(b"# overwritten"), 1)


def test_a_missing_trampoline_is_told(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(NO_EXECVEAT)
    done = minicontainer("run", *NO_NETWORK, "--security-opt", f"seccomp={profile}", rootfs, "/bin/true")
    assert done.returncode == 0
    assert "the seccomp profile refuses execveat" in done.stderr


# -- a look at the first process before it is the container's ---------------------------------------
#
# CVE-2016-9962: who shares the pid namespace finds our process in /proc while it still has the host's files open.

WATCHER = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *canary;

static void found(const char *how) { printf("%s\n", how), fflush(stdout); }

/* Open a file of the host by way of /proc/PID/NAME, a directory of the host perhaps. */
static void walk(const char *pid, const char *name) {
    char path[300];
    int place, file;
    snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
    if ((place = open(path, O_PATH)) < 0)
        return;
    snprintf(path, sizeof path, "../../../../../../../..%s", canary);
    if ((file = openat(place, path, O_RDONLY)) >= 0 || (file = openat(place, canary + 1, O_RDONLY)) >= 0)
        found(name), close(file);
    close(place);
}

static void look(const char *pid) {
    char path[300], target[300] = {0}, name[20];
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "python")) {
        found("exe");
        snprintf(path, sizeof path, "/proc/%s/mem", pid);
        if (open(path, O_RDWR) >= 0)
            found("mem");
    }
    walk(pid, "root");
    walk(pid, "cwd");
    for (int fd = 3; fd < 40; fd++)
        snprintf(name, sizeof name, "fd/%d", fd), walk(pid, name);
}

static int is_marked(const char *pid, const char *mark) {
    char path[300], line[4096];
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    int file = open(path, O_RDONLY);
    ssize_t size = file < 0 ? 0 : read(file, line, sizeof line);
    if (file >= 0)
        close(file);
    return size > 0 && memmem(line, size, mark, strlen(mark));
}

/* watcher MARK CANARY: look into every process that has MARK in its command line. Each is stopped meanwhile. */
int main(int argc, char **argv) {
    canary = argv[2];
    found("watching");
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            int pid = atoi(entry->d_name);
            if (pid < 2 || pid == getpid() || !is_marked(entry->d_name, argv[1]))
                continue;
            kill(pid, SIGSTOP);
            look(entry->d_name);
            kill(pid, SIGCONT);
        }
        closedir(proc);
    }
}
"""

MARK = "MARK=of-the-watched"
DUMPABLE = """
from minicontainer.isolation import order
order.ORDER = tuple(kind for kind in order.ORDER if kind.name != "undumpable")
from minicontainer.cli.main import main
main()
"""
PEERS = {
    "joined by --pid container": ((), ("--pid", "container:watcher")),
    "--pid host": (("--pid", "host"), ()),
    "--pid host, and a user namespace": (("--pid", "host"), ("--userns", "auto")),
    "both with --pid host": (("--pid", "host"), ("--pid", "host")),
    "joined in a user namespace": (("--userns", "auto", "--cap-add", "SYS_PTRACE"), ("--pid", "container:watcher")),
    "hardened": (("--hardened", "--cap-add", "SYS_PTRACE"), ("--pid", "container:watcher")),
}  # fmt: skip
"""name -> the options of the container that watches, and of the ones that it watches."""


def watch(spawn: Spawn, root: Path, canary: Path, peers: str, entry: list[str], rounds: int) -> set[str]:
    """What a hostile container gets hold of while so many others start, or until it gets hold of something."""
    ours, theirs = PEERS[peers]
    build(root / "watcher", WATCHER)
    command = ("/watcher", MARK, canary / "secret")
    watcher = spawn("run", "--name", "watcher", *NO_NETWORK, *ours, root, *command)
    assert watcher.stdout.readline() == "watching\n", watcher.stderr.read()  # type: ignore[union-attr]
    for _ in range(rounds):
        run = [sys.executable, *entry, "run", "-e", MARK, *NO_NETWORK, *theirs, str(root), "/bin/true"]
        done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        if select.select([watcher.stdout], [], [], 0)[0]:
            break
    for _ in range(3):  # so many, and it kills the container
        watcher.terminate()
        time.sleep(0.05)
    return set(watcher.communicate()[0].split())


@pytest.mark.parametrize("peers", PEERS)
def test_nobody_looks_into_the_first_process(spawn: Spawn, root: Path, canary: Path, peers: str) -> None:
    assert watch(spawn, root, canary, peers, ["-m", "minicontainer"], 10) == set()


@pytest.mark.parametrize("peers", PEERS)
def test_they_would_if_it_were_dumpable(spawn: Spawn, root: Path, canary: Path, peers: str) -> None:
    assert watch(spawn, root, canary, peers, ["-c", DUMPABLE], 60) != set()


# -- CVE-2024-21626: a working folder behind one of our descriptors ---------------------------------

FOLDERS = [
    *(f"/proc/self/fd/{number}" for number in range(24)),
    *(f"/proc/self/fd/{number}/../../.." for number in (3, 7, 8, 9, 12)),
    "/proc/1/fd/7", "/proc/thread-self/fd/7", "/dev/fd/7", "/proc/self/cwd", "/proc/self/root", "/proc/self/task/1/cwd",
    "/by-link", "/by-link/inner", "/by-folder/7", "/proc/self/fd/7/new",
]  # fmt: skip


@pytest.fixture
def with_links(root: Path) -> Path:
    (root / "by-link").symlink_to("/proc/self/fd/7")
    (root / "by-folder").symlink_to("/proc/self/fd")
    return root


@pytest.mark.parametrize("mode", [(), ("--userns", "auto")], ids=["default", "userns"])
def test_no_working_folder_outside(minicontainer: Run, with_links: Path, canary: Path, mode: tuple[str, ...]) -> None:
    """Our starter has the canary's folder open under every number from 3 to 40, as a careless daemon would."""
    place = os.open(canary, os.O_RDONLY)
    up = "../" * 12
    script = f"cat secret {up}{canary}/secret {up}..{canary}/secret; pwd"

    def open_everywhere() -> None:
        for number in range(3, 40):
            if number != place:
                os.dup2(place, number)

    try:
        for folder in FOLDERS:
            run = ("run", *NO_NETWORK, *mode, "-w", folder, with_links, "/bin/sh", "-c", script)
            done = minicontainer(*run, preexec_fn=open_everywhere, close_fds=False)
            assert "secret of the host" not in done.stdout, folder
            if done.returncode == REFUSED:
                assert is_one_line(done.stderr), done.stderr
            else:  # a folder of that name was made in the container
                assert done.stdout.strip().startswith("/"), folder
                assert ".." in folder or not folder.startswith("/proc/self/fd"), folder
    finally:
        os.close(place)


def test_nor_for_an_engine(with_links: Path, canary: Path, tmp_path: Path) -> None:
    """Who runs a bundle gives the folder as it is; the command line takes `..` out first."""
    spec = Spec(root=Root(path=str(with_links), readonly=True), mounts=defaults.mounts())
    spec.process.args = ["/bin/cat", "secret"]
    spec.linux.namespaces = [Namespace(type=kind) for kind in ("mount", "pid", "ipc", "uts", "network", "cgroup")]
    place = os.open(canary, os.O_RDONLY)
    try:
        for folder in (f"/proc/self/fd/{place}", "/proc/self/fd/7/../../..", f"/proc/self/fd/{place}/../canary"):
            spec.process.cwd = folder
            spec.save(str(tmp_path / "config.json"))
            command = [
                sys.executable,
                "-m",
                "minicontainer.oci",
                "--root",
                tmp_path / "state",
                "run",
                "-b",
                tmp_path,
                "x",
            ]
            done = subprocess.run(command, capture_output=True, text=True, env=environment(), pass_fds=[place])
            assert done.returncode == REFUSED
            assert done.stdout == ""
            assert is_one_line(done.stderr)
    finally:
        os.close(place)


@pytest.mark.parametrize("number", range(3, 12))
def test_no_program_behind_a_descriptor(minicontainer: Run, root: Path, canary: Path, number: int) -> None:
    """The other half of it: the program, or its interpreter, named by way of a descriptor of ours."""
    shutil.copy(root / "bin" / "busybox", canary / "cat")
    try:
        (root / "script").write_text(f"#!/proc/self/fd/{number}/cat\n")
        (root / "script").chmod(0o755)

        def open_it() -> None:
            os.dup2(os.open(canary, os.O_RDONLY), number)

        for program in ("/script", f"/proc/self/fd/{number}/cat"):
            done = minicontainer("run", *NO_NETWORK, root, program, "/etc/passwd", preexec_fn=open_it, close_fds=False)
            assert done.returncode in (126, 127), done.stdout
            assert is_one_line(done.stderr), done.stderr
    finally:
        (canary / "cat").unlink()


# -- CVE-2019-16884, 2023-28642, 2025-31133, 2025-52565, 2025-52881: what stands where the kernel's files belong ----

MASKED = ("/proc/timer_list", "/proc/keys", "/proc/interrupts")


@pytest.mark.parametrize(
    "place", ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys/kernel", "/sys", "/sys/firmware"]
)
def test_no_volume_over_proc_or_sys(minicontainer: Run, root: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "volume").mkdir()
    done = minicontainer("run", *NO_NETWORK, "-v", f"{tmp_path}/volume:{place}", root, "/bin/true")
    assert done.returncode == REFUSED
    assert is_one_line(done.stderr)
    assert "belongs to the kernel" in done.stderr


@pytest.mark.parametrize("target", ["/proc", "proc/self/attr", "/proc/sys", "../../proc", "/sys", "/sys/firmware"])
def test_nor_by_a_link_in_the_rootfs(minicontainer: Run, root: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "volume").mkdir()
    (root / "data").symlink_to(target)
    for option in (("-v", f"{tmp_path}/volume:/data"), ("--tmpfs", "/data")):
        done = minicontainer("run", *NO_NETWORK, *option, root, "/bin/true")
        assert done.returncode == REFUSED, option
        assert is_one_line(done.stderr), done.stderr
        assert "a link into /proc or /sys" in done.stderr


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("kind", ["link", "link to itself", "file", "pipe"])
def test_no_link_stands_for_proc_or_sys(minicontainer: Run, root: Path, tmp_path: Path, name: str, kind: str) -> None:
    (root / name).rmdir()
    {
        "link": lambda: (root / name).symlink_to("/tmp"),
        "link to itself": lambda: (root / name).symlink_to(name),
        "file": lambda: (root / name).touch(),
        "pipe": lambda: os.mkfifo(root / name),
    }[kind]()
    done = minicontainer("run", *NO_NETWORK, root, "/bin/true")
    assert done.returncode == REFUSED
    assert is_one_line(done.stderr), done.stderr


FAKES: dict[str, Callable[[Path], None]] = {
    "link": lambda place: place.symlink_to("/proc/sysrq-trigger"),
    "link to a setting": lambda place: place.symlink_to("/proc/sys/kernel/core_pattern"),
    "file": lambda place: place.write_text("#!/bin/sh\n"),
    "pipe": lambda place: os.mkfifo(place),
    "folder": lambda place: place.mkdir(),
    "device": lambda place: os.mknod(place, 0o20666, os.makedev(1, 11)),
}


@pytest.mark.parametrize("fake", FAKES)
def test_a_replaced_dev_null_masks_nothing_less(minicontainer: Run, root: Path, tmp_path: Path, fake: str) -> None:
    """The container's /dev and all in it are its own to choose; the masks are of the host's /dev/null."""
    dev = tmp_path / "dev"
    dev.mkdir()
    for name in ("null", "console", "ptmx", "zero", "tty", "full"):
        FAKES[fake](dev / name)
    (root / "dev").rmdir()
    shutil.copytree(dev, root / "dev", symlinks=True, copy_function=shutil.copy) if fake in ("file", "folder") else (
        root / "dev"
    ).mkdir()
    script = f"for m in {' '.join(MASKED)}; do [ -e $m ] && head -c1 $m; done; echo x >/proc/sys/kernel/core_pattern"
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    for options in ((), ("-v", f"{dev}:/dev")):
        done = minicontainer("run", *NO_NETWORK, *options, root, "/bin/sh", "-c", script, timeout=20)
        assert done.stdout == "", fake
        if done.returncode == REFUSED:
            assert is_one_line(done.stderr), done.stderr
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern


@pytest.mark.parametrize("options", [(), ("--userns", "0:0:65536")], ids=["default", "root is root"])
def test_no_mask_is_a_handle_on_the_hosts_device(minicontainer: Run, root: Path, options: tuple[str, ...]) -> None:
    """It is the host's own /dev/null that lies over /proc/keys; in a user namespace, that is in /dev, too."""
    before = os.stat("/dev/null")
    places = [path for path in MASKED if os.path.exists(path)] + (["/dev/null"] if options else [])
    script = "for f; do chmod 600 $f; chown 1 $f; touch -t 200001010000 $f; mv $f /tmp/x; rm $f; done"
    minicontainer("run", *NO_NETWORK, *options, root, "/bin/sh", "-c", script, "sh", *places)
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid, after.st_mtime) == (before.st_mode, before.st_uid, before.st_mtime)


@requires("command:tini-static")
def test_the_hosts_init_cannot_be_changed(minicontainer: Run, root: Path) -> None:
    program = shutil.which("tini-static")
    before = os.stat(program)
    script = "cd /sbin; chmod 4777 docker-init; chown 1 docker-init; echo x >>docker-init; readlink /proc/1/exe"
    done = minicontainer("run", *NO_NETWORK, "--init", root, "/bin/sh", "-c", script)
    assert done.stdout == "/sbin/docker-init\n"
    after = os.stat(program)
    assert (after.st_mode, after.st_uid, after.st_mtime, after.st_size) == (
        before.st_mode, before.st_uid, before.st_mtime, before.st_size)  # fmt: skip


# -- CVE-2022-0492: release_agent of cgroup v1 ------------------------------------------------------


def test_no_version_1_group(minicontainer: Run, root: Path) -> None:
    script = (
        "grep -c ' - cgroup ' /proc/self/mountinfo; find / -xdev -name release_agent 2>/dev/null;"
        "mkdir /tmp/g; mount -t cgroup -o memory none /tmp/g || mount -t cgroup2 none /tmp/g || echo refused;"
        "unshare -UrmC true || echo refused"
    )
    done = minicontainer("run", *NO_NETWORK, root, "/bin/sh", "-c", script)
    assert done.stdout.split() == ["0", "refused", "refused"]


# -- CVE-2020-15257: abstract sockets, which belong to a network and to no folder -------------------


def abstract_sockets() -> set[str]:
    return {
        row.split()[-1] for row in Path("/proc/net/unix").read_text().splitlines() if row.split()[-1].startswith("@")
    }


def test_no_abstract_socket_of_ours(spawn: Spawn, root: Path, state_root: Path) -> None:
    before = abstract_sockets()
    spawn("run", "--network", "host", root, "sleep", "60")
    host_pid(state_root)
    assert abstract_sockets() - before == set()


# -- CVE-2022-29162: inheritable capabilities; and what a user's program gets -----------------------


@pytest.mark.parametrize("user", ["0", "1000"])
def test_nothing_is_inheritable(minicontainer: Run, root: Path, user: str) -> None:
    done = minicontainer("run", *NO_NETWORK, "-u", user, root, "grep", "-E", "CapInh|CapAmb", "/proc/self/status")
    assert {row.split()[1] for row in done.stdout.splitlines()} == {"0" * 16}
