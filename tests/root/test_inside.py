"""What a container sees and can do by default, hardened, with user ids of its own, and privileged.

One container of each kind is started, by a process that has everything to leak: open directories, secrets
in its environment, ignored and blocked signals, a umask. Inside, all probes run one after the other.

A fact is a command and what it must print. An attack is a command that must not succeed. Those of the core
are what every container engine promises to hold; the strict ones are beyond that, and held as far as it says.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pty
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicontainer import defaults
from minicontainer.linux import capability, proc
from tests.conftest import Run
from tests.support import command, environment, requires

pytestmark = requires("root", "command:gcc")

SOURCE = Path(__file__).with_name("attacks.c")
SECRET = "secret-of-the-host"
DEFAULT, USERNS, HARDENED, USER = "default", "--userns auto", "--hardened", "-u 1000:1000"
MODES = (DEFAULT, USERNS, HARDENED, USER)
DOCKER, NO_CAPABILITY = "00000000a80425fb", "0000000000000000"


@pytest.fixture(scope="session")
def attack_rootfs(tmp_path_factory: pytest.TempPathFactory, rootfs: Path) -> Path:
    """A root filesystem with the program /attack, once more as /suid with the set-user-ID bit."""
    root = tmp_path_factory.mktemp("attack") / "root"
    shutil.copytree(rootfs, root, symlinks=True)
    subprocess.run(["gcc", "-static", "-O1", "-o", root / "attack", SOURCE], check=True)
    shutil.copy(root / "attack", root / "suid")
    (root / "suid").chmod(0o4755)
    return root


def leak_everything() -> None:
    """In the process that becomes the command: what must not get into the container."""
    os.umask(0o077)
    for number in (signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD, signal.SIGRTMIN + 3):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGQUIT])
    Path("/proc/self/oom_score_adj").write_text("111")


@contextlib.contextmanager
def open_directories() -> Iterator[list[int]]:
    """Descriptors of the host's `/` and others, from 3 to 40, all inheritable."""
    files = [os.open("/", os.O_RDONLY) for _ in range(30)]
    files += [os.open("/etc/shadow", os.O_RDONLY), os.open("/proc/self", os.O_PATH), socket.socket().detach()]
    try:
        yield files
    finally:
        for fd in files:
            os.close(fd)


