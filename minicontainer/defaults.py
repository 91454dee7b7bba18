"""What a container gets when nothing else is asked for: Docker's defaults, as tables.

https://github.com/moby/moby/blob/master/daemon/pkg/oci/defaults.go
https://github.com/moby/moby/blob/master/daemon/pkg/oci/caps/defaults.go
"""

from __future__ import annotations

from minicontainer.spec import Device, Mount

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND = "/bin/sh"

# -- files --------------------------------------------------------------------------------------

SHM_SIZE = 64 << 20

MOUNTS: tuple[tuple[str, str, str, str], ...] = (
    # destination, type, source, options
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777"),
)

TMPFS_OPTIONS = ("noexec", "nosuid", "nodev")
"""Of a tmpfs that the user asks for, unless they say otherwise."""

HARDENED_TMPFS = (("/tmp", "mode=1777"), ("/run", "mode=755"))
"""What stays writable under `--hardened`: directory, options."""

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""Not to be read inside: the host's hardware and keys, and counters fine enough to spy by."""

THERMAL_THROTTLE = ("/sys/devices/system/cpu", "thermal_throttle")
"""Masked for each CPU (below the first) that has it: how often a processor ran hot tells what others compute."""

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
"""The nodes that every container has in /dev, for everybody: name, major, minor. config-linux.md#default-devices"""

# -- rights -------------------------------------------------------------------------------------

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
"""Docker's fourteen: mask 00000000a80425fb in /proc/PID/status."""

SYSCTLS = (("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647"))
"""In a network namespace of its own: ports below 1024 and `ping` for everybody inside."""

# -- limits -------------------------------------------------------------------------------------

PIDS_LIMIT = 2048
HARDENED_PIDS_LIMIT = 256
HARDENED_MEMORY = 512 << 20

# -- namespaces ---------------------------------------------------------------------------------

NAMESPACES = ("mount", "pid", "ipc", "uts", "cgroup", "network")
"""A container's own, always; user and time come when they are asked for."""

# -- as records ---------------------------------------------------------------------------------


def mounts() -> list[Mount]:
    """Fresh records of MOUNTS."""
    return [Mount(destination=d, type=t, source=s, options=o.split(",")) for d, t, s, o in MOUNTS]


def devices() -> list[Device]:
    """Fresh records of DEVICES."""
    return [Device(path="/dev/" + name, major=major, minor=minor, file_mode=0o666) for name, major, minor in DEVICES]
