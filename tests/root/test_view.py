"""`minicontainer view`: the picture against the kernel, and what it does to a terminal."""

from __future__ import annotations

import os
import re
import signal
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minicontainer.linux import proc
from tests.conftest import Run, Spawn
from tests.root.test_terminal import Screen
from tests.support import environment, host_pid, requires, wait_until

pytestmark = requires("root")

SLEEP = ("sh", "-c", "trap exit TERM; sleep 600 & wait")
OTHER_SCREEN, BACK, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
CLEAR = "\x1b[2J"
FIRST_LINE = "the host: "


def sized(columns: int, lines: int) -> dict[str, str]:
    return environment(COLUMNS=str(columns), LINES=str(lines))


# -- one picture ------------------------------------------------------------------------------------


def test_an_empty_house_says_how_to_begin(minicontainer: Run) -> None:
    done = minicontainer("view", "--once")
    assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
    assert "no containers" in done.stdout
    assert "sudo minicontainer run ./rootfs /bin/sh" in done.stdout
    assert os.uname().release in done.stdout and os.uname().nodename in done.stdout


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 50)])
def test_an_apartment(
    columns: int, lines: int, minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path
) -> None:
    spawn("run", "--name", "web", "-p", "127.0.0.1:8099:80", rootfs, *SLEEP)
    pid = host_pid(state_root)
    assert wait_until(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text())
    done = minicontainer("view", "--once", env=sized(columns, lines))
    rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows) <= lines and {len(row) for row in rows} == {columns}
    text = " ".join(done.stdout.split())
    assert "1 container" in text and " web " in text and os.listdir(state_root / "containers")[0][:12] in text
    assert re.search(rf"1 sh [0-9.]+ [KM]iB outside {pid} ", text)
    assert re.search(r" 2 sleep ", text)
    assert "own mnt pid net uts ipc cgroup" in text and "host's user time" in text
    assert "172." in text and "8099→80/tcp" in text


def test_shared_walls_have_a_name(minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "--name", "web", rootfs, *SLEEP)
    first = host_pid(state_root)
    spawn("run", "--name", "sidecar", "--network", "container:web", rootfs, *SLEEP)
    spawn("run", "--name", "open", "--network", "host", "--without", "pid", rootfs, *SLEEP)
    host_pid(state_root, 2)
    text = minicontainer("view", "--once", env=sized(160, 50)).stdout
    assert "with web: net" in text and "with sidecar: net" in text
    assert "host's pid net user time" in text and "net the host's" in text
    assert "3 containers" in text
    assert text.count(" 172.") == 3, "the bridge's, and one address that two containers have"
    assert proc.start_time(first), "looking does no harm"


