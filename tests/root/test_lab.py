"""The lab from outside: what comes out of it, and that nothing else does.

Each test boots the machine, which takes a second; some do as root and as an ordinary user.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minicontainer.linux import proc
from tests.support import CHECKOUT, environment, requires, wait_until

pytestmark = requires("root", "lab")

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}
EVERY_BYTE = bytes(range(256)) * 2048
MEMORY = 300_000  # KB; an odd size, by which this test's processes are known
Lab = Callable[..., "subprocess.CompletedProcess[bytes]"]


def lab_command(*args: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "minicontainer.lab", "--memory", f"{MEMORY}K", *args]


def machines() -> list[str]:
    """The host's processes of the lab that this file started."""
    words = {pid: proc.read(f"/proc/{pid}/cmdline") for pid in filter(str.isdigit, os.listdir("/proc"))}
    return [pid for pid, line in words.items() if line.startswith("/usr/bin/linux.uml\0") and f"mem={MEMORY}K" in line]


def lab(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the lab, as root."""
    options = {"capture_output": True, "timeout": 60, "env": environment(), **options}
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(lab_command(*args), check=False, **options)


@pytest.fixture(params=["root", "user"])
def anyone(request: pytest.FixtureRequest) -> Lab:
    """The same as `lab`, once as root and once as an ordinary user."""
    return lab if request.param == "root" else request.getfixturevalue("as_user")


@pytest.fixture(scope="session")
def as_user() -> Lab:
    """The same as an ordinary user, who may need another Python: root's own may be closed to others."""
    home = environment(HOME="/nonexistent")
    there = environment(HOME="/nonexistent", PYTHONPATH=f"{CHECKOUT}:{sysconfig.get_path('purelib')}")
    for python, env in ((sys.executable, home), ("/usr/bin/python3", there)):
        check = [python, "-c", "import prctl, pyseccomp, minicontainer.lab.session"]
        try:
            if subprocess.run(check, cwd="/", env=env, capture_output=True, **NOBODY).returncode == 0:  # type: ignore[call-overload]
                break
        except PermissionError:
            continue
    else:
        pytest.skip("no Python that an ordinary user may run can import this checkout")

    def run(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options = {"capture_output": True, "timeout": 60, "env": env, "cwd": "/", **NOBODY, **options}
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(lab_command(*args, python=python), check=False, **options)

    return run


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process of the lab, and no file where User-Mode Linux puts its own: a hidden one in HOME, or in TMPDIR."""
    folders = [tmp_path_factory.mktemp(name) for name in ("home", "tmp")]
    monkeypatch.setenv("HOME", str(folders[0]))
    monkeypatch.setenv("TMPDIR", str(folders[1]))
    yield
    assert wait_until(lambda: not machines(), 5)
    assert [os.listdir(folder) for folder in folders] == [[], []]


# -- what comes out -----------------------------------------------------------------------------------


def test_the_commands_status_comes_out_and_nothing_else(anyone: Lab) -> None:
    done = anyone("sh", "-c", "exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


@pytest.mark.parametrize(
    ("words", "status", "stderr"),
    [
        (["sh", "-c", "kill -9 $$"], 137, b""),
        (["no-such-command"], 127, b"minicontainer lab: no-such-command: No such file or directory\n"),
        (["/etc/passwd"], 126, b"minicontainer lab: /etc/passwd: Permission denied\n"),
    ],
)
def test_status_as_a_shell_counts_it(words: list[str], status: int, stderr: bytes) -> None:
    done = lab(*words)
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", stderr)


def test_every_byte_goes_in_and_comes_out_unchanged(anyone: Lab) -> None:
    done = anyone("sh", "-c", "tee /dev/stderr", input=EVERY_BYTE)
    assert (done.returncode, done.stdout, done.stderr) == (0, EVERY_BYTE, EVERY_BYTE)


def test_root_inside_with_cgroup_version_2(anyone: Lab) -> None:
    done = anyone("sh", "-c", "id -u; cat /sys/fs/cgroup/cgroup.controllers; touch /etc/new && stat -c %U /bin/su")
    assert done.stdout.split() == [b"0", b"cpu", b"io", b"memory", b"pids", b"root"], done.stderr


def test_directory_and_environment_are_carried_in(tmp_path: Path) -> None:
    env = environment(TERM="vt52", CI="yes", MINICONTAINER_ROOT="/srv/x", HOME="/home/x", SECRET="no")
    done = lab("sh", "-c", "pwd; echo $TERM $CI $MINICONTAINER_ROOT $HOME $SECRET; ls", cwd=tmp_path, env=env)
    assert done.stdout.decode() == f"{tmp_path}\nvt52 yes /srv/x /home/x\n"


def test_missing_standard_streams() -> None:
    words = lab_command("sh", "-c", "read line || echo out; exit 3")
    done = subprocess.run(
        ["sh", "-c", '"$@" <&- 2>&-', "sh", *words], stdout=subprocess.PIPE, env=environment(), timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (3, b"out\n")


def test_nobody_reads_the_output() -> None:
    with subprocess.Popen(lab_command("yes"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as run:
        assert run.stdout is not None and run.stderr is not None
        assert run.stdout.read(2) == b"y\n"
        run.stdout.close()
        assert (run.wait(30), run.stderr.read()) == (128 + signal.SIGPIPE, b"")


# -- the host stays as it is --------------------------------------------------------------------------

ATTACK = """
    echo changed > {0}/file; echo new > {0}/new; mkdir -p /mnt /run/h
    mount -t hostfs none /run/h -o {0} || exit 1
    cd /run/h; (echo changed > file); (echo new > new); chmod 600 file; mkdir dir; mv file moved; rm -f file
    ln -s x link; truncate -s 0 file; setfattr -n user.x -v 1 file; touch -d 2000-01-01 file; chown 1 file; true
"""


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that anyone may change, seen by all."""
    folder = Path("/var/tmp") / tmp_path_factory.mktemp("lab").name.replace("lab", f"lab-{os.getpid()}-")
    folder.mkdir()
    (folder / "file").write_text("as it was")
    folder.chmod(0o777)
    (folder / "file").chmod(0o666)
    yield folder
    subprocess.run(["rm", "-r", folder], check=True)


def state(folder: Path) -> list[object]:
    return [(entry.name, entry.stat(), Path(entry).read_text()) for entry in os.scandir(folder)]


def test_no_write_in_the_machine_reaches_the_host(target: Path, anyone: Lab) -> None:
    """Neither through the machine's root nor by mounting the host's files again."""
    before = state(target)
    assert anyone("sh", "-c", ATTACK.format(target)).returncode == 0
    assert state(target) == before


UNSEALED = """
import sys
from minicontainer.lab import machine, session
class NoFilter:
    def load(self): pass
machine.new_filter = NoFilter
machine.kernel_arguments = (lambda made: lambda memory: [w.replace("/proc", sys.argv[1]) for w in made(memory)])(
    machine.kernel_arguments)
sys.exit(session.run(["sh", "-c", sys.argv[2]], "300000K"))
"""


def test_without_the_seal_it_would(target: Path, tmp_path: Path) -> None:
    attack = [sys.executable, "-c", UNSEALED, str(tmp_path), ATTACK.format(target)]
    subprocess.run(attack, env=environment(), stdin=subprocess.DEVNULL, timeout=60, check=True)
    assert (target / "new").read_text() == "new\n"
    assert sorted(os.listdir(target)) == ["dir", "file", "link", "moved", "new"]


def test_share_brings_back_what_was_left_there(anyone: Lab, target: Path) -> None:
    script = f"cd {target} && mkdir deep && cat > deep/result && echo more >> file; echo x > /var/tmp/elsewhere; exit 5"
    assert anyone("--share", str(target), "sh", "-c", script, input=EVERY_BYTE).returncode == 5
    assert (target / "deep/result").read_bytes() == EVERY_BYTE
    assert (target / "file").read_text() == "as it wasmore\n"


def test_share_does_not_follow_a_link_on_the_host(target: Path, tmp_path: Path) -> None:
    (target / "link").symlink_to(tmp_path)
    done = lab(
        "--share", str(target), "sh", "-c", f"cd {target}; rm link; mkdir link; echo x > link/evil; echo y > good"
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    assert b"was not written" in done.stderr
    assert (os.listdir(tmp_path), (target / "good").read_text()) == ([], "y\n")


# -- however it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.5, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_process(number: signal.Signals, seconds: float) -> None:
    """While it boots, and when processes are running inside."""
    run = subprocess.Popen(
        lab_command("sh", "-c", "sleep 60 & sleep 60"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    time.sleep(seconds)
    if seconds >= 0.5:
        assert wait_until(machines, 5)
    run.send_signal(number)
    run.communicate(timeout=20)
    assert run.returncode in (-number, 128 + number, 1)  # 1: Python itself was not up yet
    if number != signal.SIGKILL:
        assert not machines()  # the command waited for the end; the fixture allows it a moment else


def test_time_is_up(target: Path) -> None:
    done = lab("--timeout", "3", "--share", str(target), "sh", "-c", f"echo part > {target}/part; echo out; sleep 60")
    assert (done.returncode, done.stdout) == (124, b"out\n")
    assert done.stderr == b"minicontainer lab: the command took longer than 3 s; give it more with --timeout\n"
    assert (target / "part").read_text() == "part\n"


def test_time_is_up_before_it_has_booted() -> None:
    assert lab("--timeout", "0.1", "true").returncode == 124


@pytest.mark.parametrize(("key", "cause"), [("c", b"kernel panicked: sysrq"), ("o", b"was switched off")])
def test_the_machine_ends_before_the_command(key: str, cause: bytes) -> None:
    done = lab("sh", "-c", f"echo {key} > /proc/sysrq-trigger; sleep 60")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (125, b"", 1)
    assert cause in done.stderr


# -- a terminal ---------------------------------------------------------------------------------------


class Terminal:
    """The lab on a terminal of its own, 30 rows by 97 columns."""

    def __init__(self, *args: str) -> None:
        self.master, self.slave = os.openpty()
        termios.tcsetwinsize(self.master, (30, 97))
        self.before = termios.tcgetattr(self.slave)
        self.run = subprocess.Popen(
            lab_command(*args), stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env=environment(),
        )  # fmt: skip
        self.seen = b""

    def wait_for(self, text: bytes) -> None:
        """Read until `text` has come since the last call."""
        deadline = time.monotonic() + 20
        while text not in self.seen:
            assert select.select([self.master], [], [], max(deadline - time.monotonic(), 0))[0], self.seen
            self.seen += os.read(self.master, 4096)
        self.seen = self.seen.partition(text)[2]

    def type(self, text: bytes) -> None:
        os.write(self.master, text)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*args: str) -> Terminal:
        started.append(Terminal(*args))
        return started[-1]

    yield start
    for one in started:
        one.run.kill()
        one.run.wait()
        os.close(one.master)
        os.close(one.slave)


def test_a_terminal_inside_with_its_size_and_ctrl_c(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("sh", "-c", "trap 'echo interr''upted; exit 9' INT; stty size; tty; while :; do sleep 1; done")
    shell.wait_for(b"30 97\r\n/dev/pts/0\r\n")
    shell.type(b"\x03")
    shell.wait_for(b"interrupted\r\n")
    assert shell.run.wait(20) == 9
    assert termios.tcgetattr(shell.slave) == shell.before


def test_the_window_changes(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("sh", "-c", "trap 'stty size; exit 0' WINCH; echo rea''dy; while :; do sleep 0.1; done")
    shell.wait_for(b"ready")
    termios.tcsetwinsize(shell.master, (41, 112))
    shell.wait_for(b"41 112\r\n")
    assert shell.run.wait(20) == 0


def test_a_shell_if_nothing_is_named(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    shell.wait_for(b"`exit` ends it.\r\n")
    shell.type(b"echo $((6 * 7))\r")
    shell.wait_for(b"42\r\n")
    shell.type(b"exit 6\r")
    assert shell.run.wait(20) == 6


def test_a_killed_session_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("sh", "-c", "echo rea''dy; sleep 60")
    shell.wait_for(b"ready")
    assert termios.tcgetattr(shell.slave) != shell.before
    shell.run.kill()
    assert wait_until(lambda: termios.tcgetattr(shell.slave) == shell.before, 5)
