"""A whole run loads nothing heavy in the process that waits, and stays small. See tests/unit/test_imports.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import environment, requires
from tests.unit.test_imports import HEAVY

pytestmark = requires("root")

PROGRAM = """
import sys
before = set(sys.modules)
from minicontainer.cli.main import command
status = command(["run", *sys.argv[1:]])
print(*sorted((set(sys.modules) - before) & set({heavy!r})))
sys.exit(status)
"""

RUNS = (
    "--network none",
    "--network none --hardened",
    "--network bridge --name web -v /tmp:/mnt:ro -u 1000",
    "--network host --privileged",
)


@pytest.mark.parametrize("words", RUNS)
def test_a_run_loads_nothing_heavy(words: str, state_root: Path, rootfs: Path) -> None:
    script = [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), *words.split(), str(rootfs), "/bin/true"]
    for _ in ("the first compiles the filter of system calls", "the second finds it compiled"):
        done = subprocess.run(script, capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
