"""Why a program cannot be executed: one broken root filesystem for each cause."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from errno import EACCES, ELOOP, ENOENT, ENOEXEC
from pathlib import Path

import pytest

from minicontainer.errors import MinicontainerError
from minicontainer.runtime import diagnose

PATH = "/usr/local/bin:/usr/bin:/bin"
FOREIGN = 183 if os.uname().machine != "aarch64" else 62


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one program, /bin/sh, that nothing is wrong with."""
    (tmp_path / "root/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    put(tmp_path / "root/bin/sh", elf())
    return tmp_path / "root"


def put(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def elf(machine: int = 0, loader: bytes = b"", wide: bool = True, order: str = "<") -> bytes:
    """The header of an ELF file, with one program header if a loader is asked for."""
    machine = machine or diagnose.RUNS[os.uname().machine][0]
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    size, entry, word = (64, 56, "Q") if wide else (52, 32, "I")
    count = 1 if loader else 0
    head = struct.pack(f"{order}HHI3{word}IHHHHHH", 2, machine, 1, 0, size, 0, 0, size, entry, count, 0, 0, 0)
    body = struct.pack(f"{order}I", diagnose.PT_INTERP)
    if wide:
        body += struct.pack(f"{order}I6Q", 4, size + entry, 0, 0, len(loader) + 1, 0, 1)
    else:
        body += struct.pack(f"{order}7I", size + entry, 0, 0, len(loader) + 1, 0, 4, 1)
    return ident + head + (body + loader + b"\0" if loader else b"")


def explain(root: Path, program: str, errno: int = ENOENT, **more: str) -> tuple[int, str, str]:
    error = diagnose.explain_exec(str(root), program, errno, PATH, **more)
    assert isinstance(error, MinicontainerError)
    assert "\n" not in str(error)
    return error.exit_code, error.cause, error.remedy


def test_root_that_does_not_exist(tmp_path: Path) -> None:
    code, cause, remedy = explain(tmp_path / "none", "sh")
    assert (code, cause) == (125, f"the root filesystem {tmp_path}/none does not exist")
    assert f"minicontainer rootfs build {tmp_path}/none" in remedy


def test_root_that_is_empty_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(MinicontainerError, match="is empty; `minicontainer rootfs build"):
        diagnose.check_root(str(tmp_path))
    with pytest.raises(MinicontainerError, match="is not a folder"):
        diagnose.check_root(str(put(tmp_path / "file", b"")))


def test_root_that_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/.gitkeep").touch()
    code, cause, remedy = explain(tmp_path, "/bin/sh")
    assert code == 127
    assert "holds no programs yet" in cause
    assert "make rootfs" in remedy


def test_program_that_is_not_there(root: Path) -> None:
    code, cause, _ = explain(root, "python3")
    assert (code, cause) == (127, f"python3 is not in the container (looked in {PATH})")
    code, cause, remedy = explain(root, "/bin/bash")
    assert (code, cause, remedy) == (127, "/bin/bash is not in the container", "try /bin/sh")


def test_folder_and_missing_x_bit(root: Path) -> None:
    (root / "bin/folder").mkdir()
    put(root / "bin/plain", elf(), 0o644)
    assert explain(root, "folder", EACCES)[:2] == (126, "/bin/folder is a folder, not a program")
    assert explain(root, "plain", EACCES) == (
        126,
        "/bin/plain is not marked as executable",
        f"chmod +x {root}/bin/plain",
    )
    os.mkfifo(root / "bin/pipe", 0o777)
    assert explain(root, "pipe", EACCES)[:2] == (126, "/bin/pipe is not an ordinary file")


def test_a_later_program_counts_as_it_does_for_execvp(root: Path) -> None:
    (root / "usr/bin/tool").mkdir()
    put(root / "bin/tool", b"")
    assert explain(root, "tool", ENOEXEC)[:2] == (126, "/bin/tool is an empty file")


@pytest.mark.parametrize(("wide", "order"), [(True, "<"), (True, ">"), (False, "<"), (False, ">")])
def test_another_cpu(root: Path, wide: bool, order: str) -> None:
    put(root / "bin/foreign", elf(22, b"/lib/ld64.so.1", wide, order))
    code, cause, _ = explain(root, "foreign", ENOEXEC)
    own = diagnose.MACHINES[diagnose.RUNS[os.uname().machine][0]]
    assert (code, cause) == (126, f"/bin/foreign is a program for S/390, this machine is {own}")


def test_missing_loader(root: Path) -> None:
    put(root / "bin/dynamic", elf(loader=b"/lib64/ld-linux.so.9"))
    code, cause, _ = explain(root, "dynamic")
    assert (code, cause) == (
        127,
        "/bin/dynamic needs the loader /lib64/ld-linux.so.9, which is not in the container",
    )


def test_the_loader_of_a_real_program() -> None:
    with open(sys.executable, "rb") as file:
        machine, loader = diagnose.parse_elf(file.read(diagnose.HEADER))
    assert machine in diagnose.RUNS[os.uname().machine]
    assert loader == "" or os.path.exists(loader)


def test_damaged_program(root: Path) -> None:
    put(root / "bin/cut", b"\x7fELF\x02\x01")
    assert "is cut off or damaged" in explain(root, "cut", ENOEXEC)[1]


def test_scripts(root: Path) -> None:
    put(root / "bin/missing", b"#! /usr/bin/python3 -u\n")
    put(root / "bin/windows", b"#!/bin/sh\r\necho hello\r\n")
    put(root / "bin/nothing", b"#!\n")
    put(root / "bin/text", b"echo hello\n")
    put(root / "bin/binary", b"MZ\0\0")
    put(root / "bin/circle", b"#!/bin/circle\n")
    assert explain(root, "missing")[:2] == (
        127,
        "/bin/missing is a script for /usr/bin/python3, which is not in the container",
    )
    assert explain(root, "windows") == (
        127,
        r"the first line of /bin/windows ends as on Windows, so its interpreter would be '/bin/sh\r'",
        r"sed -i 's/\r$//' windows",
    )
    assert explain(root, "nothing", ENOEXEC)[0] == 126
    assert explain(root, "text", ENOEXEC) == (
        126,
        "/bin/text is text without `#!` in its first line",
        "add `#!/bin/sh`, or run `/bin/sh /bin/text`",
    )
    assert "is not a program for Linux" in explain(root, "binary", ENOEXEC)[1]
    assert "in a circle" in explain(root, "circle", ELOOP)[1]


def test_script_whose_interpreter_is_for_another_cpu(root: Path) -> None:
    put(root / "bin/foreign", elf(FOREIGN))
    put(root / "bin/script", b"#!/bin/foreign\n")
    assert "/bin/foreign is a program for" in explain(root, "script", ENOEXEC)[1]


def test_links_are_followed_inside_the_root_only(root: Path) -> None:
    os.symlink("/etc/passwd", root / "bin/out")  # there on the host, not in the container
    os.symlink("../../../../bin/sh", root / "bin/up")  # stops at the container's root
    os.symlink("loop", root / "bin/loop")
    assert explain(root, "out")[:2] == (127, "/bin/out is a link to /etc/passwd, which is not in the container")
    assert diagnose.follow(str(root), "/bin/up") == str(root / "bin/sh")
    assert explain(root, "loop", ELOOP)[:2] == (126, "/bin/loop is a link that leads in a circle")


def test_merged_usr(root: Path) -> None:
    shutil.rmtree(root / "bin")
    os.symlink("/usr/bin", root / "bin")
    put(root / "usr/bin/sh", b"")
    assert explain(root, "/bin/sh", ENOEXEC)[1] == "/bin/sh is an empty file"


def test_relative_names_start_at_the_working_directory(root: Path) -> None:
    put(root / "usr/bin/tool", b"")
    assert explain(root, "./tool", ENOEXEC, cwd="/usr/bin")[1] == "/usr/bin/./tool is an empty file"


def test_the_kernels_own_word_where_nothing_else_is_seen(root: Path) -> None:
    code, cause, remedy = explain(root, "/bin/sh", EACCES)
    assert (code, cause) == (126, "/bin/sh cannot be executed: Permission denied")
    assert "noexec" in remedy
    assert explain(root, "/volume/tool", EACCES)[:2] == (126, "/volume/tool cannot be executed: Permission denied")


def test_names_cannot_write_on_the_terminal(root: Path) -> None:
    put(root / "bin/hostile", b"#!/bin/\x1b]0;title\x07\n")
    assert "\x1b" not in explain(root, "hostile")[1]
    assert "\x1b" not in explain(root, "\x1b[31m")[1]
