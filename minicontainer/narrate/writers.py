"""Steps written down: plain text with one fact a line, or JSON with one object a line.

    17 child  uts             sethostname("box") = 0
          hostname: castle -> box
          why: Give the container its name; the host keeps its own.
          see: lesson 1, sethostname(2), uts_namespaces(7)

The lines that begin with a number are the calls alone: grep '^ *[0-9]'
"""

from __future__ import annotations

import os

from minicontainer.narrate import reasons
from minicontainer.quickjson import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.narrate.state import State
    from minicontainer.narrate.step import Step

SHORT_ID = 12


def writer_for(form: str, output: int, id: str) -> Writer:
    """The writer for the form; `auto` is for people at a terminal, plain for everything else."""
    if form == "json":
        return Json(output, id)
    if form == "rich" or (form == "auto" and os.isatty(output) and os.environ.get("TERM") != "dumb"):
        from minicontainer.narrate.screen import Screen

        return Screen(output, id)
    return Plain(output, id)


class Writer:
    """Writes steps to the descriptor `output`. `problem` is why it could not, if so."""

    def __init__(self, output: int, id: str) -> None:
        self.output, self.id = output, id
        self.problem = ""
        self.unwritten: list[str] = []
        self.screen = os.isatty(output)
        self.feature: str | None = None
        self.said: set[tuple[str, str]] = set()

    def begin(self, step: Step) -> None:
        """Show a step that is about to be made, with --step. `write` says what came of it."""

    def write(self, step: Step) -> None:
        raise NotImplementedError

    def put(self, text: str) -> None:
        self.unwritten.append(text)

    def flush(self) -> None:
        """Write it out. On a terminal in raw mode, which is the container's then, lines still begin at the left."""
        data, self.unwritten = "".join(self.unwritten).encode("utf-8", "backslashreplace"), []
        if self.screen and is_raw(self.output):
            data = data.replace(b"\n", b"\r\n")
        try:
            while data and not self.problem:
                data = data[os.write(self.output, data) :]
        except OSError as error:
            self.problem = os.strerror(error.errno or 0)

    def is_new(self, step: Step, why: str) -> bool:
        """Whether this has not been said yet, since the feature began."""
        if step.feature != self.feature:
            self.feature, self.said = step.feature, set()
        new = (step.call, why) not in self.said
        self.said.add((step.call, why))
        return new

    def short(self, text: str) -> str:
        """For readers: the container's id as its first digits, and nothing that a terminal would obey."""
        if self.id:
            text = text.replace(self.id, self.id[:SHORT_ID] + "…")
        if text.replace("\n", "").isprintable():
            return text
        return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class Plain(Writer):
    def begin(self, step: Step) -> None:
        self.put(self.short(f"{step.number:5} {step.who:6} {step.feature or '-':15} {step.text} …\n"))
        if why := reasons.why(step):
            self.put(f"          why: {why}\n")
        self.flush()

    def write(self, step: Step) -> None:
        why = reasons.why(step)
        text = f"{step.number:5} {step.who:6} {step.feature or '-':15} {step.text} = {step.told_result}\n"
        text += "".join(f"          {line}\n" for line in changes(step.before, step.after))
        if self.is_new(step, why):
            text += f"          why: {why}\n" if why else ""
            text += f"          see: lesson {reasons.lesson(step)}, {reasons.man(step)}\n"
        self.put(self.short(text))


class Json(Writer):
    def write(self, step: Step) -> None:
        self.put(
            line({
                "step": step.number,
                "who": step.who,
                "pid": step.process.pid,
                "feature": step.feature,
                "call": step.call,
                "args": step.args,
                "result": int(step.result) if step.result else step.told_result,
                "error": step.error or None,
                "why": reasons.why(step),
                "before": step.before,
                "after": step.after,
                "lesson": reasons.lesson(step),
                "man": reasons.man(step),
            })
            + "\n"
        )  # fmt: skip


def changes(before: State, after: State) -> list[str]:
    """One text a thing that has changed: `hostname: castle -> box`, `effective: lost CAP_BPF`."""
    return [f"{name}: {change(before.get(name), after.get(name))}" for name in {**before, **after}]


def change(old: str | list[str] | None, new: str | list[str] | None) -> str:
    if isinstance(old, list) or isinstance(new, list):
        lost, gained = gains(old, new)
        parts = [f"lost {', '.join(lost)}"] * bool(lost) + [f"gained {', '.join(gained)}"] * bool(gained)
        return "; ".join(parts)
    return f"{old or 'none'} -> {new or 'none'}"


def gains(old: str | list[str] | None, new: str | list[str] | None) -> tuple[list[str], list[str]]:
    """Which words of a list went, and which came."""
    return [word for word in old or () if word not in (new or ())], [
        word for word in new or () if word not in (old or ())
    ]


def is_raw(terminal: int) -> bool:
    import termios

    try:
        return not termios.tcgetattr(terminal)[1] & termios.OPOST
    except termios.error:
        return False
