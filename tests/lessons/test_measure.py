"""Lesson 14's measurement: what it says of kernels, clocks and panics is so on each machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicontainer.lessons import catalogue, console

SCRIPT = catalogue.folder() / "14-one-kernel" / "measure.py"


def columns(line: str) -> list[str]:
    """A row of the table: its name, and the values of container, machine, and container in a machine."""
    name, rest = line[:27].strip(), line[27:]
    return [name, rest[:17].strip(), rest[17:34].strip(), rest[34:].strip()]


@pytest.mark.requires("lab", "root")
def test_container_and_machine_are_measured_side_by_side(tmp_path: Path, fresh_root: Path) -> None:
    with console.Shell(tmp_path) as shell:
        lines = shell.run(f"{sys.executable} {SCRIPT} {fresh_root}", seconds=300)
    rows = {name: values for name, *values in map(columns, lines)}
    here = os.uname().release
    assert rows["kernel"][0] == here
    assert here not in rows["kernel"][1:]
    assert rows["boot"] == ["the host's", "its own", "its own"]
    assert rows["seen by ps on the host"] == ["yes", "no", "no"]
    this_year = subprocess.run(["date", "+%Y"], capture_output=True, text=True, check=True).stdout.strip()
    assert rows["its clock to 2001: host in"] == ["2001", this_year, this_year]
    assert rows["its panic: the host is"] == ["down", "up", "up"]
    assert all(value.endswith(" ms") for name in ("to start and end", "100,000 system calls") for value in rows[name])
