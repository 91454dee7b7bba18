"""What `compare` and `view` say of limits, where there are limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from minicontainer.linux import cgroup2
from tests.conftest import Run, Spawn
from tests.support import environment, host_pid, requires

pytestmark = requires("root", "cgroup2:memory", "cgroup2:pids", "cgroup2:cpu")

LIMITS = ("-m", "64m", "--pids-limit", "50", "--cpus", "0.5")


@pytest.fixture
def web(spawn: Spawn, rootfs: Path, state_root: Path) -> int:
    """A container with limits; its pid."""
    spawn("run", "--name", "web", "--network", "none", *LIMITS, rootfs, "sh", "-c", "trap exit TERM; sleep 600 & wait")
    return host_pid(state_root)


def test_compare_finds_the_limits(minicontainer: Run, web: int) -> None:
    facts = {each["name"]: each for each in json.loads(minicontainer("compare", "web", "--json").stdout)["facts"]}
    found = facts["limits"]["left"]
    assert (found["memory"], found["processes"], found["cpus"]) == (64 << 20, 50, 0.5)
    assert facts["limits"]["same"] is False
    assert "memory 64 MiB" in minicontainer("compare", "web").stdout


def test_a_limit_above_counts_for_those_below(minicontainer: Run, web: int) -> None:
    above = Path(cgroup2.group_of(web)).parent
    before = (above / "pids.max").read_text()
    (above / "pids.max").write_text("20")
    try:
        facts = {each["name"]: each for each in json.loads(minicontainer("compare", "web", "--json").stdout)["facts"]}
        assert facts["limits"]["left"]["processes"] == 20
    finally:
        (above / "pids.max").write_text(before)


def test_the_view_measures_by_them(minicontainer: Run, web: int) -> None:
    text = minicontainer("view", "--once", env=environment(COLUMNS="80", LINES="24")).stdout
    group = cgroup2.group_of(web)
    assert re.search(r"mem ━?─+ [0-9.]+ [KM]iB of 64 MiB", text)
    assert re.search(r"cpu [━─]+ 0\.[0-9]+ of 0\.5 CPUs", text)
    assert re.search(r"ps +2 of 50", text)
    assert (cgroup2.number(group, "memory.current") or 0) > 0
