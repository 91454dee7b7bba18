"""What a lesson needs of the machine, and where it is run: here, or in the lab if here lacks something."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from minicontainer.errors import UnsupportedError
from minicontainer.lab import needs as lab
from minicontainer.lessons import building
from minicontainer.lessons.lesson import Lesson
from minicontainer.linux import proc

PROJECT = str(Path(__file__).resolve().parents[2])
CGROUP2 = "control groups of version 2 with "
TOOL_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def _root(_: str) -> str:
    return "" if building.allowed() else "root" if os.geteuid() else "root with all its powers"


def _cgroup2(controller: str) -> str:
    tops = [mount.target for mount in proc.mounts() if mount.fstype == "cgroup2"]
    there = proc.read(f"{tops[0]}/cgroup.controllers").split() if tops else []
    return "" if tops and (not controller or controller in there) else f"{CGROUP2}{controller}"


def _userns(_: str) -> str:
    return "" if os.path.exists("/proc/self/ns/user") else "user namespaces"


def _namespace(kind: str) -> str:
    return "" if os.path.exists(f"/proc/self/ns/{kind}") else f"{kind} namespaces"


def _command(name: str) -> str:
    return "" if shutil.which(name, path=f"{os.environ.get('PATH', '')}:{TOOL_FOLDERS}") else f"the program {name}"


def _lab(_: str) -> str:
    try:
        if not lab.inside():
            lab.check_host()
    except UnsupportedError as error:
        return f"the lab ({error})"
    return ""


NEEDS: dict[str, Callable[[str], str]] = {
    "root": _root,
    "cgroup2": _cgroup2,
    "userns": _userns,
    "namespace": _namespace,
    "command": _command,
    "lab": _lab,
}


def missing(lesson: Lesson) -> list[str]:
    """What this machine, or this user, lacks for the lesson."""
    split = (need.partition(":") for need in lesson.needs)
    return [lack for name, _, argument in split if (lack := NEEDS[name](argument))]


def belongs_in_lab(lesson: Lesson) -> str:
    """Why the lesson is run in the lab, in words; empty if it can be run here. Raises UnsupportedError if nowhere."""
    lacks = missing(lesson)
    if not lacks:
        return ""
    controllers = [lack.removeprefix(CGROUP2) for lack in lacks if lack.startswith(CGROUP2)]
    lacks = [lack for lack in lacks if not lack.startswith(CGROUP2)] + [CGROUP2 + ", ".join(controllers)] * bool(
        controllers
    )
    text = f"lesson {lesson.label} needs {' and '.join(lacks)}"
    if lab.inside():
        raise UnsupportedError(f"{text}, which the lab does not have", "use a machine that has it")
    lab.check_host()
    return text


def stage(lesson: Lesson) -> str:
    """Why the lesson is shown in the lab: what `belongs_in_lab` says, or that no stand-in for the host can be had."""
    reason = belongs_in_lab(lesson)
    if not reason and not building.allowed():
        lab.check_host()
        reason = f"lesson {lesson.label} has commands of root's"
    return reason


def python_path() -> str:
    """PYTHONPATH with which any Python of ours finds this package."""
    return ":".join(filter(None, (PROJECT, os.environ.get("PYTHONPATH"))))


def in_lab(*words: str) -> int:
    """Run `minicontainer lesson` with these words in the lab, on this terminal; its status."""
    from minicontainer.lab.session import run

    os.environ["PYTHONPATH"] = python_path()
    return run([sys.executable, "-m", "minicontainer", "lesson", *words])
