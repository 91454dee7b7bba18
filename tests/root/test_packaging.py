"""The installed package works with no checkout near it, and `make run` is the two words it promises to be."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from minicontainer.rootfs import skeleton
from tests.support import CHECKOUT, environment, requires

pytestmark = requires("root", "command:busybox")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, CHECKOUT]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `minicontainer` command of a fresh virtual environment that holds only the wheel.

    What it depends on is borrowed from the environment of the tests, so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(purelib, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    return folder / "bin/minicontainer"


def test_what_the_wheel_holds(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("minicontainer/share/rootfs/etc/") for name in names if "/share/rootfs/" in name}
    assert shipped == {path.name for path in skeleton().iterdir()} - {"ld.so.cache"}
    lessons = {path.relative_to(CHECKOUT) for path in (CHECKOUT / "lessons").rglob("*.py")}
    assert {f"minicontainer/share/{path}" for path in lessons} <= set(names)
    assert "minicontainer/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_installed_command_makes_and_runs_a_rootfs(installed: Path, tmp_path: Path, state_root: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        clean = {"PATH": os.environ["PATH"], "MINICONTAINER_ROOT": str(state_root)}
        return subprocess.run(
            [installed, *words], cwd=tmp_path, env=clean, input="", capture_output=True, text=True, timeout=60
        )

    built = run("rootfs", "build", "new")
    assert built.returncode == 0, built.stderr
    assert "links from busybox" in built.stdout
    ran = run("run", "new", "/bin/sh", "-c", "cat /etc/os-release; exit 42")
    assert "ID=minicontainer\n" in ran.stdout, ran.stderr
    assert ran.returncode == 42


def test_installed_command_has_the_lessons(installed: Path, tmp_path: Path) -> None:
    clean = {"PATH": os.environ["PATH"], "XDG_STATE_HOME": str(tmp_path)}

    def lesson(*words: str) -> str:
        done = subprocess.run([installed, "lesson", *words], cwd=tmp_path, env=clean, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert len(lesson("list").splitlines()) == len(list((CHECKOUT / "lessons").glob("*/lesson.py")))
    assert "my_container.py" in lesson("begin", "box")
    assert "00 process: not yet" in lesson("check", "0")
    assert lesson("show", "0").startswith("# 00  ")


def test_installed_package_is_not_the_checkout(installed: Path) -> None:
    where = "import minicontainer; print(minicontainer.__file__)"
    found = subprocess.run([installed.parent / "python", "-I", "-c", where], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(installed.parent.parent))


@requires("command:make")
@pytest.mark.skipif(not sys.prefix.startswith(f"{CHECKOUT}/"), reason="not run from the checkout's .venv")
def test_make_run_feeds_standard_input_to_the_shell(state_root: Path) -> None:
    def make_run(script: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in environment().items() if not name.startswith("MAKE")}
        return subprocess.run(
            ["make", "run"], cwd=CHECKOUT, env=clean, input=script, capture_output=True, text=True, timeout=120
        )

    made = make_run("hostname; ps\n")
    assert made.returncode == 0, made.stderr
    name, header, first, *rest = made.stdout.splitlines()
    assert name != os.uname().nodename
    assert header.split()[0] == "PID"
    assert first.split()[0] == "1"
    assert "/bin/sh" in first
    assert len(rest) == 1  # ps itself, and nobody else
    again = make_run("exit 3\n")
    assert again.returncode != 0
    assert again.stdout == ""
    assert "Error 3" in again.stderr
