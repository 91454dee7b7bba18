"""`minicontainer lesson` as a learner and an instructor meet it: at a desk, at a terminal, on a projector."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from minicontainer.lessons import catalogue, progress
from tests.conftest import Run
from tests.root.test_terminal import Screen
from tests.support import CHECKOUT, command, environment, requires, wait_until

pytestmark = requires("root")

SKELETON = catalogue.skeleton() / "my_container.py"
PASSED = catalogue.find(0).solution
ONE = catalogue.find(1).solution


@pytest.fixture
def desk(minicontainer: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `begin` made, progress of this test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    done = minicontainer("lesson", "begin", tmp_path / "desk")
    assert done.returncode == 0, done.stderr
    return tmp_path / "desk"


@pytest.fixture
def lesson(minicontainer: Run, desk: Path) -> Run:
    """`lesson("check", "1")` at that desk."""
    return lambda *words: minicontainer("lesson", *words, cwd=desk)


# -- at the desk --------------------------------------------------------------------------------


def test_begin_gives_a_program_that_starts_programs(desk: Path) -> None:
    assert {"my_container.py", "kit.py", "rootfs"} <= set(os.listdir(desk))
    words = [sys.executable, "my_container.py", "rootfs", "echo", "it runs"]
    assert subprocess.run(words, cwd=desk, capture_output=True, text=True).stdout == "it runs\n"


def test_begin_does_not_overwrite(lesson: Run, desk: Path) -> None:
    (desk / "my_container.py").write_text("mine")
    done = lesson("begin", ".")
    assert done.returncode == 125
    assert "is there already; `minicontainer lesson reset" in done.stderr
    assert (desk / "my_container.py").read_text() == "mine"


def test_from_the_first_failure_to_the_results(lesson: Run, desk: Path) -> None:
    failed = lesson("check")
    assert failed.returncode == 1
    for part in ("00 process: not yet", "should be so:", "expected:", "seen:", "look at:", "lesson hint 0"):
        assert part in failed.stdout
    first, second = lesson("hint"), lesson("hint")
    assert first.stdout.startswith("hint 1 of ")
    assert second.stdout.startswith(first.stdout.rstrip("\n"))
    assert "hint 2 of " in second.stdout
    shutil.copy(PASSED, desk / "my_container.py")
    passed = lesson("check", "0")
    assert passed.returncode == 0
    assert "next: `minicontainer lesson run 1`" in passed.stdout
    rows = lesson("list").stdout.splitlines()
    assert [row[2] for row in rows[:2]] == ["✓", " "]
    assert rows[0].endswith("2 tries, 2 hints")
    assert rows[1].startswith("▸")
    assert lesson("export").returncode == 0
    results = json.loads((desk / "results.json").read_text())["lessons"]
    assert {key: results[0][key] for key in ("lesson", "result", "tries", "hints")} == {
        "lesson": 0,
        "result": "passed",
        "tries": 2,
        "hints": 2,
    }
    assert results[0]["seconds"] >= 0
    assert results[1]["result"] == "not begun"


def test_hints_end_with_where_the_solution_is(lesson: Run) -> None:
    stages = len(catalogue.find(0).hints())
    said = [lesson("hint", "0").stdout for _ in range(stages + 1)]
    assert f"hint {stages} of {stages}" in said[stages - 1]
    assert "lesson solution 0" in said[stages]


def test_the_solution_runs_as_printed(lesson: Run, desk: Path) -> None:
    (desk / "my_container.py").write_text(lesson("solution", "1").stdout)
    assert lesson("check", "1").returncode == 0
    assert "\n+" in lesson("solution", "1", "--diff").stdout


def test_reset_goes_back_to_ones_own(lesson: Run, desk: Path) -> None:
    mine = PASSED.read_text() + "# mine\n"
    (desk / "my_container.py").write_text(mine)
    assert lesson("check", "0").returncode == 0
    (desk / "my_container.py").write_text("broken")
    assert lesson("check", "1").returncode == 1
    assert lesson("reset", "1").returncode == 0
    assert (desk / "my_container.py").read_text() == mine
    assert (desk / "my_container.py.1").read_text() == "broken"
    assert "1 try" not in lesson("list").stdout.splitlines()[1]
    assert lesson("reset", "0").returncode == 0
    assert (desk / "my_container.py").read_text() == SKELETON.read_text()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import kit\nkit.umount('/no/such/place')\n", "my_container.py, line 2: kit.umount('/no/such/place')"),
        ("def broken(:\n", "my_container.py, line 1: def broken(:"),
        ("import sys; sys.exit(3)\n", "ended at once with status 3"),
        ("import os; os.kill(os.getpid(), 11)\n", "signal SIGSEGV"),
        ("print('I only talk')\n", "I only talk"),
    ],
)
def test_a_broken_file_is_told_shortly(lesson: Run, desk: Path, code: str, told: str) -> None:
    (desk / "my_container.py").write_text(code)
    done = lesson("check", "1")
    assert done.returncode == 1
    assert told in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) <= 8


def test_an_error_in_the_other_root_is_told_with_its_line(lesson: Run, desk: Path) -> None:
    """The child's own files are out of its reach by then."""
    code = SKELETON.read_text().replace(
        "    # lesson 04", "    os.chdir(rootfs)\n    os.chroot('.')\n    kit.umount('/nothing')\n    # lesson 04"
    )
    (desk / "my_container.py").write_text(code)
    done = lesson("check", "1")
    assert "kit.umount('/nothing')" in done.stdout
    assert "OSError" in done.stdout or "FileNotFoundError" in done.stdout