def run_leaky(minicontainer: Run, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with all that `leak_everything` and `open_directories` do."""
    with open_directories() as descriptors:
        return minicontainer(
            *args, env=environment(SECRET=SECRET), pass_fds=descriptors, preexec_fn=leak_everything, cwd="/usr"
        )


def sections(script: dict[str, str]) -> str:
    """One shell script that prints what each command prints, under its name (without apostrophes)."""
    return "".join(f"echo '@@{name}'\n({probe}) 2>&1\n" for name, probe in script.items()) + "true"


def split(text: str) -> dict[str, str]:
    rows = (part.partition("\n") for part in text.split("@@")[1:])
    return {name: output.strip() for name, _, output in rows}


def probe(minicontainer: Run, root: Path, options: str, script: dict[str, str]) -> dict[str, str]:
    """What each command of `script` prints in one container with these options."""
    words = [] if options == DEFAULT else options.split()
    done = run_leaky(minicontainer, "run", "--network", "none", *words, root, "/bin/sh", "-c", sections(script))
    assert done.returncode == 0, done.stderr
    return split(done.stdout)


# -- facts --------------------------------------------------------------------------------------

NAMESPACES = os.listdir("/proc/self/ns")

MASKED = " ".join(defaults.MASKED_PATHS)

FACTS: dict[str, tuple[str, dict[str, str] | str]] = {
    **{f"{kind} namespace": (f"readlink /proc/self/ns/{kind}", "") for kind in NAMESPACES},
    "control group": ("cut -d: -f3 /proc/self/cgroup | sort -u", "/"),
    "version 1 groups": ("grep -c ' - cgroup ' /proc/self/mountinfo", "0"),
    "pid": ("cut -d' ' -f1 /proc/1/stat; ls -d /proc/[0-9]* | grep -vc $$", ""),
    "session and terminal": ("cut -d' ' -f4,6,7 /proc/1/stat", "0 1 0"),
    "controlling terminal": (": </dev/tty", "/bin/sh: can't open /dev/tty: No such device or address"),
    "program": ("for l in exe root cwd; do readlink /proc/1/$l; done", "/bin/busybox\n/\n/"),
    "files mapped": ("grep -o '/.*' /proc/1/maps | sort -u", "/bin/busybox"),
    "arguments": ("tr '\\0' '\\n' </proc/1/cmdline | head -2", "/bin/sh\n-c"),
    "environment": ("tr '\\0' '\\n' </proc/1/environ | sed s/HOSTNAME=.*/HOSTNAME=/ | sort",
        {DEFAULT: f"HOME=/root\nHOSTNAME=\nPATH={defaults.PATH}",
         USER: f"HOME=/home/student\nHOSTNAME=\nPATH={defaults.PATH}"}),
    "descriptors": ("ls /proc/1/fd", "0\n1\n2"),
    "ignored signals": ("grep SigIgn /proc/self/status | cut -f2", "0" * 16),
    "blocked signals": ("grep SigBlk /proc/self/status | cut -f2", "0" * 16),
    "umask": ("umask", "0022"),
    "badness when memory is short": ("cat /proc/self/oom_score_adj", "111"),
    "uid and gid": ("id -u; id -g", {DEFAULT: "0\n0", USER: "1000\n1000"}),
    "groups": ("grep Groups /proc/self/status | cut -f2 | tr -d ' '", {DEFAULT: "0", USER: "1000"}),
    "no new privileges": ("grep NoNewPrivs /proc/self/status | cut -f2", {DEFAULT: "0", HARDENED: "1"}),
    "seccomp": ("grep Seccomp: /proc/self/status | cut -f2", "2"),
    "effective capabilities": ("grep CapEff /proc/self/status | cut -f2",
        {DEFAULT: DOCKER, HARDENED: NO_CAPABILITY, USER: NO_CAPABILITY}),
    "permitted capabilities": ("grep CapPrm /proc/self/status | cut -f2",
        {DEFAULT: DOCKER, HARDENED: NO_CAPABILITY, USER: NO_CAPABILITY}),
    "bounding capabilities": ("grep CapBnd /proc/self/status | cut -f2", {DEFAULT: DOCKER, HARDENED: NO_CAPABILITY}),
    "inheritable and ambient": ("grep -E 'CapInh|CapAmb' /proc/self/status | cut -f2 | sort -u", NO_CAPABILITY),
    "interfaces": ("ls /sys/class/net", "lo"),
    "sockets of the host": ("tail -n +2 /proc/net/unix | wc -l", "0"),
    "host name": ("hostname | wc -c", "13"),
    "shared or slave mounts": ("grep -c 'shared:\\|master:' /proc/self/mountinfo", "0"),
    "above the root": ("stat -c %d:%i / /.. /../../.. /proc/1/root/.. | sort -u | wc -l", "1"),
    "what is mounted": ("cut -d' ' -f5 /proc/self/mountinfo | cut -d/ -f2 | sort -u | tr '\\n' ' '",
        {DEFAULT: "dev etc proc sys", HARDENED: "dev etc proc run sys tmp"}),
    "paths of the host in mount options": ("grep ' / / ' /proc/self/mountinfo | grep -c state", "0"),
    "devices": ("ls /dev | tr '\\n' ' '",
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"),
    "device modes": ("cd /dev; stat -c '%n %a %t:%T' full null random tty urandom zero",
        "full 666 1:7\nnull 666 1:3\nrandom 666 1:8\ntty 666 5:0\nurandom 666 1:9\nzero 666 1:5"),
    "links in /dev": ("cd /dev; for l in fd stdin stdout stderr ptmx; do readlink $l; done",
        "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx"),
    "terminals": ("ls /dev/pts; stat -c %a /dev/pts/ptmx; grep -o 'mode=620,ptmxmode=666' /proc/mounts",
        "ptmx\n666\nmode=620,ptmxmode=666"),
    "flags of /proc": ("grep ' /proc proc' /proc/mounts | cut -d' ' -f4", "rw,nosuid,nodev,noexec,relatime"),
    "flags of /sys": ("grep ' /sys sysfs' /proc/mounts | cut -d' ' -f4", "ro,nosuid,nodev,noexec,relatime"),
    "flags of /dev/shm": ("grep ' /dev/shm ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1-4,6",
        "rw,nosuid,nodev,noexec,size=65536k"),
    "flags of the root": ("head -1 /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1,2",
        {DEFAULT: "rw,relatime", HARDENED: "ro,nosuid"}),
    "masked files": (f"for p in {MASKED}; do [ -d $p ] || cat $p 2>/dev/null; done | wc -c", "0"),
    "masked directories": (f"for p in {MASKED}; do [ -d $p ] && ls -A $p; done | wc -l", "0"),
    "addresses in the kernel": ("grep -vc '^0000000000000000' /proc/kallsyms", "0"),
}  # fmt: skip
"""name -> command, and what it prints: in each mode; by default as in the default mode."""


def wanted(name: str, mode: str) -> str:
    expected = FACTS[name][1]
    return expected if isinstance(expected, str) else expected.get(mode, expected[DEFAULT])


@pytest.mark.parametrize("mode", MODES)
def test_facts(minicontainer: Run, attack_rootfs: Path, mode: str) -> None:
    missing = [name for name in ("addresses in the kernel",) if not os.path.exists("/proc/kallsyms")]
    script = {name: text for name, (text, _) in FACTS.items() if name not in missing}
    found = probe(minicontainer, attack_rootfs, mode, script)
    for kind in NAMESPACES:  # whose are they? the container's own, but for those that it has only on request
        same = found.pop(f"{kind} namespace") == os.readlink(f"/proc/self/ns/{kind}")
        assert same == (kind.startswith("time") or (kind == "user" and mode in (DEFAULT, USER))), kind
    assert found.pop("pid").split("\n")[0] == "1"
    assert found == {name: wanted(name, mode) for name in found}
    assert SECRET not in str(found)


# -- attacks ------------------------------------------------------------------------------------

READ_ONLY = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/sysrq",
    "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/sys/kernel/uevent_helper", "/sys/power/state",
    "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/fs/binfmt_misc/register", "/proc/kmsg",
    "/sys/fs/cgroup/cgroup.procs", "/sys/kernel/debug/tracing/tracing_on",
)  # fmt: skip

DEVICES = {
    "memory": "char 1 1", "kernel log": "char 1 11", "fuse": "char 10 229", "tun": "char 10 200", "kvm": "char 10 232",
    "disk": "block {disk}", "loop": "block 7 0", "loop control": "char 10 237", "vsock": "char 10 121",
    "console of the host": "char 4 0",
}  # fmt: skip

CALLS = (
    "unshare user", "unshare mount", "unshare net", "clone user", "clone mount", "clone3", "setns", "mount", "umount",
    "pivot_root", "fsopen", "open_tree clone", "move_mount", "mount_setattr", "bpf", "perf_event_open", "io_uring",
    "userfaultfd", "keyctl", "add_key", "request_key", "open_by_handle_at", "kexec_load", "init_module",
    "finit_module", "delete_module", "reboot", "swapon", "acct", "quotactl", "syslog", "sethostname", "priority",
    "realtime", "clock", "vhangup", "fanotify", "personality", "TIOCSTI", "socket vsock", "socket alg",
)  # fmt: skip

PORTS = ("iopl", "ioperm") if os.uname().machine == "x86_64" else ()

CORE = {
    **{f"write to {path}": f"/attack writable {path}" for path in READ_ONLY},
    **{f"use the device {name}": f"/attack {numbers}" for name, numbers in DEVICES.items()},
    **{f"call {name}": f"/attack '{name}'" for name in (*CALLS, *PORTS)},
    "make a control group": "mkdir /sys/fs/cgroup/new",
    "change /dev/null of the host through a mask": "chmod 600 /proc/timer_list",
    "see the keys of the host": "grep . /proc/keys",
    "find the files of the host above": "ls -d /../../../..{here} /proc/1/root/../..{here}",
    "signal a process of the host": "kill -0 {pid}",
}

STRICT = {
    "open raw and packet sockets": "/attack 'socket raw' || /attack 'socket packet'",
    "become root by a set-user-ID program": "/attack 'become root'",
    "be the root of the host": "read inside outside rest </proc/self/uid_map; [ $outside = 0 ]",
    "write to the root filesystem": "touch /new",
    "make device nodes": "/attack node",
    "use the segments of old x86": "/attack modify_ldt",
}

NOT_HELD = {
    DEFAULT: set(STRICT),
    USERNS: set(STRICT) - {"be the root of the host", "make device nodes"},
    HARDENED: set(),
}


@functools.cache
def values() -> dict[str, str]:
    """What the attacks need to know of the host."""
    disk = next((row.split()[:2] for row in proc.read("/proc/partitions").splitlines()[2:]), ["8", "0"])
    return {
        "{disk}": " ".join(disk),
        "{here}": str(SOURCE),
        "{pid}": str(os.getpid()),
    }


def attacks(table: dict[str, str]) -> dict[str, str]:
    """The commands, each printing whether it worked."""
    script = {}
    for name, text in table.items():
        for word, value in values().items():
            text = text.replace(word, value)
        script[name] = f"( {text} ) >/dev/null 2>&1 && echo worked || echo held"
    return script


@pytest.mark.parametrize("mode", NOT_HELD)
def test_attacks(minicontainer: Run, attack_rootfs: Path, mode: str) -> None:
    found = probe(minicontainer, attack_rootfs, mode, attacks(CORE | STRICT))
    worked = {name for name, result in found.items() if result == "worked"}
    assert set(found) == set(CORE | STRICT)
    assert worked & set(CORE) == set()
    assert worked == {name for name in NOT_HELD[mode] if name != "use the segments of old x86" or PORTS}


# -- privileged ---------------------------------------------------------------------------------

FALLS = {
    "effective capabilities": ("grep CapEff /proc/self/status | cut -f2", f"{capability.capget()[1]:016x}"),
    "seccomp": ("grep Seccomp: /proc/self/status | cut -f2", "0"),
    "masks": ("grep -c ' /null /proc/\\|/proc/acpi' /proc/self/mountinfo", "0"),
    "flags of /sys": ("grep ' /sys sysfs' /proc/mounts | cut -d, -f1 | cut -d' ' -f4", "rw"),
    "kernel settings": ("/attack writable /proc/sys/kernel/core_pattern && echo writable", "writable"),
    "mounts": ("mount -t tmpfs none /mnt && echo mounted", "mounted"),
    "kernel log": ("/attack char 1 11 && echo opened", "opened"),
    "devices of the host": ("ls /dev | grep -c loop0", str(int(os.path.exists("/dev/loop0")))),
    "what stays: control group": ("cut -d: -f3 /proc/self/cgroup | sort -u", "/"),
    "what stays: processes": ("echo $$", "1"),
    "what stays: descriptors": ("ls /proc/1/fd", "0\n1\n2"),
    "what stays: shared mounts": ("grep -c 'shared:\\|master:' /proc/self/mountinfo", "0"),
}
"""name -> command, and what it prints in a privileged container."""


def test_privileged_says_what_falls(minicontainer: Run, attack_rootfs: Path) -> None:
    script = sections({name: text for name, (text, _) in FALLS.items()})
    done = run_leaky(minicontainer, "run", "--network", "none", "--privileged", attack_rootfs, "/bin/sh", "-c", script)
    assert split(done.stdout) == {name: expected for name, (_, expected) in FALLS.items()}
    note = done.stderr.splitlines()[0]
    assert note.startswith("minicontainer: note: --privileged: ")
    for word in ("seccomp", "masks", "capabilities", "devices", "root inside is root outside"):
        assert word in note


@pytest.mark.parametrize("call", ["unshare mount", "setns", "mount", "bpf", "syslog", "sethostname", "socket vsock"])
def test_privileged_opens_what_others_find_shut(minicontainer: Run, attack_rootfs: Path, call: str) -> None:
    run = ("run", "--network", "none")
    assert minicontainer(*run, "--privileged", attack_rootfs, "/attack", call).returncode == 0
    assert minicontainer(*run, attack_rootfs, "/attack", call).returncode == 1


# -- the terminal, and what stands for it -------------------------------------------------------

TERMINAL = {
    "terminal": ("tty", "/dev/pts/0"),
    "descriptors": ("for n in 0 1 2; do readlink /proc/1/fd/$n; done", "/dev/pts/0\n" * 3),
    "console": ("for f in console pts/0; do stat -c '%F %t' /dev/$f; done | uniq", "character special file 88"),
    "terminals": ("ls -1 /dev/pts", "0\nptmx"),
    "session": ("cut -d' ' -f6 /proc/1/stat", "1"),
    "controlling terminal": ("[ -t 0 ] </dev/tty && echo yes", "yes"),
    "typing for others": ("/attack TIOCSTI && echo typed || echo refused", "refused"),
}  # fmt: skip


def test_on_a_terminal(attack_rootfs: Path, state_root: Path) -> None:
    script = sections({name: text for name, (text, _) in TERMINAL.items()})
    master, slave = pty.openpty()
    ends = {"stdin": slave, "stdout": slave, "stderr": slave}
    run = command("run", "-t", "--network", "none", attack_rootfs, "/bin/sh", "-c", script)
    process = subprocess.Popen(run, env=environment(), start_new_session=True, **ends)
    output = b""
    with contextlib.suppress(OSError):  # EIO: the last slave end is closed
        os.close(slave)
        while data := os.read(master, 4096):
            output += data
    os.close(master)
    assert process.wait(10) == 0
    found = split(output.decode().replace("\r", ""))
    assert found == {name: expected.strip() for name, (_, expected) in TERMINAL.items()}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_directory_is_no_input_or_output(minicontainer: Run, rootfs: Path, number: int) -> None:
    """`minicontainer run … </` would hand the host's root over; Python itself does not start so."""

    def replace() -> None:
        os.dup2(os.open("/", os.O_RDONLY), number)

    command = ("cat", f"/proc/self/fd/{number}/../../../../../..{SOURCE}")
    done = minicontainer("run", "--network", "none", rootfs, *command, preexec_fn=replace)
    assert done.returncode != 0
    assert SOURCE.read_text() not in done.stdout


def test_closed_input_and_output(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    """The numbers must not go to files of ours; the container has /dev/null there."""
    out = tmp_path / "out"
    out.mkdir()
    script = "for n in 0 1 2; do readlink /proc/self/fd/$n; done >/out/fds; ls /proc/self/fd >>/out/fds"

    def close_all() -> None:
        for number in (0, 1, 2):
            os.close(number)

    run = ("run", "--network", "none", "-v", f"{out}:/out", rootfs, "/bin/sh", "-c", script)
    minicontainer(*run, preexec_fn=close_all)
    assert (out / "fds").read_text().split() == ["/dev/null", "/out/fds", "/dev/null", "0", "1", "2", "3"]
