"""The quick parser of `minicontainer run`: Docker's rules for options, and one table behind everything."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from minicontainer.cli.options import OPTIONS, PANELS, REFUSED
from minicontainer.cli.quick import HelpWanted, parse_options
from minicontainer.cli.reference import markdown
from minicontainer.engine.options import Options
from minicontainer.errors import UsageError
from tests.support import CHECKOUT, command, environment

SPELLINGS = (
    # words before ROOTFS, attributes that they set
    ("-it", {"interactive": True, "tty": True}),
    ("-ti", {"interactive": True, "tty": True}),
    ("-i -t", {"interactive": True, "tty": True}),
    ("-eA=b", {"env": ["A=b"]}),
    ("-e A=b", {"env": ["A=b"]}),
    ("-e=A=b", {"env": ["A=b"]}),
    ("--env A=b", {"env": ["A=b"]}),
    ("--env=A=b", {"env": ["A=b"]}),
    ("-ite A=b", {"interactive": True, "tty": True, "env": ["A=b"]}),
    ("-iteA=b", {"interactive": True, "tty": True, "env": ["A=b"]}),
    ("-eA=1 -eA=2 --env B=3", {"env": ["A=1", "A=2", "B=3"]}),
    ("--env A=", {"env": ["A="]}),
    ("--env -x=y", {"env": ["-x=y"]}),
    ("--name one --name two", {"name": "two"}),
    ("-hname", {"hostname": "name"}),
    ("--read-only", {"read_only": True}),
    ("--read-only=true", {"read_only": True}),
    ("--read-only=false", {"read_only": False}),
    ("--read-only --read-only=0", {"read_only": False}),
    ("-i=false", {"interactive": False}),
    ("-it=false", {"interactive": True, "tty": False}),
    ("--rm", {"rm": True}),
    ("--net host", {"network": "host"}),
    ("--network=host", {"network": "host"}),
    ("--cap-add net_admin --cap-add=CAP_KILL", {"cap_add": ["CAP_NET_ADMIN", "CAP_KILL"]}),
    ("--only uts,pid --only net", {"only": ["uts", "pid", "net"]}),
    ("--entrypoint=", {"entrypoint": ""}),
    ("-c 512", {"cpu_shares": 512}),
    ("--", {}),
    ("-i --", {"interactive": True}),
)


@pytest.mark.parametrize("words, expected", SPELLINGS)
def test_spelling(words: str, expected: dict[str, Any]) -> None:
    found = vars(parse_options([*words.split(), "ROOT"]))
    changed = {name: value for name, value in found.items() if value != getattr(Options(), name)}
    plain = {name: value for name, value in expected.items() if value != getattr(Options(), name)}
    assert changed == {**plain, "root": "ROOT"}


COMMANDS = (
    # words, root, command
    (["ROOT"], "ROOT", []),
    (["ROOT", "ls", "-l", "--name", "x"], "ROOT", ["ls", "-l", "--name", "x"]),
    (["ROOT", "--help"], "ROOT", ["--help"]),
    (["ROOT", "--", "x"], "ROOT", ["--", "x"]),
    (["--", "-ROOT", "x"], "-ROOT", ["x"]),
    (["-", "x"], "-", ["x"]),
    (["ROOT", ""], "ROOT", [""]),
    (["-e", "--", "ROOT"], "ROOT", []),
)


@pytest.mark.parametrize("words, root, program", COMMANDS)
def test_options_end_at_the_first_other_word(words: list[str], root: str, program: list[str]) -> None:
    options = parse_options(words)
    assert (options.root, options.command) == (root, program)


@pytest.mark.parametrize("words", ["--help", "-i --help", "--name web --help ROOT"])
def test_help_is_asked_for(words: str) -> None:
    with pytest.raises(HelpWanted):
        parse_options(words.split())


ERRORS = (
    # words, in the cause, in the remedy
    ("", "needs the directory of a root filesystem", "minicontainer run ./rootfs"),
    ("-i", "needs the directory of a root filesystem", "minicontainer run ./rootfs"),
    ("--memroy 1g ROOT", "unknown option '--memroy'", "did you mean --memory? see 'minicontainer run --help'"),
    ("-x ROOT", "unknown option '-x'", "--help"),
    ("-itx ROOT", "unknown option '-x' in '-itx'", "--help"),
    ("--it ROOT", "unknown option '--it'", "--help"),
    ("-m", "-m needs a value, BYTES", "--help"),
    ("--memory", "--memory needs a value, BYTES", "--help"),
    ("-im", "-m needs a value", "--help"),
    ("--tty=perhaps ROOT", "--tty 'perhaps' is neither true nor false", "leave the value out"),
    ("-d ROOT", "-d belongs to the engine", "leave it out"),
    ("-itd ROOT", "-d belongs to the engine", "leave it out"),
    ("--restart=always ROOT", "--restart belongs to the engine", "leave it out"),
    ("--pull never ROOT", "--pull is about images", "leave it out"),
    ("--memory-swappiness 3 ROOT", "cgroup v2", "leave it out"),
)


@pytest.mark.parametrize("words, cause, remedy", ERRORS)
def test_error_names_the_option(words: str, cause: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(words.split())
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy


# -- the table ----------------------------------------------------------------------------------


def test_each_option_has_its_attribute_and_each_attribute_its_option() -> None:
    assert {option.field for option in OPTIONS.values()} | {"root", "command"} == set(vars(Options()))


def test_a_list_is_what_many_fill() -> None:
    for option in OPTIONS.values():
        assert option.many == isinstance(getattr(Options(), option.field), list), option.names


def test_no_name_stands_twice() -> None:
    names = [name for _, options in PANELS for option in options for name in option.names]
    assert len(names) == len(set(names))
    assert not set(names) & set(REFUSED)


def test_typer_knows_the_same_options() -> None:
    import typer

    from minicontainer.cli.app import app

    group: Any = typer.main.get_command(app)
    params = group.get_command(None, "run").params
    known = {name for param in params if param.param_type_name == "option" for name in param.opts}
    assert known - {"--help"} == set(OPTIONS)


@pytest.mark.parametrize("words", [["run", "--help"], ["run", "-i", "--help"]])
def test_help_shows_every_option(words: list[str]) -> None:
    shown = subprocess.run(
        command(*words), capture_output=True, text=True, env=environment(COLUMNS="160", TERMINAL_WIDTH="160")
    )
    assert shown.returncode == 0 and not shown.stderr
    for name in OPTIONS:
        assert re.search(rf"[\s,]{name}[\s,]", shown.stdout), name
    for panel, _ in PANELS:
        assert panel in shown.stdout


def test_completion_offers_options() -> None:
    asked = environment(
        _MINICONTAINER_COMPLETE="complete_bash", COMP_WORDS="minicontainer run --memory-", COMP_CWORD="2"
    )
    shown = subprocess.run(command(), capture_output=True, text=True, env=asked)
    assert shown.stdout.split() == ["--memory-swap", "--memory-reservation"]


def test_readme_table_is_up_to_date() -> None:
    readme = Path(CHECKOUT / "README.md").read_text()
    if "| **Process** |" not in readme:
        pytest.skip("the README has no table of options yet")
    assert markdown() in readme


def test_reference_has_every_option() -> None:
    for option in OPTIONS.values():
        assert f"`{', '.join(option.names)}" in markdown()


# -- the whole command --------------------------------------------------------------------------


def test_version() -> None:
    shown = subprocess.run(command("--version"), capture_output=True, text=True, env=environment())
    assert re.fullmatch(r"minicontainer \d+\.\d+\.\d+\n", shown.stdout)


def test_no_arguments_show_help() -> None:
    shown = subprocess.run(command(), capture_output=True, text=True, env=environment())
    assert shown.returncode == 0
    assert "minicontainer run ./rootfs" in " ".join(shown.stdout.split())


@pytest.mark.parametrize("words", [["rnu"], ["--nonsense"], ["rootfs", "biuld"], ["rootfs", "build"]])
def test_other_commands_fail_on_one_line_too(words: list[str]) -> None:
    shown = subprocess.run(command(*words), capture_output=True, text=True, env=environment())
    assert shown.returncode == 125
    assert re.fullmatch(r"minicontainer: [^\n]*; [^\n]*--help'\n", shown.stderr)


def test_a_broken_pipe_is_quiet() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | true', "sh", *command("run", "--help")], capture_output=True, text=True, env=environment()
    )
    assert done.stderr == ""
