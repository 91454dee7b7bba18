"""What the tests of `run --as-shell` share: a container, by the command or by its script, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicontainer.linux import capability, cgroup2, proc
from tests.support import command, environment, wait_until

PROGRAM = ("sleep", "987")
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
GROUP_FILES = (
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "pids.max",
    "cpu.max",
    "cpu.weight",
    "io.max",
    "cgroup.type",
)

Facts = dict[str, Any]
Differences = dict[str, tuple[Any, Any]]


def script(folder: Path, *options: str | Path, env: dict[str, str] | None = None) -> Path:
    """The script that `run --as-shell` prints for these options, in a file."""
    words = command("run", "--as-shell", *options)
    done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, env=env or environment(), timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    path = folder / "container.sh"
    path.write_bytes(done.stdout)
    return path


def shellcheck(path: Path) -> str:
    """What shellcheck(1) finds in a script."""
    return subprocess.run(["shellcheck", "-s", "sh", path], capture_output=True, text=True).stdout


def without_us() -> dict[str, str]:
    """An environment in which nothing of ours can be found."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"}


@contextmanager
def running(words: list[str], env: dict[str, str]) -> Iterator[int]:
    """The pid of PROGRAM in a container that `words` start. It is ended by SIGTERM to the starter, and waited for."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )
    found: list[int] = []

    def started() -> bool:
        time.sleep(0.05)  # where there is a single processor, leave it to them
        found[:] = [pid for pid in descendants(process.pid) if is_program(pid)]
        return bool(found) or process.poll() is not None

    try:
        wait_until(started, 60)
        assert found, process.communicate()[0] if process.poll() is not None else "no container after a minute"
        yield found[0]
    finally:
        for _ in range(3):  # so many, and the command kills its container
            if process.poll() is None:
                process.terminate()
                wait_until(lambda: process.poll() is not None, 0.05)
        process.communicate(timeout=30)


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    result = []
    for child in map(int, proc.read(f"/proc/{pid}/task/{pid}/children").split()):
        result += [child, *descendants(child)]
    return result


def is_program(pid: int) -> bool:
    return proc.read(f"/proc/{pid}/cmdline").split("\0")[:2] == list(PROGRAM)


# -- facts --------------------------------------------------------------------------------------


def facts(pid: int) -> Facts:
    """What can be seen of a container from outside, by its first process."""
    status = proc.status(pid)
    group = cgroup2.group_of(pid)
    return {
        **{f"namespace {kind}": proc.namespace(pid, kind) != proc.namespace("self", kind) for kind in KINDS},
        **{f"mount {m.target}": (m.fstype, sorted(m.options.split(","))) for m in proc.mounts(pid)},
        **{name: status[name] for name in ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk")},
        **{
            name: capability.names(int(status[name], 16)) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        },
        **{f"limit {file}": proc.read(f"{group}/{file}") for file in GROUP_FILES},
        **{
            name: proc.read(f"/proc/{pid}/{name}") for name in ("uid_map", "gid_map", "timens_offsets", "oom_score_adj")
        },
        "rlimits": proc.read(f"/proc/{pid}/limits"),
        "cgroup": os.path.dirname(group),
        "processes in the group": len(cgroup2.processes(group)),
        "pid inside": status["NSpid"].split()[-1],
        "words": proc.read(f"/proc/{pid}/cmdline").split("\0"),
        "environment": sorted(proc.read(f"/proc/{pid}/environ").split("\0")),
        "cwd": os.readlink(f"/proc/{pid}/cwd"),
        "session": session(pid),
        "descriptors": [fd for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) < 10],
        **network(pid),
        **uts(pid),
        **files(pid),
    }


def session(pid: int) -> bool:
    """Whether it leads its session."""
    return proc.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[3] == str(pid)


def enter(pid: int, kind: str, *words: str) -> str:
    return subprocess.run(["nsenter", "-t", str(pid), f"--{kind}", *words], capture_output=True, text=True).stdout


def network(pid: int) -> Facts:
    if proc.namespace(pid, "net") == proc.namespace("self", "net"):
        return {}
    addresses = {
        link["ifname"]: (
            [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"],
            link["mtu"],
            "UP" in link["flags"],
        )
        for link in json.loads(enter(pid, "net", "ip", "-json", "addr"))
    }
    routes = [
        (r["dst"], r.get("gateway", ""), r["dev"])
        for family in "46"
        for r in json.loads(enter(pid, "net", "ip", "-json", f"-{family}", "route") or "[]")
    ]
    names = ("net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range", "net/ipv6/conf/eth0/accept_ra")
    settings = {name: enter(pid, "net", "cat", f"/proc/sys/{name}") for name in names}
    return {**{f"interface {name}": value for name, value in addresses.items()}, "routes": sorted(routes), **settings}


def uts(pid: int) -> Facts:
    if proc.namespace(pid, "uts") == proc.namespace("self", "uts"):
        return {}
    return {"hostname": enter(pid, "uts", "hostname"), "domainname": enter(pid, "uts", "domainname")}


def files(pid: int) -> Facts:
    """What is in /dev, and the owners of some files, as numbers outside."""
    root = f"/proc/{pid}/root"
    if os.path.samefile(root, "/"):
        return {"root": "the host's"}
    nodes = {}
    for name in sorted(os.listdir(f"{root}/dev")):
        info = os.lstat(f"{root}/dev/{name}")
        link = os.readlink(f"{root}/dev/{name}") if os.path.islink(f"{root}/dev/{name}") else ""
        nodes[f"/dev/{name}"] = (oct(info.st_mode), info.st_rdev, link)
    owners = {
        f"owner {path}": (os.stat(root + path).st_uid, os.stat(root + path).st_gid) for path in ("/", "/etc/passwd")
    }
    content = {path: proc.read(root + path) for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")}
    return {**nodes, **owners, **content, "/": sorted(os.listdir(root))}


def compare(ours: Facts, shells: Facts, id: tuple[str, str]) -> Differences:
    """What differs: name -> (by the command, by the script), but for the two containers' ids."""
    left, right = (
        json.loads(json.dumps(side).replace(name, "ID")) for side, name in zip((ours, shells), id, strict=True)
    )
    return {name: (left.get(name), right.get(name)) for name in {**left, **right} if left.get(name) != right.get(name)}


