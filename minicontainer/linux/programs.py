"""Programs of the host that do a part of the work: `ip`, `nft`, `pasta`.

They are started by posix_spawn(3), which does not copy this process first as fork(2) does, take
their lines on standard input, and may run side by side. A `Job` is data: what is printed of it is
what is fed to the program.
"""

from __future__ import annotations

import os

from minicontainer.errors import MinicontainerError, UnsupportedError
from minicontainer.linux.calls import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # `signal` itself imports enum

FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "pasta": "passt",
    "newuidmap": "uidmap",
    "newgidmap": "uidmap",
}
"""Which package a program comes in, where the names differ."""


class Job:
    """One run of a program: its arguments, and the lines on its standard input."""

    def __init__(self, args: tuple[str, ...], lines: tuple[str, ...] = ()) -> None:
        self.args = args
        self.lines = lines

    def __repr__(self) -> str:
        text = " ".join(self.args)
        return f"{text} <<END\n" + "\n".join(self.lines) + "\nEND\n" if self.lines else text


class Process:
    """A started job: `pid`, and in `output` the read end of what it writes to standard output and error."""

    def __init__(self, job: Job) -> None:
        program = find_program(job.args[0])
        if program is None:
            package = PACKAGES.get(job.args[0], job.args[0])
            raise UnsupportedError(f"`{job.args[0]}` is not installed", f"install the package {package}")
        feed = os.memfd_create("lines", os.MFD_CLOEXEC)
        os.write(feed, "".join(line + "\n" for line in job.lines).encode())
        os.lseek(feed, 0, os.SEEK_SET)
        self.job = job
        self.output, end = os.pipe()
        try:
            actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((feed, end, end))]
            self.pid = os.posix_spawn(
                program,
                job.args,
                {"PATH": ":".join(FOLDERS), "LC_ALL": "C"},
                file_actions=actions,
                setpgroup=0,  # an interrupt from the terminal is for the container, not for this
                setsigmask=[],
                setsigdef=[signal.SIGPIPE],  # which Python ignores
            )
        finally:
            os.close(feed)
            os.close(end)

    def finish(self) -> str:
        """Wait for its end. What there is to say if it failed, or an empty string."""
        with open(self.output, encoding="utf-8", errors="replace") as file:
            output = file.read().strip()
        if os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0:
            return ""
        reasons = [
            row for row in output.split("\n") if row and "syslog" not in row
        ]  # pasta's complaint where there is none
        first = reasons[0] if reasons else "it gave no reason"
        return f"`{' '.join(self.job.args)}` failed{blamed_line(self.job, output)}: {first}"


@syscall
def run(*jobs: Job) -> None:
    """Run the jobs side by side. Raises MinicontainerError for the first that failed, when all have ended."""
    for failure in _run(jobs):
        if failure:
            raise MinicontainerError(failure)


@syscall
def try_run(*jobs: Job) -> None:
    """Run the jobs side by side to take away what may be gone already: failures do not matter."""
    _run(jobs)


def _run(jobs: tuple[Job, ...]) -> list[str]:
    started: list[Process] = []
    try:
        for job in jobs:
            started.append(Process(job))
    finally:
        failures = [process.finish() for process in started]
    return failures


def blamed_line(job: Job, output: str) -> str:
    """The line that the program's message names, as ip (`Command failed -:2`) and nft (`/dev/stdin:2:1-9`) do."""
    for mark in ("Command failed -:", "/dev/stdin:"):
        number = output.partition(mark)[2].partition(":")[0].split("\n")[0]
        if number.isdigit() and 0 < int(number) <= len(job.lines):
            return f" at `{job.lines[int(number) - 1].strip()}`"
    return ""


def find_program(name: str) -> str | None:
    """The path of a program of the host, or None."""
    for folder in (*os.environ.get("PATH", "").split(":"), *FOLDERS):
        path = os.path.join(folder, name)
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    return None