def test_mistakes_do_not_reach_the_host(lesson: Run, desk: Path) -> None:
    """The careless container renames its host, covers /proc and leaves a mount. The host of a check is a stand-in."""
    careless = "    kit.sethostname('careless')\n    kit.mount('tmpfs', '/mnt', 'tmpfs')\n"
    careless += "    kit.mount('proc', '/proc', 'proc')\n    # lesson 04"
    (desk / "my_container.py").write_text(SKELETON.read_text().replace("    # lesson 04", careless))
    before = socket.gethostname()
    assert lesson("check", "1").returncode == 1
    assert socket.gethostname() == before  # the rest is compared after each test


def test_a_file_that_never_starts_the_program(lesson: Run, desk: Path) -> None:
    (desk / "my_container.py").write_text("import time; time.sleep(600)\n")
    done = lesson("check", "1")
    assert done.returncode == 1
    assert "no such process" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "99"], "there is no lesson 99"),
        (["check", "0", "--file", "no.py"], "no.py: no such file"),
        (["check", "0", "--subject", "'"], "No closing quotation"),
        (["check", "0", "--subject", " "], "--subject is empty"),
        (["check", "0", "--subject", "x", "--file", "my_container.py"], "two things to check"),
        (["show"], "Missing argument"),
        (["watch"], "this needs a terminal"),
        (["present", "0"], "this needs a terminal"),
        (["export", "/no/where"], "/no/where: No such file or directory"),
        (["begin", "/proc/x"], "choose a folder that you may write to"),
        (["dance"], "No such command"),
    ],
)
def test_bad_input(lesson: Run, words: list[str], told: str) -> None:
    done = lesson(*words)
    assert done.returncode == 125
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_subject_that_cannot_be_started(lesson: Run) -> None:
    done = lesson("check", "0", "--subject", "no-such-runtime run")
    assert done.returncode == 1
    assert "no-such-runtime" in done.stdout


def test_other_subjects_do_not_count(lesson: Run) -> None:
    assert lesson("check", "1", "--subject", "unshare --uts sh -c 'hostname x; exec \"$@\"' sh").returncode == 0
    assert "▸" in lesson("list").stdout.splitlines()[0]


def test_show_is_plain_in_a_pipe(lesson: Run) -> None:
    shown = lesson("show", "0").stdout
    assert shown.startswith("# 00  ")
    assert "## What the check looks at" in shown
    assert "<!--" not in shown
    assert "\x1b" not in shown


# -- progress -----------------------------------------------------------------------------------


def test_progress_survives_being_killed(desk: Path) -> None:
    program = (
        "from minicontainer.lessons import progress\n"
        "while True:\n"
        "    with progress.changing() as state: state.of(3).tries += 1\n"
    )
    tries = 0
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", program], env=environment(), cwd=CHECKOUT)
        assert wait_until(lambda tries=tries: _tries() > tries)
        process.kill()
        process.wait()
        assert _tries() >= tries
        tries = _tries()


def _tries() -> int:
    return progress.load().lessons.get("03", progress.Record()).tries


