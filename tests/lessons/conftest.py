"""Each lesson is a parameter here; what it needs of the machine is a requirement, as in all tests.

`-m limits` chooses the lessons that need control groups of version 2: those run in the lab's virtual machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from minicontainer.lessons import catalogue, checking
from minicontainer.lessons.lesson import Lesson
from tests.support import REQUIREMENTS

LESSONS = catalogue.lessons()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limits: needs the controllers of control groups version 2")


def parameters(lessons: list[Lesson]) -> list[object]:
    """The lessons as parameters, each with its requirements."""
    found = []
    for lesson in lessons:
        needs = ("root", *(need for need in lesson.needs if need.partition(":")[0] in REQUIREMENTS))
        marks = [pytest.mark.requires(*needs)]
        if any(need.startswith("cgroup2:") for need in needs):
            marks.append(pytest.mark.limits)
        found.append(pytest.param(lesson, id=lesson.folder.name, marks=marks))
    return found


@pytest.fixture(scope="session")
def root_of_tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem of this session, where an overlay may have it as its lower layer, in the lab too."""
    from minicontainer import rootfs

    folder = tmp_path_factory.mktemp("lessons") / "rootfs"
    rootfs.build(str(folder))
    for path in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        os.chmod(path, 0o755)
    return folder


@pytest.fixture
def fresh_root(root_of_tmpfs: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(root_of_tmpfs, tmp_path / "rootfs", symlinks=True))


def own_file(source: Path, folder: Path, root: Path) -> list[str]:
    """The subject that a my_container.py is, copied from `source`."""
    folder.mkdir(exist_ok=True)
    shutil.copy(source, folder / "my_container.py")
    shutil.copy(catalogue.skeleton() / "kit.py", folder)
    return checking.learner(folder / "my_container.py", root)
