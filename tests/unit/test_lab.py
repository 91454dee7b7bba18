"""The lab without its machine: what is said on the line, what is asked of the host, what goes in."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path

import pytest

from minicontainer.errors import MinicontainerError, UnsupportedError, UsageError
from minicontainer.lab import needs, plan, share, wire
from minicontainer.lab.machine import kernel_arguments, quoted
from minicontainer.lab.session import run


def test_frames_survive_any_cutting() -> None:
    sent = [(wire.READY, b""), (wire.STDOUT, bytes(range(256)) * 300), (wire.EXIT, b"\x07")]
    whole = b"".join(wire.frame(*one) for one in sent)
    for size in (1, 5, 4096, len(whole)):
        frames = wire.Frames()
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert [frame for piece in pieces for frame in frames.feed(piece)] == sent


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\x00\x00", b"Linux", b"\x07\xff\xff\xff\xff"])
def test_what_is_no_frame_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError):
        list(wire.Frames().feed(garbage))


@pytest.mark.parametrize(("text", "size"), [("1G", 1 << 30), ("512m", 512 << 20), ("134217728", 1 << 27)])
def test_sizes(text: str, size: int) -> None:
    assert needs.memory_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "1T", "64M", "0", "²G"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as error:
        needs.memory_size(text)
    assert error.value.remedy


def test_what_the_host_lacks_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    (installed / "6.1").mkdir(parents=True)
    (installed / "6.1/modules.dep").touch()
    monkeypatch.setattr(needs, "inside", lambda: False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(needs, "KERNEL", Path("/bin/sh"))
    monkeypatch.setattr(needs, "MODULES", installed)
    monkeypatch.setattr(needs, "SYSTEM_FOLDERS", str(tmp_path))
    for expected, name, value in (
        ("modprobe", "SYSTEM_FOLDERS", str(tmp_path)),
        ("modules", "MODULES", tmp_path / "none"),
        ("is not installed", "KERNEL", tmp_path / "linux.uml"),
    ):
        monkeypatch.setattr(needs, name, value)
        with pytest.raises(UnsupportedError, match=expected) as error:
            needs.check_host()
        assert "apt-get install user-mode-linux kmod" in error.value.remedy
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UnsupportedError, match="x86-64 only") as error:
        needs.check_host()
    assert "QEMU" in error.value.remedy


def test_no_room_for_the_memory_names_each_place_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with pytest.raises(UnsupportedError, match=r"/dev/shm has .*/nonexistent cannot be used") as error:
        needs.memory_folder(1 << 60)
    assert "--memory" in error.value.remedy


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    for options in (
        {"timeout": 0.0},
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"share": str(tmp_path / "none")},
        {"memory": "much"},
    ):
        with pytest.raises(UsageError) as error:
            run(["true"], **options)
        assert error.value.remedy


def test_only_a_chosen_part_of_the_environment_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/someone/bin:/usr/bin")
    monkeypatch.setenv("MINICONTAINER_ROOT", "/srv/containers")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    inside = plan.environment()
    assert inside["MINICONTAINER_ROOT"] == "/srv/containers"
    assert "SECRET_TOKEN" not in inside
    assert inside["PATH"].split(":") == ["/home/someone/bin", "/usr/bin", "/usr/sbin", "/sbin", "/bin"]


def test_directories_that_the_machine_would_hide_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in/bin").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setenv("PATH", f"{tmp_path / 'in/bin'}:{tmp_path / 'none'}:/usr/bin")
    kept = plan.kept("")
    assert str(tmp_path / "in") in kept
    assert str(tmp_path / "in/bin") not in kept  # it comes with the other
    assert not {str(tmp_path / "none"), "/usr/bin"} & set(kept)


def test_the_kernels_command_line() -> None:
    words = kernel_arguments(1 << 30)
    assert "mem=1048576K" in words
    assert words[-4:-1] == ["--", "-I", "-S"]
    assert quoted("/a folder/x") == '"/a folder/x"'


# -- result files: what arrives is not believed -------------------------------------------------------


def file_frame(mode: int, path: str) -> bytes:
    return wire.FILE_MODE.pack(mode) + path.encode()


def test_result_files_are_written_below_the_directory(tmp_path: Path) -> None:
    receiver = share.Receiver(str(tmp_path))
    receiver.file(file_frame(stat.S_IFREG | 0o4755, "a/b/c"))
    receiver.data(b"one ")
    receiver.data(b"two")
    receiver.file(file_frame(stat.S_IFDIR | 0o755, "empty"))
    assert (tmp_path / "a/b/c").read_bytes() == b"one two"
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) & 0o7000 == 0
    assert (tmp_path / "empty").is_dir()
    assert receiver.error is None


@pytest.mark.parametrize("path", ["../out", "/out", "link/out", "file-link", "a/../../out", "fifo", ".."])
def test_no_result_file_gets_outside(path: str, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "file").write_text("as it was")
    (inside / "link").symlink_to(outside)
    (inside / "file-link").symlink_to(outside / "file")
    os.mkfifo(inside / "fifo")
    receiver = share.Receiver(str(inside))
    receiver.file(file_frame(stat.S_IFREG | 0o644, path))
    receiver.data(b"evil")
    receiver.close()
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_text() == "as it was"
    assert sorted(os.listdir(tmp_path)) == ["inside", "outside"]
    assert receiver.error is None or isinstance(receiver.error, MinicontainerError)
