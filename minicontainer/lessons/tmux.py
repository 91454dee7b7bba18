"""The projector's screen with tmux(1): a server of its own, three panes, gone at the end.

slides      reads the keys, and types the lesson's commands into the other two
host        a shell on the stand-in for the host
container   a shell in a container
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from minicontainer.cli.output import console
from minicontainer.lessons import catalogue
from minicontainer.lessons.console import environment
from minicontainer.lessons.deck import Deck, draw
from minicontainer.lessons.keys import Ended, Keys
from minicontainer.lessons.lesson import Lesson

SETTINGS = """
set -g status off
set -g mouse on
set -g escape-time 10
set -g pane-border-status top
set -g pane-border-format " #{pane_title} "
set -g pane-active-border-style fg=yellow
set -g default-terminal screen-256color
set -g allow-rename off
set -g set-titles off
"""
SOCKET = ".tmux"
SLIDES, HOST, CONTAINER = "lesson:0.0", "lesson:0.1", "lesson:0.2"


def present(lesson: Lesson, folder: Path, container: str) -> int:
    """Open the three panes, `container` in the third, and stay until they are closed; the exit status."""
    (folder / ".tmux.conf").write_text(SETTINGS)
    (folder / ".bashrc").write_text("PS1='host# '\n")
    env = environment(folder)
    env.pop("TMUX", None)
    size = shutil.get_terminal_size()
    slides = shlex.join([sys.executable, "-m", "minicontainer.lessons.tmux", str(lesson.number)])
    host = f"exec bash --noprofile --rcfile {shlex.quote(str(folder / '.bashrc'))} -i"
    panes = [
        ["new-session", "-d", "-s", "lesson", "-x", str(size.columns), "-y", str(size.lines), slides],
        ["split-window", "-v", "-l", "40%", "-t", SLIDES, host],
        ["split-window", "-h", "-l", "50%", "-t", HOST, container],
        *[
            ["select-pane", "-t", pane, "-T", title]
            for pane, title in zip(
                (SLIDES, HOST, CONTAINER), (f"lesson {lesson.label}", "host", "container"), strict=True
            )
        ],
        ["select-pane", "-t", SLIDES],
    ]
    try:
        for words in panes:
            tmux(folder, *words, env=env)
        return subprocess.run(["tmux", "-S", SOCKET, "attach", "-t", "lesson"], cwd=folder, env=env).returncode
    finally:
        tmux(folder, "kill-server", env=env)


def tmux(folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
    """One command of tmux's, on our server."""
    subprocess.run(["tmux", "-S", SOCKET, "-f", ".tmux.conf", *words], cwd=folder, env=env, capture_output=True)


def slides(number: str) -> None:
    """The upper pane: obey keys until q, then close all."""
    folder, deck = Path.cwd(), Deck(catalogue.find(number))
    with Keys() as keys:
        try:
            _play(folder, deck, keys)
        except (KeyboardInterrupt, Ended):
            pass
    tmux(folder, "kill-session", "-t", "lesson")


def _play(folder: Path, deck: Deck, keys: Keys) -> None:
    from minicontainer.lessons.present import BACK, FORWARD

    screen, key, size = console(), " ", None
    print("\x1b[?25l", end="")
    while key != "q":
        if key or os.get_terminal_size() != size:
            size = os.get_terminal_size()
            print("\x1b[H\x1b[2J" + "\r\n".join(draw(deck, screen, size.columns, size.lines)), end="", flush=True)
        key = keys.read(0.3)
        if key in FORWARD and deck.forward() and deck.step.command:
            type_in(folder, HOST, deck.step.command.text)
        elif key in BACK:
            deck.back()
        elif key == "c" and deck.command:
            type_in(folder, CONTAINER, deck.command.text)


def type_in(folder: Path, pane: str, text: str) -> None:
    """Type into a pane, as a person would."""
    for line in text.split("\n"):
        tmux(folder, "send-keys", "-t", pane, "-l", line)
        tmux(folder, "send-keys", "-t", pane, "Enter")


if __name__ == "__main__":
    slides(sys.argv[1])
