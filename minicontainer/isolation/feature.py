"""The one interface of all walls.

A container's first process is cloned and waits at a gate while its parent works on it from outside
(id maps, cgroup, veth pair); then it works from inside (mounts, capabilities, seccomp) and becomes
the program. So a feature has work on both sides:

    parent                                child
    before(c)
    clone3(flags of all features)  ───▶   waits at the gate
    outside(c, pid)
    GO                             ───▶   inside(c)
                                          execve
    after(c)     always, in reverse order

`after` must be idempotent and may use nothing but the container (its spec and its directory): after
a crash `minicontainer cleanup` calls it in another process. What `before` and `outside` leave on the
host is therefore named after the container's id. A feature object serves one container and may carry
descriptors from `before` to `inside`; the child inherits them through the clone and exec closes them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container


class Feature:
    """One isolation feature. Subclasses override what they need."""

    name = ""
    """What `--only` and `--without` call it."""

    wall = True
    """Whether it is a wall that can be taken down; False for steps that every process needs."""

    cgroup_fd = -1
    """The open directory of the cgroup that the clone puts the child into; only the cgroup feature has one."""

    early_fd = -1
    """A namespace that must be joined before the child is made; only the user and the pid feature may have one."""

    def flags(self, container: Container) -> int:
        """The CLONE_NEW* bits that it adds to the clone."""
        return 0

    def before(self, container: Container) -> None:
        """In the parent, before the clone."""

    def outside(self, container: Container, pid: int) -> None:
        """In the parent, while the child `pid` waits at the gate."""

    def inside(self, container: Container) -> None:
        """In the child, before exec. May import nothing: the container's files are near."""

    def after(self, container: Container) -> None:
        """In the parent or a later process, always; undo what is left on the host."""
