"""One line of the doctor's answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    LIMITED = "limited"
    """It is there, but not all of it, or not for everybody."""
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, what was seen; what follows from that, and what one can do about it."""

    name: str
    state: State
    seen: str
    consequence: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)


def ok(name: str, seen: str, consequence: str) -> Finding:
    """All is well."""
    return Finding(name, State.OK, seen, consequence)


def limited(name: str, seen: str, consequence: str, remedy: str) -> Finding:
    """Something is left out."""
    return Finding(name, State.LIMITED, seen, consequence, remedy)


def missing(name: str, seen: str, consequence: str, remedy: str) -> Finding:
    """It is not there at all."""
    return Finding(name, State.MISSING, seen, consequence, remedy)