def test_two_at_a_time_lose_nothing(desk: Path) -> None:
    program = (
        "from minicontainer.lessons import progress\n"
        "for _ in range(20):\n"
        "    with progress.changing() as state: state.of(3).tries += 1\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], env=environment(), cwd=CHECKOUT) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert _tries() == 40


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"lessons": {"00": {"tries": "x"}}, "directory": ""}', "\0" * 9])
def test_a_damaged_file_is_put_aside(lesson: Run, damage: str) -> None:
    path = progress.place() / "lessons.json"
    path.write_text(damage)
    done = lesson("list")
    assert done.returncode == 0
    assert "was damaged" in done.stderr
    assert path.with_suffix(".damaged").read_text() == damage


# -- at a terminal ------------------------------------------------------------------------------


class Desk(Screen):
    """A terminal at which a `minicontainer lesson` command runs, started by the command `before`."""

    def __init__(self, folder: Path, *words: str, before: Sequence[str] = ()) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [*before, *command("lesson", *words)], cwd=folder, env=environment(TERM="xterm"), start_new_session=True,
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
        )  # fmt: skip
        self.text = ""

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def watch(desk: Path) -> Iterator[Desk]:
    screen = Desk(desk, "watch")
    screen.expect("q: quit")
    yield screen
    screen.close()


def test_watch_checks_on_save_and_stops_after_success(watch: Desk, desk: Path) -> None:
    assert not watch.restored()
    shutil.copy(PASSED, desk / "new")
    os.replace(desk / "new", desk / "my_container.py")  # as editors save
    watch.expect("passed")
    watch.expect("q: quit")
    shutil.copy(ONE, desk / "my_container.py")
    time.sleep(0.7)
    watch.type("l")
    watch.expect("▸ ")
    assert "01 hostname" not in watch.text
    watch.type("n")
    watch.expect("Lesson 01 hostname")
    watch.expect("passed")
    watch.expect("tells about it")
    watch.type("q")
    assert watch.process.wait(10) == 0
    assert watch.restored()


def test_watch_keys(watch: Desk, desk: Path) -> None:
    watch.type("n")
    watch.expect("not done yet")
    watch.type("h")
    watch.expect("hint 1 of")
    watch.type("l")
    watch.expect("00  A process")
    watch.type("c")
    watch.expect("not yet")
    (desk / "my_container.py").write_text("broken")
    watch.expect("not yet")
    watch.type("x")
    watch.expect("x again")
    watch.type("x")
    watch.expect("is the skeleton again")
    assert (desk / "my_container.py").read_text() == SKELETON.read_text()
    os.unlink(desk / "my_container.py")
    watch.type("c")
    watch.expect("no such file")
    watch.type("q")
    assert watch.process.wait(10) == 1
    assert watch.restored()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_watch_puts_the_terminal_back(watch: Desk, number: signal.Signals) -> None:
    watch.process.send_signal(number)
    watch.process.wait(10)
    assert watch.restored()


def test_watch_puts_the_terminal_back_while_it_is_stopped(desk: Path) -> None:
    """Only in a process group with somebody to continue it does a process stop, so it gets one: setpgid(2)."""
    shell = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], process_group=0).returncode)"
    screen = Desk(desk, "watch", before=[sys.executable, "-c", shell])
    try:
        screen.expect("q: quit")
        children = Path(f"/proc/{screen.process.pid}/task/{screen.process.pid}/children").read_text()
        watch = int(children.split()[0])
        os.kill(watch, signal.SIGTSTP)
        assert wait_until(screen.restored)
        os.kill(watch, signal.SIGCONT)
        assert wait_until(lambda: not screen.restored())
        screen.type("l")
        screen.expect("00  A process")
        screen.type("q")
        assert screen.process.wait(10) == 1
    finally:
        screen.close()


def test_run_waits_for_a_guess_before_it_reveals(desk: Path) -> None:
    screen = Desk(desk, "run", "1")
    try:
        for _ in range(60):
            screen.type("\n")
        screen.type("s\n")
        screen.expect("Your guess: ")
        screen.expect("The wall is down.")
        screen.expect("it got through")
        screen.expect("it was stopped")
        screen.expect("Your turn")
        assert screen.process.wait(10) == 0
    finally:
        screen.close()
    assert "01" in progress.load().lessons


def test_run_opens_shells(desk: Path) -> None:
    screen = Desk(desk, "run", "0")
    try:
        screen.expect("q: leave")
        screen.type("c\n")
        screen.expect("exit` leads back")
        screen.type("echo pid $$; exit\n")
        screen.expect("pid 1")
        screen.expect("q: leave")
        screen.type("q\n")
        assert screen.process.wait(10) == 0
    finally:
        screen.close()


