"""What the kernel itself offers: its release, its namespaces, its filters."""

from __future__ import annotations

import os
from errno import EACCES

from minicontainer.doctor.attempt import attempt, why
from minicontainer.doctor.finding import Finding, limited, missing, ok
from minicontainer.errors import MinicontainerError
from minicontainer.linux import process
from minicontainer.linux.proc import kernel_version, read
from minicontainer.profiles import cache, rules

CALLS = (
    ((5, 3), "clone3, pidfd_open"),
    ((5, 6), "openat2"),
    ((5, 9), "close_range"),
    ((5, 12), "mount_setattr"),
)
"""The youngest calls that every container needs, and the Linux that they came with."""

CGROUP_KILL = (5, 14)
UNSHARED_TIME = (6, 2)

ACTIONS = {"errno", "allow"}
"""What our filters answer."""

TESTED = ("x86_64",)


def release() -> Finding:
    """The kernel is young enough."""
    seen, version = f"Linux {os.uname().release}", kernel_version()
    lacking = ", ".join(calls for since, calls in CALLS if version < since)
    if lacking:
        return missing("kernel", seen, f"no container runs: it lacks {lacking}", "boot Linux 5.12 or later")
    if version < CGROUP_KILL:
        return limited(
            "kernel", seen, "a container's processes are frozen and killed one by one", "cgroup.kill came with 5.14"
        )
    return ok("kernel", seen, "has all calls that are needed (5.12), and cgroup.kill (5.14)")


def architecture() -> Finding:
    """The machine's instruction set is one that system call filters are known for."""
    machine, count = os.uname().machine, os.cpu_count()
    seen = f"{machine}, {count} processor{'s' if count != 1 else ''}"
    if machine not in rules.MACHINES:
        known = ", ".join(rules.MACHINES)
        return limited("architecture", seen, "no system call filter is known for it", f"use one of {known}")
    if machine in TESTED:
        return ok("architecture", seen, "tested on it")
    return limited("architecture", seen, "should work, but is not tested on it", "`make test` shows whether it does")


def namespaces() -> Finding:
    """Root can have a new namespace of each kind."""
    kinds = {k: file for k, file in process.NAMESPACE_FILES.items() if k not in ("user", "time")}
    absent = [kind for kind, file in kinds.items() if not os.path.exists(f"/proc/self/ns/{file}")]
    shut = [kind for kind, file in kinds.items() if read(f"/proc/sys/user/max_{file}_namespaces") == "0"]
    if absent:
        return missing(
            "namespaces", f"no {', '.join(absent)}", "no container runs with all walls", "boot a kernel that has them"
        )
    if shut:
        settings = " ".join(f"user.max_{kinds[kind]}_namespaces=10000" for kind in shut)
        return missing(
            "namespaces", f"{', '.join(shut)} turned off", "no container runs with all walls", f"`sysctl -w {settings}`"
        )
    flags = process.CloneFlags(0)
    for kind in kinds:
        flags |= process.NAMESPACE_FLAGS[kind]
    if os.geteuid() == 0 and (error := attempt(lambda: process.unshare(flags))):
        return missing(
            "namespaces", why(error), "no container runs", "CAP_SYS_ADMIN is needed; in a container: --privileged"
        )
    tried = "; made one of each" if os.geteuid() == 0 else ""
    return ok("namespaces", f"{', '.join(kinds)}{tried}", "every wall that is a namespace can be had")


def time_namespaces() -> Finding:
    """Containers can have their own clocks since boot."""
    if not os.path.exists("/proc/self/ns/time"):
        return missing(
            "time",
            "this kernel has no time namespaces",
            "no --time-offset",
            "they came with Linux 5.6, as CONFIG_TIME_NS",
        )
    if kernel_version() < UNSHARED_TIME:
        return limited(
            "time", "time namespaces", "--time-offset not together with --userns, nor without root", "Linux 6.2 can"
        )
    return ok("time", "time namespaces", "--time-offset works")


def seccomp() -> Finding:
    """The kernel filters system calls, and libseccomp writes the filters."""
    remedy = "or run with --security-opt seccomp=unconfined, which takes that wall down"
    actions = read("/proc/sys/kernel/seccomp/actions_avail").split()
    if not set(actions) >= ACTIONS:
        return missing(
            "seccomp", "the kernel has no filters", "no container runs by default", f"boot one that has, {remedy}"
        )
    try:
        version = ".".join(map(str, cache.libseccomp_version()))
    except MinicontainerError as error:
        return missing("seccomp", error.cause, "no container runs by default", f"{error.remedy}, {remedy}")
    return ok("seccomp", f"libseccomp {version}; {', '.join(actions)}", "system calls are filtered")


def sealed_memory() -> Finding:
    """Lines for `ip` and `nft` are fed through a memfd, which a setting can forbid: memfd_create(2)."""
    level = read("/proc/sys/vm/memfd_noexec") or "0"
    seen = f"vm.memfd_noexec is {level}"
    try:
        os.close(os.memfd_create("doctor", os.MFD_CLOEXEC))
    except OSError as error:
        remedy = "`sysctl -w vm.memfd_noexec=1`" if error.errno == EACCES else "allow memfd_create"
        return limited("memfd", f"{seen}: {error.strerror}", "no bridge network, no new filters", remedy)
    return ok("memfd", seen, "memory files can be made")
