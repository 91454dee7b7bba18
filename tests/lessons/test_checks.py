"""Each lesson's exercise fails unsolved and passes solved; our runtime passes; the attack needs the wall down."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicontainer.lessons import attacks, catalogue, checking
from minicontainer.lessons.lesson import Lesson
from tests.lessons.conftest import LESSONS, own_file, parameters

EXERCISES = [lesson for lesson in LESSONS if lesson.has_exercise]
SOLVED = [lesson for lesson in EXERCISES if lesson.solution.exists()]
FOLLOWING = [lesson for lesson in EXERCISES if catalogue.before(lesson)]
ATTACKED = [lesson for lesson in LESSONS if lesson.attack]


@pytest.mark.parametrize("lesson", parameters(EXERCISES))
def test_the_untouched_skeleton_fails_with_a_helpful_message(lesson: Lesson, tmp_path: Path, fresh_root: Path) -> None:
    subject = own_file(catalogue.skeleton() / "my_container.py", tmp_path, fresh_root)
    verdict = checking.check(lesson, subject)
    assert not verdict.passed
    assert verdict.claim
    assert verdict.wanted
    assert verdict.seen
    assert verdict.look
    assert "Traceback" not in " ".join((verdict.claim, verdict.wanted, verdict.seen, verdict.look))


@pytest.mark.parametrize("lesson", parameters(SOLVED))
def test_the_solution_passes(lesson: Lesson, tmp_path: Path, fresh_root: Path) -> None:
    verdict = checking.check(lesson, own_file(lesson.solution, tmp_path, fresh_root))
    assert verdict.passed, verdict


@pytest.mark.parametrize("lesson", parameters(FOLLOWING))
def test_the_solution_of_the_lesson_before_fails(lesson: Lesson, tmp_path: Path, fresh_root: Path) -> None:
    earlier = catalogue.before(lesson)
    assert earlier is not None
    verdict = checking.check(lesson, own_file(earlier.solution, tmp_path, fresh_root))
    assert not verdict.passed


@pytest.mark.parametrize("lesson", parameters(EXERCISES))
def test_our_runtime_passes(lesson: Lesson, fresh_root: Path) -> None:
    verdict = checking.check(lesson, checking.runtime(lesson, fresh_root))
    assert verdict.passed, verdict


@pytest.mark.parametrize("lesson", parameters(ATTACKED))
def test_the_attack_works_with_the_wall_down(lesson: Lesson, fresh_root: Path) -> None:
    outcome = attacks.attack(lesson, fresh_root, up=False)
    assert outcome.worked, outcome


@pytest.mark.parametrize("lesson", parameters(ATTACKED))
def test_the_attack_fails_with_the_wall_up(lesson: Lesson, fresh_root: Path) -> None:
    outcome = attacks.attack(lesson, fresh_root, up=True)
    assert not outcome.worked, outcome
