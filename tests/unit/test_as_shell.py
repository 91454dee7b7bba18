"""The script of `run --as-shell` as a text: words that the shell reads as they are, a paragraph for each wall."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from minicontainer.cli.quick import parse_options
from minicontainer.engine.create import build_spec
from minicontainer.isolation import order
from minicontainer.narrate.reasons import FEATURES
from minicontainer.runtime.container import Container
from minicontainer.shell import PARAGRAPHS, script, text
from minicontainer.spec import Extension, Spec
from tests.shells import shellcheck

ID = "0123456789ab"
ODD = ("", "plain", "a b", "it's", '"q"', "$HOME", "`id`", "$(id)", "\\", "\\n", "new\nline\n", "*", "~", "#", "-n",
       "!!", "a=b", "\t", "'", "''", "\x1b[0m", "\xe4\u20ac", ";|&<>(){}[]", "\udcff")  # fmt: skip


def text_of(*options: str | Path, root: Path) -> str:
    words = ["--network", "none", *map(str, options), str(root), "true"]
    spec = build_spec(parse_options(words), str(root), ID, make_sources=False)
    return script(Container(ID, spec, f"/nonexistent/{ID}"), ["minicontainer", "run", *words])


def paragraphs(whole: str) -> dict[str, str]:
    """Each wall's paragraph."""
    parts = whole.split("\n# ── ")[1:]
    return {part.partition(" ")[0]: part for part in parts if " ── " in part.partition("\n")[0][:200]}


# -- words --------------------------------------------------------------------------------------


def test_words_are_read_as_they_are() -> None:
    command = f"printf '%s\\0' {text.words(ODD)}".encode(errors="surrogateescape")
    said = subprocess.run(["sh", "-eu"], input=command, capture_output=True, check=True).stdout
    assert tuple(said.decode(errors="surrogateescape").split("\0")[:-1]) == ODD


def test_words_over_several_lines() -> None:
    command = text.command_line("printf '%s|'", [*ODD[:-1]] * 5, "; echo end")
    assert "\\\n" in command
    said = subprocess.run(["sh", "-eu", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said == "|".join([*ODD[:-1]] * 5) + "|end\n"


@pytest.mark.parametrize("content", ["plain", "END\n", "a\nEND\nEND_\n$HOME `id` \\\n'", "\ttab\n"])
def test_what_is_fed_arrives(content: str) -> None:
    said = subprocess.run(["sh", "-eu", "-c", text.feed("cat", content)], capture_output=True, text=True, check=True)
    assert said.stdout == content.rstrip("\n") + "\n"
    function = f"f() {{\n{text.indent([text.feed('cat', content)])}\n}}\nf"
    assert subprocess.run(["sh", "-eu", "-c", function], capture_output=True, text=True).stdout == said.stdout


def test_variables_in_what_is_fed() -> None:
    command = "pid=7\n" + text.feed("cat", "netns $pid", expand=True)
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True).stdout == "netns 7\n"


def test_comments_are_filled() -> None:
    filled = text.comment("one " * 60 + "\n\n    kept   as it is\n\nlast")
    lines = filled.split("\n")
    assert all(line.startswith("# ") and len(line) <= text.WIDTH for line in lines)
    assert lines[-2:] == ["#     kept   as it is", "# last"]


# -- paragraphs ---------------------------------------------------------------------------------


def test_each_feature_has_a_paragraph_with_its_lesson_and_pages(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    assert list(PARAGRAPHS) == [kind.name for kind in order.ORDER]
    found = paragraphs(text_of(root=tmp_path))
    assert set(found) - {"the", "all"} == set(PARAGRAPHS)
    for name in PARAGRAPHS:
        lesson, what = FEATURES[name]
        assert found[name].startswith(f"{name} ── {what} ── lesson {lesson:02}\n#\n# ")
        assert "\n# See " in found[name]


def test_paragraphs_stand_in_the_order_of_the_walls(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for options in ((), ("--security-opt", "no-new-privileges")):
        whole = text_of(*options, root=tmp_path)
        spec = build_spec(parse_options([*options, str(tmp_path)]), str(tmp_path), ID)
        names = [name for name in paragraphs(whole) if name in PARAGRAPHS]
        assert names == [feature.name for feature in order.features(spec)]


@pytest.mark.requires("command:shellcheck")
@pytest.mark.parametrize("wall", order.names())
def test_without_a_wall_its_paragraph_is_missing_and_its_functions_are_not_called(wall: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    options = ["--without", wall]
    if wall == "net":
        options = ["--without", wall, "--network", "host"]
    try:
        whole = text_of(*options, root=root)
    except Exception as error:  # without root a container has always a wall `user`
        assert "use sudo" in str(error)
        return
    standing = [each.name for each in order.features(Spec(minicontainer=Extension(without=order.closure([wall]))))]
    down = [name for name in PARAGRAPHS if name not in standing]
    assert [name for name in PARAGRAPHS if name not in paragraphs(whole)] == down
    assert not any(f"{name}_{phase}" in whole for name in down for phase in ("before", "inside", "outside", "finish"))
    path = tmp_path / "script"
    path.write_text(whole)
    assert shellcheck(path) == ""


@pytest.mark.parametrize("wall", ["ipc", "pid", "seccomp", "no_new_privs"])
def test_without_a_wall_the_other_paragraphs_are_as_before(wall: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    options = () if wall != "ipc" else ("--ipc", "none")  # /dev/shm goes with it
    before = paragraphs(text_of(*options, root=tmp_path))
    after = paragraphs(text_of("--without", wall, root=tmp_path))
    others = [name for name in PARAGRAPHS if name not in (wall, "filesystems")]
    assert [before[name] for name in others] == [after[name] for name in others]


def test_the_command_stands_in_the_head_as_a_comment(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    whole = text_of("-e", "A=x\nrm -rf /", root=tmp_path)
    head = whole.partition("\n\n")[0]
    assert all(line.startswith("#") for line in head.split("\n"))
    assert "'A=x\n#     rm -rf /'" in head
