"""Control groups, version 2, as the files that they are: cgroups(7).

    https://docs.kernel.org/admin-guide/cgroup-v2.html

A group of processes is a directory of the cgroup2 file system: mkdir makes one, rmdir removes it,
and the files that appear in it are its meters and its dials. Every process is in exactly one group,
its children are born there too, and nothing that they do takes them out of reach. Three rules:

- A group has the dials of a controller (cpu, memory, pids, …) only if the group above it lists that
  controller in `cgroup.subtree_control`, which takes what is in its own `cgroup.controllers`.
- No internal processes: a group that hands out controllers holds processes only in groups below it.
  (The root of the hierarchy is excepted.)
- To move a process one must be allowed to write `cgroup.procs` of the group above both places. So an
  ordinary user may do this inside a subtree that was handed over (delegated) to them, and nowhere else.

    systemd-cgls; cat /proc/PID/cgroup; grep . /sys/fs/cgroup/minicontainer/*/pids.*        watch it
"""

from __future__ import annotations

import os
import time
from errno import EBUSY, EEXIST, ENODEV, ENOENT, ESRCH

from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.linux import proc
from minicontainer.linux.calls import syscall
from minicontainer.linux.files import mkdir, rmdir, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable
else:
    import _signal as signal  # `signal` itself imports enum

USUAL_PLACES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
"""Where it is mounted on a machine with version 2 alone, and on one that has version 1 beside it."""

MARK = "user.minicontainer"
"""The extended attribute of the groups that we made. What lacks it is not ours to kill or remove.

It names the group's owner, the directory of a container; the groups above have none.
"""

NOBODY = "-"

LEAF = "minicontainer.self"
"""Where our own process goes when it is in the way."""

PATIENCE = 10.0
"""Seconds to wait for processes to die or to freeze: one that sits in a driver can take a while."""


# -- where we are ---------------------------------------------------------------------------------


def mount_point() -> str:
    """Where cgroup2 is mounted; empty if it is not."""
    for place in USUAL_PLACES:
        if os.path.exists(f"{place}/cgroup.controllers"):  # spares a busy host the parsing of 1,000 mounts
            return place
    return next((mount.target for mount in proc.mounts() if mount.fstype == "cgroup2"), "")


def group_of(pid: int | str = "self") -> str:
    """The directory of the group that process `pid` is in; empty if it is outside what the mount shows."""
    mount = mount_point()
    for row in proc.read(f"/proc/{pid}/cgroup").splitlines():
        if mount and row.startswith("0::/") and not row.startswith("0::/.."):
            group = mount + row[3:].rstrip("/")
            return group if os.path.isdir(group) else ""
    return ""


def top() -> str:
    """The highest group below which this process may make groups and move its children; empty if none.

    For root that is the mount point, for others what was delegated to them.
    """
    mount, own = mount_point(), group_of()
    if not own:
        return ""
    group = mount
    for name in ["", *own[len(mount) :].strip("/").split("/")]:
        group = os.path.join(group, name).rstrip("/")
        if os.access(group, os.W_OK) and os.access(f"{group}/cgroup.procs", os.W_OK):
            return group
    return ""


# -- reading --------------------------------------------------------------------------------------


def words(group: str, file: str) -> list[str]:
    """The words in one of the group's files; none if there is no such file."""
    return proc.read(f"{group}/{file}").split()


def number(group: str, file: str) -> int | None:
    """The number in `memory.current`, `pids.max` and so on; None for `max` and for a missing file."""
    text = proc.read(f"{group}/{file}")
    return int(text) if text.isdigit() else None


def pairs(group: str, file: str) -> dict[str, int]:
    """`cpu.stat`, `memory.events` and the like, as name -> number; empty if there is no such file."""
    return {name: int(value) for name, value in (row.split() for row in proc.read(f"{group}/{file}").splitlines())}


def controllers(group: str) -> list[str]:
    """The controllers that the group could hand out to groups below it."""
    return words(group, "cgroup.controllers")


def processes(group: str) -> list[int]:
    """The processes in the group and in all groups below it."""
    return [int(pid) for place, _, _ in os.walk(group) for pid in words(place, "cgroup.procs")]


def is_populated(group: str) -> bool:
    """Whether a living process is in the group or below it."""
    return pairs(group, "cgroup.events").get("populated") == 1


def is_ours(group: str) -> bool:
    """Whether minicontainer made this group."""
    try:
        return bool(os.getxattr(group, MARK))
    except OSError:
        return False


def owner(group: str) -> str:
    """The directory of the container that the group was made for; empty if there is none."""
    try:
        text = os.fsdecode(os.getxattr(group, MARK))
    except OSError:
        return ""
    return text if text.startswith("/") else ""


# -- making and removing --------------------------------------------------------------------------


@syscall
def setxattr(path: str, name: str, value: bytes) -> None:
    """setxattr(2). cgroup2 keeps user attributes since Linux 5.7."""
    os.setxattr(path, name, value)


def make(group: str, below: str, wanted: Iterable[str] = (), must: bool = False, owner: str = NOBODY) -> None:
    """Make `group` for `owner`, and what is missing between it and the group `below`, with the controllers `wanted`.

    A controller that could not be enabled is no error; `controllers(group)` tells. With `must`,
    this process leaves a group that it keeps from handing out controllers. Raises KernelError.
    """
    for attempt in range(10):
        try:
            _make(group, below, wanted, must, owner)
            return
        except KernelError as error:
            # Somebody's last container ended just now and took the parent with it.
            if error.errno not in (ENOENT, ENODEV) or attempt == 9:
                raise


