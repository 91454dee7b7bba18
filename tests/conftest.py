"""Fixtures of all tests, and the rule that each test leaves the host as it found it.

A test says what it needs of the machine by name, and is skipped with the reason where that is
missing: `@requires("root", "cgroup2:memory")`. The names are in tests/support.py. With
`--no-skips`, as in the virtual machine where everything is there, a missing requirement fails.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minicontainer.linux import process
from tests.support import CHECKOUT, HostState, command, environment, unmet, wait_until

KERNEL_TESTS = tuple(CHECKOUT / "tests" / name for name in ("root", "vm", "clients", "lessons"))
TEARDOWN_SECONDS = 5  # the kernel removes a dead network namespace's interfaces in its own time
TURN_SECONDS = 120
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Spawn = Callable[..., "subprocess.Popen[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail where a requirement is missing")


def pytest_configure(config: pytest.Config) -> None:
    for hidden in process.LIBC_SIGNALS:  # make starts its children with these ignored, and they theirs
        process.default_action(hidden)
    config.addinivalue_line("markers", "requires(*names): skip, with the reason, unless the machine has these")


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs = [name for mark in item.iter_markers("requires") for name in mark.args]
    if reasons := unmet(needs):
        (pytest.fail if item.config.getoption("--no-skips") else pytest.skip)("; ".join(reasons))


@pytest.fixture(autouse=True)
def host_unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compare the whole host before and after each test that works on the real kernel.

    Two test sessions on one machine take turns, test by test, or they would see each other.
    """
    if not request.path.is_relative_to(CHECKOUT) or not any(map(request.path.is_relative_to, KERNEL_TESTS)):
        yield
        return
    folder = tmp_path_factory.getbasetemp()
    turn = os.open("/run", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not wait_until(lambda: _locked(turn), TURN_SECONDS):
            warnings.warn("another test session keeps its turn; going on beside it", stacklevel=1)
        before = HostState.now(folder)
        yield
        differences: list[str] = []

        def same() -> bool:
            differences[:] = before.differences(HostState.now(folder))
            return not differences

        if not wait_until(same, TEARDOWN_SECONDS):
            pytest.fail("the test left the host changed:\n" + "\n".join(differences), pytrace=False)
    finally:
        os.close(turn)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def state_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of this test's own, in MINICONTAINER_ROOT. No container may be left in it."""
    root = tmp_path / "state"
    monkeypatch.setenv("MINICONTAINER_ROOT", str(root))
    yield root
    containers = root / "containers"
    left = sorted(os.listdir(containers)) if containers.is_dir() else []
    shutil.rmtree(root, ignore_errors=True)
    assert not left, f"containers left behind: {left}"


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem with busybox, the same for all tests: only read it."""
    from minicontainer import rootfs

    folder = tmp_path_factory.mktemp("rootfs") / "busybox"
    rootfs.build(str(folder))
    return folder


@pytest.fixture
def minicontainer(state_root: Path) -> Run:
    """`minicontainer("run", rootfs, "/bin/true")` runs the command to its end and returns what came of it."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        options.setdefault("env", environment())
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options = {"capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run(command(*args), check=False, **options)

    return run


@pytest.fixture
def spawn(state_root: Path) -> Iterator[Spawn]:
    """`spawn("run", rootfs, "sleep", "60")` starts the command and returns its Popen; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str | Path, **options: Any) -> subprocess.Popen[str]:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        options = {"text": True, "env": environment(), **options}
        started.append(subprocess.Popen(command(*args), **options))
        return started[-1]

    yield start
    killed = [_end(process) for process in started]
    if any(killed):
        subprocess.run(command("cleanup"), check=False, capture_output=True, env=environment(), timeout=60)


def _end(process: subprocess.Popen[str]) -> bool:
    """Let the command end its container; whether it had to be killed instead."""
    for _ in range(3):  # so many, and it kills the container
        if process.poll() is None:
            process.terminate()
            time.sleep(0.05)
    try:
        process.communicate(timeout=2)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    except ValueError:  # the test read and closed a pipe itself
        process.wait()
        return False
