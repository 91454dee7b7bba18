"""What is seen, compared with what is wanted. The first difference ends the check, and is told in full.

expect("it has a hostname of its own", inside.hostname(), other_than(inside.host.hostname()), "hostname")
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any


class Failed(Exception):
    """The first thing that is wrong: what was claimed, wanted and seen, and where to look (a command or a place)."""

    def __init__(self, claim: str, wanted: str, seen: str, look: str = "") -> None:
        super().__init__(claim)
        self.claim, self.wanted, self.seen, self.look = claim, wanted, seen, look

    def __str__(self) -> str:
        return f"{self.claim}: expected {self.wanted}, seen {self.seen}"


class Wanted:
    """A condition that can say what it is."""

    def __init__(self, text: str, holds: Callable[[Any], bool]) -> None:
        self.text, self.holds = text, holds


def expect(claim: str, seen: object, wanted: object, look: str = "") -> None:
    """Raise Failed unless `seen` is `wanted`, a value or one of the conditions below.

    `claim` says what is true if all is well; `look` is a command that shows it, or where in the file to look.
    """
    good = wanted.holds(seen) if isinstance(wanted, Wanted) else seen == wanted
    if not good:
        raise Failed(claim, spell(wanted), spell(seen), look)


def other_than(value: object, whose: str = "the host's") -> Wanted:
    """Anything but `value`."""
    return Wanted(f"something other than {whose} {spell(value)}", lambda seen: seen != value)


def containing(*items: object) -> Wanted:
    """A text or collection in which each of `items` is."""
    return Wanted(f"{spell(items)} in it", lambda seen: all(item in seen for item in items))


def without(*items: object) -> Wanted:
    """A text or collection in which none of `items` is."""
    return Wanted(f"no {spell(items, ' and no ')} in it", lambda seen: not any(item in seen for item in items))


def one_of(*values: object) -> Wanted:
    """One of these."""
    return Wanted(spell(values, " or "), lambda seen: seen in values)


def between(least: float, most: float) -> Wanted:
    """A number from `least` to `most`."""
    return Wanted(f"{least} to {most}", lambda seen: least <= seen <= most)


def like(text: str, holds: Callable[[Any], bool]) -> Wanted:
    """Whatever `holds` says yes to, called `text`."""
    return Wanted(text, holds)


def spell(value: object, between: str = ", ") -> str:
    """A value for people: no quotes, no brackets."""
    if isinstance(value, Wanted):
        return value.text
    if value is None or value == "" or (isinstance(value, Collection) and not value):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list, set, frozenset)):
        return between.join(map(spell, sorted(value, key=str) if isinstance(value, (set, frozenset)) else value))
    return str(value).strip()