def test_work_is_seen(minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    """A container that computes has processor time, an idle one has none."""
    idle = spawn("run", "--name", "idle", "--network", "none", rootfs, *SLEEP)
    host_pid(state_root)
    spawn("run", "--name", "busy", "--network", "none", rootfs, "sh", "-c", "trap exit TERM; while :; do :; done")
    host_pid(state_root, 1)
    text = minicontainer("view", "--once", env=sized(80, 24)).stdout  # one above the other
    used = [float(number) for number in re.findall(r"cpu [━─]+ ([0-9.]+) CPUs", text)]
    assert len(used) == 2 and used[0] < 0.05 < used[1], text
    assert idle.poll() is None


def test_a_frozen_one_says_so(minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    spawn("run", "--network", "none", rootfs, *SLEEP)
    host_pid(state_root)
    (folder,) = (state_root / "containers").iterdir()
    group = Path(proc.read(str(folder / "state.json")).partition('"cgroup": "')[2].partition('"')[0])
    if not (group / "cgroup.freeze").exists():
        pytest.skip("no control group that could be frozen")
    (group / "cgroup.freeze").write_text("1")
    try:
        assert wait_until(lambda: "frozen · up" in minicontainer("view", "--once").stdout)
    finally:
        (group / "cgroup.freeze").write_text("0")


def test_a_picture_in_a_file(minicontainer: Run, spawn: Spawn, rootfs: Path, state_root: Path, tmp_path: Path) -> None:
    spawn("run", "--name", "web", "--network", "none", rootfs, *SLEEP)
    host_pid(state_root)
    target = tmp_path / "house.svg"
    done = minicontainer("view", "--svg", target, env=sized(160, 50))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    texts = ["".join(node.itertext()) for node in ElementTree.parse(target).iter() if node.tag.endswith("text")]
    assert {"web", "sleep", "Nobody lives here"} & {text.strip("\xa0 ") for text in texts} == {"web", "sleep"}
    assert "@font-face" not in target.read_text()


def test_a_file_that_cannot_be_written(minicontainer: Run, tmp_path: Path) -> None:
    done = minicontainer("view", "--svg", tmp_path / "missing" / "house.svg")
    assert done.returncode == 125
    assert done.stderr.startswith("minicontainer: cannot write ") and done.stderr.count("\n") == 1


# -- live -------------------------------------------------------------------------------------------


@pytest.fixture
def open_view(state_root: Path) -> Iterator[Callable[[], Screen]]:
    """`open_view()` starts it on a terminal of 24×80."""
    screens: list[Screen] = []

    def start() -> Screen:
        screens.append(Screen("view"))
        screens[-1].expect(OTHER_SCREEN)
        screens[-1].expect("the kernel: ")
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def ended(screen: Screen, status: int) -> None:
    """It ends with that status, and the terminal is as it was."""
    screen.expect(SHOW_CURSOR)
    screen.expect(BACK)
    assert screen.process.wait(10) == status
    assert termios.tcgetattr(screen.slave) == screen.before


def test_it_lives_until_q(open_view: Callable[[], Screen], spawn: Spawn, rootfs: Path, state_root: Path) -> None:
    screen = open_view()
    assert termios.tcgetattr(screen.slave) != screen.before
    screen.expect("Nobody lives here yet")
    web = spawn("run", "--name", "web", "--network", "none", rootfs, *SLEEP)
    screen.expect("1 container")
    screen.expect("web")
    screen.expect("sleep")
    web.terminate()
    screen.expect("no containers")
    assert CLEAR not in screen.text
    screen.type("\x1b[A")  # an arrow begins with Escape, and is none
    screen.expect("the kernel: ")
    screen.type("xyzq")
    ended(screen, 0)


@pytest.mark.parametrize(("key", "status"), [("Q", 0), ("\x1b", 0), ("\x03", 130)], ids=["Q", "escape", "interrupt"])
def test_keys_that_end_it(key: str, status: int, open_view: Callable[[], Screen]) -> None:
    screen = open_view()
    screen.type(key)
    ended(screen, status)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_end_it(number: int, open_view: Callable[[], Screen]) -> None:
    screen = open_view()
    screen.process.send_signal(number)
    ended(screen, 128 + number)


@pytest.mark.parametrize("how", ["key", "signal"])
def test_it_can_be_stopped_and_goes_on(how: str, open_view: Callable[[], Screen]) -> None:
    screen = open_view()
    screen.type("\x1a") if how == "key" else screen.process.send_signal(signal.SIGTSTP)
    screen.expect(BACK)
    assert wait_until(lambda: proc.status(screen.process.pid)["State"].startswith("T"))
    assert termios.tcgetattr(screen.slave) == screen.before
    screen.process.send_signal(signal.SIGCONT)
    screen.expect(OTHER_SCREEN)
    screen.expect("the kernel: ")
    screen.type("q")
    ended(screen, 0)


def test_it_fills_the_window_whatever_its_size(open_view: Callable[[], Screen]) -> None:
    screen = open_view()
    screen.resize(50, 160)
    screen.process.send_signal(signal.SIGWINCH)
    screen.expect("▀" * 160)
    screen.resize(10, 40)
    screen.process.send_signal(signal.SIGWINCH)
    time.sleep(0.3)
    screen.text = ""
    screen.expect("the kernel: ")
    screen.expect("▀" * 40)
    assert "▀" * 41 not in screen.text
    screen.type("q")
    ended(screen, 0)


def test_frames_are_drawn_over_each_other(open_view: Callable[[], Screen]) -> None:
    """A screen that is cleared before it is drawn flickers."""
    screen = open_view()
    seen = ""
    while seen.count(FIRST_LINE) < 3:
        seen += os.read(screen.master, 1 << 16).decode(errors="replace")
    frame = seen.split(FIRST_LINE)[1]
    assert CLEAR not in seen and not re.search(r"\x1b\[\d*[JK]", seen)
    assert frame.count("\r\n") == 23, "each of the 24 lines is written once"
    assert len(os.listdir(f"/proc/{screen.process.pid}/task")) == 1
    screen.type("q")
    ended(screen, 0)
