"""A control group of its own: what a container may use, and the handle to all its processes. cgroups(7).

A namespace limits what a process sees; its control group limits how much it gets. It is also the
only thing that holds *all* of a container's processes, whatever they fork, and so the way to freeze,
kill and count them. The container's first process is born in it (clone3 with CLONE_INTO_CGROUP): no
moment passes outside, and no lock of the whole system is taken, as moving a process would.

    /sys/fs/cgroup/minicontainer/        ours, made with the first container, gone with the last
    └── ID/                              a container's: cgroup.procs, memory.max, pids.current, …

The cgroup *namespace* makes that group the root of all that the container sees of the hierarchy: its
/proc/self/cgroup says `0::/`. A namespace is rooted at the group of its maker, so with unshare one
would have to be in the group first; clone3 sees to it that CLONE_NEWCGROUP takes the group of
CLONE_INTO_CGROUP, and not the parent's.

    systemd-cgls; cat /proc/PID/cgroup; lsns -t cgroup        watch it
"""

from __future__ import annotations

import os

from minicontainer.errors import SpecError, StateError, UnsupportedError
from minicontainer.isolation import limits
from minicontainer.isolation.namespaces import NamespaceFeature
from minicontainer.linux import cgroup2, proc
from minicontainer.linux.files import chown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.spec import Resources

PARENT = "minicontainer"
"""The group that holds the containers' groups, unless the spec names a place."""

USUAL_CONTROLLERS = ("cpu", "io", "memory", "pids")
"""Handed to each container's group where they are available, for their meters if not for limits."""

BOOT = "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all"
LAB = "or run it in `minicontainer lab`"
DELEGATE = "`systemd-run --user --scope -p Delegate=yes minicontainer …`, or use sudo"


class Cgroup(NamespaceFeature):
    """Own group and limits, and the namespace that hides all others."""

    name = "cgroup"
    kind = "cgroup"

    def __init__(self) -> None:
        super().__init__()
        self.cgroup_fd = -1
        """The directory of the container's group, open for clone3; -1 if it has none."""

    def before(self, container: Container) -> None:
        super().before(container)
        resources = container.spec.linux.resources
        limits.check(resources)
        wanted = limits.asked(resources)
        top = cgroup2.top()
        for controller in wanted:
            if controller not in cgroup2.controllers(top):
                raise unavailable(controller)
        if not top:
            return
        group = place(container, top)
        if cgroup2.is_populated(group):
            raise StateError(f"there are processes in the control group {group}", "choose another --cgroup-parent")
        container.save(cgroup=group)
        cgroup2.make(group, top, (*USUAL_CONTROLLERS, *wanted), bool(wanted), container.dir)
        for controller in wanted:
            if controller not in cgroup2.controllers(group):
                raise withheld(controller, group)
        limits.apply(group, resources)
        delegate(container, group)
        self.cgroup_fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def outside(self, container: Container, pid: int) -> None:
        self._close()  # the child is in it by now

    def inside(self, container: Container) -> None:
        self._close()  # a directory of the host in the container's hands is a way out
        super().inside(container)

    def after(self, container: Container) -> None:
        self._close()
        if group := container.record.get("cgroup"):
            owner, populated = cgroup2.owner(group), cgroup2.is_populated(group)
            if owner != container.dir and (owner or populated):
                return  # ours has been removed, and somebody else has made one of that name
            report(container)
            if populated:
                cgroup2.kill(group)
            cgroup2.remove(group)

    def _close(self) -> None:
        if self.cgroup_fd >= 0:
            os.close(self.cgroup_fd)
            self.cgroup_fd = -1


# -- where ----------------------------------------------------------------------------------------


def place(container: Container, top: str) -> str:
    """The directory of the container's group: what `cgroups_path` says, or /minicontainer/ID below `top`.

    An absolute cgroups_path counts from the mount point, a relative one from `top`. Systemd's form
    `SLICE:PREFIX:NAME` is taken as the path where systemd would make it. Raises SpecError.
    """
    path = container.spec.linux.cgroups_path or f"{PARENT}/{container.id}"
    if path.count(":") == 2:
        slice, prefix, name = path.split(":")
        path = f"/{slice_path(slice or 'system.slice')}/{prefix}-{name}.scope"
    start = cgroup2.mount_point() if path.startswith("/") else top
    if ".." in path.split("/") or not path.strip("/."):
        raise SpecError(f"the control group {path!r} is not below another", "name one such as /containers/web")
    group = os.path.normpath(f"{start}/{path}")
    if not group.startswith(f"{top}/"):
        raise UnsupportedError(f"this user may not make the control group {group}", f"choose one below {top}")
    return group


