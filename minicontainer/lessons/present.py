"""A lesson on the projector: the slide above, below it host and container side by side, both real.

The host is a stand-in (building.py): a hostname, mounts, ipc and network of its own, processes of its own, and all
files of the real one read-only. So nothing that is typed in front of an audience reaches the machine.

With tmux the two panes are shells that one can type in; without it they show what the lesson's commands print.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from minicontainer.cli.output import console, note
from minicontainer.lessons import building, tmux
from minicontainer.lessons.console import BASH, Shell, clear_up
from minicontainer.lessons.deck import Deck, draw, rendered
from minicontainer.lessons.keys import Ended, Keys
from minicontainer.lessons.lesson import Lesson, run_options
from minicontainer.lessons.needs import in_lab, python_path, stage
from minicontainer.lessons.walk import place

FORWARD, BACK = ("right", "down", " ", "n", "\n", "\r"), ("left", "up", "p", "b", "\x7f")
ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
PROMPT = ("-e", "ENV=", "-e", "PS1=container# ")  # no greeting
OWN_PROCESSES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def run(lesson: Lesson, plain: bool, here: bool) -> int:
    """Present; the exit status. `here`: in the stand-in already, in the current folder."""
    words = ["present", str(lesson.number), "--here", *(["--plain"] if plain else [])]
    if here:
        return present(lesson, Path.cwd(), plain)
    Keys()  # a terminal is needed, and better to say so first
    if reason := stage(lesson):
        note(f"{reason}: this is the lab")
        return in_lab(*words)
    with place() as folder:
        program = [*OWN_PROCESSES, sys.executable, "-m", "minicontainer", "lesson", *words]
        env = {**os.environ, "PYTHONPATH": python_path(), "TMPDIR": str(folder)}

        def enter() -> None:
            building.enter()
            building.protect(str(folder))
            os.chdir(folder)  # the one that may be written

        try:
            return subprocess.run(program, cwd=folder, env=env, preexec_fn=enter).returncode
        finally:
            clear_up(folder)


def present(lesson: Lesson, folder: Path, plain: bool) -> int:
    """The show itself."""
    if not (folder / "rootfs").is_dir():  # in the lab
        with place() as fresh:
            os.chdir(fresh)
            return present(lesson, fresh, plain)
    container = ("minicontainer", "run", *PROMPT, *run_options(*lesson.options), "./rootfs", "/bin/sh")
    if shutil.which("tmux") and not plain:
        return tmux.present(lesson, folder, shlex.join(container))
    with Keys() as keys, Shell(folder, BASH, enter=lambda: None) as host:
        try:
            print(ENTER_SCREEN, end="", flush=True)
            Stage(lesson, host, container).play(keys)
        except (KeyboardInterrupt, Ended):
            return 130
        finally:
            print(LEAVE_SCREEN, end="", flush=True)
    return 0


class Stage:
    """The screen without tmux: a slide and two panes, drawn by rich."""

    def __init__(self, lesson: Lesson, host: Shell, container: tuple[str, ...]) -> None:
        self.deck, self._host = Deck(lesson), host
        self._command = container
        self._container: Shell | None = None
        self._said: dict[str, list[str]] = {"host": [], "container": []}

    def play(self, keys: Keys) -> None:
        """Until the presenter quits."""
        try:
            size = self._draw()
            while (key := keys.read(0.3)) != "q":
                if self.obey(key) or os.get_terminal_size() != size:
                    size = self._draw()
        finally:
            if self._container:
                self._container.close()

    def obey(self, key: str) -> bool:
        """Do what the key says; whether there is something to draw."""
        if key in FORWARD:
            if self.deck.forward() and self.deck.step.command:
                self._run("host", self._host)
        elif key in BACK:
            self.deck.back()
        elif key == "c" and self.deck.command:
            if self._container is None:
                self._container = Shell(self._host.folder, self._command, enter=lambda: None)
            self._run("container", self._container)
        return bool(key)

    def _run(self, pane: str, shell: Shell) -> None:
        command = self.deck.command
        assert command is not None
        self._said[pane] += ["$ " + command.text.replace("\n", "\n> "), *shell.run(command.text)]

    def _draw(self) -> os.terminal_size:
        size = os.get_terminal_size()
        print(f"\x1b[H{self.picture(size.columns, size.lines)}", end="\x1b[J", flush=True)
        return size

    def picture(self, columns: int, lines: int) -> str:
        """The whole screen."""
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        low = max(lines * 2 // 5, 6)
        screen = console()
        grid = Table.grid(expand=True)
        for _ in self._said:
            grid.add_column(ratio=1)
        panes = []
        for title, said in self._said.items():
            rows = rendered(screen, Text("\n".join(said) or " "), columns // 2 - 4)
            panes.append(Panel(Text.from_ansi("\n".join(rows[-(low - 2) :])), title=title, height=low))
        grid.add_row(*panes)
        return "\n".join(
            f"{line}\x1b[K"
            for line in [*draw(self.deck, screen, columns, lines - low), *rendered(screen, grid, columns)]
        )
