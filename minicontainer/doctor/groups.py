"""Control groups: which version, which limits, whether devices can be guarded."""

from __future__ import annotations

import os

from minicontainer.doctor.attempt import attempt, why
from minicontainer.doctor.finding import Finding, limited, missing, ok
from minicontainer.isolation import cgroup
from minicontainer.linux import bpf, cgroup2
from minicontainer.linux.proc import mounts

OPTIONS = {
    "cpu": "--cpus, --cpu-shares",
    "cpuset": "--cpuset-cpus",
    "io": "--blkio-weight, --device-read-bps and the like",
    "memory": "--memory",
    "pids": "--pids-limit",
}
"""The options of `run` that need a controller."""


def version() -> Finding:
    """cgroup2 is mounted, alone, and open to us."""
    place = cgroup2.mount_point()
    old = [mount.target for mount in mounts() if mount.fstype == "cgroup"]
    if not place:
        seen = f"version 1 only, {len(old)} hierarchies" if old else "not mounted"
        consequence = "no limits; devices cannot be guarded, so containers lose CAP_MKNOD"
        return missing("cgroups", seen, consequence, cgroup.why_not("pids")[1])
    if not cgroup2.top():
        seen = f"version 2 at {place}, not delegated to this user"
        return limited("cgroups", seen, "no group of its own for a container, no limits", cgroup.DELEGATE)
    if old:
        seen = f"hybrid: version 2 at {place}, and {len(old)} hierarchies of version 1"
        return limited(
            "cgroups",
            seen,
            "own group, freeze, kill and devices work, limits see below",
            f"{cgroup.BOOT} for limits too",
        )
    return ok("cgroups", f"version 2 at {place}", f"own group for each container, below {cgroup2.top()}")


def limits() -> Finding:
    """The controllers that containers can have."""
    have = [name for name in OPTIONS if cgroup.available(name)]
    lack = [name for name in OPTIONS if name not in have]
    if not lack:
        return ok("limits", ", ".join(have), "every limit works")
    bound = [f"{name} at {place}" for name in lack if (place := cgroup.bound_to_v1(name))]
    others = [f"{name}: {cgroup.why_not(name)[0]}" for name in lack if not cgroup.bound_to_v1(name)]
    seen = [", ".join(have) or "none in version 2"] + [f"bound to version 1: {', '.join(bound)}"] * bool(bound) + others
    consequence = f"refused: {', '.join(OPTIONS[name] for name in lack)}"
    return (limited if have else missing)("limits", "; ".join(seen), consequence, cgroup.why_not(lack[0])[1])


def device_program() -> Finding:
    """The kernel takes a program that guards devices."""
    if os.geteuid() != 0:
        return ok("device filter", "not needed without root", "a user namespace opens no devices")
    if error := attempt(lambda: bpf.bpf_prog_load(bpf.device_program([]))):
        consequence = "devices cannot be guarded, so containers lose CAP_MKNOD"
        return limited(
            "device filter", why(error), consequence, "needs CONFIG_CGROUP_BPF, and CAP_BPF or CAP_SYS_ADMIN"
        )
    if not cgroup2.top():
        return limited(
            "device filter", "BPF program loaded", "there is no control group to attach it to", "see cgroups"
        )
    return ok("device filter", "BPF program loaded", "a container opens only the devices it was given")
