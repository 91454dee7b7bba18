"""What the runtime says it does, beside what the kernel sees: `--explain=json` against `strace -ff -y`.

Process by process and in order: nothing that changed anything is missing, nothing is told that was not done,
results and descriptors are the same. The narrator, which looks on, changes nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import command, environment

pytestmark = pytest.mark.requires("root", "command:strace")

SAME = (
    "clone3", "unshare", "setns", "sethostname", "setdomainname", "mount", "umount2", "pivot_root", "open_tree",
    "move_mount", "mount_setattr", "setsid", "capset", "setgroups", "setresuid", "setresgid", "chroot", "execve",
    "execveat", "chdir", "fchdir", "openat2", "close_range", "setxattr", "fchown", "pidfd_send_signal", "rmdir",
    "mkdir",
)  # fmt: skip
"""Calls that have the same name on both sides."""

OTHERS = (
    # strace's name, the beginning of what is between the parentheses, our name
    ("mkdirat", "", "mkdir"),
    ("mknodat", "", "mknod"),
    ("symlinkat", "", "symlink"),
    ("symlink", "", "symlink"),
    ("fchownat", "", "chown"),
    ("lchown", "", "chown"),
    ("keyctl", "KEYCTL_JOIN_SESSION_KEYRING", "join_session_keyring"),
    ("bpf", "BPF_PROG_LOAD", "bpf_prog_load"),
    ("bpf", "BPF_PROG_ATTACH", "bpf_prog_attach"),
    ("seccomp", "SECCOMP_SET_MODE_FILTER", "seccomp_set_filter"),
    ("prctl", "PR_SET_DUMPABLE", "set_dumpable"),
    ("prctl", "PR_SET_PDEATHSIG", "set_pdeathsig"),
    ("prctl", "PR_SET_KEEPCAPS", "set_keepcaps"),
    ("prctl", "PR_SET_NO_NEW_PRIVS", "set_no_new_privs"),
    ("prctl", "PR_CAPBSET_DROP", "capbset_drop"),
    ("prctl", "PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL", "cap_ambient_clear_all"),
    ("prctl", "PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE", "cap_ambient_raise"),
    ("kill", "", "send_signal"),
    ("prlimit64", "0, RLIMIT_[A-Z]+, {", "setrlimit"),
    ("rt_sigaction", "(SIGRTMIN|SIGRT_[01]|SIGRT_?3[23]), {sa_handler=SIG_DFL", "default_action"),
    ("ioctl", "[^,]*, SIOCSIFFLAGS", "loopback_up"),
    ("ioctl", "[^,]*, TIOCSCTTY", "set_controlling_terminal"),
    ("write", r"\d+</(proc|sys)/", "write_file"),
)
GIVE_A_NUMBER = ("clone3", "openat2", "open_tree", "bpf_prog_load", "join_session_keyring")
TRACED = {*SAME, *(name for name, _, _ in OTHERS)}

RUNS = {
    "usual": ("--network", "none"),
    "user namespace": ("--network", "none", "--userns", "auto", "-h", "box", "--domainname", "example"),
    "user and limits": ("--network", "none", "-u", "7:8", "--ulimit", "nofile=100:200", "--cap-add", "NET_ADMIN",
                        "--time-offset", "+1h", "-v", "/tmp:/mnt:ro", "--tmpfs", "/scratch", "-w", "/new"),
    "hardened": ("--hardened",),
    "no program": ("--network", "none", "NO SUCH PROGRAM"),
}  # fmt: skip


def seen(file: Path, own: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """strace's account of one process: our name of each call that changes something, its arguments, its result.

    Without making the folders `own`, which hold the record of the container and are no part of it.
    """
    calls = []
    for row in file.read_text(errors="replace").splitlines():
        found = re.match(r"(\w+)\((.*)\) += (-?\w+(?: [A-Z]+)?)", row) or re.match(r"(\w+)\((.*)()$", row)
        if not found or found[1] not in TRACED:
            continue
        name, args, result = found.groups()
        ours = name if name in SAME else next((o for n, start, o in OTHERS if n == name and re.match(start, args)), "")
        if ours and not (ours == "mkdir" and any(f'"{folder}"' in args for folder in own)):
            calls.append((ours, args, result))
    return calls


def told(file: Path) -> dict[int, list[dict[str, Any]]]:
    """Our own account, process by process."""
    processes: dict[int, list[dict[str, Any]]] = {}
    for row in file.read_text().splitlines():
        step = json.loads(row)
        processes.setdefault(step["pid"], []).append(step)
    return processes


@pytest.mark.parametrize("name", RUNS)
def test_what_is_told_is_what_was_done(name: str, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    *options, program = RUNS[name] if name == "no program" else (*RUNS[name], "/bin/true")
    account = tmp_path / "told"
    words = command("run", "--explain=json", "--explain-to", account, *options, rootfs, program.replace(" ", ""))
    expected = 127 if name == "no program" else 0
    run = {"env": environment(), "timeout": 120, "stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert subprocess.run(words, **run).returncode == expected  # compiles the system call filter, once
    strace = [
        "strace",
        "-ff",
        "-y",
        "-s",
        "300",
        "-o",
        str(tmp_path / "seen"),
        "-e",
        "trace=" + ",".join(sorted(TRACED)),
    ]
    assert subprocess.run(strace + words, **run).returncode == expected

    processes = told(account)
    containers = state_root / "containers"
    cache = state_root / "cache"
    own = tuple(map(str, (state_root, containers, containers / id_in(account), cache, cache / "seccomp")))
    files = {int(file.suffix[1:]): file for file in tmp_path.glob("seen.*")}
    for pid, file in files.items():
        calls = seen(file, own)
        if calls and calls[0][0] == "execve" and pid == min(files):
            del calls[0]  # the one that started Python
        steps = processes.pop(pid, [])
        assert [step["call"] for step in steps if is_traced(step)] == [call for call, _, _ in calls], f"process {pid}"
        for step, (_, args, result) in zip(filter(is_traced, steps), calls, strict=True):
            compare(step, args, result)
    assert not processes


def is_traced(step: dict[str, Any]) -> bool:
    return step["call"] in SAME or any(step["call"] == ours for _, _, ours in OTHERS)


def id_in(account: Path) -> str:
    found = re.search(r"containers/([0-9a-f]{64})", account.read_text())
    assert found
    return found[1]


def compare(step: dict[str, Any], args: str, result: str) -> None:
    """One call on both sides. (An exec has no result: strace shows 0 or nothing, as the process is another now.)"""
    number, _, errno = result.partition(" ")
    assert (step["error"] or "") == errno, (step, args, result)
    if step["call"] in GIVE_A_NUMBER and not errno:
        assert step["result"] == int(number, 0), (step, args, result)
    if step["call"] in ("openat2", "fchdir") and "<" in step["args"][0]:  # the descriptor, and where it leads
        assert args.startswith(step["args"][0]), (step, args)
