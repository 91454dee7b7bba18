"""Finds the lessons: in a checkout, or in the installed package."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import replace
from pathlib import Path

from minicontainer.errors import MinicontainerError, UsageError
from minicontainer.lessons.lesson import Lesson


def folder() -> Path:
    """The folder with all lessons."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "share/lessons"
    return installed if installed.is_dir() else package.parent / "lessons"


def skeleton() -> Path:
    """The folder with what a learner begins with."""
    return folder() / "skeleton"


@functools.cache
def lessons() -> list[Lesson]:
    """All lessons, in order. Raises MinicontainerError for one that cannot be loaded."""
    return [load(place) for place in places()]


def places() -> list[Path]:
    """Their folders, in order."""
    return [path.parent for path in sorted(folder().glob("[0-9][0-9]-*/lesson.py"))]


@functools.cache
def load(place: Path) -> Lesson:
    """The lesson in that folder."""
    path = place / "lesson.py"
    spec = importlib.util.spec_from_file_location(f"lesson_{place.name.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        lesson: Lesson = module.LESSON
    except Exception as error:
        raise MinicontainerError(
            f"{path} cannot be loaded: {type(error).__name__}: {error}", "install minicontainer anew"
        ) from error
    return replace(lesson, folder=place)


def find(number: int | str) -> Lesson:
    """The lesson with that number or name. Raises UsageError."""
    wanted = str(number)
    names = {f"{int(wanted):02}"} if wanted.isdecimal() else {wanted}
    for path in places():
        if names & {path.name, *path.name.split("-", 1)}:
            return load(path)
    raise UsageError(f"there is no lesson {wanted}", "`minicontainer lesson list` names them all")


def before(lesson: Lesson) -> Lesson | None:
    """The lesson before it that has a solution."""
    earlier = [each for each in lessons() if each.number < lesson.number and each.solution.exists()]
    return earlier[-1] if earlier else None
