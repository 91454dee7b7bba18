"""Compiled filters are kept, and believed only if nobody else can have touched them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minicontainer.profiles import cache
from minicontainer.profiles.compiler import compile
from minicontainer.spec import Seccomp, SyscallRule
from tests.support import requires

SECCOMP = Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=[SyscallRule(names=["read"], action="SCMP_ACT_ALLOW")])
OTHER = Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=[SyscallRule(names=["write"], action="SCMP_ACT_ALLOW")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "cache"


def kept(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def test_the_second_time_nothing_is_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache.load(SECCOMP, [str(folder)])
    assert first == compile(SECCOMP)
    assert kept(folder).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(cache, "_compile", lambda _: pytest.fail("compiled again"))
    assert cache.load(SECCOMP, [str(folder)]) == first


def test_each_profile_has_its_own(folder: Path) -> None:
    assert cache.load(SECCOMP, [str(folder)]) != cache.load(OTHER, [str(folder)])
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 32, os.urandom(200)])
def test_broken_content_is_not_used(folder: Path, content: bytes) -> None:
    program = cache.load(SECCOMP, [str(folder)])
    whole = kept(folder).read_bytes()
    for broken in (content, whole[:-8], whole + b"\0" * 8, whole[:40] + b"\1" + whole[41:]):
        kept(folder).write_bytes(broken)
        assert cache.load(SECCOMP, [str(folder)]) == program
        assert kept(folder).read_bytes() == whole


def test_the_filter_of_another_profile_is_not_used(folder: Path, tmp_path: Path) -> None:
    cache.load(OTHER, [str(tmp_path / "other")])
    program = cache.load(SECCOMP, [str(folder)])
    kept(folder).write_bytes(kept(tmp_path / "other").read_bytes())
    assert cache.load(SECCOMP, [str(folder)]) == program


def test_what_others_could_have_written_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = cache.load(SECCOMP, [str(folder)])
    compiled = []
    monkeypatch.setattr(cache, "_compile", lambda seccomp: compiled.append(1) or compile(seccomp))
    kept(folder).chmod(0o666)
    assert cache.load(SECCOMP, [str(folder)]) == program
    assert len(compiled) == 1
    assert kept(folder).stat().st_mode & 0o777 == 0o600  # replaced by a file of ours
    folder.chmod(0o777)
    assert cache.load(SECCOMP, [str(folder)]) == program
    assert len(compiled) == 2


@requires("root")
def test_what_belongs_to_others_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = cache.load(SECCOMP, [str(folder)])
    os.chown(kept(folder), 1000, 1000)
    assert cache.load(SECCOMP, [str(folder)]) == program
    assert kept(folder).stat().st_uid == 0
    os.chown(folder, 1000, 1000)
    before = kept(folder).stat()
    assert cache.load(SECCOMP, [str(folder)]) == program
    assert kept(folder).stat().st_mtime_ns == before.st_mtime_ns


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    program = cache.load(SECCOMP, [str(folder)])
    target = tmp_path / "target"
    kept(folder).rename(target)
    name = cache.digest(b"whatever").hex()
    (folder / name).symlink_to(target)
    before = target.read_bytes()
    assert cache.load(SECCOMP, [str(folder)]) == program
    assert target.read_bytes() == before
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert cache.load(OTHER, [str(link)]) == compile(OTHER)
    assert len(list(folder.iterdir())) == 2


def test_the_next_folder_serves(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    program = cache.load(SECCOMP, [str(file / "below"), "/proc/none", str(folder)])
    assert program == compile(SECCOMP)
    assert kept(folder)
    assert cache.load(SECCOMP, ["/proc/none"]) == program
    assert cache.load(SECCOMP, []) == program


def test_a_writer_that_died_is_no_obstacle(folder: Path) -> None:
    cache.load(SECCOMP, [str(folder)])
    whole = kept(folder)
    whole.rename(str(whole) + ".new")
    cache.load(SECCOMP, [str(folder)])
    assert kept(folder) == whole
