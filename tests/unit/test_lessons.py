"""The lessons' machinery: narratives taken apart, outputs compared, expectations, slides. No lesson is run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicontainer.lessons import console, deck, expect, text
from minicontainer.lessons.console import commands, matches
from minicontainer.lessons.expect import Failed, between, containing, like, one_of, other_than, without
from minicontainer.lessons.lesson import Lesson, run_options
from minicontainer.lessons.subject import find, shortened

NARRATIVE = """\
# 01  A title

Prose
in two lines.

<!-- not shown -->
```console
$ echo one
one
# for x in a b; do
>     echo $x; done
a
…
```

## Predict

What?

<!-- reveal -->

That.

```console norun
$ reboot
```

```python
print()
```
"""


def test_a_narrative_in_pieces() -> None:
    kinds = [block.kind for block in text.blocks(NARRATIVE)]
    assert kinds == ["heading", "prose", "console", "heading", "prose", "reveal", "prose", "norun", "code"]
    assert [section.title for section in text.sections(NARRATIVE)] == ["01  A title", "Predict"]
    assert "not shown" not in text.readable(NARRATIVE)


def test_the_commands_of_a_block_and_where_they_stand() -> None:
    block = text.blocks(NARRATIVE)[2]
    first, second = commands(block.text, block.line)
    assert (first.text, first.expected, first.prompt, first.line) == ("echo one", ["one"], "$", 8)
    assert (second.text, second.expected) == ("for x in a b; do\n    echo $x; done", ["a", "…"])
    assert NARRATIVE.splitlines()[second.line - 1].startswith("# for")


@pytest.mark.parametrize(
    ("expected", "seen", "same"),
    [
        (["one"], ["one"], True),
        (["one"], ["one  "], True),
        (["one"], ["two"], False),
        (["one"], [], False),
        ([], ["one"], False),
        (["pid … of me"], ["pid 42 of me"], True),
        (["pid … of me"], ["pid of me"], False),
        (["…"], [], True),
        (["…"], ["a", "b"], True),
        (["a", "…", "d"], ["a", "b", "c", "d"], True),
        (["a", "…", "d"], ["a", "d"], True),
        (["a", "…", "d"], ["a", "b"], False),
        (["(x)* [1]"], ["(x)* [1]"], True),
    ],
)
def test_what_is_shown_and_what_is_seen(expected: list[str], seen: list[str], same: bool) -> None:
    assert matches(expected, seen) is same


def test_a_shell_remembers_and_ends(tmp_path: Path) -> None:
    with console.Shell(tmp_path, enter=lambda: None) as shell:
        assert shell.run("x=5; cd /; pwd") == ["/"]
        assert shell.run("echo $x; echo oops >&2; cat") == ["5", "oops"]
        assert shell.run("printf half") == ["half"]
        shell.run("false")
        assert shell.status == 1
        assert shell.run("sleep 60", seconds=0.1) == []
        assert shell.status == 124


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (1, 2, "2"),
        ("", "x", "x"),
        ("host", other_than("host"), "something other than the host's host"),
        ([1], containing(2), "2 in it"),
        ("abc", without("b"), "no b in it"),
        (3, one_of(1, 2), "1 or 2"),
        (3, between(4, 5), "4 to 5"),
        (3, like("an even number", lambda n: n % 2 == 0), "an even number"),
        (True, False, "no"),
    ],
)
def test_the_first_difference_is_told(seen: object, wanted: object, said: str) -> None:
    with pytest.raises(Failed) as failed:
        expect.expect("a claim", seen, wanted, "there")
    assert (failed.value.claim, failed.value.wanted, failed.value.look) == ("a claim", said, "there")
    assert failed.value.seen == expect.spell(seen)


def test_what_holds_is_silent() -> None:
    for seen, wanted in ((1, 1), (2, other_than(1)), ([1, 2], containing(1)), ("a", without("b")), (2, between(1, 2))):
        expect.expect("a claim", seen, wanted)


def test_a_traceback_is_one_place_and_the_error(tmp_path: Path) -> None:
    file = tmp_path / "my_container.py"
    file.write_text("one\ntwo()\n")
    places = f'  File "{file}", line 2, in <module>\n    two()\n  File "/x/kit.py", line 9, in f\n'
    said = f"Traceback (most recent call last):\n{places}OSError: no\n"
    assert shortened(said) == "my_container.py, line 2: two()\nOSError: no"
    assert shortened("one\ntwo\nthree\nfour\n") == "two\nthree\nfour"
    assert shortened("") == ""


def test_no_process_has_a_command_line_like_that() -> None:
    assert find(["sleep", "no such number"]) == 0


def test_no_network_unless_asked_for() -> None:
    assert run_options("--memory", "6m") == ("--network", "none", "--memory", "6m")
    assert run_options("--network", "bridge") == ("--network", "bridge")


def test_slides_grow_forward_and_back(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(NARRATIVE)
    slides = deck.Deck(Lesson(1, "name", "title", folder=tmp_path))
    assert slides.step.title == "A title"
    assert slides.command is None
    assert slides.forward()
    assert slides.step.command is not None
    assert slides.forward()
    assert len(slides.step.paragraphs) == 2  # prose, and both commands in one block
    while slides.forward():
        pass
    assert slides.step.title == "Predict"
    assert slides.command is not None
    assert slides.command.text.startswith("for x")
    for _ in range(20):
        slides.back()
    assert slides.position == 0


@pytest.mark.parametrize(("width", "height"), [(80, 14), (160, 30), (40, 5)])
def test_a_slide_fits(tmp_path: Path, width: int, height: int) -> None:
    from minicontainer.cli.output import console as screen

    (tmp_path / "README.md").write_text(NARRATIVE)
    slides = deck.Deck(Lesson(1, "name", "title", folder=tmp_path))
    while slides.forward():
        lines = deck.draw(slides, screen(), width, height)
        assert len(lines) == height
        assert max(map(len, lines)) <= width