@pytest.mark.parametrize("words", [["run", "0"], ["present", "0"], ["present", "0", "--plain"]])
def test_a_terminal_that_hangs_up_leaves_nothing(
    desk: Path, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    screen = Desk(desk, *words)
    try:
        screen.expect("P R O C E S S" if words[0] == "present" else "q: leave")
        screen.process.send_signal(signal.SIGHUP)
        assert screen.process.wait(20) == 128 + signal.SIGHUP
    finally:
        screen.close()
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.parametrize("words", [["--plain"], pytest.param([], marks=requires("command:tmux"))])
def test_present_side_by_side(desk: Path, words: list[str]) -> None:
    before = socket.gethostname()
    screen = Desk(desk, "present", "0", *words)
    try:
        screen.expect("A   P R O C E S S")
        for key in (" ", " ", "\x1b[C", "\x1b[D"):
            screen.type(key)
            time.sleep(0.2)
        for _ in range(20):
            screen.type(" ")
        screen.expect("flat-7")
        screen.type("c")
        screen.type("q")
        assert screen.process.wait(20) == 0
        assert screen.restored()
    finally:
        screen.close()
    assert socket.gethostname() == before


def test_present_cannot_write_on_the_host(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from minicontainer.lessons import building\n"
        "building.enter(); building.protect(sys.argv[1]); os.chdir(sys.argv[1])\n"
        "open('mine', 'w').close()\n"
        "for place in ('/etc/x', '/tmp/x', '/x', sys.argv[2]):\n"
        "    try: open(place, 'w').close()\n"
        "    except OSError as error: print(error.strerror)\n"
    )
    (tmp_path / "inside").mkdir()
    words = [sys.executable, "-c", program, str(tmp_path / "inside"), str(tmp_path / "outside")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), cwd=CHECKOUT)
    assert done.stdout.splitlines() == ["Read-only file system"] * 4, done.stderr
    assert os.listdir(tmp_path / "inside") == ["mine"]


# -- without root -------------------------------------------------------------------------------

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.fixture
def python_of_all() -> tuple[str, dict[str, str]]:
    """A Python that an ordinary user may run, and the environment in which it can import all of this."""
    borrowed = environment(PYTHONPATH=f"{CHECKOUT}:{sysconfig.get_path('purelib')}")
    for python, env in ((sys.executable, environment()), ("/usr/bin/python3", borrowed)):
        try:
            if subprocess.run([python, "-c", "import typer, minicontainer"], env=env, **NOBODY).returncode == 0:  # type: ignore[call-overload]
                return python, env
        except PermissionError:
            continue
    pytest.skip("no Python that an ordinary user may run can import this checkout")


@requires("lab")
def test_an_ordinary_user_is_checked_in_the_lab(
    desk: Path, tmp_path: Path, python_of_all: tuple[str, dict[str, str]]
) -> None:
    shutil.copy(ONE, desk / "my_container.py")
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    for path in (tmp_path, *tmp_path.rglob("*")):
        if not path.is_symlink():
            os.chown(path, 65534, 65534)
    python, env = python_of_all
    done = subprocess.run(
        [python, *command("lesson", "check", "1")[1:]], cwd=desk, env={**env, "HOME": str(tmp_path)}, **NOBODY,
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # type: ignore[call-overload]  # fmt: skip
    assert done.returncode == 0, done
    assert "01 hostname: passed" in done.stdout
    assert "needs root: it is checked in the lab" in done.stderr


def test_with_sudo_the_files_are_the_users(tmp_path: Path, minicontainer: Run) -> None:
    """SUDO_UID is an id without an account here, so the progress goes to HOME; who owns it is what counts."""
    env = environment(SUDO_UID="61234", SUDO_GID="61234", XDG_STATE_HOME=str(tmp_path / "a/b"))
    assert minicontainer("lesson", "begin", tmp_path / "desk", env=env).returncode == 0
    assert minicontainer("lesson", "check", "0", env=env, cwd=tmp_path / "desk").returncode == 1
    made = ["desk", "desk/my_container.py", "desk/kit.py", "a", "a/b", "a/b/minicontainer/lessons.json"]
    assert {name: (tmp_path / name).stat().st_uid for name in made} == dict.fromkeys(made, 61234)
