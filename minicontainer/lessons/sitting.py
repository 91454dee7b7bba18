"""What a learner does at the desk: check, take a hint, go back, hand in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from minicontainer.cli.output import note
from minicontainer.errors import UsageError
from minicontainer.lessons import catalogue, checking, desk, progress, report
from minicontainer.lessons.checking import Verdict
from minicontainer.lessons.lesson import Lesson
from minicontainer.lessons.needs import belongs_in_lab


def lesson_at(number: str) -> Lesson:
    """The lesson with that number; without one, the one that the learner is at, or the last. Raises UsageError."""
    if number:
        return catalogue.find(number)
    return report.current(progress.load()) or catalogue.lessons()[-1]


def check(number: str, subject: str, file: Path | None) -> int:
    """Check and tell; the exit status. With `subject` it is not the learner's, so it does not count."""
    lesson = lesson_at(number)
    if not lesson.has_exercise:
        print(f"lesson {lesson.label} has no exercise: `minicontainer lesson run {lesson.number}`")
        return 0
    if reason := belongs_in_lab(lesson):
        note(f"{reason}: it is checked in the lab")
    if subject:
        if file is not None:
            raise UsageError("--subject and --file name two things to check", "give one of them")
        verdict = checking.check_anywhere(lesson, words(subject), Path.cwd())
        print("\n".join(report.verdict_lines(lesson, verdict)))
        return 0 if verdict.passed else 1
    verdict = check_file(lesson, desk.find(file))
    print("\n".join(report.verdict_lines(lesson, verdict)))
    print(
        report.after_success(lesson)
        if verdict.passed
        else f"  a nudge:       `minicontainer lesson hint {lesson.number}`"
    )
    return 0 if verdict.passed else 1


def check_file(lesson: Lesson, file: Path) -> Verdict:
    """Check the learner's file and write down what came of it."""
    verdict = checking.check_anywhere(lesson, checking.learner(file, desk.rootfs_of(file)), file.parent)
    with progress.changing() as state:
        record = state.of(lesson.number)
        record.tries += 1
        if verdict.passed and record.result != "passed":
            record.succeed()
        elif record.result != "passed":
            record.result = "failed"
    if verdict.passed:
        desk.keep(lesson, file)
    return verdict


def words(subject: str) -> list[str]:
    """The command line of a subject as words. Raises UsageError."""
    try:
        found = shlex.split(subject)
    except ValueError as error:
        raise UsageError(f"--subject {subject!r}: {error}", "quote it as for a shell") from None
    if not found:
        raise UsageError("--subject is empty", "give the command that runs a program in a container")
    return found


def hint(lesson: Lesson) -> list[str]:
    """The hints taken so far and one more, each with its number; after the last, where the solution is."""
    stages = lesson.hints()
    if not stages:
        return [f"lesson {lesson.label} has no hints"]
    with progress.changing() as state:
        record = state.of(lesson.number)
        ask_solution = record.hints >= len(stages)
        record.hints = min(record.hints + 1, len(stages))
        taken = record.hints
    told = [f"{report.style(f'hint {n} of {len(stages)}', 'bold')}\n{text}" for n, text in enumerate(stages[:taken], 1)]
    if ask_solution:
        told.append(f"That was all: `minicontainer lesson solution {lesson.number} --diff` shows how it is done.")
    return told


def reset(lesson: Lesson, file: Path | None) -> str:
    """Take the file back to the lesson's beginning and forget the lesson; in words, what was done."""
    told = desk.reset(lesson, desk.find(file))
    with progress.changing() as state:
        state.lessons.pop(f"{lesson.number:02}", None)
    return told


def export(to: Path) -> None:
    """Write results.json for the instructor."""
    titles = {lesson.number: lesson.title for lesson in catalogue.lessons()}
    text = json.dumps(progress.export(progress.load(), titles), indent=2, ensure_ascii=False)
    if str(to) == "-":
        print(text)
        return
    try:
        to.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{to}: {error.strerror}", "name a file that you may write") from None
    print(f"{to}: the results of {len(titles)} lessons")
