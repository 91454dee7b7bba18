"""What the tests share: running the command, requirements by name, and the state of the host.

The host's state is what a container engine could leave behind: mounts, control groups, network
interfaces, nftables rules and processes. `HostState.now()` reads it straight from the kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from minicontainer.errors import MinicontainerError
from minicontainer.lab import needs
from minicontainer.linux import proc

CHECKOUT = Path(__file__).resolve().parent.parent
TOOL_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

OURS = re.compile(r"\bminic(0|ontainer)\b|^mc[0-9a-f]{8,}$")  # our interfaces, table and control groups

requires = pytest.mark.requires


def command(*args: str | Path) -> list[str]:
    """The `minicontainer` command line with these arguments, through the interpreter that runs the tests."""
    return [sys.executable, "-m", "minicontainer", *map(str, args)]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, able to import this checkout, with `changes`."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **changes}


def wait_until(condition: Callable[[], object], seconds: float = 10) -> bool:
    """Whether `condition()` became true within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def has_command(name: str) -> bool:
    """Whether a program is installed, in the system folders too (an ordinary user's PATH may lack them)."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{TOOL_FOLDERS}") is not None


# -- requirements: name[:argument] -> why this machine does not meet it, or "" ----------------------


def cgroup2_folders() -> list[str]:
    """Where the version 2 hierarchy is mounted: one folder, or none."""
    return [mount.target for mount in proc.mounts() if mount.fstype == "cgroup2"][:1]


def _root(_: str) -> str:
    return "" if os.geteuid() == 0 else "not run as root"


def _user(_: str) -> str:
    return "" if os.geteuid() != 0 else "run as root"


def _command(name: str) -> str:
    return "" if has_command(name) else f"{name} is not installed"


def _cgroup2(controller: str) -> str:
    folders = cgroup2_folders()
    if not folders:
        return "no cgroup version 2 hierarchy is mounted"
    if controller and controller not in proc.read(f"{folders[0]}/cgroup.controllers").split():
        return f"the {controller} controller is not in cgroup version 2 here (`make test-vm` has it)"
    return ""


def _namespace(kind: str) -> str:
    return "" if os.path.exists(f"/proc/self/ns/{kind}") else f"this kernel has no {kind} namespaces"


def _user_namespaces(_: str) -> str:
    """As an ordinary user would see it, so that root's privilege does not hide a block."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    tried = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True, **nobody)  # type: ignore[call-overload]
    return "" if tried.returncode == 0 else f"no user namespaces for ordinary users: {tried.stderr.strip()}"


def _filesystem(name: str) -> str:
    return "" if name in proc.filesystems() else f"this kernel has no {name} file system"


def _kernel(version: str) -> str:
    wanted = tuple(map(int, version.split(".")))
    return "" if proc.kernel_version() >= wanted else f"the kernel is older than {version}"


def _machine(name: str) -> str:
    return "" if os.uname().machine == name else f"this machine is {os.uname().machine}, not {name}"


def _lab(_: str) -> str:
    try:
        needs.check_host()
    except MinicontainerError as error:
        return f"the lab cannot be started: {error}"
    return ""


def _inside_lab(_: str) -> str:
    return "" if needs.inside() else "not in the lab's machine (`make test-vm`)"


REQUIREMENTS: dict[str, Callable[[str], str]] = {
    "root": _root,
    "user": _user,
    "command": _command,
    "cgroup2": _cgroup2,
    "namespace": _namespace,
    "userns": _user_namespaces,
    "filesystem": _filesystem,
    "kernel": _kernel,
    "machine": _machine,
    "lab": _lab,
    "inside-lab": _inside_lab,
}


def unmet(requirements: Sequence[str]) -> list[str]:
    """The reasons why this machine does not meet these requirements, such as `root` and `cgroup2:memory`."""
    split = (requirement.partition(":") for requirement in requirements)
    reasons = (REQUIREMENTS[name](argument) for name, _, argument in split)
    return [reason for reason in reasons if reason]


# -- the state of the host --------------------------------------------------------------------------


@dataclass(frozen=True)
class HostState:
    """What is on the host now. Each field is a set of lines that can be compared and shown."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    rules: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def now(cls, folder: Path) -> HostState:
        """Read it all. Processes are those that `folder`, the test session's own, is known to."""
        return cls(
            frozenset(f"{m.target} {m.fstype} {m.source} {m.options} {' '.join(m.propagation)}" for m in proc.mounts()),
            frozenset(path for top in cgroup2_folders() for path, _, _ in os.walk(top)),
            frozenset(os.listdir("/sys/class/net")),
            frozenset(_rules()),
            frozenset(_processes(str(folder))),
        )

    def differences(self, later: HostState) -> list[str]:
        """One line for each thing that came (+) or went (-); what is left of an earlier test may go."""
        lines = []
        for field in fields(self):
            before, after = getattr(self, field.name), getattr(later, field.name)
            lines += [f"+ {field.name}: {item}" for item in sorted(after - before)]
            if field.name != "processes":
                lines += [f"- {field.name}: {item}" for item in sorted(before - after) if not OURS.search(item)]
        return lines


def _rules() -> list[str]:
    """The nftables rules without their counters, a table each; nothing for an ordinary user, who may not read them."""
    if os.geteuid() != 0 or not has_command("nft"):
        return []
    listing = subprocess.run(
        ["nft", "--stateless", "list", "ruleset"], capture_output=True, text=True, env=environment(PATH=TOOL_FOLDERS)
    )
    return ["table " + table.strip() for table in listing.stdout.split("table ") if table]


def _processes(folder: str) -> Iterator[str]:
    """Living processes whose command line, environment or mounts name `folder`, and this process's children."""
    here = proc.namespace("self", "mnt")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = proc.read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        child = proc.status(pid).get("PPid") == str(os.getpid())
        elsewhere = proc.namespace(pid, "mnt") != here
        if pid != str(os.getpid()) and (
            child
            or folder in words
            or folder in proc.read(f"/proc/{pid}/environ")
            or (elsewhere and folder in proc.read(f"/proc/{pid}/mountinfo"))
        ):
            yield f"{pid} {words or proc.status(pid).get('Name', '(gone)')}"


def host_pid(state_root: Path, number: int = 0) -> int:
    """The pid on the host of the `number`-th container below `state_root`, as soon as its program runs."""
    found: list[int] = []

    def running() -> bool:
        records = []
        for path in sorted(state_root.glob("containers/*/state.json"), key=lambda path: path.parent.stat().st_ctime):
            with contextlib.suppress(FileNotFoundError, ValueError):
                records.append(json.loads(path.read_text()))
        found[:] = [record["pid"] for record in records if record["status"] == "running"]
        return len(found) > number

    assert wait_until(running), "no container started"
    return found[number]
