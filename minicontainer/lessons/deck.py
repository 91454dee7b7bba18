"""A lesson as slides: a section a slide, which grows step by step; and how a slide is drawn, big, with rich."""

from __future__ import annotations

from dataclasses import dataclass

from minicontainer.lessons import text
from minicontainer.lessons.console import Command, commands
from minicontainer.lessons.lesson import Lesson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import Console

HELP = "→ on   ← back   c: the same in the container   q: quit"


@dataclass
class Step:
    """One press of the key: a paragraph more, a command more, or a question."""

    title: str
    paragraphs: list[str]
    """Markdown; all that the slide has up to here."""
    command: Command | None = None


class Deck:
    """All steps of a lesson, and which one is shown."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.steps = list(steps(lesson))
        self.position = 0

    @property
    def step(self) -> Step:
        return self.steps[self.position]

    @property
    def command(self) -> Command | None:
        """The command that was shown last."""
        return next((step.command for step in reversed(self.steps[: self.position + 1]) if step.command), None)

    def forward(self) -> bool:
        """Whether there is a step more, and it is shown now."""
        self.position, before = min(self.position + 1, len(self.steps) - 1), self.position
        return self.position != before

    def back(self) -> None:
        """One step back. What was typed stays typed."""
        self.position = max(self.position - 1, 0)


def steps(lesson: Lesson) -> list[Step]:
    """The steps, in order."""
    found: list[Step] = []
    for section in text.sections(lesson.text("README.md")):
        title = section.title.lstrip("0123456789 ")
        shown: list[str] = []
        for block in section.blocks:
            if block.kind == "console":
                for command in commands(block.text):
                    line = command.prompt + " " + command.text.replace("\n", "\n> ")
                    if shown and shown[-1].startswith("```\n"):
                        shown = [*shown[:-1], shown[-1].removesuffix("```") + line + "\n```"]
                    else:
                        shown = [*shown, f"```\n{line}\n```"]
                    found.append(Step(title, shown, command))
            elif block.kind == "reveal":
                shown = [*shown, "**What do you think?**"]
                found.append(Step(title, shown))
            else:
                for paragraph in text.source(block).split("\n\n") if block.kind == "prose" else [text.source(block)]:
                    shown = [*shown, paragraph]
                    found.append(Step(title, shown))
    return found


def draw(deck: Deck, screen: Console, width: int, height: int) -> list[str]:
    """The slide as lines for a terminal: its title, then what fits of the end of it, the newest last."""
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.text import Text

    margin = max((width - 100) // 2, 1)
    title = Text(" ".join(deck.step.title.upper()) if len(deck.step.title) * 2 < width - 4 else deck.step.title.upper())
    body = rendered(screen, Padding(Markdown("\n\n".join(deck.step.paragraphs)), (0, margin)), width)
    room = max(height - 4, 1)
    place = f"{deck.lesson.label}   {deck.position + 1}/{len(deck.steps)}   {HELP}"
    head = rendered(screen, Text(f" {title.plain} ".center(width), "bold reverse"), width)[:1]
    foot = rendered(screen, Text(place[: width - 1].center(width - 1), "dim"), width)[:1]
    lines = body[-room:]
    return [*head, "", *lines, *[""] * (room - len(lines)), "", *foot]


def rendered(screen: Console, content: object, width: int) -> list[str]:
    """Anything of rich's as lines with their colours."""
    with screen.capture() as capture:
        screen.print(content, width=width, overflow="fold")
    return capture.get().rstrip("\n").split("\n")
