"""Whatever is checked: a command to which a program is appended, and which runs that in a container.

    python3 my_container.py ROOTFS     minicontainer run ROOTFS     unshare --uts     docker run --rm IMAGE

The program's process is found by its command line, which is like no other: `sleep` and a number. It may be
a descendant of ours, or one of a daemon; /proc shows it in either case, whatever pid it believes to have:
pid_namespaces(7).
"""

from __future__ import annotations

import linecache
import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from minicontainer.lessons.expect import Failed
from minicontainer.lessons.inside import Inside
from minicontainer.linux import proc

LIFE = 300  # seconds, after which a program that was forgotten ends by itself
START_SECONDS = 5.0
END_SECONDS = 3.0
LONGEST = 1 << 20  # bytes of output that are kept


@dataclass(frozen=True)
class Answer:
    """What came of a program: its outputs, and its status as a shell counts it (124: it took too long)."""

    out: str
    err: str
    status: int

    @property
    def output(self) -> str:
        """Both outputs."""
        return self.out + self.err

    @property
    def text(self) -> str:
        """The standard output without white space around it."""
        return self.out.strip()


class Subject:
    """A command prefix. As a context manager it ends whatever it has started."""

    def __init__(self, prefix: list[str], directory: str | None = None) -> None:
        self.prefix = prefix
        self._directory = directory
        self._started: list[tuple[subprocess.Popen[bytes], int]] = []
        self._proc = os.stat("/proc").st_dev

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, *program: str) -> Inside:
        """Start `program` (by default one that just sleeps); its process, once it runs. Raises Failed."""
        words = [*(program or ("sleep", f"{LIFE}.{random.randrange(10**6):06}"))]
        process = self._popen(words)
        self._started.append((process, 0))
        deadline = time.monotonic() + START_SECONDS
        since = proc.start_time(process.pid)
        while not (pid := find(words, since)):
            if process.poll() is not None:
                raise self._ended(words, process)
            if time.monotonic() > deadline:
                process.kill()
                raise Failed(
                    "the program runs in the container",
                    " ".join(words),
                    f"no such process {START_SECONDS:.0f} s after the start",
                    "ps -ef | grep sleep",
                )
            time.sleep(0.003)
        if os.stat("/proc").st_dev != self._proc:  # another one lies on it, and the numbers in that are not the host's
            _kill(process)
            look = "mount(2): MS_PRIVATE on everything, before anything is mounted"
            raise Failed("the host's /proc is as it was", "the host's", "the container's, mounted on top of it", look)
        self._started[-1] = (process, pid)
        return Inside(self, pid)

    def ask(self, *program: str, input: str = "", seconds: float = 10) -> Answer:
        """Run `program` in a container of its own, to its end."""
        process = self._popen(list(program))
        try:
            out, err = process.communicate(input.encode(), seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            _kill(process)
            out, err = process.communicate()
            status = 124
        texts = [data[:LONGEST].decode(errors="replace") for data in (out, err)]
        return Answer(texts[0], texts[1], status if status >= 0 else 128 - status)

    def status(self) -> int:
        """Wait for the one that was started last to end: its status as a shell counts it."""
        process, _ = self._started.pop()
        try:
            process.communicate(timeout=END_SECONDS)
            status = process.returncode
        except subprocess.TimeoutExpired:
            _kill(process)
            status = 124
        return status if status >= 0 else 128 - status

    def stop(self) -> None:
        """End everything that was started: first the program, so that the subject can clear up after it."""
        for process, pid in self._started:
            group = Inside(self, pid).cgroup() if pid else ""
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=END_SECONDS)
            _kill(process)
            if group:
                with suppress(OSError):  # it is in use, or gone already: a careful subject removes its own
                    os.rmdir(group)
        self._started.clear()

    def _popen(self, words: list[str]) -> subprocess.Popen[bytes]:
        command = [*self.prefix, *words]
        try:
            return subprocess.Popen(
                command, cwd=self._directory, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise Failed(
                "the subject can be started", command[0], error.strerror or str(error), f"which {command[0]}"
            ) from None

    def _ended(self, words: list[str], process: subprocess.Popen[bytes]) -> Failed:
        """It ended before the program ran: why, in its own words."""
        out, err = process.communicate()
        status = process.returncode
        how = f"status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
        said = shortened((err or out).decode(errors="replace"))
        return Failed(f"`{words[0]}` runs in the container", "a running process", f"it ended at once with {how}", said)


def find(words: list[str], since: int = 0) -> int:
    """The pid of the process with just that command line that started then (clock ticks) or later; or 0."""
    wanted = b"\0".join(map(os.fsencode, words)) + b"\0"
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read(len(wanted) + 1) == wanted and proc.start_time(int(pid)) >= since:
                    return int(pid)
        except OSError:
            continue  # it has ended
    return 0


def shortened(text: str) -> str:
    """What a program said at its end; of a Python traceback just the last line in the learner's files and the error."""
    lines = [line for line in text.rstrip().splitlines() if line.strip()]
    places = [found.groups() for line in lines if (found := re.match(r'  File "(.+)", line (\d+)', line))]
    if not places:
        return "\n".join(lines[-3:])
    own = [place for place in places if place[0].endswith("/my_container.py")] or places[-1:]
    told = []
    for path, number in own[-1:]:
        # Read here: a child that has another root does not find its own source any more.
        code = linecache.getline(path, int(number)).strip()
        told.append(f"{os.path.basename(path)}, line {number}: {code}")
    return "\n".join([*told, lines[-1]])


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
