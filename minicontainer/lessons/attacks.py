"""A lesson's attack, run in our runtime with the wall down and with it up, in a stand-in for the host."""

from __future__ import annotations

import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from minicontainer.lessons.console import Shell
from minicontainer.lessons.lesson import Lesson, run_options
from minicontainer.lessons.subject import Answer

SECONDS = 60.0


@dataclass
class Outcome:
    """What came of an attack with the wall down or up."""

    typed: list[tuple[str, list[str]]]
    """What was typed on the host, in order, each with the lines that it printed."""
    answer: Answer
    """What the last of them printed."""
    worked: bool


def options(lesson: Lesson, up: bool) -> tuple[str, ...]:
    """The options of `run` with which the attack is tried."""
    attack = lesson.attack
    assert attack is not None
    down = attack.down or (("--without", lesson.feature) if lesson.feature else ())
    return run_options(*attack.options, *(attack.up if up else down))


def attack(lesson: Lesson, rootfs: Path, up: bool) -> Outcome:
    """Try it once. The host is a stand-in, so that an attack that works harms nobody."""
    assert lesson.attack is not None
    with tempfile.TemporaryDirectory(prefix="lesson-") as folder:
        os.chmod(folder, 0o755)
        Path(folder, "secret").write_text("of the host")
        os.symlink(rootfs, f"{folder}/rootfs")

        def fill(words: tuple[str, ...]) -> str:
            return shlex.join(word.replace("{dir}", folder).replace("{rootfs}", "./rootfs") for word in words)

        container = ("minicontainer", "run", *options(lesson, up), "{rootfs}", *lesson.attack.program)
        lines = [fill(words) for words in (lesson.attack.before, container, lesson.attack.host) if words]
        if lesson.attack.before:
            lines[0] += " &"
        with Shell(Path(folder)) as host:
            typed = [(line, host.run(line, SECONDS)) for line in lines]
            answer = Answer("\n".join(typed[-1][1]), "", host.status)
    return Outcome(typed, answer, lesson.attack.worked(answer))
