"""`run --as-shell` with limits: the script's container has those of the command's, and they hold."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.shells import both, known, script, without_us
from tests.support import requires

pytestmark = requires("root", "cgroup2:memory", "cgroup2:pids", "cgroup2:cpu", "cgroup2:io")

CASES = {
    "limits": "-m 64m --memory-swap 96m --memory-reservation 32m --pids-limit 17 --cpus 0.5 --cpu-shares 512",
    "another place": "-m 64m --memory-swap -1 --pids-limit -1 --cpu-quota 20000 --cgroup-parent /as-shell/sub",
    "hardened": "--hardened --userns host",
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_limits(case: str, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    differences = both(tmp_path, "--network", "none", *CASES[case].split(), rootfs=rootfs)
    known(differences)
    assert differences == {}


def test_a_hog_is_killed(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    options = ("--network", "none", "-m", "32m", "--memory-swap", "32m")
    path = script(tmp_path, *options, rootfs, "sh", "-c", "tail /dev/zero; echo $?")
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert done.stdout == "137\n", done.stderr


def test_a_fork_bomb_stops(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    bomb = "for i in 1 2 3 4 5 6 7 8 9; do sleep 9 & done; echo all"
    path = script(tmp_path, "--network", "none", "--pids-limit", "5", rootfs, "sh", "-c", bomb)
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert "all" not in done.stdout and "fork" in done.stderr


def test_a_controller_that_is_missing_is_named(rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "--network", "none", "-m", "64m", rootfs, "true")
    text = path.read_text()
    assert "for controller in memory pids; do" in text
    path.write_text(text.replace("for controller in memory pids; do", "for controller in nonesuch; do"))
    done = subprocess.run(["sh", path], capture_output=True, text=True, env=without_us())
    assert done.returncode == 125 and "no nonesuch controller" in done.stderr
