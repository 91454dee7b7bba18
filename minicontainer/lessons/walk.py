"""The walk through a lesson: read, guess, see it happen on this machine, try it oneself.

What is typed and shown really runs, in one shell, on a stand-in for the host (building.py). Without a terminal
there is nobody to wait for, and all of it is printed.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from minicontainer.cli.output import console, note
from minicontainer.lessons import attacks, desk, progress, text
from minicontainer.lessons.console import Shell, commands
from minicontainer.lessons.lesson import Lesson, run_options
from minicontainer.lessons.needs import in_lab, stage
from minicontainer.lessons.report import style

TALL = 14  # lines of an attack's output that are shown
KEYS = "Enter: on   s: a shell here   c: a shell in a container   q: leave"


class Left(Exception):
    """The learner leaves."""


def run(lesson: Lesson, record: bool = True) -> int:
    """Walk; the exit status."""
    if record:
        with progress.changing() as state:
            state.of(lesson.number)
    if reason := stage(lesson):
        note(f"{reason}: this is the lab")
        return in_lab("run", str(lesson.number), "--here")
    with place() as folder, Shell(folder) as shell:
        try:
            Walk(lesson, shell).go()
        except (Left, EOFError, KeyboardInterrupt):
            print()
    return 0


@contextmanager
def place() -> Iterator[Path]:
    """A fresh folder with a `rootfs`, gone at the end, also when the terminal hangs up."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _end)
    with tempfile.TemporaryDirectory(prefix="lesson-") as name:
        os.chmod(name, 0o755)
        desk.make_rootfs(Path(name, "rootfs"))
        yield Path(name)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Walk:
    """One walk."""

    def __init__(self, lesson: Lesson, shell: Shell) -> None:
        self.lesson, self.shell = lesson, shell
        self._screen = console()
        self._alone = not (sys.stdin.isatty() and sys.stdout.isatty())
        self._guess = ""

    def go(self) -> None:
        """From the first heading to the exercise."""
        for number, section in enumerate(text.sections(self.lesson.text("README.md"))):
            if number:
                self._pause()
            self._heading(section.title)
            for block in section.blocks:
                self._block(block)
        if self.lesson.attack:
            self._pause()
            self._attack()
        if self.lesson.has_exercise:
            self._pause()
            self._markdown(self.lesson.text("exercise.md"))
            print(f"\nYour turn: `minicontainer lesson check {self.lesson.number}`, or `watch`")

    def _block(self, block: text.Block) -> None:
        if block.kind == "console":
            for command in commands(block.text):
                self._command(command.prompt, command.text)
            print()
        elif block.kind == "reveal":
            self._predict()
        else:
            self._markdown(text.source(block))

    def _command(self, prompt: str, line: str) -> None:
        """Show it, wait, run it, show what it printed."""
        print(f"{style(prompt, 'dim')} {style(line.replace(chr(10), chr(10) + '> '), 'bold')}", end="", flush=True)
        if self._alone:
            print()
        else:
            self._pause(" ")
        for row in self.shell.run(line):
            print(row)

    def _predict(self) -> None:
        if not self._alone:
            guess = input(style("\nYour guess: ", "yellow"))
            print(f"You said: {guess}\n" if guess.strip() else "")

    def _attack(self) -> None:
        """The attack with the wall down and up."""
        attack = self.lesson.attack
        assert attack is not None
        self._heading("The wall, down and up")
        if attack.told:
            self._markdown(attack.told)
        for up in (False, True):
            print(style(f"\nThe wall is {'up' if up else 'down'}.", "bold"))
            outcome = attacks.attack(self.lesson, self.shell.folder / "rootfs", up)
            for line, rows in outcome.typed:
                print("\n".join([f"{style('#', 'dim')} {line}", *rows[:TALL], *(["…"] if len(rows) > TALL else [])]))
            print(style("✗ it got through", "red") if outcome.worked else style("✓ it was stopped", "green"))
        print()

    def _heading(self, title: str) -> None:
        width = min(self._screen.width, 100)
        print(f"{style(f'── {title} '.ljust(width, '─'), 'bold')}\n")

    def _markdown(self, source: str) -> None:
        if self._alone:
            print(text.readable(source))
            return
        from rich.markdown import Markdown

        self._screen.print(Markdown(text.readable(source)), width=min(self._screen.width, 100))
        print()

    def _pause(self, before: str = "\n") -> None:
        """Wait for Enter; other answers open a shell first."""
        while not self._alone:
            answer = input(f"{before}{style(f'[{KEYS}]' if before != ' ' else '⏎', 'dim')} ").strip().lower()
            if answer == "q":
                raise Left
            if answer == "s":
                print("A shell on the stand-in for the host; `exit` leads back.")
                self.shell.beside("bash", "--norc", "-i")
            elif answer == "c":
                options = run_options(*self.lesson.options)
                print(f"minicontainer run {' '.join(options)} ./rootfs /bin/sh   (`exit` leads back)")
                self.shell.beside("minicontainer", "run", *options, "./rootfs", "/bin/sh")
            else:
                return
