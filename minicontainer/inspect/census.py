"""Which processes a process can see, and by which numbers: pid_namespaces(7).

Pid namespaces are nested. A process has a number in its own and in each one above, so the host sees
all, and a container sees its own, counted from 1. `NSpid` in /proc/PID/status lists the numbers from the
reader's namespace inwards.

    grep NSpid /proc/*/status               watch it
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from minicontainer.inspect.namespaces import ancestors
from minicontainer.linux import proc


@dataclass(frozen=True)
class Seen:
    """A process as another one sees it: its number there, its number for the reader, its name."""

    number: int
    pid: int
    name: str
    kernel: bool
    """Whether it is a thread of the kernel's own, which has no memory of a program."""


class Census:
    """All processes of the reader's pid namespace at one moment."""

    def __init__(self) -> None:
        self.home = proc.namespace("self", "pid")
        self.rows = {pid: row for pid in numbers() if (row := status(pid))}

    def seen_by(self, pid: int) -> list[Seen] | None:
        """The processes that `pid` sees, in the order of its numbers; None if that may not be known."""
        namespace, own = proc.namespace(pid, "pid"), self.rows.get(pid)
        if not namespace or not own:
            return None
        depth = len(own[1]) - 1
        inside = {namespace: True}
        found = []
        for other, (name, known_as, kernel) in self.rows.items():
            if depth and namespace != self.home:
                its = proc.namespace(other, "pid")
                if its not in inside:
                    inside[its] = namespace in ancestors(other, "pid")
                if not inside[its]:
                    continue
            found.append(Seen(known_as[depth], other, name, kernel))
        return sorted(found, key=lambda seen: seen.number)


def numbers() -> list[int]:
    """The processes in /proc."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def status(pid: int) -> tuple[str, list[int], bool] | None:
    """A process's name, its numbers from the reader's namespace inwards, and whether it is the kernel's own.

    None if it has just ended.
    """
    fields = proc.status(pid)
    if "NSpid" not in fields:
        return None
    numbers = [int(number) for number in fields["NSpid"].split()]
    return fields["Name"], numbers, "VmSize" not in fields and not fields["State"].startswith(("Z", "X"))
