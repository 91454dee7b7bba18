"""Words, comments and lists of lines as a POSIX shell reads them: sh(1), "Quoting" and "Here-Document"."""

from __future__ import annotations

import string
import textwrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SAFE = frozenset(string.ascii_letters + string.digits + "@%+=:,./_-")
"""Characters that mean nothing to the shell wherever they stand in an argument."""

WIDTH = 100
UNBROKEN: Any = {"break_long_words": False, "break_on_hyphens": False}


def quote(word: str) -> str:
    """`word` as one argument, whatever is in it. Between single quotes nothing is special but a single quote."""
    if word and not set(word) - SAFE:
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def below(variable: str, path: str) -> str:
    """`path` below the folder that a variable of the shell names, as one argument."""
    return f'"${variable}{path}"' if path == quote(path) else f'"${variable}"{quote(path)}'


def words(arguments: Sequence[str]) -> str:
    """A list of arguments."""
    return " ".join(map(quote, arguments))


def comment(text: str, between: str = "\n") -> str:
    """`text` as comment lines: blocks with an empty line between are filled each for itself, indented ones kept."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n") if block.startswith(" ") else textwrap.wrap(block, WIDTH - 2, **UNBROKEN)
        blocks.append("\n".join(f"# {line}" for line in lines))
    return between.join(blocks)


def command_line(start: str, arguments: Sequence[str], end: str = "") -> str:
    """A command with many arguments, over several lines if need be."""
    lines, room = [start], WIDTH - 8
    for word in map(quote, arguments):
        if len(lines[-1]) + 1 + len(word) > room:
            lines.append("\t\t" + word)
        else:
            lines[-1] += " " + word
    return " \\\n".join(lines) + end


def feed(command: str, text: str, expand: bool = False) -> str:
    """`command` with `text` on its standard input; with `expand` the shell replaces its variables in it."""
    end = "END"
    while end in text.split("\n"):
        end += "_"
    mark = end if expand else f"'{end}'"  # quoted: take the text as it stands
    return f"{command} <<{mark}\n{text.rstrip(chr(10))}\n{end}"


def indent(entries: Sequence[str]) -> str:
    """The body of a function. Only the first line of an entry moves: what is fed or quoted counts to the character."""
    return "\n".join("\t" + entry if entry else "" for entry in entries)
