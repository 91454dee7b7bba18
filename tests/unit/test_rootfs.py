"""Building root filesystems. What is built must work by itself, and may be built again at any time."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from minicontainer import rootfs
from minicontainer.errors import UnsupportedError, UsageError
from minicontainer.rootfs import debian, host
from minicontainer.rootfs.tree import Tree
from minicontainer.runtime import diagnose
from tests.support import CHECKOUT, requires


def files(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and link with inode, mode and change time: equal only if nothing was touched."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            found[path] = (info.st_ino, info.st_mode, info.st_mtime_ns)
    return found


def missing_needs(root: Path) -> list[str]:
    """The programs and libraries of a root that name a loader which is not in it."""
    missing = []
    for path in (path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        head = path.read_bytes()[: diagnose.HEADER]
        if head.startswith(b"\x7fELF"):
            _, loader = diagnose.parse_elf(head)
            if loader:
                try:
                    diagnose.follow(str(root), loader)
                except OSError:
                    missing.append(f"{path} needs {loader}")
    return missing


@requires("command:busybox")
def test_busybox(tmp_path: Path) -> None:
    root = tmp_path / "root"
    said: list[str] = []
    rootfs.build(str(root), say=said.append)
    assert re.fullmatch(rf"{root}: \d+ files and \d+ links from busybox, \d+ of them new or changed", said[0])
    assert os.readlink(root / "bin/sh") == "busybox"
    assert os.path.exists(root / "usr/bin/env")
    assert missing_needs(root) == []
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    shell = subprocess.run([root / "bin/sh", "-c", "echo $((6 * 7))"], capture_output=True, text=True, check=True)
    assert shell.stdout == "42\n"


@requires("command:ldd")
def test_host(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rootfs.build(str(root), "host")
    for name in ("sh", "ls", "cat", "ps", "mount", "hostname", "id"):
        diagnose.follow(str(root), f"/bin/{name}")
    assert missing_needs(root) == []
    loader = diagnose.parse_elf((root / "bin/ls").resolve().read_bytes()[: diagnose.HEADER])[1]
    libraries = [str(path.parent) for path in root.rglob("lib*.so*")]
    ran = subprocess.run(  # its own loader and its own libraries, not the host's
        [f"{root}{loader}", "--library-path", ":".join(libraries), root / "bin/ls", root / "etc"],
        capture_output=True,
        text=True,
    )
    assert "os-release" in ran.stdout, ran.stderr


@requires("command:busybox", "command:ldd")
@pytest.mark.parametrize("source", ["busybox", "host"])
def test_building_again_changes_nothing(tmp_path: Path, source: str) -> None:
    rootfs.build(str(tmp_path / "root"), source)
    before = files(tmp_path / "root")
    said: list[str] = []
    rootfs.build(str(tmp_path / "root"), source, say=said.append)
    changed = {path for path, state in files(tmp_path / "root").items() if before.get(path) != state}
    assert {path for path in changed if not path.startswith(f"{tmp_path}/root/etc/")} == set()
    assert "0 of them new or changed" in said[0]


@requires("command:busybox")
def test_an_interrupted_build_can_be_repeated(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rootfs.build(str(root))
    (root / "bin/sh").unlink()
    (root / "bin/busybox").write_bytes(b"half")
    (root / "bin/.busybox.new").write_bytes(b"half")
    os.symlink("nowhere", root / "bin/.sh.new")
    rootfs.build(str(root))
    assert subprocess.run([root / "bin/sh", "-c", "exit 42"], check=False).returncode == 42
    assert not list(root.rglob(".*.new"))


@requires("command:busybox", "command:ldd")
def test_one_source_replaces_the_other(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rootfs.build(str(root))
    rootfs.build(str(root), "host")  # bin/ls was a link to busybox, which must not be written through
    assert (root / "bin/busybox").read_bytes() != (root / "bin/ls").read_bytes()
    assert (root / "bin/busybox").stat().st_size == os.stat(host.elf("busybox")).st_size


def test_skeleton_is_complete() -> None:
    """What git has and what the builder makes are the same folders."""
    tracked = {path.parent.relative_to(CHECKOUT / "rootfs") for path in (CHECKOUT / "rootfs").rglob(".gitkeep")}
    made = {Path(name) for name in rootfs.FOLDERS}
    parents = {parent for path in made for parent in path.parents}
    assert tracked == made - parents - {Path("etc")}
    assert {"passwd", "group", "hosts", "profile", "motd", "os-release"} <= set(os.listdir(rootfs.skeleton()))


@pytest.mark.parametrize("source", ["busybox", "host", "debian"])
def test_a_folder_with_other_things_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "thesis.tex").write_text("\\end{document}")
    with pytest.raises(UsageError, match=r"holds something else; .*new"):
        rootfs.build(str(tmp_path), source)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_file_and_a_forbidden_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", Path("/proc/rootfs")):
        with pytest.raises(UsageError):
            rootfs.build(str(wrong))


def test_a_source_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one of busybox, host, debian"):
        rootfs.build(str(tmp_path / "root"), "alpine")


def test_links_out_of_the_root_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "root/bin")
    with pytest.raises(UsageError, match="leads out of the root filesystem"):
        Tree(tmp_path / "root").copy("/bin/sh", "/bin/sh")
    assert os.listdir(tmp_path / "outside") == []


def test_no_setuid_bit_comes_along(tmp_path: Path) -> None:
    source = tmp_path / "su"
    source.touch()
    source.chmod(0o4755)
    Tree(tmp_path / "root").copy(str(source), "/bin/su")
    assert stat.S_IMODE((tmp_path / "root/bin/su").stat().st_mode) == 0o755


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host, "FOLDERS", str(tmp_path))
    for source, tool in (("busybox", "busybox"), ("debian", "mmdebstrap")):
        with pytest.raises(UnsupportedError, match=rf"{tool} is not installed; .*--from host"):
            rootfs.build(str(tmp_path / source), source)


@requires("command:apt-get")
def test_debian_takes_the_machines_own_sources() -> None:
    lines = debian.sources("sid")
    if debian.own_suite():
        assert lines
    for line in lines:
        assert re.fullmatch(r"deb (\[signed-by=\S+\] )?\S+ sid\S* \S+", line)
