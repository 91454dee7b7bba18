"""The program between our interpreter and the container's: its code is run in an ordinary process, for each machine."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from minicontainer.linux import trampoline

EMULATORS = {"x86_64": "qemu-x86_64-static", "aarch64": "qemu-aarch64-static"}


@pytest.fixture(params=trampoline.CODE)
def start(request: pytest.FixtureRequest, tmp_path: Path):
    """`start(path, *args, closed=False)` runs the program with these arguments: (exit status, output, message)."""
    machine = request.param
    emulator = [] if machine == os.uname().machine else [EMULATORS[machine]]
    if emulator and not shutil.which(emulator[0]):
        pytest.skip(f"{emulator[0]} is not installed")

    def run(path: str, *args: str, closed: bool = False) -> tuple[int, str, bytes]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        file = tmp_path / "trampoline"
        file.write_bytes(trampoline.image(machine, theirs.fileno()))
        file.chmod(0o755)
        # An emulator gives the program its own path as argv[0], or what -0 says.
        command = [*emulator, "-0", path, str(file)] if emulator else [path]
        done = subprocess.run(
            [*command, *args],
            executable=None if emulator else file,
            pass_fds=() if closed else (theirs.fileno(),),
            env={"PLACE": "here"},
            capture_output=True,
            text=True,
        )
        theirs.close()
        return done.returncode, done.stdout, ours.recv(64)

    return run


def test_the_program_gets_its_arguments_and_its_environment(start) -> None:
    assert start("/bin/sh", "name", "-c", 'echo "$0 $# $* $PLACE"', "zero", "a b", "", "c") == (
        0,
        "zero 3 a b  c here\n",
        b"",
    )


def test_without_arguments(start) -> None:
    status, _, message = start("/bin/true", "true")
    assert (status, message) == (0, b"")


def test_the_hand_shake_is_closed_to_the_program(start) -> None:
    _, listing, _ = start("/bin/ls", "ls", "/proc/self/fd")
    assert listing.split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


@pytest.mark.parametrize(("path", "number"), [("/nonexistent", errno.ENOENT), ("/etc/passwd", errno.EACCES)])
def test_a_failure_is_told_with_its_errno(start, path: str, number: int) -> None:
    status, _, message = start(path, path)
    assert status == trampoline.EXIT
    assert trampoline.errno_in(message) == number


def test_without_the_hand_shake_it_does_nothing(start) -> None:
    assert start("/bin/echo", "echo", "started", closed=True) == (trampoline.EXIT, "", b"")


@pytest.mark.parametrize("data", [b"", b"X", b"X\0\0", b"X\0\0\0\0", b"E\1\2\3"])
def test_what_is_no_message(data: bytes) -> None:
    assert trampoline.errno_in(data) == 0


def test_it_is_sealed() -> None:
    fd = trampoline.create(5)
    assert fd >= 0
    try:
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & trampoline.SEALS == trampoline.SEALS
        assert not os.get_inheritable(fd)
        for attempt in (lambda: os.write(fd, b"x"), lambda: os.truncate(fd, 0), lambda: os.truncate(fd, 10_000)):
            with pytest.raises(PermissionError):
                attempt()
    finally:
        os.close(fd)


def test_other_processors_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "n", "6", "v", "riscv64")))
    assert trampoline.create(5) == -1