def both(folder: Path, *options: str | Path, rootfs: Path) -> Differences:
    """Run the same container twice, by the command and by its script: what differs."""
    words = (*options, rootfs, *PROGRAM)
    with running(command("run", *words), environment()) as pid:
        ours, id = facts(pid), name_of(pid)
    path = script(folder, *words)
    with running(["sh", str(path)], without_us()) as pid:
        shells, other = facts(pid), name_of(pid)
    return compare(ours, shells, (id, other))


def name_of(pid: int) -> str:
    """The container's host name; its id, if it was given none."""
    variables = dict(entry.partition("=")[::2] for entry in proc.read(f"/proc/{pid}/environ").split("\0"))
    return variables.get("HOSTNAME", "-")


# -- what may differ ----------------------------------------------------------------------------


def known(differences: Differences) -> list[str]:
    """The differences that the script itself tells of ("Not here"), by name; they are taken out of `differences`."""
    found = []
    for name, (ours, shells) in list(differences.items()):
        for reason, is_it in KNOWN.items():
            if is_it(name, ours, shells):
                found.append(reason)
                del differences[name]
    return sorted(set(found))


KNOWN: dict[str, Callable[[str, Any, Any], bool]] = {
    "no filter of system calls": lambda name, ours, shells: (name, ours, shells) == ("Seccomp", "2", "0"),
    "no CAP_MKNOD": lambda name, ours, shells: (
        name.startswith("Cap") and [each for each in ours if each != "CAP_MKNOD"] == shells
    ),
    "a root that is nodev": lambda name, ours, shells: (
        name == "mount /" and (ours[0], sorted([*ours[1], "nodev"])) == (shells[0], shells[1])
    ),
    "other process numbers": lambda name, ours, shells: name == "pid inside" and "1" not in (ours, shells),
}
