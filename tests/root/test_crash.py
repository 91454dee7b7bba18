"""SIGKILL at any moment of a container's start: after `minicontainer cleanup` the host is as it was."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support import command, environment, requires, wait_until

pytestmark = requires("root", "command:nft", "command:ip")

ROUNDS = 50
WEB = ("--network", "bridge", "-p", "80", "-p", "127.0.0.1::53/udp")
LEDGERS = Path("/run/minicontainer-network")

# The tool, with a guard at its gate to the kernel that kills it before its call number N.
KILLED_AT = """
import os, signal, sys
from minicontainer.linux import calls

number, pid = int(sys.argv.pop(1)), os.getpid()
left = number

def guard(call):
    global left
    if os.getpid() == pid:
        left -= 1
        if not left:
            os.kill(pid, signal.SIGKILL)
    return call.run()

calls.observer = guard
from minicontainer.cli.main import main
main()
"""


def files(folder: Path) -> set[str]:
    """All files and folders below `folder`."""
    return {os.path.join(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files)}


def kernel_settings() -> str:
    """Those that the bridge network changes; not to be compared while somebody else's container needs it."""
    if LEDGERS.is_dir() and os.listdir(LEDGERS):
        return "in use"
    names = Path("/proc/sys/net").glob("ipv?/conf/*/*")
    wanted = re.compile("/(all|default|eth.*|en.*)/(forwarding|accept_redirects|accept_ra)$")
    found = [*filter(lambda path: wanted.search(str(path)), names), Path("/proc/sys/net/ipv4/ip_forward")]
    return "\n".join(f"{path} {path.read_text().strip()}" for path in sorted(found))


def reserved(root: Path) -> list[str]:
    """The addresses and ports that containers of the state folder `root` have."""
    return [link for link in files(LEDGERS) if os.path.islink(link) and os.readlink(link).startswith(str(root))]


@pytest.fixture
def as_before(minicontainer: Run, rootfs: Path, state_root: Path) -> Callable[[str], None]:
    """`as_before("why")` cleans up and compares files and settings. The `host_unchanged` fixture has the rest."""
    assert minicontainer("run", "--network", "bridge", rootfs, "true").returncode == 0  # the caches are full now
    before, settings = (files(state_root), files(rootfs)), kernel_settings()

    def compare(moment: str) -> None:
        cleaned = minicontainer("cleanup")
        assert (cleaned.returncode, cleaned.stderr) == (0, ""), moment
        assert (files(state_root), files(rootfs)) == before, moment
        assert reserved(state_root) == [], moment
        assert "in use" in (settings, now := kernel_settings()) or now == settings, moment

    return compare


def members(session: int) -> list[int]:
    """The processes of a session: setsid(2)."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getsid(int(pid)) == session:
                found.append(int(pid))
        except ProcessLookupError:
            pass
    return found


def kill_session(tool: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the tool and then to all that it started outside of the container."""
    tool.kill()
    tool.wait()

    def kill_the_rest() -> bool:
        rest = members(tool.pid)
        for pid in rest:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not rest

    assert wait_until(kill_the_rest)


def test_killed_before_each_of_its_kernel_calls(rootfs: Path, as_before: Callable[[str], None]) -> None:
    for number in range(1, 1000):
        tool = subprocess.Popen(
            [sys.executable, "-c", KILLED_AT, str(number), "run", "--name", "crashed", *WEB, str(rootfs), "true"],
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        output = tool.communicate(timeout=30)[0]
        if tool.returncode != -signal.SIGKILL:
            break
        kill_session(tool)
        as_before(f"killed before call {number}; it had said {output.decode()!r}")
    assert tool.returncode == 0, output
    assert number > 20, "the guard did not see the kernel calls"


def test_killed_at_random_moments(rootfs: Path, as_before: Callable[[str], None]) -> None:
    moments = random.Random(os.environ.get("SEED"))
    for number in range(ROUNDS):
        wait = moments.uniform(0.03, 0.2)
        tool = subprocess.Popen(
            command("run", "--name", f"crashed-{number}", *(WEB if number % 2 else ()), rootfs, "sleep", "30"),
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(wait)
        kill_session(tool)
        if number % 5 == 4:  # so that several wait for it
            as_before(f"round {number}, after {wait:.3f} s")
    as_before("the end")
