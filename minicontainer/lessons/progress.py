"""What the learner has done: one file, replaced as a whole, so that a crash leaves the old one or the new one.

cat ~/.local/state/minicontainer/lessons.json       watch it
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minicontainer.errors import MinicontainerError


@dataclass
class Record:
    """One lesson's: how often it was checked, how many hints were taken, when it was begun and passed."""

    result: str = ""
    """begun, failed or passed; a lesson that was passed stays so."""
    tries: int = 0
    hints: int = 0
    begun: float = 0
    """Seconds since 1970, as all times here."""
    passed: float = 0

    def succeed(self) -> None:
        """Passed, now."""
        self.result, self.passed = "passed", time.time()

    @property
    def seconds(self) -> float:
        """From its beginning to its first success; 0 before that."""
        return max(self.passed - self.begun, 0) if self.passed else 0


@dataclass
class Progress:
    """All of it."""

    directory: str = ""
    """Where the learner's my_container.py is."""
    lessons: dict[str, Record] = field(default_factory=dict)

    def of(self, number: int) -> Record:
        """The record of a lesson, begun now if it was not."""
        record = self.lessons.setdefault(f"{number:02}", Record())
        if not record.begun:
            record.begun, record.result = time.time(), "begun"
        return record

    def passed(self, number: int) -> bool:
        return f"{number:02}" in self.lessons and self.lessons[f"{number:02}"].result == "passed"


def place() -> Path:
    """The folder of the file. With sudo it is that of the user who typed it."""
    if behind := sudo():
        try:
            return Path(pwd.getpwuid(behind[0]).pw_dir, ".local/state/minicontainer")
        except KeyError:
            pass
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else Path.home() / ".local/state", "minicontainer")


def sudo() -> tuple[int, int] | None:
    """User and group of whoever typed sudo; None without it."""
    ids = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    return (int(ids[0]), int(ids[1])) if os.geteuid() == 0 and all(map(str.isdecimal, ids)) else None


def hand_over(*paths: Path) -> None:
    """With sudo, what is made belongs to whoever typed it."""
    if behind := sudo():
        for path in paths:
            os.chown(path, *behind)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in, for that user."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        hand_over(path)


def load() -> Progress:
    """What is in the file; a damaged one is put aside, not lost. Raises MinicontainerError if it cannot be read."""
    path = place() / "lessons.json"
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Progress()
    except OSError as error:
        raise MinicontainerError(f"{path}: {error.strerror}", "make it readable, or remove it to begin anew") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        aside = path.with_suffix(".damaged")
        try:
            os.replace(path, aside)
        except OSError:
            pass
        from minicontainer.cli.output import note

        note(f"{path} was damaged and is {aside.name} now; progress begins anew")
        return Progress()


def parse(data: Any) -> Progress:
    """The progress that the JSON says. Raises ValueError and its like for what makes no sense."""
    lessons = {str(key): Record(**value) for key, value in data["lessons"].items()}
    for record in lessons.values():
        if not all(isinstance(n, (int, float)) for n in (record.tries, record.hints, record.begun, record.passed)):
            raise ValueError("not a number")
    return Progress(str(data["directory"]), lessons)


@contextmanager
def changing() -> Iterator[Progress]:
    """The progress, to be changed; it is written at the end. Two at a time wait for each other."""
    folder = place()
    try:
        make_folder(folder)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MinicontainerError(
            f"{folder}: {error.strerror}", "XDG_STATE_HOME can name a folder that you may write to"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        progress = load()
        yield progress
        try:
            save(folder, lock, progress)
        except OSError as error:
            raise MinicontainerError(f"{folder}: {error.strerror}", "make room there") from None
    finally:
        os.close(lock)


def save(folder: Path, lock: int, progress: Progress) -> None:
    """Write beside it, to disk, then rename over it: rename(2) is one step, fsync(2) makes it last."""
    new = folder / "lessons.json.new"
    with open(new, "w", encoding="utf-8") as file:
        json.dump(asdict(progress), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    hand_over(new)
    os.replace(new, folder / "lessons.json")
    os.fsync(lock)


def export(progress: Progress, titles: dict[int, str]) -> dict[str, Any]:
    """For the instructor: lesson, result, tries, hints, time in seconds."""
    rows = []
    for number, title in titles.items():
        record = progress.lessons.get(f"{number:02}", Record())
        rows.append(
            {
                "lesson": number,
                "title": title,
                "result": record.result or "not begun",
                "tries": record.tries,
                "hints": record.hints,
                "seconds": round(record.seconds),
            }
        )
    user = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return {"learner": user, "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "lessons": rows}
