"""One isolation feature as a paragraph of the script: a comment, and a shell function for each part of its work.

    before     on the host, before there is a container
    child      in the process that will make the first process, just before it does
    outside    on the host, while the first process waits at the gate
    inside     in the first process
    finish     on the host again, when the inside is ready: what the first process cannot do to itself
    after      on the host, at the end, if `later` has noted it down

They are those of `isolation/feature.py`, and two that a process without fork(2) of its own needs.
"""

from __future__ import annotations

from minicontainer.narrate.reasons import FEATURES
from minicontainer.shell.text import comment, indent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PHASES = ("before", "child", "outside", "inside", "finish", "after")
OPTIONS = ("walls", "enter", "enter_last", "rights")


class Paragraph:
    """What the script says and does for one feature.

    `text` says how, `man` where to read on, `missing` what a shell cannot do. `settings` are lines outside of any
    function. `walls` are options of unshare, `enter` and `enter_last` of nsenter (before and after unshare),
    `rights` of setpriv. `needs` are programs that a Debian may lack.
    """

    def __init__(
        self,
        name: str,
        text: str,
        man: str,
        *,
        missing: Sequence[str] = (),
        settings: Sequence[str] = (),
        walls: str = "",
        enter: str = "",
        enter_last: str = "",
        rights: str = "",
        needs: Sequence[str] = (),
        before: Sequence[str] = (),
        child: Sequence[str] = (),
        outside: Sequence[str] = (),
        inside: Sequence[str] = (),
        finish: Sequence[str] = (),
        after: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.blocks = [*filter(None, [text]), *(f"Not here: {each}" for each in missing), f"See {man}."]
        self.settings = settings
        self.options = dict(zip(OPTIONS, (walls, enter, enter_last, rights), strict=True))
        self.needs = needs
        self.work = dict(zip(PHASES, (before, child, outside, inside, finish, after), strict=True))

    def function(self, phase: str) -> str:
        """The name of its shell function for that phase, or nothing."""
        return f"{self.name}_{phase}" if self.work[phase] else ""

    def __str__(self) -> str:
        lesson, what = FEATURES[self.name]
        head = f"# ── {self.name} ── {what} ── lesson {lesson:02}\n#"
        lines = [f'{name}="${name} {value}"' for name, value in self.options.items() if value]
        functions = [
            f"{self.function(phase)}() {{\n{indent(self.work[phase])}\n}}" for phase in PHASES if self.work[phase]
        ]
        top = "\n".join([head, comment("\n\n".join(self.blocks)), *self.settings, *lines])
        return "\n\n".join([top, *functions]) + "\n"
