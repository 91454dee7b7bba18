"""What all processes of a machine have in common, whatever walls stand between them: the kernel.

uname -r; cat /proc/sys/kernel/random/boot_id; lsmod        watch it: the same on both sides of any wall
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from minicontainer.linux import proc


@dataclass(frozen=True)
class Kernel:
    """One kernel, running."""

    release: str
    version: str
    boot_id: str
    """Chosen at random at each boot: the same boot, the same kernel."""
    clock: float
    """Seconds since 1970, CLOCK_REALTIME: no namespace has one of its own."""
    modules: int | None
    """Loaded ones; None if this kernel loads none."""
    cpus: int
    memory: int
    """Bytes."""


def kernel() -> Kernel:
    """The running kernel."""
    import psutil

    modules = len(proc.read("/proc/modules").splitlines()) if os.path.exists("/proc/modules") else None
    system, boot_id = os.uname(), proc.read("/proc/sys/kernel/random/boot_id")
    cpus, memory = psutil.cpu_count() or 1, psutil.virtual_memory().total
    return Kernel(system.release, system.version, boot_id, time.time(), modules, cpus, memory)
