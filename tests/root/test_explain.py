"""`minicontainer run --explain`: what it tells is the kernel's state; to whom it tells it; and it never does harm."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minicontainer.linux import capability, proc
from tests.conftest import Run, Spawn
from tests.support import command, environment, host_pid, requires, wait_until
from tests.unit.test_imports import HEAVY

pytestmark = requires("root")

NO_NETWORK = ("--network", "none")
CALL = re.compile(r" *\d+ (parent|child |helper) \S+ +\w+\(")
KEYS = {
    "step", "who", "pid", "feature", "call", "args", "result", "error", "why", "before", "after", "lesson", "man",
}  # fmt: skip


def steps(file: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in file.read_text().splitlines()]


def last(account: list[dict[str, Any]], call: str, feature: str | None = None) -> dict[str, Any]:
    return [step for step in account if step["call"] == call and feature in (None, step["feature"])][-1]


# -- it is true ---------------------------------------------------------------------------------


EVERYDAY = (
    NO_NETWORK,
    ("--userns", "auto", "-p", "127.0.0.1::80", "-p", "53/udp"),
    ("--hardened",),
    ("--privileged",),
    ("--only", "uts", "-h", "box"),
    (*NO_NETWORK, "-v", "/etc:/x/y:ro", "--tmpfs", "/scratch", "-w", "/a/b", "-u", "7:8", "--group-add", "9"),
    (*NO_NETWORK, "--ulimit", "nofile=100:200", "--oom-score-adj", "10", "--domainname", "d", "--cap-add", "NET_ADMIN"),
    (*NO_NETWORK, "--read-only", "--time-offset", "+1h", "--sysctl", "net.ipv4.ip_forward=1", "--userns", "auto"),
)


@pytest.mark.parametrize("options", EVERYDAY, ids=" ".join)
def test_every_step_has_everything(options: tuple[str, ...], minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    account = tmp_path / "account"
    done = minicontainer("run", "--explain=json", "--explain-to", account, *options, rootfs, "true")
    assert done.returncode == 0, done.stderr
    told = steps(account)
    assert [step["step"] for step in told] == list(range(1, len(told) + 1))
    for step in told:
        assert set(step) == KEYS
        assert step["why"] and step["man"] and 0 <= step["lesson"] <= 14, step
        assert step["result"] != "?", step


def test_what_is_told_is_what_the_kernel_says(spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    account = tmp_path / "account"
    options = (*NO_NETWORK, "--userns", "auto", "-h", "box", "-u", "7:8")
    spawn("run", "--explain=json", "--explain-to", account, *options, rootfs, "sleep", "60")
    pid = host_pid(state_root)
    assert wait_until(lambda: account.exists() and '"call": "execve"' in account.read_text())
    told = steps(account)

    born = last(told, "clone3")
    assert born["result"] == pid and {step["pid"] for step in told if step["who"] == "child"} == {pid}
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert born["after"][f"{kind} namespace"] == str(proc.namespace(pid, kind))
        assert born["before"][f"{kind} namespace"] == str(proc.namespace("self", kind))
    uid_map = f"/proc/{pid}/uid_map"
    (mapped,) = [step["after"] for step in told if step["args"][:1] == [f'"{uid_map}"']]
    assert mapped[uid_map] == " ".join(proc.read(uid_map).split())
    assert last(told, "sethostname")["after"] == {"hostname": "box"}

    there = dict[str, str]()
    for step in told:
        there = {name: value for name, value in there.items() if name not in step["before"] or name in step["after"]}
        there |= {name: value for name, value in step["after"].items() if name.startswith("mount ")}
    assert {int(name.split()[1]) for name in there} == {m.id for m in proc.mounts(pid)}
    assert {value.split()[2] for value in there.values()} == {m.target for m in proc.mounts(pid)}

    status = proc.status(pid)
    dropped = {step["args"][0] for step in told if step["call"] == "capbset_drop"}
    assert len(dropped) > 20 and not dropped & set(capability.names(int(status["CapBnd"], 16)))
    kept = {name for step in told for name in step["after"].get("permitted", ())}
    assert kept == set(capability.names(int(status["CapBnd"], 16)))
    assert last(told, "set_no_new_privs" if status["NoNewPrivs"] == "1" else "seccomp_set_filter")["error"] is None
    assert last(told, "seccomp_set_filter")["after"]["seccomp mode (2: filter)"] == status["Seccomp"] == "2"
    assert last(told, "execve")["after"] == {"exe": os.readlink(f"/proc/{pid}/exe")}


def test_the_account_is_whole_before_the_program_is_seen(
    spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path
) -> None:
    started = spawn("run", "--explain", *NO_NETWORK, rootfs, "sleep", "60")
    host_pid(state_root)
    assert started.stderr
    os.set_blocking(started.stderr.fileno(), False)
    assert 'execve("/bin/sleep", ["sleep", "60"]' in started.stderr.read()


# -- failures -----------------------------------------------------------------------------------


def test_an_exec_that_failed_is_told(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    done = minicontainer("run", "--explain=json", "--explain-to", tmp_path / "a", *NO_NETWORK, rootfs, "/etc/nothing")
    assert done.returncode == 127
    told = steps(tmp_path / "a")
    assert last(told, "execve")["error"] == "ENOENT" and last(told, "execveat")["error"] is None
    assert told[-1]["call"] == "rmdir"  # the clean-up is told, too


def test_a_call_that_failed_in_the_child_is_told(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    setting = "net.ipv4.ip_forward=perhaps"
    done = minicontainer(
        "run", "--explain=json", "--explain-to", tmp_path / "a", *NO_NETWORK, "--sysctl", setting, rootfs, "true"
    )
    assert done.returncode == 125
    failed = last(steps(tmp_path / "a"), "write_file")
    assert (failed["who"], failed["error"]) == ("child", "EINVAL")
    assert failed["before"] == failed["after"] == {}


def test_what_came_before_a_failure_of_ours_is_not_lost(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    options = ("--explain=json", "--explain-to", tmp_path / "a", *NO_NETWORK, "-w", "/bin/sh")
    assert minicontainer("run", *options, rootfs, "true").returncode == 125
    opened = last(steps(tmp_path / "a"), "openat2")
    assert (opened["feature"], opened["args"][1], opened["error"]) == ("folder", '"/bin/sh"', None)


# -- where it goes ------------------------------------------------------------------------------


def test_in_a_pipe_it_is_plain_text_beside_the_programs_output(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--explain", *NO_NETWORK, rootfs, "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    calls = [line for line in done.stderr.splitlines() if not line.startswith("      ")]
    assert len(calls) > 100 and all(map(CALL.match, calls))
    assert "\x1b" not in done.stderr


def test_traced_by_the_environment_it_is_the_same(minicontainer: Run, rootfs: Path, tmp_path: Path) -> None:
    def names(text: str) -> list[str]:
        return re.findall(r"^ *\d+ (?:parent|child|helper) +\S+ +(\w+)\(", text, re.MULTILINE)

    traced = tmp_path / "traced"
    minicontainer("run", *NO_NETWORK, rootfs, "true", env=environment(MINICONTAINER_TRACE=str(traced)))
    done = minicontainer("run", "--explain", *NO_NETWORK, rootfs, "true")
    before_the_runtime = 2  # openat2: who is the user?
    assert len(names(traced.read_text())) > 100
    assert names(traced.read_text()) == names(done.stderr)[before_the_runtime:]


@pytest.mark.parametrize(
    "words, cause",
    [
        (("--explain-to", "/nowhere/file"), "cannot write to /nowhere/file"),
        (("--explain=xml",), "--explain 'xml' is not known"),
        (("--step",), "--step waits for keys, and there is no terminal"),
    ],
)
def test_what_cannot_be_had_is_said(minicontainer: Run, rootfs: Path, words: tuple[str, ...], cause: str) -> None:
    done = minicontainer("run", *words, *NO_NETWORK, rootfs, "true", start_new_session=True)
    assert done.returncode == 125 and cause in done.stderr and done.stderr.count("\n") == 1


# -- it does no harm ----------------------------------------------------------------------------


def test_a_full_disk_stops_nothing(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--explain-to", "/dev/full", *NO_NETWORK, rootfs, "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr == "minicontainer: note: not all was told: No space left on device\n"


def test_a_reader_that_leaves_stops_nothing(spawn: Spawn, rootfs: Path) -> None:
    started = spawn("run", "--explain", *NO_NETWORK, rootfs, "sh", "-c", "echo hello; exit 7")
    assert started.stdout and started.stderr
    assert CALL.match(started.stderr.readline())
    started.stderr.close()
    assert started.stdout.read() == "hello\n"
    assert started.wait(timeout=20) == 7


def narrator_of(runtime: int) -> int:
    """The pid of the narrator: the runtime's child that is not the container's."""
    children = Path(f"/proc/{runtime}/task/{runtime}/children").read_text().split()
    here = proc.namespace("self", "mnt")
    return next(int(pid) for pid in children if proc.namespace(pid, "mnt") == here)


def test_a_narrator_that_dies_stops_nothing(spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    started = spawn("run", "--explain-to", tmp_path / "a", *NO_NETWORK, rootfs, "sleep", "1")
    host_pid(state_root)
    os.kill(narrator_of(started.pid), signal.SIGKILL)
    _, said = started.communicate(timeout=20)
    assert started.returncode == 0
    assert said == "minicontainer: note: not all was told: the narrator ended early\n"


def test_a_runtime_that_is_killed_takes_its_narrator_along(
    spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path
) -> None:
    started = spawn("run", "--explain-to", tmp_path / "a", *NO_NETWORK, rootfs, "sleep", "60")
    host_pid(state_root)
    narrator = narrator_of(started.pid)
    started.kill()
    assert wait_until(lambda: not os.path.exists(f"/proc/{narrator}"))
    subprocess.run(command("cleanup"), check=True, capture_output=True, env=environment(), timeout=60)


def test_an_interrupt_is_for_the_container(spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    program = ("sh", "-c", "trap 'echo got it; exit 3' INT; sleep 60 & wait")
    started = spawn("run", "--explain-to", tmp_path / "a", *NO_NETWORK, rootfs, *program, process_group=0)
    host_pid(state_root)
    time.sleep(0.3)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does, to the narrator too
    out, _ = started.communicate(timeout=20)
    assert (started.returncode, out) == (3, "got it\n")
    assert "pidfd_send_signal" in (tmp_path / "a").read_text()
    assert "rmdir(" in (tmp_path / "a").read_text()


PROGRAM = """
import sys
before = set(sys.modules)
from minicontainer.cli.main import command
status = command(["run", *sys.argv[1:]])
new = set(sys.modules) - before
print(*sorted(new & set({heavy!r})), *sorted(name for name in new if name.startswith("minicontainer.narrate")))
sys.exit(status)
"""


@pytest.mark.parametrize("explain", (False, True))
def test_the_runtime_loads_no_more_than_it_must(
    explain: bool, rootfs: Path, state_root: Path, tmp_path: Path, minicontainer: Run
) -> None:
    minicontainer("run", *NO_NETWORK, rootfs, "true")  # compiles the filter of system calls
    options = ("--explain=rich", "--explain-to", str(tmp_path / "a")) if explain else ()
    script = [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), *options, *NO_NETWORK, str(rootfs), "true"]
    done = subprocess.run(script, capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL)
    own = ["minicontainer.narrate", *(f"minicontainer.narrate.{name}" for name in ("inside", "look", "observer"))]
    assert (done.returncode, done.stdout.split()) == (0, own if explain else [])


# -- at a terminal ------------------------------------------------------------------------------


class Screen:
    """A terminal of 80 columns with `minicontainer run …` on it."""

    def __init__(self, *args: str | Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        words = ["setsid", "--ctty", "--wait", *command("run", *args)]
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=environment(TERM="xterm-256color")
        )
        os.close(slave)
        self.text = ""

    def expect(self, text: str, seconds: float = 15) -> str:
        """Read until `text` comes; what came before it."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert select.select([self.master], (), (), max(0, deadline - time.monotonic()))[0], self.text
            self.text += os.read(self.master, 4096).decode(errors="replace")
        before, _, self.text = self.text.partition(text)
        return before

    def rest(self) -> str:
        """Everything until the end."""
        try:
            while data := os.read(self.master, 4096):
                self.text += data.decode(errors="replace")
        except OSError:
            pass  # EIO: the other end is closed
        return self.text

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())


