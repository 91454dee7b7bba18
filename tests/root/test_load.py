"""Many containers at once: all run to their end, and nothing is left of any."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import Run
from tests.support import requires, wait_until

pytestmark = requires("root", "command:nft", "command:ip")

CONTAINERS = 200
AT_ONCE = 8

KINDS: tuple[tuple[str, ...], ...] = (
    ("--network", "none"),
    ("--network", "bridge"),
    ("--network", "bridge", "-p", "80", "-p", "127.0.0.1::53/udp"),
    ("--network", "host", "--userns", "auto", "--read-only"),
    ("--network", "none", "--hardened"),
)
"""The options, in turn."""

SCRIPT = "echo $(hostname) $1; test $$ = 1 && exit $1"


def test_two_hundred_containers_eight_at_a_time(minicontainer: Run, rootfs: Path, state_root: Path) -> None:
    def one(number: int) -> subprocess.CompletedProcess[str]:
        options = ("--name", f"load-{number}", "-h", f"host-{number}", *KINDS[number % len(KINDS)])
        return minicontainer("run", *options, rootfs, "sh", "-c", SCRIPT, "sh", str(number % 100))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(one, range(CONTAINERS)))
    for number, result in enumerate(done):
        assert (result.returncode, result.stderr) == (number % 100, ""), f"container {number}"
        assert result.stdout == f"host-{number} {number % 100}\n"
    assert os.listdir(state_root / "containers") == []
    assert minicontainer("cleanup").stdout == "nothing to clean up\n"


def test_addresses_are_never_given_twice(minicontainer: Run, rootfs: Path) -> None:
    """All alive at the same time: each waits until a file says that it may end."""
    gate = rootfs.parent / "gate"
    gate.mkdir(exist_ok=True)
    (gate / "open").unlink(missing_ok=True)
    count = 12
    script = "ip -4 -o addr show dev eth0; touch /gate/$1; while [ ! -e /gate/open ]; do sleep 0.05; done"

    def one(number: int) -> subprocess.CompletedProcess[str]:
        options = ("--network", "bridge", "-v", f"{gate}:/gate")
        return minicontainer("run", *options, rootfs, "sh", "-c", script, "sh", str(number))

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(one, number) for number in range(count)]
        try:
            assert wait_until(lambda: len(os.listdir(gate)) == count, 30)
        finally:
            (gate / "open").touch()
        done = [future.result() for future in futures]
    assert [result.returncode for result in done] == [0] * count, done
    assert len({result.stdout.split()[3] for result in done}) == count
