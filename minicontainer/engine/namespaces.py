"""Which namespaces are the container's own, which it shares, and which walls are down.

A namespace in the spec without a path is made new, one with a path is joined, one that is missing is
shared with the host. namespaces(7); config-linux.md#namespaces
"""

from __future__ import annotations

import os

from minicontainer import defaults
from minicontainer.errors import StateError, UnsupportedError, UsageError
from minicontainer.spec import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.engine.options import Options
    from minicontainer.runtime.container import Container
    from minicontainer.spec import Spec

FILES = {"network": "net", "pid": "pid", "ipc": "ipc", "user": "user"}
"""Of the namespaces that can be joined: type -> name in /proc/PID/ns."""

OF_WALL = {"user": "user", "net": "network", "uts": "uts", "ipc": "ipc", "pid": "pid", "cgroup": "cgroup",
           "mounts": "mount", "time": "time"}  # fmt: skip
"""Wall -> the namespace that it consists of."""


def set_namespaces(spec: Spec, o: Options, id: str) -> None:
    """Fill in spec.linux.namespaces and spec.minicontainer.without. Raises UsageError, StateError, UnsupportedError."""
    spec.minicontainer.without = down = walls_down(spec, o)
    wanted = dict.fromkeys(defaults.NAMESPACES, "")
    joined = []
    for kind, mode in (("network", o.network), ("pid", o.pid), ("ipc", o.ipc), ("uts", o.uts), ("cgroup", o.cgroupns)):
        if mode == "host":
            del wanted[kind]
        elif mode.startswith("container:"):
            container = running(mode.removeprefix("container:"))
            joined.append(container)
            wanted[kind] = f"/proc/{container.pid}/ns/{FILES[kind]}"
    if o.time_offset:
        if not os.path.exists("/proc/self/ns/time"):
            raise UnsupportedError(
                "this kernel has no time namespaces", "they came with Linux 5.6; leave --time-offset out"
            )
        wanted["time"] = ""
        spec.linux.time_offsets = o.time_offset
    user_namespace(spec, o, joined, wanted, id)
    for wall in down:
        wanted.pop(OF_WALL.get(wall, ""), None)
    if "user" not in wanted:
        spec.linux.uid_mappings, spec.linux.gid_mappings = [], []
    spec.linux.namespaces = [Namespace(type=kind, path=path) for kind, path in wanted.items()]


def running(name: str) -> Container:
    """The running container of that name or id. Raises StateError."""
    from minicontainer.runtime.container import find

    container = find(name)
    if not container.pid:
        raise StateError(f"the container {name} is not running", "start it before its namespaces are joined")
    return container


# -- user ---------------------------------------------------------------------------------------


def user_namespace(spec: Spec, o: Options, joined: list[Container], wanted: dict[str, str], id: str) -> None:
    """Decide on a user namespace: a new one, or that of the containers whose other namespaces are joined.

    The kernel lets only the owner of a namespace in, and the owner is the user namespace it was made in.
    """
    rootless = spec.minicontainer.rootless
    if rootless and o.userns not in ("", "auto"):
        raise UsageError(f"--userns {o.userns} takes root's rights", "leave it out, or use sudo")
    own = o.userns if o.userns not in ("", "host") else "auto" if rootless or (o.hardened and not o.userns) else ""
    theirs = [container for container in joined if container.spec.namespace("user")]
    if joined and len(theirs) < len(joined) and (theirs or own):
        raise UsageError("a container with a user namespace of its own cannot join one without", "leave --userns out")
    if theirs:
        first = theirs[0]
        path = f"/proc/{first.pid}/ns/user"
        if o.userns or any(os.stat(f"/proc/{c.pid}/ns/user").st_ino != os.stat(path).st_ino for c in theirs):
            raise UsageError(
                "the containers to join are in different user namespaces", "leave --userns out, or join fewer"
            )
        wanted["user"] = path
        spec.linux.uid_mappings, spec.linux.gid_mappings = first.spec.linux.uid_mappings, first.spec.linux.gid_mappings
    elif own:
        from minicontainer.isolation.user import mappings
        from minicontainer.runtime.container import all_containers

        taken = [] if rootless else [m for other in all_containers() for m in other.spec.linux.uid_mappings]
        wanted["user"] = ""
        spec.linux.uid_mappings, spec.linux.gid_mappings = mappings(own, taken, id)


VIEW_OF = {"proc": "pid", "sysfs": "network", "mqueue": "ipc"}
"""File system -> the namespace that it is a view of."""


def borrow_mounts(spec: Spec) -> None:
    """Where the kernel refuses a new proc, sysfs or mqueue, show the host's, if it has one.

    In a user namespace one may mount them only for a pid, network or ipc namespace that belongs to it.
    Where those are the host's, so are the views of them.
    """
    if not spec.namespace("user"):
        return
    for entry in list(spec.mounts):
        kind = VIEW_OF.get(entry.type)
        if kind and not spec.namespace(kind):
            if not os.path.ismount(entry.destination):
                spec.mounts.remove(entry)
                continue
            readonly = ["ro", "rro"] if entry.type == "sysfs" else []
            entry.type, entry.source = "bind", entry.destination
            entry.options = ["rbind", "rprivate", "nosuid", "noexec", "nodev", *readonly]


# -- walls --------------------------------------------------------------------------------------

OPTIONS_OF_WALL = {
    "net": ("network", "publish", "dns", "dns_search", "dns_option", "add_host"),
    "uts": ("uts", "hostname", "domainname"),
    "ipc": ("ipc",),
    "pid": ("pid", "init"),
    "time": ("time_offset",),
    "user": ("userns",),
    "cgroup": (
        "cgroupns", "cgroup_parent", "memory", "memory_swap", "memory_reservation", "pids_limit", "cpus", "cpu_shares",
        "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "blkio_weight", "device_read_bps", "device_write_bps",
        "device_read_iops", "device_write_iops",
    ),
    "root": ("read_only", "keep"),
    "filesystems": ("mounts", "shm_size", "device"),
    "capabilities": ("cap_add", "cap_drop"),
}  # fmt: skip
"""Wall -> options that mean nothing without it. Better an error than a limit that is not there."""


def walls_down(spec: Spec, o: Options) -> list[str]:
    """The walls that `--only` and `--without` take down, with those that cannot stand alone. Raises UsageError."""
    if not o.only and not o.without:
        return []
    from minicontainer.engine.parse import nearest
    from minicontainer.isolation import order

    names = order.names()
    for name in o.only + o.without:
        if name not in names:
            raise UsageError(f"there is no wall {name!r}", nearest(name, names) or "the walls are " + ", ".join(names))
    down = order.closure([name for name in names if name not in o.only] if o.only else o.without)
    if "user" in down and spec.minicontainer.rootless:
        raise UsageError("without root's rights a container cannot do without the wall user", "use sudo")
    for wall in down:
        for field in OPTIONS_OF_WALL.get(wall, ()):
            if getattr(o, field) not in (None, "", 0, False, [], "host"):
                option = {"mounts": "volume"}.get(field, field).replace("_", "-")
                raise UsageError(f"--{option} needs the wall {wall}, which is down", "leave one of the two out")
    return down
