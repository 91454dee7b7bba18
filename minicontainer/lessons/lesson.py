"""What a lesson is: the wall that it adds, the attack that the wall stops, and the check from outside.

The rest of it lies in its folder: README.md, exercise.md, hints.md, solution.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.lessons.inside import Inside
    from minicontainer.lessons.subject import Answer

NO_NETWORK = ("--network", "none")


@dataclass(frozen=True)
class Attack:
    """A program that gets through where a wall is missing.

    It is run in `minicontainer run OPTIONS ROOTFS PROGRAM`, in a stand-in for the host. `{dir}` in any word is a
    directory on that host with a file `secret` in it (content: `of the host`), `{rootfs}` the root filesystem.
    """

    program: tuple[str, ...]
    succeeds: str
    """The text in the output that shows that it got through."""
    told: str = ""
    """One sentence: what it tries."""
    before: tuple[str, ...] = ()
    """A command on the host before it, `sh -c` and the like; left running until the end if it does not end itself."""
    host: tuple[str, ...] = ()
    """A command on the host after it, whose output is looked at instead of the program's."""
    options: tuple[str, ...] = ()
    """Options of `run`, up and down: what keeps other walls from stopping it first."""
    down: tuple[str, ...] = ()
    """Options that take the wall down; by default `--without FEATURE`."""
    up: tuple[str, ...] = ()
    """Options that put it up, if it is not up by default."""

    def worked(self, result: Answer) -> bool:
        """Whether it got through."""
        return self.succeeds in result.output


def no_check(inside: Inside) -> None:
    """For a lesson without an exercise."""


@dataclass(frozen=True)
class Lesson:
    """One lesson. Its folder is added when it is loaded."""

    number: int
    name: str
    title: str
    step: str = ""
    """One line: what the learner adds to my_container.py; empty if there is no exercise."""
    feature: str = ""
    """The wall it adds, as `--without` names it; or empty."""
    needs: tuple[str, ...] = ("root",)
    """What the machine must have, or it runs in the lab: root, cgroup2:memory, userns, namespace:time, command:NAME."""
    attack: Attack | None = None
    check: Callable[[Inside], None] = no_check
    options: tuple[str, ...] = ()
    """Options with which `minicontainer run` passes the check: --memory 64m and the like."""
    others: dict[str, str] = field(default_factory=dict)
    """Other subjects than the usual ones, for the table of docs/lessons.md: {"runc": "…"}; "" where none fits."""
    folder: Path = Path()

    @property
    def label(self) -> str:
        """`04 root`."""
        return f"{self.number:02} {self.name}"

    @property
    def has_exercise(self) -> bool:
        return self.check is not no_check

    @property
    def solution(self) -> Path:
        """my_container.py as it is after this lesson. The file may be missing."""
        return self.folder / "solution.py"

    def text(self, name: str) -> str:
        """One of its Markdown files, or nothing."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def hints(self) -> list[str]:
        """The stages, from a nudge to nearly the solution."""
        return [part.strip() for part in self.text("hints.md").split("\n---\n") if part.strip()]


def run_options(*options: str) -> tuple[str, ...]:
    """Options for `minicontainer run`: without a network, unless they say which."""
    named = any(option.startswith(("--network", "--net", "--hardened")) for option in options)
    return options if named else (*NO_NETWORK, *options)
