"""The process itself: session, terminal, keyring, resource limits, kernel settings.

setsid(2), pty(7), session-keyring(7), setrlimit(2), proc_pid_oom_score_adj(5), proc_sys(5)
"""

from __future__ import annotations

import errno
import os

from minicontainer.errors import KernelError, SpecError, UnsupportedError
from minicontainer.isolation.feature import Feature
from minicontainer.linux import files, mount, process, pty
from minicontainer.linux.keyring import join_session_keyring
from minicontainer.linux.paths import make_in, open_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.spec import Rlimit, Spec


class Session(Feature):
    name = "session"
    wall = False

    def before(self, container: Container) -> None:
        for name in container.spec.linux.sysctl:
            check_sysctl(container.spec, name)

    def outside(self, container: Container, pid: int) -> None:
        adjustment = container.spec.process.oom_score_adj
        if adjustment is not None:
            files.write_file(f"/proc/{pid}/oom_score_adj", str(adjustment))

    def inside(self, container: Container) -> None:
        spec = container.spec
        process.setsid()
        try:
            join_session_keyring(container.id)
        except KernelError as error:
            if error.errno != errno.ENOSYS:  # a kernel without key rings has none of the host's to hide
                raise
        for name, value in spec.linux.sysctl.items():
            set_sysctl(name, value)
        for limit in spec.process.rlimits:
            set_limit(limit)
        if spec.process.terminal:
            self._terminal(container)

    def _terminal(self, container: Container) -> None:
        """Make a pty in the container's own /dev/pts, send the master out, take the slave as 0, 1 and 2."""
        master = open_in(container.root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        slave = pty.open_slave(master)
        if size := container.spec.process.console_size:
            pty.set_size(master, size.height, size.width)
        uid = container.spec.process.user.uid
        if uid:
            files.fchown(slave, uid, -1)
        if "filesystems" not in container.spec.minicontainer.without:
            console = make_in(container.root_fd, "/dev/console", directory=False)
            tree = mount.open_tree(slave, "", mount.OPEN_TREE_CLONE | mount.OPEN_TREE_CLOEXEC | mount.AT_EMPTY_PATH)
            mount.move_mount(tree, console)
        container.channel.send_terminal(master)
        pty.set_controlling_terminal(slave)
        for number in (0, 1, 2):
            os.dup2(slave, number)


SYSCTLS = {
    "network": ("net.",),
    "ipc": (
        "fs.mqueue.", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    ),
    "uts": ("kernel.hostname", "kernel.domainname"),
}  # fmt: skip
"""Namespace -> the settings that belong to it, or what they begin with. All others belong to the whole machine."""


def check_sysctl(spec: Spec, name: str) -> None:
    """Raise SpecError if the setting does not belong to a namespace that the container has, and the host has not."""
    key = name.replace("/", ".")
    kind = next((kind for kind in SYSCTLS if key.startswith(SYSCTLS[kind])), "")
    space = spec.namespace(kind)
    if not space or ".." in key or (space.path and is_our_own(space.path, kind)):
        known = ", ".join(start + "*" * start.endswith(".") for kind in SYSCTLS for start in SYSCTLS[kind])
        raise SpecError(f"the sysctl {name} would change more than the container", f"it can be {known}")


def is_our_own(path: str, kind: str) -> bool:
    """Whether `path` names the namespace of that kind that this process is in."""
    return os.path.samefile(path, f"/proc/self/ns/{process.NAMESPACE_FILES[kind]}")


def set_sysctl(name: str, value: str) -> None:
    """Write one kernel setting of this process's namespaces; `name` with dots or slashes: sysctl(8)."""
    path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
    try:
        files.write_file(path, value)
    except KernelError as error:
        raise SpecError(
            f"sysctl {name}={value} failed: {os.strerror(error.errno)}", f"does {path} exist, and take that value?"
        ) from None


def set_limit(limit: Rlimit) -> None:
    """Set one resource limit."""
    soft, hard = (-1 if number >= 1 << 63 else number for number in (limit.soft, limit.hard))
    try:
        process.setrlimit(limit.type, soft, hard)
    except (AttributeError, ValueError, KernelError) as error:
        raise UnsupportedError(
            f"cannot set {limit.type} to {limit.soft}:{limit.hard}: {error}",
            "raising a hard limit takes CAP_SYS_RESOURCE, which `minicontainer doctor` shows",
        ) from None
