"""What an ordinary user's containers leave: files of ids that are not the user's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minicontainer import rootfs as filesystem
from tests.support import command, environment, requires

pytestmark = requires("root", "userns", "command:setpriv", "command:newuidmap")

READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The interpreter of the tests may lie where only root can read. This right changes nothing."""

Start = Callable[..., "subprocess.Popen[str]"]


def someone() -> pwd.struct_passwd:
    """A user whom /etc/subuid gives ids."""
    for row in Path("/etc/subuid").read_text().splitlines():
        try:
            return pwd.getpwnam(row.partition(":")[0])
        except KeyError:
            continue
    pytest.skip("no user has ids in /etc/subuid")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of that user's, with a root filesystem."""
    folder, user = Path(tempfile.mkdtemp(prefix="minicontainer-home-")), someone()
    filesystem.build(str(folder / "rootfs"))
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(home: Path) -> Start:
    """`start("run", …)` starts the command as that user."""
    user = someone()
    rights = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", *READ_ALL)

    def run(*args: str | Path) -> subprocess.Popen[str]:
        words = [*rights, *command(*args)]
        return subprocess.Popen(
            words, cwd="/", env=environment(HOME=str(home), MINICONTAINER_ROOT=str(home / "state")), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return run


WRITE = "mkdir /home/other; echo 1 > /home/other/file; chown -R 7:8 /home/other; chmod 0 /home/other; echo up"


def containers(home: Path) -> list[str]:
    return os.listdir(home / "state/containers")


def test_files_of_others_go_with_their_container(home: Path, start: Start) -> None:
    done = start("run", "--network", "none", home / "rootfs", "sh", "-c", WRITE)
    assert done.communicate(timeout=30) == ("up\n", "")
    assert done.returncode == 0 and containers(home) == []


def test_files_of_others_go_after_a_crash(home: Path, start: Start) -> None:
    tool = start("run", "--network", "none", home / "rootfs", "sh", "-c", f"{WRITE}; exec sleep 60")
    assert tool.stdout is not None and tool.stdout.readline() == "up\n"
    tool.kill()
    tool.wait()
    time.sleep(0.1)
    assert len(containers(home)) == 1
    cleaned = start("cleanup")
    assert cleaned.communicate(timeout=30)[1] == ""
    assert cleaned.returncode == 0 and containers(home) == []