def _make(group: str, below: str, wanted: Iterable[str], must: bool, owner: str) -> None:
    place = below
    for name in group[len(below) :].strip("/").split("/"):
        enable(place, wanted, must)
        place = f"{place}/{name}"
        if not os.path.exists(place):
            try:
                mkdir(place, 0o755)
            except KernelError as error:
                if error.errno != EEXIST:
                    raise
            setxattr(place, MARK, NOBODY.encode())
    setxattr(group, MARK, os.fsencode(owner))


def enable(group: str, wanted: Iterable[str], must: bool = False) -> None:
    """Let `group` hand out those of the controllers `wanted` that it has."""
    missing = set(wanted) & set(controllers(group)) - set(words(group, "cgroup.subtree_control"))
    if missing and not is_root(group) and words(group, "cgroup.procs"):
        # Memory or io would be refused. Cpu or pids alone would not: they would turn the group into
        # a threaded one, below which no container can live.
        if not must or group != group_of():
            return
        evacuate(group)
    if missing and not _hand_out(group, missing):
        for controller in missing:
            _hand_out(group, {controller})


def _hand_out(group: str, names: set[str]) -> bool:
    """Whether the kernel takes them: all or none (real-time processes, for example, are in the way of cpu)."""
    try:
        write_file(f"{group}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(names)))
        return True
    except KernelError as error:
        if error.errno in (ENOENT, ENODEV):
            raise
        return False


def is_root(group: str) -> bool:
    """Whether this is the root of the whole hierarchy, not only of what a namespace shows."""
    return not os.path.exists(f"{group}/cgroup.type")


def evacuate(group: str) -> None:
    """Move the processes in `group` into a leaf below it. Raises KernelError."""
    leaf = f"{group}/{LEAF}"
    if not os.path.exists(leaf):
        mkdir(leaf, 0o755)
        setxattr(leaf, MARK, NOBODY.encode())
    while pids := words(group, "cgroup.procs"):
        for pid in pids:
            try:
                write_file(f"{leaf}/cgroup.procs", pid)
            except KernelError as error:
                if error.errno != ESRCH:
                    raise


def remove(group: str) -> None:
    """Remove the group, all below it, and those above it that we made and that are empty now.

    No error if it is not there. Raises KernelError with EBUSY while a process is left in it.
    """
    for place, _, _ in os.walk(group, topdown=False):
        _rmdir(place)
    parent = os.path.dirname(group)
    while is_ours(parent) and not next(os.walk(parent), ("", [], []))[1]:
        try:
            rmdir(parent)
        except KernelError:
            return  # a new container is faster
        parent = os.path.dirname(parent)


def _rmdir(group: str) -> None:
    for pause in (0.001, 0.01, 0.1, 1, 0):
        try:
            rmdir(group)
            return
        except KernelError as error:
            if error.errno == ENOENT:
                return
            if error.errno != EBUSY or not pause:
                raise
        time.sleep(pause)  # the last process has been waited for, but the kernel has not let go of it yet


# -- acting on all processes ----------------------------------------------------------------------


@syscall
def send_signal(pid: int, number: int) -> None:
    """kill(2)."""
    os.kill(pid, number)


def kill(group: str) -> None:
    """End every process in the group and below it, and wait for that. Raises MinicontainerError if one stays."""
    if os.path.exists(f"{group}/cgroup.kill"):  # Linux 5.14
        write_file(f"{group}/cgroup.kill", "1")
    else:
        freeze(group)  # whoever is frozen cannot fork any more, but can be killed
        for pid in processes(group):
            send_signal(pid, signal.SIGKILL)
    if not wait_for(group, "populated", 0):
        raise MinicontainerError(f"processes in {group} do not end", "they wait in the kernel; `ps -eo pid,stat,wchan`")


def freeze(group: str) -> None:
    """Stop every process in the group and below it, and wait for that. Raises MinicontainerError if one runs on."""
    write_file(f"{group}/cgroup.freeze", "1")
    if not wait_for(group, "frozen", 1):
        thaw(group)
        raise MinicontainerError(f"processes in {group} do not freeze", "they wait in the kernel; try again")


def thaw(group: str) -> None:
    """Let them run again."""
    write_file(f"{group}/cgroup.freeze", "0")


def wait_for(group: str, event: str, value: int, seconds: float = PATIENCE) -> bool:
    """Wait until `event` in cgroup.events (populated, frozen) has that value; False if it takes too long.

    A group that is gone has nobody in it. The file can be polled: it wakes its readers when it changes.
    """
    deadline = time.monotonic() + seconds
    try:
        fd = os.open(f"{group}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return event == "populated"
    try:
        while f"{event} {value}".encode() not in os.pread(fd, 4096, 0).splitlines():
            if time.monotonic() > deadline:
                return False
            import select  # 0.5 ms that most containers never need

            poller = select.poll()
            poller.register(fd, select.POLLPRI)
            poller.poll(1000 * max(0, deadline - time.monotonic()))
        return True
    except OSError:
        return event == "populated"
    finally:
        os.close(fd)
