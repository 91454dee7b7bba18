"""One step: a call, what it did, and what there is to say about it."""

from __future__ import annotations

from minicontainer.narrate.look import TOUCHED
from minicontainer.narrate.state import difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minicontainer.narrate.state import Process, State

PARENT, CHILD, HELPER = "parent", "child", "helper"
"""Who makes a call. Helpers are short-lived: one holds a user namespace until it has been used, for example."""


class Step:
    """A call that is about to be made, or has been."""

    def __init__(self, call: str, feature: str, who: str, process: Process, child: Process | None) -> None:
        self.number = 0
        self.call = call
        self.feature = feature
        self.who = who
        self.process = process
        self.child = child  # the container's first process, if there is one yet
        self.arguments: list[tuple[str, str, str]] = []  # name, as spelled, as is
        self.args: list[str] = []  # as told
        self.text = ""  # the call with these
        self.destinations: dict[str, str] = {}  # descriptor -> where it leads
        self.result: str | None = None  # as is; None before the call, and if it failed
        self.told_result = ""
        self.error = ""  # the name of the errno
        self.before: State = {}
        self.after: State = {}

    def take(self, fields: Sequence[str]) -> None:
        """Sort what came over the line, three fields each, into arguments and facts."""
        for name, spelled, raw in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            if name[0] == "<":
                self.before[name[1:]] = spelled
            elif name[0] == ">":
                self.after[name[1:]] = spelled
            else:
                self.arguments.append((name, spelled, raw))

    def take_facts(self, fields: Sequence[str]) -> None:
        """The same of a second message, whose arguments are known."""
        known, self.arguments = self.arguments, []
        self.take(fields)
        self.arguments = known

    def end(self, error: str, told: str, raw: str) -> None:
        """The call has been made, or has failed."""
        self.error, self.told_result, self.result = error, told, None if error else raw

    def compare(self) -> None:
        """Leave of before and after what differs. How the process was before is what has been told of it last."""
        for name in TOUCHED.get(self.call, ()):
            if text := self.after.pop(name, ""):
                self.before[name], self.after[name] = self.process.known.get(name) or text, text
                self.process.known[name] = str(text)
        self.before, self.after = difference(self.before, self.after)

    def raw(self, name: str) -> str:
        """The argument of that name as it is; empty if it is not there."""
        return next((raw for each, _, raw in self.arguments if each.lstrip("=") == name), "")

    def spelled(self, args: list[str]) -> None:
        """Set the arguments as they are told."""
        self.args, self.text = args, f"{self.call}({', '.join(args)})"
