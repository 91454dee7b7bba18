"""The narration's parts: what is told of a call, how it is spelled, and that the tables know every call."""

from __future__ import annotations

import inspect
import json
import os
import pkgutil
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import minicontainer.linux
from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.isolation.order import ORDER
from minicontainer.linux import calls, files, mount, paths, process
from minicontainer.narrate import FORMS, inside, look, observer, reasons, screen, spelling, state, writers
from minicontainer.narrate.narrator import records
from minicontainer.narrate.step import CHILD, PARENT, Step
from tests.support import environment


def gated() -> dict[str, Callable[..., Any]]:
    """Every function that passes the gate: its name, and the function behind the gate."""
    found = {}
    for module in pkgutil.iter_modules(minicontainer.linux.__path__):
        for name, gate in vars(import_module(f"minicontainer.linux.{module.name}")).items():
            if inspect.isfunction(gate) and gate.__qualname__ == "syscall.<locals>.gate":
                found[name] = next(cell.cell_contents for cell in gate.__closure__ or ())
    return found


def call(gate: Callable[..., Any], *args: Any, **kwargs: Any) -> calls.Call:
    return calls.Call(gated()[gate.__name__], args, kwargs)


def step(name: str, feature: str = "uts", who: str = CHILD, args: tuple[str, ...] = (), result: str = "0") -> Step:
    made = Step(name, feature, who, state.Process(os.getpid()), None)
    made.number, made.result, made.told_result = 7, result, result
    made.spelled(list(args))
    return made


# -- the tables ---------------------------------------------------------------------------------


def test_every_feature_has_its_lesson_and_its_reasons() -> None:
    names = {feature.name for feature in ORDER} | {""}
    assert set(reasons.FEATURES) == set(reasons.WHY) == names
    assert all(0 <= number < len(reasons.LESSONS) for number, _ in reasons.FEATURES.values())
    assert len(reasons.LESSONS) == 15


def test_reasons_are_sentences_about_calls_that_exist() -> None:
    for feature, rows in reasons.WHY.items():
        for name, _, sentence in rows:
            assert name in gated(), (feature, name)
            assert re.fullmatch(r"[A-Z/].*[.)]", sentence) or sentence.startswith(("su ", "overlayfs ")), sentence
    assert set(reasons.MAN) <= set(gated())


def test_the_general_reason_comes_last() -> None:
    for feature, rows in reasons.WHY.items():
        for number, (name, word, _) in enumerate(rows):
            assert word or not [row for row in rows[number + 1 :] if row[0] == name], (feature, name)


def test_pages_are_named_as_man_wants_them() -> None:
    pages = [page for rows in reasons.MAN.values() for _, row in rows for page in row.split(", ")]
    assert all(re.fullmatch(r"[\w.-]+\([1-8](const)?\)", page) for page in pages)


def test_it_is_known_of_every_call_how_to_see_what_it_did() -> None:
    nothing_to_see = {"openat2", "open_tree", "default_action"}
    seen = {*inside.FACTS, *look.TOUCHED, *state.READERS, *observer.WATCHED, *nothing_to_see}
    assert set(gated()) == seen


def test_the_narrator_is_asked_where_it_has_to_look() -> None:
    new = {"bpf_prog_load"}  # there was nothing before it
    assert set(state.READERS) <= observer.WATCHED
    assert set(state.READERS) - new <= observer.BOTH


def test_parameters_with_a_spelling_exist() -> None:
    for name, parameter in spelling.SPELLINGS:
        assert parameter in inspect.signature(gated()[name]).parameters


# -- what goes over the line --------------------------------------------------------------------


def told_arguments(made: calls.Call) -> list[tuple[str, ...]]:
    fields = observer.arguments(made, lambda number: f"</fd/{number}>")
    return list(zip(fields[::3], fields[1::3], fields[2::3], strict=True))


