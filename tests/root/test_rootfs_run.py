"""Each kind of root filesystem runs, and the kernel agrees with the reason that is given when a program does not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from minicontainer import rootfs as builder
from tests.conftest import Run
from tests.support import requires

pytestmark = requires("root", "command:busybox")
QUIET = ("--network", "none")


@requires("command:ldd")
def test_host(minicontainer: Run, tmp_path: Path) -> None:
    builder.build(str(tmp_path / "root"), "host")
    ran = minicontainer("run", *QUIET, tmp_path / "root", "sh", "-c", "ls -1 / && id -u && ps -e && hostname && whoami")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert set(builder.FOLDERS) & set(lines) >= {"bin", "etc", "proc", "tmp", "usr"}
    assert lines[-1] == "root"  # the names of users work: the C library found what it needs for them
    assert any(line.endswith(" ps") for line in lines)


@requires("command:mmdebstrap", "command:apt-get")
def test_debian_with_a_working_apt(minicontainer: Run, tmp_path: Path) -> None:
    root = tmp_path / "debian"
    builder.build(str(root), "debian")
    script = "apt-get -qq update && apt-get -qq install -y hello >/dev/null 2>&1 && hello && cat /etc/hostname"
    ran = minicontainer("run", "--network", "host", root, "sh", "-c", script, timeout=180)
    assert ran.stdout.startswith("Hello, world!\n"), ran.stderr
    assert not (root / "usr/bin/hello").exists()  # it went to the layer above
    assert os.uname().nodename not in (root / "etc/hostname").read_text()


def test_the_students_home_is_the_students(minicontainer: Run, rootfs: Path) -> None:
    ran = minicontainer("run", *QUIET, "-u", "student", rootfs, "sh", "-c", "touch ~/x && ls -l ~/x && touch /tmp/y")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[2:4] == ["student", "student"]
    assert minicontainer("run", *QUIET, "-u", "student", rootfs, "touch", "/root/x").returncode == 1


BROKEN = {
    "script": b"#!/usr/bin/python3\n",
    "windows": b"#!/bin/sh\r\necho\r\n",
    "text": b"echo hello\n",
    "empty": b"",
    "damaged": b"\x7fELF\x02\x01\x01",
}


@pytest.fixture(scope="module")
def broken(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with everything in it that cannot be executed."""
    root = tmp_path_factory.mktemp("broken") / "root"
    shutil.copytree(rootfs, root, symlinks=True)
    for name, content in BROKEN.items():
        (root / "bin" / name).write_bytes(content)
        (root / "bin" / name).chmod(0o755)
    foreign = bytearray((root / "bin/busybox").read_bytes())
    foreign[18:20] = b"\x16\0"  # e_machine: S/390
    (root / "bin/foreign").write_bytes(foreign)
    (root / "bin/foreign").chmod(0o755)
    (root / "bin/plain").write_bytes(b"#!/bin/sh\n")
    shutil.copy("/bin/ls", root / "bin/dynamic")
    os.symlink("/bin/cat-of-the-host", root / "bin/dangling")
    (root / "bin/folder").mkdir()
    return root


@pytest.mark.parametrize(
    ("program", "status", "cause"),
    [
        ("nothing", 127, "nothing is not in the container"),
        ("/bin/bash", 127, "/bin/bash is not in the container; try /bin/sh"),
        ("script", 127, "is a script for /usr/bin/python3, which is not in the container"),
        ("windows", 127, "ends as on Windows"),
        ("dynamic", 127, "needs the loader /lib"),
        ("dangling", 127, "is a link to /bin/cat-of-the-host, which is not in the container"),
        ("text", 126, "is text without `#!`"),
        ("empty", 126, "is an empty file"),
        ("damaged", 126, "is cut off or damaged"),
        ("foreign", 126, "is a program for S/390, this machine is"),
        ("/bin/plain", 126, "is not marked as executable"),
        ("/bin/folder", 126, "is a folder"),
    ],
)
def test_why_it_does_not_start(minicontainer: Run, broken: Path, program: str, status: int, cause: str) -> None:
    ran = minicontainer("run", *QUIET, broken, program)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert cause in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_root_that_nobody_filled(minicontainer: Run, tmp_path: Path) -> None:
    builder.prepare(tmp_path / "root")
    ran = minicontainer("run", *QUIET, tmp_path / "root", "/bin/sh")
    assert ran.returncode == 127
    assert "holds no programs yet; fill it: `make rootfs`" in ran.stderr
