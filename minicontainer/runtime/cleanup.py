"""What a crash has left, and how it goes: SIGKILL lets nobody clean up after themselves.

Whoever takes care of a container holds a lock on its directory, flock(2), and the kernel drops a lock
with its holder, however that ends. So a directory whose lock can be had is nobody's any more. All that
its container had on the host is written in it, or on the things themselves:

    directory       state.json names the first process (pid and start time) and the control group
    control group   the extended attribute `user.minicontainer` names the directory
    network         the ledger's links lead from address and port to the directory

Each of them was written down before the thing itself was made. What no directory of this state folder
is written on belongs to somebody else and is left alone.

    minicontainer cleanup --dry-run         watch it
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Callable, Iterator
from functools import partial

from minicontainer.errors import MinicontainerError
from minicontainer.isolation import bridge, cgroup
from minicontainer.isolation.ledger import Ledger
from minicontainer.isolation.order import ORDER
from minicontainer.linux import cgroup2, files, net, process
from minicontainer.linux.programs import run
from minicontainer.quickjson import parse
from minicontainer.runtime.container import Container, state_root
from minicontainer.spec import Spec

PATIENCE_MILLISECONDS = 10_000
"""How long a killed process may take to end: it can sit in a driver for a while."""


class Leftover:
    """One thing that is to go: what it is called, and the function that removes it, which raises on failure."""

    def __init__(self, what: str, remove: Callable[[], None]) -> None:
        self.what = what
        self.remove = remove


def leftovers() -> Iterator[Leftover]:
    """All that a crash has left here. Each is locked against everybody else until the next one is asked for.

    Later ones may come to light by the removal of those before.
    """
    yield from abandoned_containers()
    yield from lost_groups()
    if os.geteuid() == 0:  # an ordinary user's containers leave nothing on the bridge
        yield from lost_network()


# -- containers ---------------------------------------------------------------------------------


def abandoned_containers() -> Iterator[Leftover]:
    """Containers that nobody takes care of any more."""
    folder = os.path.join(state_root(), "containers")
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        keeper = Container(name, Spec(), os.path.join(folder, name))
        if take_over(keeper):
            try:
                container = read(keeper.dir)
                yield Leftover(describe(container), partial(remove, container))
            finally:
                keeper.unlock()


def take_over(container: Container) -> bool:
    """Take the container's lock; False if somebody else has it, or its directory has just gone."""
    folder = os.open(os.path.dirname(container.dir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # now nobody is between making a directory and locking it
        if not container.lock():
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        os.close(folder)
    if os.path.exists(container.dir):
        return True
    container.unlock()  # its owner removed it before letting go
    return False


def read(dir: str) -> Container:
    """The container in `dir`, as far as it can be read: its maker may have been killed while writing."""
    try:
        return Container.load(dir)
    except MinicontainerError:
        container = Container(os.path.basename(dir), Spec(), dir)
    try:
        with open(container.path("state.json"), encoding="utf-8") as file:
            container.record.update(parse(file.read()))
    except (OSError, ValueError, TypeError):
        pass  # then there is nothing on the host yet: the record comes first
    return container


def describe(container: Container) -> str:
    """One line: which container, and what of it is left."""
    name, record = container.spec.minicontainer.name, container.record
    parts = ["its directory"]
    if pid := container.pid:
        parts.append(f"process {pid}")
    if os.path.isdir(record.get("cgroup") or "-"):
        parts.append("control group")
    if place := record.get("network"):
        parts.append(f"address {place['address']}")
    parts += dict.fromkeys(f"port {port['hostPort']}/{port['protocol']}" for port in record.get("ports", ()))
    return f"container {container.short_id}{f' ({name})' if name else ''}: {', '.join(parts)}"


def remove(container: Container) -> None:
    """End what still runs of a container, have every feature undo its part, remove the directory.

    Raises MinicontainerError with all that failed; the directory then stays, for another try.
    """
    failures = []
    for step in (end, *(kind().after for kind in reversed(ORDER)), remove_unmarked):
        try:
            step(container)
        except (MinicontainerError, OSError) as error:
            failures.append(str(error))
    if failures:
        raise MinicontainerError("; ".join(failures))
    files.remove_tree(container.dir)


def end(container: Container) -> None:
    """Kill the container's first process, and with it all in its pid namespace. The others are the cgroup feature's."""
    pid = container.pid
    if not pid:
        return
    try:
        pidfd = process.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if container.pid != pid:
            return  # it has ended, and the number is somebody else's by now
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        if not gone.poll(PATIENCE_MILLISECONDS):
            raise MinicontainerError(f"process {pid} does not end", f"it waits in the kernel; `cat /proc/{pid}/stack`")
    finally:
        os.close(pidfd)


def remove_unmarked(container: Container) -> None:
    """Remove the group above the container's, if the crash came between its making and its marking."""
    parent = os.path.dirname(container.record.get("cgroup", ""))
    if os.path.basename(parent) != cgroup.PARENT or not os.path.isdir(parent) or cgroup2.is_ours(parent):
        return
    if not next(os.walk(parent))[1] and not cgroup2.is_populated(parent):
        files.rmdir(parent)


# -- control groups -----------------------------------------------------------------------------


def lost_groups() -> Iterator[Leftover]:
    """Groups of containers of this state folder whose directory is gone."""
    folder = os.path.join(state_root(), "containers", "")
    for group, _, _ in os.walk(cgroup2.top()):
        owner = cgroup2.owner(group)
        if owner.startswith(folder) and not os.path.exists(owner):
            yield Leftover(f"control group {group}", partial(remove_group, group))


def remove_group(group: str) -> None:
    """End all that is in the group, and remove it."""
    if cgroup2.is_populated(group):
        cgroup2.kill(group)
    cgroup2.remove(group)


# -- the network --------------------------------------------------------------------------------


def lost_network() -> Iterator[Leftover]:
    """Addresses, ports and cables without a container; and the bridge, if there is none with one."""
    if not os.path.isdir(Ledger().dir):
        return
    with Ledger() as ledger:
        for name in sorted(ledger.names()):
            if not os.path.exists(ledger.owner(name)):
                what = f"{name} of container {os.path.basename(ledger.owner(name))[:12]}"
                yield Leftover(what, partial(bridge.release, ledger, [name]))
        for cable in loose_cables(ledger):
            yield Leftover(f"interface {cable}", partial(run, net.ip(f"link del {cable}")))
        if ledger.facts() is not None and not ledger.in_use():
            yield Leftover(f"bridge {bridge.BRIDGE} and its rules", partial(bridge.tear_down, ledger))


def loose_cables(ledger: Ledger) -> list[str]:
    """Interfaces plugged into the bridge that are nobody's. A cable is there only as long as its owner's address."""
    try:
        plugged = os.listdir(f"/sys/class/net/{bridge.BRIDGE}/brif")
    except FileNotFoundError:
        return []
    known = {bridge.veth_name(ledger.owner(name)) for name in ledger.names()}
    return sorted(name for name in plugged if name.startswith("mc") and name not in known)