def test_arguments_have_names_and_defaults_that_say_something() -> None:
    assert told_arguments(call(paths.openat2, 3, "/proc", os.O_PATH)) == [
        ("dir_fd", "3</fd/3>", "3"),
        ("path", '"/proc"', "/proc"),
        ("flags", str(os.O_PATH), str(os.O_PATH)),
        ("=resolve", "RESOLVE_IN_ROOT", "16"),
    ]


def test_of_variables_only_the_names_are_told() -> None:
    (_, path, _), (_, args, raw), (_, env, _) = told_arguments(
        call(process.execve, "/bin/sh", ["sh", "-c", 'echo "x"'], {"PASSWORD": "secret", "HOME": "/"})
    )
    assert (path, args, env) == ('"/bin/sh"', '["sh", "-c", "echo "x""]', "{PASSWORD, HOME}")
    assert json.loads(raw) == ["sh", "-c", 'echo "x"']


def test_a_zero_byte_ends_no_field() -> None:
    assert told_arguments(call(files.chdir, "a\0b"))[0][1] == '"a\ufffdb"'


def test_records_of_a_message() -> None:
    assert list(records(["Q", "2", "a", "", "A", "0", "X", "1", "0"])) == [("Q", ["a", ""]), ("A", []), ("X", ["0"])]


def test_a_failure_is_named() -> None:
    assert observer.problem(KernelError("mkdir()", 17)) == ("EEXIST", "EEXIST (File exists)", "")
    assert observer.problem(MinicontainerError("no way", "go")) == ("MinicontainerError", "no way", "")


