"""The commands that a lesson shows: parsed, run in one shell, and what they print compared with what is shown.

$ echo one; date              a command; `# ` instead of `$ ` is one of root's
one                           what it prints
… 2026                        … stands for anything within a line
…                             … alone for any lines, or none
$ for x in a b; do
>     echo $x; done           `> ` continues a command
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from minicontainer.lessons import building
from minicontainer.lessons.needs import python_path

ANYTHING = "…"
BASH = ("bash", "--noprofile", "--norc")
SECONDS = 60.0  # for one command


@dataclass
class Command:
    """One command of a console block, with the lines that it should print."""

    text: str
    expected: list[str]
    line: int
    """Where it stands in the file, from 1."""
    prompt: str = "$"


def commands(text: str, first_line: int = 1) -> list[Command]:
    """The commands of a console block."""
    found: list[Command] = []
    for number, line in enumerate(text.splitlines(), first_line):
        if line.startswith(("$ ", "# ")):
            found.append(Command(line[2:], [], number, line[0]))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1].text += "\n" + line[2:]
        elif found:
            found[-1].expected.append(line.rstrip())
    return found


def matches(expected: list[str], seen: list[str]) -> bool:
    """Whether a command printed what is shown."""
    pattern = "".join(
        r"(?:.*\n)*" if line == ANYTHING else ".*".join(map(re.escape, line.split(ANYTHING))) + "\n"
        for line in expected
    )
    text = "".join(line.rstrip() + "\n" for line in seen)
    return re.fullmatch(pattern, text) is not None


class Shell:
    """bash in a folder with a `rootfs`, in a stand-in for the host. Each command has no input and both outputs in one.

    `minicontainer` is this one; where there is no sudo, root's shell does without.
    """

    def __init__(
        self, folder: Path, program: tuple[str, ...] = BASH, enter: Callable[[], None] = building.enter
    ) -> None:
        self.folder = folder
        self.environment = environment(folder)
        self._process = subprocess.Popen(
            program, cwd=folder, env={**self.environment, "PS1": "", "TERM": "dumb"}, start_new_session=True,
            preexec_fn=enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.status = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def run(self, command: str, seconds: float = SECONDS) -> list[str]:
        """The lines that `command` prints; `status` holds how it ended (124: it took too long)."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        mark = f"--{os.urandom(8).hex()}--"
        with suppress(BrokenPipeError):
            stdin.write(f"{{ {command}\n}} </dev/null\necho {mark}$?\n".encode())
            stdin.flush()
        deadline, output = time.monotonic() + seconds, b""
        end = re.compile(rb"%s(\d+)\n" % mark.encode())
        while not (found := end.search(output)):
            ready, _, _ = select.select([stdout], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                self.status = 124 if not ready else self._process.wait()
                self.close()
                break
            output += data
        else:
            self.status = int(found[1])
            output = output[: found.start()] + output[found.end() :]
        return output.decode(errors="replace").splitlines()

    def beside(self, *program: str) -> int:
        """Run a program on the terminal, in the same place; its status."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program
        building_of = self._process.pid

        def enter() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            building.join(building_of)

        try:
            return subprocess.run(program, cwd=self.folder, env=self.environment, preexec_fn=enter).returncode
        finally:
            signal.signal(signal.SIGINT, before)

    def close(self) -> None:
        """End it, and all that it left running."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        clear_up(self.folder)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with suppress(OSError):
                    stream.close()


def clear_up(folder: Path) -> None:
    """Remove what is left of containers that were killed with their shell: `minicontainer cleanup`."""
    containers = folder / ".state/containers"
    if containers.is_dir() and os.listdir(containers):
        env = {**environment(folder), "PYTHONPATH": python_path()}
        subprocess.run([sys.executable, "-m", "minicontainer", "cleanup"], env=env, capture_output=True)


def environment(folder: Path) -> dict[str, str]:
    """What its programs get: ours first in PATH, one language, containers that go with the folder."""
    tools = folder / ".bin"
    tools.mkdir(exist_ok=True)
    script(
        tools / "minicontainer", f'PYTHONPATH={shlex.quote(python_path())} exec {sys.executable} -m minicontainer "$@"'
    )
    if os.geteuid() == 0 and not shutil.which("sudo"):
        script(tools / "sudo", 'exec "$@"')
    env = {**os.environ, "PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
    env |= {"LC_ALL": "C.UTF-8", "MINICONTAINER_ROOT": str(folder / ".state")}
    env.pop("BASH_ENV", None)
    return env


def script(path: Path, line: str) -> None:
    """Make an executable shell script of one line."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
