"""Every command that a lesson shows is run, and prints what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicontainer.lessons import console, text
from minicontainer.lessons.lesson import Lesson
from tests.lessons.conftest import LESSONS, parameters


@pytest.mark.parametrize("lesson", parameters(LESSONS))
def test_the_commands_print_what_is_shown(lesson: Lesson, tmp_path: Path, fresh_root: Path) -> None:
    tmp_path.chmod(0o755)
    wrong = []
    with console.Shell(tmp_path) as shell:
        for block in text.blocks(lesson.text("README.md")):
            if block.kind != "console":
                continue
            for command in console.commands(block.text, block.line):
                seen = shell.run(command.text)
                if not console.matches(command.expected, seen):
                    shown = "\n".join(["  shown:", *command.expected, "  seen:", *seen])
                    wrong.append(f"README.md:{command.line}: {command.text}\n{shown}")
    assert not wrong, "\n\n".join(["", *wrong])


@pytest.mark.parametrize("lesson", parameters(LESSONS))
def test_the_narrative_has_its_parts(lesson: Lesson) -> None:
    readme = lesson.text("README.md")
    assert readme.startswith(f"# {lesson.number:02}  ")
    kinds = [block.kind for block in text.blocks(readme)]
    assert "console" in kinds
    assert "reveal" in kinds
    lines = text.readable(readme).splitlines()
    assert max(map(len, lines)) <= 80, [line for line in lines if len(line) > 80]
    assert len(lines) <= 4 * 24 + 50, "two to four screens"
    if lesson.has_exercise:
        assert 2 <= len(lesson.hints()) <= 5
        assert lesson.text("exercise.md")
        assert lesson.step
