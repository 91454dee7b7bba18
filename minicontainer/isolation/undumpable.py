"""Nobody looks into the first process while it is still ours: PR_SET_DUMPABLE(2const).

From the clone to its exec the container's first process is our interpreter, with the host's `/` as its
root and the host's files open. Who shares its pid namespace (`--pid host`, `--pid container:NAME`) finds
it in /proc, and /proc/PID/root, /proc/PID/fd, /proc/PID/mem are doors. The kernel asks there for
ptrace's rights, ptrace(2): the same user, no capability that the caller has not, or CAP_SYS_PTRACE over
the user namespace of the other. Those protect us at first, but not always to the end: our capabilities
go before our exec comes, and root of the host holds all of them over every user namespace that it has
made, from within a container too. A process that is not dumpable asks for more: CAP_SYS_PTRACE in the
user namespace where its program was started, which is the host's. Exec, of the container's program,
makes it dumpable again.

    ls -ld /proc/PID        belongs to root while PID is not dumpable
"""

from __future__ import annotations

from minicontainer.isolation.feature import Feature
from minicontainer.linux import capability, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container


class Undumpable(Feature):
    """Comes before a foreign namespace is entered or a helper cloned. The child inherits it from its parent."""

    name = "undumpable"
    wall = False

    def before(self, container: Container) -> None:
        # An ordinary user could not write the id maps of such a child; it goes without until it has them.
        effective, _, _ = capability.capget()
        if effective & capability.parse("SYS_PTRACE"):
            process.set_dumpable(False)

    def inside(self, container: Container) -> None:
        process.set_dumpable(False)
