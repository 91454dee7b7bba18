"""A process in a container, looked at from outside: what /proc/PID says about it. proc(5), namespaces(7).

ls -l /proc/PID/ns; cat /proc/PID/mountinfo /proc/PID/status       the same by hand
"""

from __future__ import annotations

import os
import signal
import socket

from minicontainer.lessons import building
from minicontainer.linux import proc
from minicontainer.linux.capability import names
from minicontainer.linux.process import CLONE_NEWUTS, setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.lessons.subject import Answer, Subject


class Host:
    """The host, or the stand-in that this process is in: what the container should not share."""

    @property
    def pid(self) -> int:
        return os.getpid()

    def ns(self, kind: str) -> int:
        """The inode number of a namespace: uts, pid, mnt, net, ipc, user, cgroup, time."""
        return proc.namespace("self", kind)

    def hostname(self) -> str:
        return socket.gethostname()

    def mounts(self) -> list[proc.MountInfo]:
        return proc.mounts()


class Inside:
    """The process `pid` (as the host counts) that the subject runs."""

    host = Host()

    def __init__(self, subject: Subject, pid: int) -> None:
        self.subject, self.pid = subject, pid

    def ask(self, *program: str, input: str = "", seconds: float = 10) -> Answer:
        """Run another program through the same subject, in a new container: what came of it."""
        return self.subject.ask(*program, input=input, seconds=seconds)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send it a signal from outside; the status that the subject then ends with (124: it does not end)."""
        os.kill(self.pid, number)
        return self.subject.status()

    # -- namespaces --

    def ns(self, kind: str) -> int:
        """The inode number of one of its namespaces; 0 if it cannot be read."""
        return proc.namespace(self.pid, kind)

    def own(self, kind: str) -> bool:
        """Whether it has this namespace for itself: neither the host's nor the stand-in's."""
        number = self.ns(kind)
        return bool(number) and all(number != host[kind] for host in building.hosts())

    def hostname(self) -> str:
        """Its host name: uname(2) in its uts namespace."""
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            try:
                setns(os.open(f"/proc/{self.pid}/ns/uts", os.O_RDONLY), CLONE_NEWUTS)
                os.write(writer, os.fsencode(socket.gethostname()))
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, encoding="utf-8", errors="replace") as pipe:
            name = pipe.read()
        os.waitpid(child, 0)
        return name

    def pids(self) -> list[int]:
        """Its pid as each pid namespace counts it, from the host's to its own."""
        return [int(word) for word in self.status().get("NSpid", "").split()]

    def uid_map(self) -> list[tuple[int, ...]]:
        """(first id inside, first id outside, how many), for each range: user_namespaces(7)."""
        return [tuple(map(int, row.split())) for row in proc.read(f"/proc/{self.pid}/uid_map").splitlines()]

    def gid_map(self) -> list[tuple[int, ...]]:
        return [tuple(map(int, row.split())) for row in proc.read(f"/proc/{self.pid}/gid_map").splitlines()]

    # -- files --

    def mounts(self) -> list[proc.MountInfo]:
        """Its mounts, in order, as it sees them."""
        return proc.mounts(self.pid)

    def mount(self, target: str) -> proc.MountInfo | None:
        """What is mounted at `target`, on top; or None."""
        found = [mount for mount in self.mounts() if mount.target == target]
        return found[-1] if found else None

    def files(self, path: str = "/") -> list[str]:
        """The names in one of its directories, sorted; none if there is no such directory."""
        try:
            return sorted(os.listdir(self._at(path)))
        except OSError:
            return []

    def read(self, path: str) -> str:
        """One of its files, without the newline at its end; empty if it cannot be read.

        Not for files under its /proc that tell of the reader, such as /proc/self.
        """
        return proc.read(self._at(path))

    def stat(self, path: str = "/") -> os.stat_result | None:
        """lstat(2) of one of its files; None if there is none."""
        try:
            return os.lstat(self._at(path))
        except OSError:
            return None

    def cwd(self) -> str:
        return os.readlink(f"/proc/{self.pid}/cwd")

    def descriptors(self) -> dict[int, str]:
        """Its open files: number -> what it is."""
        folder = f"/proc/{self.pid}/fd"
        return {int(name): os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}

    def _at(self, path: str) -> str:
        return f"/proc/{self.pid}/root/{path.lstrip('/')}"

    # -- rights and limits --

    def status(self) -> dict[str, str]:
        """/proc/PID/status as a dictionary."""
        return proc.status(self.pid)

    def capabilities(self, which: str = "Eff") -> set[str]:
        """The names in one of its sets (Eff, Prm, Bnd, Inh, Amb), such as CAP_CHOWN: capabilities(7)."""
        return set(names(int(self.status().get(f"Cap{which}", "0"), 16)))

    def cgroup(self) -> str:
        """Its version 2 control group as a directory of the host; empty if that cannot be told. cgroups(7)."""
        rows = [row for row in proc.read(f"/proc/{self.pid}/cgroup").splitlines() if row.startswith("0::")]
        tops = [mount.target for mount in proc.mounts() if mount.fstype == "cgroup2"]
        return (tops[0] + rows[0][3:]).rstrip("/") if rows and tops else ""

    def limit(self, file: str) -> str:
        """A file of its control group, such as memory.max; empty if there is none."""
        return proc.read(f"{self.cgroup()}/{file}")