def slice_path(slice: str) -> str:
    """`a-b.slice` as systemd nests it: a.slice/a-b.slice. systemd.slice(5)."""
    parts = slice.removesuffix(".slice").strip("-").split("-")
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)))


def delegate(container: Container, group: str) -> None:
    """Hand the group over to the container's own root, if it gets to see it writable in a user namespace."""
    root = next((m.host_id for m in container.spec.linux.uid_mappings if m.container_id == 0), 0)
    writable = any(m.type in ("cgroup", "cgroup2") and "ro" not in m.options for m in container.spec.mounts)
    if container.spec.namespace("user") and writable and root != os.geteuid():
        for file in (".", *proc.read("/sys/kernel/cgroup/delegate").split()):
            if os.path.exists(f"{group}/{file}"):
                chown(f"{group}/{file}", root, -1)


# -- which controllers ----------------------------------------------------------------------------


def available(controller: str) -> bool:
    """Whether a container of this user can have limits of that controller: memory, pids, cpu, cpuset, io."""
    return controller in cgroup2.controllers(cgroup2.top())


def unavailable(controller: str) -> UnsupportedError:
    """The error for a limit whose controller this user cannot have here: why, and the way to it."""
    cause, remedy = why_not(controller)
    return UnsupportedError(f"a {controller} limit needs the {controller} controller of cgroup v2, but {cause}", remedy)


def bound_to_v1(controller: str) -> str:
    """Where the version 1 hierarchy is mounted that has the controller, which version 2 then lacks; or empty."""
    v1 = "blkio" if controller == "io" else controller
    for mount in proc.mounts():
        if mount.fstype == "cgroup" and v1 in mount.super_options.split(","):
            return mount.target
    return ""


def why_not(controller: str) -> tuple[str, str]:
    """Cause and remedy of a controller not being available."""
    if place := bound_to_v1(controller):
        return f"it is bound to cgroup v1 at {place}", f"{BOOT}, {LAB}"
    mount_point, top = cgroup2.mount_point(), cgroup2.top()
    if not mount_point:
        return "cgroup2 is not mounted", f"`mount -t cgroup2 none /sys/fs/cgroup`, {LAB}"
    if controller not in cgroup2.controllers(mount_point):
        return "this kernel has none, or turned it off", f"look for cgroup_disable= in /proc/cmdline, {LAB}"
    if not top:
        return (
            f"{cgroup2.group_of() or mount_point} is not delegated to this user",
            f"{DELEGATE}, {LAB}",
        )
    return (
        f"{top} was delegated without it",
        f"set Delegate=cpu cpuset io memory pids for user@.service (systemctl edit), or use sudo, {LAB}",
    )


def withheld(controller: str, group: str) -> UnsupportedError:
    """The error for a controller that a group above `group` has but does not hand out."""
    return UnsupportedError(
        f"{group} gets no {controller} controller: a group above it holds processes itself",
        "choose another place with --cgroup-parent",
    )


# -- later ----------------------------------------------------------------------------------------


def update(container: Container, resources: Resources) -> None:
    """Give a running container other limits. Raises SpecError, UnsupportedError, KernelError."""
    limits.check(resources)
    group = container.record.get("cgroup", "")
    for controller in limits.asked(resources):
        if controller not in cgroup2.controllers(group):
            raise unavailable(controller)
    limits.apply(group, resources)


def open_group(container: Container) -> int:
    """The container's group, open for the clone3 of one more process in it (exec); -1 if it has none.

    It is the group of the container's first process: if that one (an init system) has made groups of
    its own, those above may hold no processes.
    """
    group, now = container.record.get("cgroup", ""), cgroup2.group_of(container.pid)
    if not group:
        return -1
    inner = now if f"{now}/".startswith(f"{group}/") else group
    return os.open(inner, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def report(container: Container) -> None:
    """Put into the record whether the kernel killed a process for want of memory. Before the group is removed."""
    events = cgroup2.pairs(container.record.get("cgroup", ""), "memory.events")
    if events.get("oom_kill"):
        container.record["oom_killed"] = True
