"""A lesson's README.md, taken apart: prose, commands with their output, questions with their answers.

```console              commands and what they print; `console norun` for what cannot be run here
<!-- reveal -->         what follows, up to the next heading, answers the question before it
<!-- anything else -->  not shown
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REVEAL = "<!-- reveal -->"


@dataclass
class Block:
    """A piece of the narrative. `kind` is heading, prose, console, norun, code or reveal (which has no text)."""

    kind: str
    text: str
    line: int = 0
    """Where its text begins in the file, from 1."""


@dataclass
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: list[Block]


def blocks(markdown: str) -> list[Block]:
    """The pieces of a narrative, in order."""
    found: list[Block] = []
    prose: list[str] = []
    lines = markdown.splitlines()

    def flush(number: int) -> None:
        text = re.sub(r"<!--.*?-->\n?", "", "\n".join(prose), flags=re.DOTALL).strip("\n")
        if text.strip():
            found.append(Block("prose", text, number - len(prose) + 1))
        prose.clear()

    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith("```"):
            flush(number)
            end = next((n for n in range(number + 1, len(lines)) if lines[n].startswith("```")), len(lines))
            found.append(Block(kind_of(line[3:].split()), "\n".join(lines[number + 1 : end]), number + 2))
            number = end
        elif line.startswith("#"):
            flush(number)
            found.append(Block("heading", line, number + 1))
        elif line.strip() == REVEAL:
            flush(number)
            found.append(Block("reveal", "", number + 1))
        else:
            prose.append(line)
        number += 1
    flush(number)
    return found


def kind_of(info: list[str]) -> str:
    """The kind of a fenced block, from the words after its fence."""
    if info[:1] != ["console"]:
        return "code"
    return "norun" if "norun" in info else "console"


def sections(markdown: str) -> list[Section]:
    """The same, by headings."""
    result: list[Section] = []
    for block in blocks(markdown):
        if block.kind == "heading":
            result.append(Section(block.text.lstrip("# "), []))
        elif result:
            result[-1].blocks.append(block)
    return result


def source(block: Block) -> str:
    """The Markdown of one block, for showing."""
    if block.kind in ("console", "norun"):
        return f"```console\n{block.text}\n```"
    return f"```python\n{block.text}\n```" if block.kind == "code" else block.text


def readable(markdown: str) -> str:
    """The whole narrative without the comments, for people."""
    return re.sub(r"<!--.*?-->\n*", "", markdown, flags=re.DOTALL).strip() + "\n"
