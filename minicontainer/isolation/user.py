"""Own user ids: root inside is nobody in particular outside. user_namespaces(7).

A user namespace maps ids: with `0 100000 65536` in /proc/PID/uid_map, uid 0 inside is uid 100000 for
the rest of the system, and owns there what 100000 owns: nothing. It also limits every capability:
CAP_SYS_ADMIN inside reaches only the other namespaces that belong to this one. That is what lets an
ordinary user make a container at all.

The map is written once, from outside. Root may write any; others only their own id, or through the
setuid helpers newuidmap(1) and newgidmap(1) the ranges that /etc/subuid and /etc/subgid give them.

    cat /proc/PID/uid_map; ps -o uid,cmd PID        watch it
"""

from __future__ import annotations

import os

from minicontainer.errors import KernelError, MinicontainerError, SpecError, UnsupportedError, pack, unpack
from minicontainer.isolation.namespaces import NamespaceFeature
from minicontainer.linux import process, programs
from minicontainer.linux.files import write_file
from minicontainer.linux.proc import read
from minicontainer.linux.programs import find_program
from minicontainer.spec import IDMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from minicontainer.runtime.container import Container
else:
    import _signal as signal  # `signal` itself imports enum

BLOCK = 65536
"""How many ids `--userns auto` gives a container: all that 16-bit programs know, as Docker does."""

FIRST_BLOCK = 1 << 30
"""Where root's automatic blocks begin: far above the ranges that useradd(8) writes into /etc/subuid."""

BLOCKS = (1 << 30) // BLOCK
"""How many there are: ids up to 2**31, since some programs take greater ones for negative."""


class User(NamespaceFeature):
    name = "user"
    kind = "user"

    def before(self, container: Container) -> None:
        super().before(container)
        self.early_fd = self.joined

    def outside(self, container: Container, pid: int) -> None:
        if not self.flags(container):
            return
        linux = container.spec.linux
        write_map(pid, "uid", linux.uid_mappings)
        write_map(pid, "gid", linux.gid_mappings)

    def inside(self, container: Container) -> None:
        if container.spec.namespace(self.kind):
            if read("/proc/self/setgroups") == "allow":
                process.setgroups([])
            process.setresgid(0, 0, 0)
            process.setresuid(0, 0, 0)


def may_map_anything() -> bool:
    """Whether this process may write any id map: root's CAP_SETUID in the initial user namespace, or alike."""
    return os.geteuid() == 0


def write_map(pid: int, kind: str, mappings: list[IDMapping]) -> None:
    """Give the process `pid` its `uid` or `gid` map."""
    rows = [(m.container_id, m.host_id, m.size) for m in mappings]
    if kind == "gid" and len(rows) == 1 and not may_map_anything():
        write_file(f"/proc/{pid}/setgroups", "deny")  # the kernel's condition for mapping one's own gid
    if may_map_anything() or len(rows) == 1:
        write_file(f"/proc/{pid}/{kind}_map", "".join(f"{a} {b} {n}\n" for a, b, n in rows))
        return
    words = (f"new{kind}map", str(pid), *(str(number) for row in rows for number in row))
    try:
        programs.run(programs.Job(words))
    except MinicontainerError as error:
        last = f"{rows[-1][1]} and the {rows[-1][2] - 1} after it"
        raise UnsupportedError(error.cause, error.remedy or f"does /etc/sub{kind} give {last} to you?") from None


# -- which ids ----------------------------------------------------------------------------------


def mappings(userns: str, taken: list[IDMapping], id: str) -> tuple[list[IDMapping], list[IDMapping]]:
    """The uid and gid maps for `--userns auto` or `UID:GID:COUNT`. `taken` are the ranges of other containers.

    An automatic block is looked for from where the container's `id` points, so that containers that
    start at the same moment look in different places. Raises SpecError for a malformed value.
    """
    if os.geteuid() != 0:
        return rootless_map("uid", os.geteuid()), rootless_map("gid", os.getegid())
    if userns == "auto":
        number = int(id[:8], 16)
        while True:
            first = FIRST_BLOCK + number % BLOCKS * BLOCK
            if not any(m.host_id < first + BLOCK and first < m.host_id + m.size for m in taken):
                break
            number += 1
        return [IDMapping(host_id=first, size=BLOCK)], [IDMapping(host_id=first, size=BLOCK)]
    try:
        uid, gid, count = map(int, userns.split(":"))
    except ValueError:
        raise SpecError(f"--userns {userns!r} is not understood", "use auto, host or UID:GID:COUNT") from None
    if min(uid, gid) < 0 or count < 1 or max(uid, gid) + count > 1 << 32:
        raise SpecError(f"--userns {userns!r} is out of range", "ids are 0 to 4294967295 and COUNT at least 1")
    return [IDMapping(host_id=uid, size=count)], [IDMapping(host_id=gid, size=count)]


def rootless_map(kind: str, own: int) -> list[IDMapping]:
    """An ordinary user's map: 0 is the user; from 1 on what /etc/subuid or /etc/subgid grants, if it can be used."""
    result = [IDMapping(host_id=own, size=1)]
    granted = subordinate_ids(kind)
    if granted and find_program(f"new{kind}map"):
        result.append(IDMapping(container_id=1, host_id=granted[0], size=granted[1]))
    return result


def subordinate_ids(kind: str) -> tuple[int, int] | None:
    """The first (start, count) that /etc/subuid or /etc/subgid grants this user: subuid(5)."""
    names = {str(os.getuid()), login_name()}
    for row in read(f"/etc/sub{kind}").splitlines():
        owner, _, span = row.partition(":")
        start, _, count = span.partition(":")
        if owner in names and start.isdigit() and count.isdigit():
            return int(start), int(count)
    return None


def login_name() -> str:
    """The name of this process's user, or an empty string."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


# -- without a container ------------------------------------------------------------------------


def namespace_with(uids: list[IDMapping], gids: list[IDMapping]) -> int:
    """A descriptor of a user namespace with these maps, that nobody is in.

    It is made by a process that does nothing but be in it until it is mapped. mount_setattr(2) takes
    the map of an idmapped mount from such a namespace.
    """
    pid, pidfd = process.clone3(process.CLONE_NEWUSER)
    if pid == 0:
        process.set_pdeathsig(signal.SIGKILL)
        signal.pause()
        os._exit(0)
    try:
        write_map(pid, "uid", uids)
        write_map(pid, "gid", gids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"open(/proc/{pid}/ns/user)", error.errno or 0) from None
    finally:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pidfd)


def as_root_inside(container: Container, action: Callable[[], None]) -> None:
    """Do `action` in a process that is what the container's root was, in a user namespace with the same maps.

    An ordinary user needs that to remove what other users of their container have left: those have ids
    of /etc/subuid, and their files are as far out of reach as anybody else's. Raises MinicontainerError.
    """
    namespace = namespace_with(container.spec.linux.uid_mappings, container.spec.linux.gid_mappings)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            process.setns(namespace, process.CLONE_NEWUSER)
            process.setresgid(0, 0, 0)
            process.setresuid(0, 0, 0)
            action()
        except BaseException as error:
            os.write(writer, pack(error))
        finally:
            os._exit(0)
    os.close(namespace)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    if said:
        raise unpack(said)
