"""A lesson's check on a subject: here, or in the lab where here something is missing.

The check runs in a child that moves into a stand-in for the host (building.py), so that whatever the
learner's container does wrong is gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from minicontainer.errors import MinicontainerError, UsageError
from minicontainer.lab import needs as lab
from minicontainer.lessons import building, catalogue
from minicontainer.lessons.expect import Failed
from minicontainer.lessons.lesson import Lesson, run_options
from minicontainer.lessons.needs import belongs_in_lab, python_path
from minicontainer.lessons.subject import Subject
from minicontainer.linux.process import LIBC_SIGNALS, default_action


@dataclass
class Verdict:
    """What came of a check. If it failed: the first thing that is wrong."""

    passed: bool
    claim: str = ""
    wanted: str = ""
    seen: str = ""
    look: str = ""
    seconds: float = 0


def learner(file: Path, rootfs: Path) -> list[str]:
    """The subject that a learner's file is. Raises UsageError if there is no such file."""
    if not file.is_file():
        raise UsageError(
            f"{file}: no such file", "`minicontainer lesson begin DIR` makes one; go there, or name it with --file"
        )
    return [sys.executable, str(file.resolve()), str(rootfs)]


def runtime(lesson: Lesson, rootfs: Path) -> list[str]:
    """The subject that our own runtime is, with the options that this lesson needs."""
    return [sys.executable, "-m", "minicontainer", "run", *run_options(*lesson.options), str(rootfs)]


def check(lesson: Lesson, prefix: list[str], directory: str | None = None) -> Verdict:
    """Check a subject in this very place. Never raises for what the subject does wrong."""
    began = time.monotonic()
    reader, writer = os.pipe()
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        try:
            os.close(reader)
            verdict = _check(lesson, prefix, directory)
            os.write(writer, json.dumps(asdict(verdict)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    verdict = Verdict(**json.loads(data)) if data else Verdict(False, "the check ends", "a result", "nothing")
    verdict.seconds = time.monotonic() - began
    return verdict


def _check(lesson: Lesson, prefix: list[str], directory: str | None) -> Verdict:
    os.environ["PYTHONPATH"] = python_path()
    attend()
    try:
        building.enter()
        with Subject(prefix, directory) as subject:
            lesson.check(subject.start())
        return Verdict(True)
    except Failed as error:
        return Verdict(False, error.claim, error.wanted, error.seen, error.look)
    except MinicontainerError as error:
        return Verdict(False, "the check can be made", "no error", error.cause, error.remedy)
    except (OSError, subprocess.SubprocessError) as error:  # the process ended while it was looked at, say
        return Verdict(False, "the container runs while it is looked at", "a running process", str(error), "")


def attend() -> None:
    """Ignore no signal that our own parent ignored: it would be passed on to the subject, who cannot know.

    The C library has two for itself, and ignores them in what posix_spawn(3) starts, `make` for one.
    """
    for number in signal.valid_signals():
        if number != signal.SIGPIPE and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for internal in LIBC_SIGNALS:
        default_action(internal)


def check_anywhere(lesson: Lesson, prefix: list[str], directory: Path) -> Verdict:
    """Check a subject here, or in the lab if here something is missing. Raises MinicontainerError if that fails."""
    if not belongs_in_lab(lesson):
        return check(lesson, prefix, str(directory))
    began = time.monotonic()
    words = [sys.executable, "-m", "minicontainer.lab", "--", sys.executable, "-m", "minicontainer.lessons"]
    env = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run(
        [*words, str(lesson.number), *prefix],
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    try:
        verdict = Verdict(**json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, TypeError, IndexError):
        said = done.stderr.strip() or f"status {done.returncode}"
        cause = said.splitlines()[-1].removeprefix("minicontainer lab: ")
        raise MinicontainerError(f"the check in the lab came to no result: {cause}") from None
    verdict.seconds = time.monotonic() - began
    return verdict


def main(number: str, *prefix: str) -> None:
    """The lab's side: check and print the verdict as JSON.

    An overlay cannot have the lab's own root below it a second time, so the root filesystem is moved to a tmpfs.
    """
    words = [_on_tmpfs(word) for word in prefix]
    print(json.dumps(asdict(check(catalogue.find(number), words))))


def _on_tmpfs(word: str) -> str:
    if not (
        lab.inside() and os.path.isdir(f"{word}/bin") and os.path.isdir(f"{word}/etc") and os.path.realpath(word) != "/"
    ):
        return word
    copy = f"/tmp/{os.path.basename(os.path.realpath(word))}"
    shutil.copytree(word, copy, symlinks=True, dirs_exist_ok=True)
    return copy