@pytest.fixture
def opened(state_root: Path) -> Iterator[list[Screen]]:
    screens: list[Screen] = []
    yield screens
    for screen in screens:
        if killed := screen.process.poll() is None:
            screen.process.kill()
        screen.process.wait()
        os.close(screen.master)
        if killed:
            subprocess.run(command("cleanup"), check=False, capture_output=True, env=environment(), timeout=60)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r", "")


PROMPT = "^C: stop here "


def test_at_a_terminal_it_is_rich_and_fits(opened: list[Screen], rootfs: Path) -> None:
    opened.append(screen := Screen("--explain", *NO_NETWORK, rootfs, "echo", "hello"))
    shown = screen.rest()
    assert screen.process.wait(timeout=20) == 0
    assert "\x1b[1;36mparent" in shown and "hello" in shown
    lines = plain(shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(re.fullmatch(r"── uts ─+ lesson 1: hostname ──", line) for line in lines)
    assert not [line for line in shown.split("\n") if line and not line.endswith("\r")]  # no staircase


def test_step_by_step(opened: list[Screen], rootfs: Path) -> None:
    opened.append(screen := Screen("--step", *NO_NETWORK, rootfs, "echo", "hello"))
    first = plain(screen.expect(PROMPT))
    assert "= " not in first.rstrip().splitlines()[-1]
    screen.type(" ")
    second = plain(screen.expect(PROMPT))
    assert "= " in second  # what came of the first, and the next
    screen.type("\x1b[B")  # one key, of three bytes
    screen.expect(PROMPT)
    screen.type("q")
    rest = plain(screen.rest())
    assert PROMPT not in rest and "hello" in rest and "rmdir" in rest
    assert screen.process.wait(timeout=20) == 0


def test_a_step_is_not_made_before_the_key(opened: list[Screen], rootfs: Path, state_root: Path) -> None:
    opened.append(screen := Screen("--step", *NO_NETWORK, "-h", "stepped", rootfs, "true"))
    while "clone3(" not in plain(screen.expect(PROMPT)):
        screen.type(" ")
    children = Path(f"/proc/{screen.process.pid}/task/{screen.process.pid}/children")
    assert len(children.read_text().split()) == 1  # the narrator
    screen.type(" ")
    assert wait_until(lambda: len(children.read_text().split()) == 2)
    while "sethostname(" not in plain(screen.expect(PROMPT)):
        screen.type(" ")
    (child,) = [pid for pid in children.read_text().split() if int(pid) != narrator_of(screen.process.pid)]
    looked = ["nsenter", "-t", child, "--uts", "hostname"]
    assert subprocess.run(looked, capture_output=True, text=True).stdout.strip() == os.uname().nodename
    screen.type(" ")
    screen.expect(PROMPT)
    assert subprocess.run(looked, capture_output=True, text=True).stdout.strip() == "stepped"
    screen.type("q")
    screen.rest()
    assert screen.process.wait(timeout=20) == 0


@pytest.mark.parametrize("before", ("mkdir(", "pivot_root("), ids=("parent", "child"))
def test_control_c_stops_here_and_leaves_nothing(opened: list[Screen], rootfs: Path, before: str) -> None:
    opened.append(screen := Screen("--step", *NO_NETWORK, rootfs, "echo", "hello"))
    while before not in plain(screen.expect(PROMPT)):
        screen.type(" ")
    screen.type("\x03")
    rest = plain(screen.rest())
    assert screen.process.wait(timeout=20) == 125
    assert f"minicontainer: stopped before {before[:-1]}, as you wished" in rest and "hello" not in rest
