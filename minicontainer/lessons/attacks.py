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

    command: str
    answer: Answer
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

        def fill(words: tuple[str, ...]) -> str:
            return shlex.join(word.replace("{dir}", folder).replace("{rootfs}", str(rootfs)) for word in words)

        command = fill(("minicontainer", "run", *options(lesson, up), "{rootfs}", *lesson.attack.program))
        with Shell(Path(folder)) as host:
            if lesson.attack.before:
                host.run(f"{{ {fill(lesson.attack.before)}; }} &")
            lines = host.run(command, SECONDS)
            if lesson.attack.host:
                lines = host.run(fill(lesson.attack.host))
            answer = Answer("\n".join(lines), "", host.status)
    return Outcome(command, answer, lesson.attack.worked(answer))