def test_without_a_narrator_calls_are_made_all_the_same(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    alone = observer.Observer(writer, step=True)
    alone(call(files.mkdir, str(tmp_path / "made")))
    assert (tmp_path / "made").is_dir()
    with pytest.raises(KernelError):
        alone(call(files.mkdir, str(tmp_path / "made")))
    assert alone.finish() == "the narrator ended early"


# -- how it is spelled --------------------------------------------------------------------------

SPELLED = (
    (call(paths.openat2, 3, "p", os.O_PATH | os.O_DIRECTORY, 0o644),
     '3, "p", O_PATH|O_DIRECTORY, 0644, resolve=RESOLVE_IN_ROOT'),
    (call(files.mkdir, "d", 0o755), '"d", 0755'),
    (call(files.mkdir, "d", dir_fd=4), '"d", dir_fd=4, mode=0755'),
    (call(files.mknod, "null", 0o020666, os.makedev(1, 3), 6), '"null", S_IFCHR|0666, makedev(1, 3), 6'),
    (call(files.close_range, 3, 0xFFFFFFFF, 4), "3, ~0U, CLOSE_RANGE_CLOEXEC"),
    (call(process.set_pdeathsig, 9), "SIGKILL"),
    (call(process.setns, 3, 0x08000000), "3, CLONE_NEWIPC"),
    (call(mount.open_tree, -100, "/x", 1), 'AT_FDCWD, "/x", OPEN_TREE_CLONE'),
    (call(mount.mount_setattr, 9, 0x8000, set=1), "9, AT_RECURSIVE, set=MOUNT_ATTR_RDONLY"),
    (call(mount.mount_setattr, 9, 0, propagation=0x40000), "9, 0, propagation=MS_PRIVATE"),
    (call(mount.mount, None, "/", None, mount.MS_REC | mount.MS_PRIVATE), 'NULL, "/", NULL, MS_REC|MS_PRIVATE'),
)  # fmt: skip


@pytest.mark.parametrize("made, expected", SPELLED, ids=lambda value: getattr(value, "name", ""))
def test_numbers_have_their_names(made: calls.Call, expected: str) -> None:
    there = step(made.name)
    there.take(observer.arguments(made, lambda number: ""))
    assert ", ".join(spelling.spell_arguments(there)) == expected


# -- what has changed ---------------------------------------------------------------------------

ROW = "{} 20 0:5 / {} rw,nosuid {}- proc proc rw"


def test_mounts_that_came_went_and_changed() -> None:
    before = "\n".join((ROW.format(1, "/a", ""), ROW.format(2, "/b", "shared:1 "), ROW.format(3, "/c", "")))
    after = "\n".join((ROW.format(1, "/a", ""), ROW.format(2, "/b", ""), ROW.format(4, "/d", "")))
    gone, come = state.difference({"mountinfo": before}, {"mountinfo": after})
    assert gone == {
        "mount 2": "proc on /b type proc (rw,nosuid) shared:1",
        "mount 3": "proc on /c type proc (rw,nosuid) private",
    }
    assert come == {
        "mount 2": "proc on /b type proc (rw,nosuid) private",
        "mount 4": "proc on /d type proc (rw,nosuid) private",
    }


def test_a_change_that_cannot_be_told_is_none() -> None:
    other_parent = ROW.format(1, "/a", "").replace(" 20 ", " 21 ")
    assert state.difference({"mountinfo": ROW.format(1, "/a", "")}, {"mountinfo": other_parent}) == ({}, {})


def test_of_the_status_only_rights_are_told() -> None:
    before = "VmRSS:\t10 kB\nUid:\t0\t0\t0\t0\nCapBnd:\t0000000000000003\n"
    after = "VmRSS:\t20 kB\nUid:\t0\t0\t0\t0\nCapBnd:\t0000000000000001\n"
    assert state.difference({"status": before}, {"status": after}) == (
        {"bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]},
        {"bounding": ["CAP_CHOWN"]},
    )


def test_a_namespace_is_told_by_its_number() -> None:
    assert state.difference({"ns/uts": "uts:[12]"}, {"ns/uts": "uts:[34]"}) == (
        {"uts namespace": "12"},
        {"uts namespace": "34"},
    )


def test_how_a_process_was_is_what_was_told_of_it_last() -> None:
    first, second = step("chdir", ""), step("chdir", "")
    second.process = first.process
    first.process.known = {"cwd": "/"}
    first.after, second.after = {"cwd": "/a", "root": "/"}, {"cwd": "/b", "root": "/"}
    first.compare()
    second.compare()
    assert (first.before, first.after) == ({"cwd": "/"}, {"cwd": "/a"})
    assert (second.before, second.after) == ({"cwd": "/a"}, {"cwd": "/b"})


def test_what_proc_says_of_this_process() -> None:
    inside_view = {name: look.look(name, "/proc/self/") for name in look.EVERYTHING}
    outside = state.Process(os.getpid())
    stable = set(look.EVERYTHING) - {"status", "stat"}
    assert all(inside_view.values())
    assert {name: outside.look(name) for name in stable} == {name: inside_view[name] for name in stable}
    assert state.row_of_stat(inside_view["stat"])["session"] == str(os.getsid(0))
    assert look.look("cwd", "/proc/no such process/") == look.look("status", "/proc/no such process/") == ""


def test_addresses_as_proc_has_them() -> None:
    little = sys.byteorder == "little"
    assert state.ipv4("0100007F" if little else "7F000001") == "127.0.0.1"
    assert state.ipv6("00000000000000000000000000000001") == "::1"
    assert "127.0.0.1" in state.local_addresses("  +-- 0.0.0.0/0\n     |-- 127.0.0.1\n        /32 host LOCAL\n")


# -- how it is written --------------------------------------------------------------------------


def written(writer: writers.Writer, *steps: Step) -> str:
    reader, writer.output = os.pipe()
    for each in steps:
        writer.write(each)
    writer.flush()
    os.close(writer.output)
    with open(reader, encoding="utf-8") as pipe:
        return pipe.read()


def named() -> Step:
    made = step("sethostname", args=('"box"',))
    made.before, made.after = {"hostname": "castle"}, {"hostname": "box"}
    return made


def test_plain_text() -> None:
    assert written(writers.Plain(1, ""), named(), named()) == (
        '    7 child  uts             sethostname("box") = 0\n'
        "          hostname: castle -> box\n"
        "          why: Give the container its name; the host keeps its own.\n"
        "          see: lesson 1, sethostname(2), uts_namespaces(7)\n"
        '    7 child  uts             sethostname("box") = 0\n'
        "          hostname: castle -> box\n"
    )


def test_json_is_an_object_a_line() -> None:
    failed = step("mkdir", "root", PARENT, ('"a\\nb"', "0755"))
    failed.result, failed.error, failed.told_result = None, "EEXIST", "EEXIST (File exists)"
    first, second = map(json.loads, written(writers.Json(1, ""), named(), failed).splitlines())
    assert first == {
        "step": 7,
        "who": "child",
        "pid": os.getpid(),
        "feature": "uts",
        "call": "sethostname",
        "args": ['"box"'],
        "result": 0,
        "error": None,
        "why": "Give the container its name; the host keeps its own.",
        "before": {"hostname": "castle"},
        "after": {"hostname": "box"},
        "lesson": 1,
        "man": "sethostname(2), uts_namespaces(7)",
    }
    assert (second["result"], second["error"]) == ("EEXIST (File exists)", "EEXIST")


def test_nothing_that_a_terminal_would_obey_reaches_it() -> None:
    hostile = step("sethostname", args=('"\x1b]0;pwned\x07"',))
    assert "\x1b" not in written(writers.Plain(1, ""), hostile)
    assert "pwned\x1b" not in written(screen.Screen(1, ""), hostile).replace("\x1b[", "")


def test_the_id_is_shortened_for_readers() -> None:
    id = "0123456789ab" + "c" * 52
    made = step("chdir", "", args=(f'"/x/{id}/y"',))
    assert '"/x/0123456789ab…/y"' in written(writers.Plain(1, id), made)
    assert id in written(writers.Json(1, id), made)


def test_a_full_disk_is_noted_once() -> None:
    writer = writers.Plain(os.open("/dev/full", os.O_WRONLY), "")
    writer.write(named())
    writer.flush()
    assert writer.problem == "No space left on device"
    os.close(writer.output)


@pytest.mark.parametrize("width", (60, 80, 120))
def test_lines_fit_the_screen(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    long = step("capset", "capabilities", args=("|".join(f"CAP_{n}" for n in range(41)), '"' + "/long" * 60 + '"'))
    long.before = {"effective": [f"CAP_{n}" for n in range(41)], **{f"mount {n}": "x" * 200 for n in range(30)}}
    feed = step("run", "net", PARENT, ("nft -f - <<END\n" + "add rule inet t c accept\n" * 90 + "END\n",))
    text = re.sub(r"\x1b\[[0-9;]*m", "", written(screen.Screen(1, ""), long, feed, named()))
    assert max(map(len, text.splitlines())) <= width
    assert "lesson 11: capabilities" in text and "… and 2" in text and "more lines" in text
    assert len(text.splitlines()) < 90


def test_lines_are_broken_where_a_reader_would() -> None:
    assert list(screen.broken("mount(one, two|three)", 13, 2, screen.CODE)) == ["mount(one,", "two|three)"]
    assert list(screen.broken("x" * 25, 10, 4, screen.WORDS)) == ["x" * 10, "x" * 6, "x" * 6, "x" * 3]


def test_the_forms_are_those_of_the_option() -> None:
    from minicontainer.cli.options import OPTIONS

    assert {OPTIONS["--explain"].read(form) for form in (*FORMS, "true")} == set(FORMS)


def test_rich_is_not_for_the_runtime() -> None:
    import subprocess

    program = "import sys, minicontainer.narrate; print([m for m in sys.modules if m.split('.')[0] == 'rich'])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == "[]\n"
