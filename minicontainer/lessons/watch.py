"""Checks whenever the learner saves. After a success it stops: the next lesson must be asked for."""

from __future__ import annotations

import time
from pathlib import Path

from minicontainer.errors import MinicontainerError
from minicontainer.lessons import catalogue, desk, progress, report, sitting
from minicontainer.lessons.keys import Ended, Keys
from minicontainer.lessons.lesson import Lesson
from minicontainer.lessons.needs import belongs_in_lab

LOOK_SECONDS = 0.2
SETTLE_SECONDS = 0.05  # an editor may write in several steps
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
HELP = "n: next   h: hint   l: list   c: check   x: reset   q: quit"


def run(lesson: Lesson, file: Path | None) -> int:
    """Watch until the learner leaves; the exit status: 0 if the last check was passed."""
    watch = Watch(lesson, desk.find(file))
    with Keys() as keys:
        try:
            watch.loop(keys)
        except KeyboardInterrupt:
            print()
        except Ended as end:
            return 128 + int(end.args[0])
    return 0 if watch.passed else 1


class Watch:
    """One lesson after another, and the file."""

    def __init__(self, lesson: Lesson, file: Path) -> None:
        self.lesson, self.file = lesson, file
        self.passed = False
        self._seen: object = None

    def loop(self, keys: Keys) -> None:
        """Check at each change, obey each key."""
        actions = {"n": self.next, "h": self.hint, "l": self.list, "c": self.check, "?": self.help}
        self.check()
        while (key := keys.read(LOOK_SECONDS).lower()) != "q":
            if key == "x":
                self.reset(keys)
            elif key in actions:
                actions[key]()
            elif self._changed() and not self.passed:
                time.sleep(SETTLE_SECONDS)
                self.check()

    def check(self) -> None:
        """Check now."""
        self._seen = self._state()
        print(
            f"{CLEAR}{report.style(f'Lesson {self.lesson.label}', 'bold')}: {self.lesson.step or self.lesson.title}\n"
        )
        if not self.lesson.has_exercise:
            print("It has no exercise.")
            self.passed = True
        else:
            self._check()
        self.help()

    def _check(self) -> None:
        try:
            if reason := belongs_in_lab(self.lesson):
                print(f"{reason}: it is checked in the lab\n", flush=True)
            verdict = sitting.check_file(self.lesson, self.file)
        except MinicontainerError as error:
            self.passed = False
            print(f"{report.style('✗', 'red')} {error}")
            return
        self.passed = verdict.passed
        print("\n".join(report.verdict_lines(self.lesson, verdict)))
        if self.passed:
            print("\nDone. `h` has hints to compare with, `n` begins the next lesson.")

    def next(self) -> None:
        """The next lesson, if this one is done."""
        if not (self.passed or progress.load().passed(self.lesson.number)):
            print("This lesson is not done yet.")
            return
        following = [each for each in catalogue.lessons() if each.number > self.lesson.number]
        if not following:
            print("That was the last lesson.")
            return
        self.lesson, self.passed = following[0], False
        self.check()
        print(f"`minicontainer lesson run {self.lesson.number}` tells about it.")

    def hint(self) -> None:
        print("\n" + "\n\n".join(sitting.hint(self.lesson)) + "\n")

    def list(self) -> None:
        print("\n" + "\n".join(report.table(progress.load())) + "\n")

    def reset(self, keys: Keys) -> None:
        """Back to the lesson's beginning, if that is meant."""
        print(f"x again takes {self.file.name} back to the beginning of lesson {self.lesson.label}.")
        if keys.read().lower() == "x":
            told = sitting.reset(self.lesson, self.file)
            self.passed = False
            self.check()
            print(told)

    def help(self) -> None:
        print(f"\n{report.style(HELP, 'dim')}", flush=True)

    def _changed(self) -> bool:
        return self._state() not in (self._seen, None)

    def _state(self) -> object:
        """What changes when it is saved, however an editor does that; None while it is not there."""
        try:
            status = self.file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size
