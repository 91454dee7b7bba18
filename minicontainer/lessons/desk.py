"""The learner's folder: my_container.py, kit.py beside it, a root filesystem; and how it was after each lesson.

A file is never overwritten: what is replaced is kept beside it, with a number.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from minicontainer.errors import UsageError
from minicontainer.lessons import catalogue, progress
from minicontainer.lessons.lesson import Lesson

FILE = "my_container.py"


def begin(folder: Path) -> list[str]:
    """Make the folder; what was made, in words. Raises UsageError if there is a my_container.py already."""
    target = folder / FILE
    if target.exists():
        raise UsageError(
            f"{target} is there already", "`minicontainer lesson reset N` takes it back to a lesson's beginning"
        )
    try:
        progress.make_folder(folder)
        for path in sorted(catalogue.skeleton().glob("*.py")):
            shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}", "choose a folder that you may write to") from None
    make_rootfs(folder / "rootfs")
    progress.hand_over(folder, *folder.glob("*.py"))
    with progress.changing() as state:
        state.directory = str(folder.resolve())
    return [
        f"{target}   your container: it grows from lesson to lesson",
        f"{folder / 'kit.py'}   system calls for it",
        f"{folder / 'rootfs'}   what it shows its programs as /",
    ]


def make_rootfs(folder: Path) -> None:
    """A root filesystem from busybox, or where there is none from this machine's programs."""
    from minicontainer import rootfs

    rootfs.build(str(folder), "busybox" if shutil.which("busybox") else "host")


def find(file: Path | None) -> Path:
    """The learner's file: the one named, the one in this folder, or the one that was begun. Raises UsageError."""
    if file is not None:
        if not file.is_file():
            raise UsageError(f"{file}: no such file", "name the my_container.py that is to be checked")
        return file.resolve()
    begun = progress.load().directory
    for folder in (Path.cwd(), Path(begun) if begun else None):
        if folder and (folder / FILE).is_file():
            return folder / FILE
    raise UsageError(f"there is no {FILE} here", "`minicontainer lesson begin DIR` makes one; or name it with --file")


def rootfs_of(file: Path) -> Path:
    """The root filesystem beside a learner's file, or the one that was begun with; made if there is none."""
    begun = progress.load().directory
    places = [file.parent, Path.cwd(), *([Path(begun)] if begun else [])]
    for folder in places:
        if (folder / "rootfs/bin").is_dir():
            return folder / "rootfs"
    folder = progress.place() / "rootfs"
    make_rootfs(folder)
    return folder


def keep(lesson: Lesson, file: Path) -> None:
    """After a success: the file as it is now is where the next lesson begins."""
    folder = progress.place() / "passed"
    progress.make_folder(folder)
    kept = folder / f"{lesson.number:02}.py"
    shutil.copyfile(file, kept)
    progress.hand_over(kept)


def reset(lesson: Lesson, file: Path) -> str:
    """Take the file back to how it was when the lesson began; in words, what was done."""
    earlier = [each for each in catalogue.lessons() if each.number < lesson.number]
    own = [progress.place() / "passed" / f"{each.number:02}.py" for each in reversed(earlier)]
    given = [each.solution for each in reversed(earlier)]
    source = next((path for path in own[:1] + given + own if path.exists()), catalogue.skeleton() / FILE)
    number = 1
    while (backup := file.with_name(f"{FILE}.{number}")).exists():
        number += 1
    os.replace(file, backup)
    shutil.copyfile(source, file)
    progress.hand_over(file)
    whose = "your own" if source in own else "the skeleton" if source.parent == catalogue.skeleton() else "the solution"
    which = (
        "" if whose == "the skeleton" else f" after lesson {source.stem if source in own else source.parent.name[:2]}"
    )
    return f"{file.name} is {whose}{which} again; what it was is {backup.name} now"
