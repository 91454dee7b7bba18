"""What the runtime says it does, beside what the kernel sees: `MINICONTAINER_TRACE` against `strace -f`."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support import command, environment

pytestmark = pytest.mark.requires("root", "command:strace")

CHANGES = {
    "clone3": "clone3",
    "unshare": "unshare",
    "setns": "setns",
    "sethostname": "sethostname",
    "setdomainname": "setdomainname",
    "mount": "mount",
    "umount2": "umount2",
    "pivot_root": "pivot_root",
    "open_tree": "open_tree",
    "move_mount": "move_mount",
    "mount_setattr": "mount_setattr",
    "mknodat": "mknod",
    "symlinkat": "symlink",
    "setsid": "setsid",
    "keyctl": "join_session_keyring",
    "capset": "capset",
    "setgroups": "setgroups",
    "setresuid": "setresuid",
    "setresgid": "setresgid",
    "chroot": "chroot",
    "execve": "execve",
    "execveat": "execveat",
}
"""strace's name of what changes a process or the system -> ours."""


def test_all_that_is_done_is_told_and_nothing_else(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    told, seen = tmp_path / "told", tmp_path / "seen"
    run = command("run", "--network", "none", "--userns", "auto", "-h", "box", rootfs, "/bin/true")
    subprocess.run(run, check=True, env=environment(), timeout=60)  # compiles the system call filter, once
    strace = ["strace", "-f", "-o", str(seen), "-e", "trace=" + ",".join(CHANGES)]
    subprocess.run(strace + run, check=True, env=environment(MINICONTAINER_TRACE=str(told)), timeout=60)

    names = [line.split(maxsplit=2)[2].partition("(")[0] for line in told.read_text().splitlines()]
    calls = []
    for line in seen.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        if call and call[1] in CHANGES:
            calls.append(CHANGES[call[1]])
    calls.remove("execve")  # the one that started Python
    calls.remove("execve")  # the one that the trampoline makes, told with execveat as its argument

    watched = set(CHANGES.values())
    assert Counter(name for name in names if name in watched) == Counter(calls)
