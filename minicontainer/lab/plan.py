"""What goes into the machine with a command: where it runs, and what of the environment it sees."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from minicontainer.errors import UsageError
from minicontainer.lab.needs import SYSTEM_FOLDERS

CARRIED = (
    "PATH", "TERM", "COLORTERM", "NO_COLOR", "HOME", "SHELL", "LANG", "LC_ALL", "CI", "VIRTUAL_ENV",
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTEST_ADDOPTS",
)  # fmt: skip
INSIDE = {"USER": "root", "LOGNAME": "root", "PS1": "lab# ", "debian_chroot": "lab"}
HIDDEN = ("/tmp", "/run", "/dev/shm", "/var/lib/minicontainer")  # where the machine has file systems of its own
PROJECT = Path(__file__).resolve().parents[2]


def plan(command: list[str], share: str, window: tuple[int, int] | None) -> dict[str, Any]:
    """The START message: all that process 1 has to know, as JSON will carry it. No `window`: no terminal."""
    return {
        "command": command or [os.environ.get("SHELL", "/bin/sh")],
        "cwd": here(),
        "env": environment(),
        "keep": kept(share),
        "share": share,
        "window": window,
    }


def here() -> str:
    """The current directory. Raises UsageError if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        raise UsageError("the current directory does not exist any more", "cd to one that does") from None


def environment() -> dict[str, str]:
    """The part of this environment that has a meaning inside, where the user is root."""
    carried = {
        name: value for name, value in os.environ.items() if name in CARRIED or name.startswith("MINICONTAINER_")
    }
    folders = carried.get("PATH", "").split(":") + SYSTEM_FOLDERS.split(":")
    carried["PATH"] = ":".join(dict.fromkeys(filter(None, folders)))
    return {"HOME": "/root", "TERM": "dumb", **carried, **INSIDE}


def kept(share: str) -> list[str]:
    """Directories of the host in HIDDEN that must be seen nevertheless: this project, its Python, where we are."""
    paths = os.environ.get("PATH", "").split(":") + os.environ.get("PYTHONPATH", "").split(":")
    wanted = {os.path.realpath(path) for path in [here(), str(PROJECT), sys.prefix, share, *paths] if path}
    outermost: list[str] = []
    for path in sorted(wanted):
        below = any(path.startswith(f"{folder}/") for folder in HIDDEN)
        if below and os.path.isdir(path) and not (outermost and path.startswith(f"{outermost[-1]}/")):
            outermost.append(path)
    return outermost
