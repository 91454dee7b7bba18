"""`make test`: every part of the suite, then a summary, then one line of counts.

    python tests/suite.py [PART…]

The parts are `lint`, `unit`, `root` (with sudo unless root), `lessons`, `vm` (in the lab's virtual machine)
and `clients`. All of it must end within TIME; what has not by then is stopped and has failed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
TIME = int(os.environ.get("TEST_MINUTES", "20")) * 60  # seconds
TIMED_OUT = 124  # timeout(1)
CACHE = f"cache_dir={tempfile.gettempdir()}/minicontainer-tests-{os.getuid()}"
PYTEST = [sys.executable, "-m", "pytest", "--color=no", "-o", CACHE]
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)\b")


@dataclass
class Check:
    """One command of the suite and what came of it."""

    part: str
    name: str
    command: list[str]
    as_root: bool = False
    unsteady: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0
    reason: str = ""

    @property
    def ok(self) -> bool:
        return not self.reason

    def run(self, deadline: float) -> None:
        """Run it with its output shown as it comes; keep the counts of pytest's last line."""
        began = time.monotonic()
        limit = ["timeout", "--signal=INT", "--kill-after=30", f"{max(deadline - began, 1):.0f}"]
        command = [*limit, *self.command]
        if self.as_root and os.geteuid() != 0:
            if shutil.which("sudo") is None:
                self.reason = "needs root or sudo"
                return
            command = ["sudo", "--preserve-env=CI,PYTHONDONTWRITEBYTECODE", *command]
        print(f"\n── {self.name}", flush=True)
        process = subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            if COUNT.search(line):
                last = line
        status = process.wait()
        self.seconds = time.monotonic() - began
        for number, word in COUNT.findall(last) if "pytest" in command else ():
            self.counts[word.rstrip("s")] = int(number)
        if status != 0:
            self.reason = "no time left" if status == TIMED_OUT else f"exit status {status}"

    def repeat(self, deadline: float) -> None:
        """Run what has failed once more. What passes then counts, and is told as unsteady.

        These tests look at the whole machine, and whoever else starts a container on it is in their picture.
        """
        failed = self.score()[1]
        again = Check(self.part, f"{self.name}: what failed, once more", [*self.command, "--last-failed"], self.as_root)
        again.run(deadline)
        if again.ok:
            self.reason, self.unsteady = "", failed
            self.counts.update(passed=self.counts.get("passed", 0) + failed, failed=0, error=0)

    def score(self) -> tuple[int, int, int]:
        """How many passed, failed and were skipped. A linter counts as one; so does a run that broke off."""
        failed = self.counts.get("failed", 0) + self.counts.get("error", 0)
        passed = self.counts.get("passed", 0) + self.counts.get("xfailed", 0)
        if "pytest" not in self.command:
            passed = int(self.ok)
        return passed, failed or int(not self.ok), self.counts.get("skipped", 0)


def checks() -> list[Check]:
    """The whole suite, for the folders that have tests."""
    lab = [sys.executable, "-m", "minicontainer.lab", "--"]
    found = [
        Check("lint", "ruff check", [sys.executable, "-m", "ruff", "check", "--quiet", "."]),
        Check("lint", "ruff format", [sys.executable, "-m", "ruff", "format", "--check", "--quiet", "."]),
        Check("lint", "mypy --strict", [sys.executable, "-m", "mypy"]),
        Check("unit", "unit tests", [*PYTEST, "tests/unit"]),
        Check("root", "tests on this kernel, as root", [*PYTEST, "tests/root"], as_root=True),
        Check("lessons", "lessons on this kernel", [*PYTEST, "-m", "not limits", "tests/lessons"], as_root=True),
        Check("lessons", "lessons in the lab", [*lab, *PYTEST, "--no-skips", "-m", "limits", "tests/lessons"]),
        Check("vm", "tests in the lab's virtual machine", [*lab, *PYTEST, "--no-skips", "tests/vm"]),
        Check("clients", "tests with other tools as clients", [*PYTEST, "tests/clients"], as_root=True),
    ]
    return [c for c in found if "pytest" not in c.command or list((CHECKOUT / c.command[-1]).glob("test_*.py"))]


def main(parts: list[str]) -> int:
    deadline = time.monotonic() + TIME
    chosen = [check for check in checks() if not parts or check.part in parts]
    for check in chosen:
        check.run(deadline)
        if check.as_root and not check.ok and check.counts:
            check.repeat(deadline)
    print("\n── summary")
    for check in chosen:
        passed, failed, skipped = check.score()
        detail = f"{passed} passed, {failed} failed, {skipped} skipped" if check.counts else ""
        verdict = "ok" if check.ok else f"FAILED ({check.reason})"
        verdict += f", {check.unsteady} unsteady" if check.unsteady else ""
        print(f"{check.name:<36} {verdict:<24} {check.seconds:6.1f} s  {detail}".rstrip())
    totals = [sum(column) for column in zip(*(check.score() for check in chosen), strict=True)]
    print("{} passed, {} failed, {} skipped".format(*totals), flush=True)
    return 0 if all(check.ok for check in chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
