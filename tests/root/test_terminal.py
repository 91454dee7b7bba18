"""Terminals and signals: what a person at a keyboard meets."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, Spawn
from tests.support import command, environment, host_pid, wait_until

pytestmark = pytest.mark.requires("root")


class Screen:
    """A terminal of 24×80 with `minicontainer` running on it."""

    def __init__(self, *args: str | Path) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self.slave)
        ends = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        self.process = subprocess.Popen(command(*args), env=environment(TERM="xterm"), start_new_session=True, **ends)
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str, seconds: float = 10) -> None:
        """Read until `text` has appeared since the last call."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            ready = select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"{text!r} did not appear: {self.text!r}"
            self.text += os.read(self.master, 4096).decode(errors="replace")
        self.text = self.text.split(text, 1)[1]

    def close(self) -> None:
        while self.process.poll() is None:
            self.process.terminate()  # the third time kills the container
            time.sleep(0.05)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def screen(state_root: Path, rootfs: Path) -> Iterator[Screen]:
    screen = Screen("run", "--network", "none", rootfs, "/bin/sh")
    screen.expect("#")
    yield screen
    screen.close()


def test_a_shell_on_a_terminal_of_its_own(screen: Screen) -> None:
    screen.type("tty; stty size; ls -l /dev/console | cut -c1-10; exit 7\n")
    screen.expect("/dev/pts/0")
    screen.expect("24 80")
    screen.expect("crw")
    assert screen.process.wait(10) == 7
    assert termios.tcgetattr(screen.slave) == screen.before


def test_interrupt_reaches_the_foreground_job_not_us(screen: Screen) -> None:
    screen.type("sleep 100\n")
    screen.expect("sleep 100")
    time.sleep(0.3)
    screen.type("\x03")
    screen.expect("#")
    screen.type("echo st$((1))ll here\n")
    screen.expect("st1ll here")
    screen.type("exit\n")
    assert screen.process.wait(10) == 0


def test_job_control_works(screen: Screen) -> None:
    screen.type("sleep 100\n")
    screen.expect("sleep 100")
    time.sleep(0.3)
    screen.type("\x1a")
    screen.expect("Stopped")
    screen.expect("#")
    screen.type("kill -9 %1; sleep 0.2; jobs\n")
    screen.expect("Killed")


def test_the_window_size_follows(screen: Screen) -> None:
    screen.resize(40, 132)
    screen.process.send_signal(signal.SIGWINCH)
    time.sleep(0.2)
    screen.type("stty size\n")
    screen.expect("40 132")


def test_the_terminal_is_restored_when_we_are_killed(screen: Screen, state_root: Path) -> None:
    assert termios.tcgetattr(screen.slave) != screen.before
    screen.process.kill()
    screen.process.wait()
    assert wait_until(lambda: termios.tcgetattr(screen.slave) == screen.before)
    subprocess.run(command("cleanup"), check=True, env=environment(), capture_output=True)


def test_the_hosts_terminal_is_not_the_containers(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--network", "none", rootfs, "sh", "-c", "echo x > /dev/tty")
    assert done.returncode != 0


def test_terminal_asked_for_without_one(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "-t", "--network", "none", rootfs, "true")
    assert done.returncode == 125
    assert done.stderr.startswith("minicontainer: the input device is not a TTY; ")


# -- without a terminal -------------------------------------------------------------------------


def test_input_and_output_pass_through(minicontainer: Run, rootfs: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(50000))
    done = minicontainer("run", "--network", "none", rootfs, "cat", input=text)
    assert done.stdout == text


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 42", 42),
        ("kill -9 $$", 0),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("sh -c 'kill -15 $$'; exit $?", 143),
    ],
)
def test_exit_status(minicontainer: Run, rootfs: Path, script: str, status: int) -> None:
    # Process 1 cannot kill itself: pid_namespaces(7).
    assert minicontainer("run", "--network", "none", rootfs, "sh", "-c", script).returncode == status


def test_termination_is_passed_on(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    script = "trap 'echo ending; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    process = spawn("run", "--network", "none", rootfs, "sh", "-c", script)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate(timeout=10)[0] == "ending\n"
    assert process.returncode == 9


def test_the_third_interrupt_kills(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    process = spawn("run", "--network", "none", rootfs, "sleep", "100")
    host_pid(state_root)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert process.wait(10) == 137


def test_init_reaps_orphans_and_passes_signals_on(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    process = spawn("run", "--init", "--network", "none", rootfs, "sh", "-c", "(sleep 0.2 & exit 0); exec sleep 100")
    pid = host_pid(state_root)
    assert os.readlink(f"/proc/{pid}/root")  # it is alive
    assert Path(f"/proc/{pid}/comm").read_text() == "docker-init\n"
    time.sleep(0.6)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert [Path(f"/proc/{child}/comm").read_text() for child in children] == ["sleep\n"]
    process.terminate()
    assert process.wait(10) == 143


def test_without_init_an_orphan_becomes_a_zombie(spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "--network", "none", rootfs, "sh", "-c", "(sleep 0.2 & exit 0); exec sleep 100")
    pid = host_pid(state_root)
    children = Path(f"/proc/{pid}/task/{pid}/children")

    def zombie() -> bool:
        return any(" Z " in Path(f"/proc/{child}/stat").read_text() for child in children.read_text().split())

    assert wait_until(zombie)


def test_the_programs_signals_are_at_their_defaults(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--network", "none", rootfs, "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["0" * 16] * 3
