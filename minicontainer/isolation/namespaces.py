"""The namespaces that need little more than a flag: uts, ipc, pid and time. namespaces(7).

A namespace is a kernel object that a process points at: two processes that point at the same one
see the same hostname, or the same pids. A new one is made by a flag of clone3; an existing one is
joined through its file in /proc/PID/ns.

    readlink /proc/PID/ns/*         which ones a process is in; the number identifies the object
    nsenter -t PID --uts hostname   look from inside
"""

from __future__ import annotations

import os

from minicontainer.errors import StateError, UnsupportedError
from minicontainer.isolation.feature import Feature
from minicontainer.linux import process
from minicontainer.linux.files import write_file
from minicontainer.linux.proc import kernel_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container


class NamespaceFeature(Feature):
    """A wall that is a namespace: new if the spec lists it, joined if the spec gives it a path."""

    kind = ""
    """Its type in the OCI specification."""

    def __init__(self) -> None:
        self.joined = -1

    def flags(self, container: Container) -> int:
        wanted = container.spec.namespace(self.kind)
        return process.NAMESPACE_FLAGS[self.kind] if wanted and not wanted.path else 0

    def before(self, container: Container) -> None:
        wanted = container.spec.namespace(self.kind)
        if wanted and wanted.path:
            try:
                self.joined = os.open(wanted.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise StateError(
                    f"no {self.kind} namespace to join at {wanted.path}: {error.strerror}", "is its container running?"
                ) from None

    def inside(self, container: Container) -> None:
        if self.joined >= 0:
            process.setns(self.joined, process.NAMESPACE_FLAGS[self.kind])


class Uts(NamespaceFeature):
    """The container's own host and domain name: uts_namespaces(7)."""

    name = "uts"
    kind = "uts"

    def inside(self, container: Container) -> None:
        super().inside(container)
        if self.flags(container):
            if container.spec.hostname:
                process.sethostname(container.spec.hostname)
            if container.spec.domainname:
                process.setdomainname(container.spec.domainname)


class Ipc(NamespaceFeature):
    """Its own System V shared memory, semaphores, message queues, and POSIX queues: ipc_namespaces(7)."""

    name = "ipc"
    kind = "ipc"


class Pid(NamespaceFeature):
    """Its own process numbers, beginning with 1: pid_namespaces(7).

    A process never changes its pid, so it cannot join a pid namespace itself; setns says where its
    children will be born. That is why this one is joined before there is a child, see `runtime/first.py`.
    """

    name = "pid"
    kind = "pid"

    def before(self, container: Container) -> None:
        super().before(container)
        self.early_fd = self.joined

    def inside(self, container: Container) -> None:
        pass


class Time(NamespaceFeature):
    """Its own offsets of the monotonic and the boot-time clock: time_namespaces(7).

    The offsets can be written only while nobody is in the namespace, so a clone flag comes too early.
    unshare puts the caller's *next* children into the new namespace: the parent does it, writes the
    offsets, and the clone enters. An ordinary user's parent has no right to, only the child in its user
    namespace; there it unshares, and is in the new namespace from its exec on (Linux 6.2).
    """

    name = "time"
    kind = "time"

    def flags(self, container: Container) -> int:
        return 0

    def before(self, container: Container) -> None:
        super().before(container)
        wanted = container.spec.namespace(self.kind)
        if not wanted:
            return
        if not os.path.exists("/proc/self/ns/time"):
            remedy = "they came with Linux 5.6; leave --time-offset out"
            raise UnsupportedError("this kernel has no time namespaces", remedy)
        if not wanted.path and not self._by_child(container):
            self._make(container)

    def outside(self, container: Container, pid: int) -> None:
        if container.spec.namespace(self.kind) and not self._by_child(container):
            own = os.open("/proc/self/ns/time", os.O_RDONLY | os.O_CLOEXEC)
            process.setns(own, process.CLONE_NEWTIME)
            os.close(own)

    def inside(self, container: Container) -> None:
        super().inside(container)
        wanted = container.spec.namespace(self.kind)
        if wanted and not wanted.path and self._by_child(container):
            self._make(container)

    def _by_child(self, container: Container) -> bool:
        return container.spec.minicontainer.rootless

    def _make(self, container: Container) -> None:
        if self._by_child(container) and kernel_version() < (6, 2):
            raise UnsupportedError("--time-offset in a user namespace needs Linux 6.2", "leave one of the two out")
        process.unshare(process.CLONE_NEWTIME)
        offsets = container.spec.linux.time_offsets
        for clock, offset in (("monotonic", offsets.monotonic), ("boottime", offsets.boottime)):
            if offset:
                write_file("/proc/self/timens_offsets", f"{clock} {offset.secs} {offset.nanosecs}\n")
