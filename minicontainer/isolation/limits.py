"""What a container may use, as the words that its control group's files want.

The specification speaks the language of version 1: cpu shares from 2 to 262144, memory and swap in
one number. `settings` is the dictionary to version 2. The formulas are runc's and crun's, so that a
bundle means the same everywhere:

    memory.limit        memory.max          bytes
    memory.swap         memory.swap.max     swap minus limit: version 2 counts swap alone
    memory.reservation  memory.low          protected from reclaim, not a limit
    cpu.shares          cpu.weight          2…262144 onto 1…10000, 1024 onto 100
    cpu.quota, period   cpu.max             "QUOTA PERIOD" in microseconds
    cpu.cpus, mems      cpuset.cpus, .mems
    pids.limit          pids.max
    blockIO.throttle…   io.max              "MAJOR:MINOR rbps=… wbps=… riops=… wiops=…"
    blockIO.weight      io.bfq.weight       10…1000, or io.weight with 1…10000
    unified             as it stands

    grep . /sys/fs/cgroup/minicontainer/ID/{memory,cpu,pids,io}.*        watch it
"""

from __future__ import annotations

import os
from errno import ENODEV

from minicontainer.errors import KernelError, SpecError, UnsupportedError
from minicontainer.linux.files import write_file
from minicontainer.linux.proc import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.spec import BlockIO, Cpu, Memory, Resources, ThrottleDevice

MIB = 1 << 20
SMALLEST_MEMORY = 6 * MIB
"""Docker's. A process that has yet to become the container's program needs some of it for itself."""

DEFAULT_PERIOD = 100_000
"""Microseconds over which a cpu quota is counted, when nobody says: the kernel's own default."""

REMEDIES = {
    ("io.max", ENODEV): "name a whole disk, not a partition; `lsblk` lists MAJ:MIN",
}
"""(file, errno) -> what to do when the kernel does not take a value."""


# -- is it sound? -----------------------------------------------------------------------------------


def check_memory(resources: Resources) -> None:
    memory = resources.memory
    limit, swap, reservation = memory.limit or 0, memory.swap or 0, memory.reservation or 0
    if min(limit, swap, reservation) < -1:
        raise SpecError("a memory limit is negative", "-1 means unlimited")
    if 0 < limit < SMALLEST_MEMORY:
        raise SpecError(f"Minimum memory limit allowed is 6MB, not {limit} bytes", "give at least 6m")
    if swap > 0 and limit == 0:
        raise SpecError("a limit for memory and swap without one for memory", "give --memory as well")
    if 0 < swap < limit:
        raise SpecError(
            f"the limit for memory and swap together ({swap}) is below the one for memory ({limit})",
            "--memory-swap is the sum of both; equal to --memory means no swap, -1 unlimited",
        )
    if 0 < limit < reservation:
        raise SpecError(f"the memory reservation ({reservation}) is above the limit ({limit})", "lower it")


def check_cpu(resources: Resources) -> None:
    cpu = resources.cpu
    if cpu.shares is not None and cpu.shares < 0:
        raise SpecError(f"cpu shares of {cpu.shares}", "they go from 2 to 262144; 1024 is the usual share")
    if cpu.period and not 1_000 <= cpu.period <= 1_000_000:
        raise SpecError(f"a cpu period of {cpu.period} µs", "it goes from 1000 (1 ms) to 1000000 (1 s)")
    if cpu.quota and cpu.quota > 0 and cpu.quota < 1_000:
        raise SpecError(f"a cpu quota of {cpu.quota} µs", "it is at least 1000 (1 ms)")


def check_cpuset(resources: Resources) -> None:
    for what, asked, online in (
        ("CPUs", resources.cpu.cpus, "/sys/devices/system/cpu/online"),
        ("memory nodes", resources.cpu.mems, "/sys/devices/system/node/online"),
    ):
        available = read(online) or "0"
        if asked and not numbers(asked) <= numbers(available):
            raise SpecError(
                f"Requested {what} are not available - requested {asked}, available: {available}", "ask for those"
            )


def check_block_io(resources: Resources) -> None:
    if resources.block_io.weight and not 10 <= resources.block_io.weight <= 1000:
        raise SpecError(f"a block io weight of {resources.block_io.weight}", "it goes from 10 to 1000")
    for key, device in throttled(resources.block_io):
        if min(device.major, device.minor, device.rate) < 0:
            raise SpecError(f"{key} for device {device.major}:{device.minor} is negative", "0 means unlimited")


def check_unified(resources: Resources) -> None:
    for file in resources.unified:
        if "/" in file or "." not in file.strip("."):
            raise SpecError(f"{file!r} is not the name of a control group file", "memory.high is one")


CHECKS = (check_memory, check_cpu, check_cpuset, check_block_io, check_unified)


def check(resources: Resources) -> None:
    """Raise SpecError if the limits are out of range or contradict each other."""
    for one in CHECKS:
        one(resources)


def numbers(text: str) -> set[int]:
    """The numbers in a list such as `0-2,4`. Raises SpecError if it is not one."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdigit() and (last.isdigit() or not dash)):
            raise SpecError(f"{text!r} is not a list of numbers", "write it as 0-2,4")
        found.update(range(int(first), int(last or first) + 1))
    return found


def quota(cpus: float) -> int:
    """`--cpus` as a quota in microseconds for each 100 ms. Raises SpecError if there are not so many."""
    online = len(numbers(read("/sys/devices/system/cpu/online") or "0"))
    if not 0.01 <= cpus <= online:
        raise SpecError(
            f"Range of CPUs is from 0.01 to {online}.00, as there are only {online} CPUs available, not {cpus:g}",
            "ask for fewer" if cpus > online else "ask for more",
        )
    return round(cpus * DEFAULT_PERIOD)


# -- the dictionary -------------------------------------------------------------------------------


def settings(resources: Resources) -> list[tuple[str, str]]:
    """The files of a group to be written, with what: everything that the spec sets, in the order to write it."""
    rows = [*memory_rows(resources.memory), *cpu_rows(resources.cpu)]
    if resources.pids is not None:
        rows.append(("pids.max", str(resources.pids.limit) if resources.pids.limit > 0 else "max"))
    if resources.block_io.weight:
        rows.append(("io.weight", str(resources.block_io.weight)))
    for key, device in throttled(resources.block_io):
        rows.append(("io.max", f"{device.major}:{device.minor} {key}={device.rate or 'max'}"))
    return rows + list(resources.unified.items())


def memory_rows(memory: Memory) -> list[tuple[str, str]]:
    limit, swap = memory.limit or 0, memory.swap or 0
    rows = []
    if swap > 0:
        rows.append(("memory.swap.max", str(swap - max(limit, 0))))
    elif swap < 0 or limit < 0:
        rows.append(("memory.swap.max", "max"))
    if limit:
        rows.append(("memory.max", str(limit) if limit > 0 else "max"))
    if memory.reservation and memory.reservation > 0:
        rows.append(("memory.low", str(memory.reservation)))
    return rows


def cpu_rows(cpu: Cpu) -> list[tuple[str, str]]:
    rows = []
    if cpu.shares:
        rows.append(("cpu.weight", str(weight_of_shares(cpu.shares))))
    if cpu.quota or cpu.period:
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        rows.append(("cpu.max", f"{quota} {cpu.period or DEFAULT_PERIOD}"))
    return rows + [(f"cpuset.{name}", text) for name, text in (("cpus", cpu.cpus), ("mems", cpu.mems)) if text]


def weight_of_shares(shares: int) -> int:
    """Version 1's cpu shares as version 2's cpu weight: ends onto ends, the usual 1024 onto the usual 100.

    The quadratic formula of runc (cgroups 0.0.5) and crun (1.23). Older ones used
    1 + (shares - 2) * 9999 / 262142, which made 39 of 1024.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    log = log2(shares)
    return ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def throttled(block_io: BlockIO) -> list[tuple[str, ThrottleDevice]]:
    """Each device with a limit, with the name of that limit in io.max."""
    lists = (
        ("rbps", block_io.throttle_read_bps_device),
        ("wbps", block_io.throttle_write_bps_device),
        ("riops", block_io.throttle_read_iops_device),
        ("wiops", block_io.throttle_write_iops_device),
    )
    return [(key, device) for key, devices in lists for device in devices]


# -- into the group -------------------------------------------------------------------------------


def controller(file: str) -> str:
    """The controller that a file belongs to: `memory` of `memory.swap.max`."""
    return file.partition(".")[0]


def is_limit(text: str) -> bool:
    """Whether writing this asks for something, and does not only say "unlimited"."""
    return not text.startswith("max") and not text.endswith("=max")


def asked(resources: Resources) -> dict[str, str]:
    """The controllers that these limits cannot do without, each with a file that needs it."""
    wanted = {controller(file): file for file, text in settings(resources) if is_limit(text)}
    wanted.pop("cgroup", None)  # those files are there without any controller
    return wanted


def apply(group: str, resources: Resources) -> None:
    """Write the limits into the files of `group`. Raises UnsupportedError where one is missing, and KernelError."""
    for file, text in settings(resources):
        if file == "io.weight":
            file, text = weight_row(group, int(text))
        if os.path.exists(f"{group}/{file}"):
            write(group, file, text)
        elif file == "memory.swap.max" and not os.path.exists("/proc/swaps"):
            continue  # a kernel without swap keeps every limit on it
        elif is_limit(text):
            raise UnsupportedError(f"this kernel has no {file}, which a limit needs", MISSING.get(file, "leave it out"))


MISSING = {
    "memory.swap.max": "boot with swapaccount=1, or leave --memory-swap out",
    "io.weight": "it takes the bfq scheduler or the iocost controller; leave --blkio-weight out",
}


def write(group: str, file: str, text: str) -> None:
    try:
        write_file(f"{group}/{file}", text)
    except KernelError as error:
        raise KernelError(error.call, error.errno, REMEDIES.get((file, error.errno), "")) from None


def weight_row(group: str, weight: int) -> tuple[str, str]:
    """A block io weight for the scheduler that is there: bfq has version 1's range, iocost its own."""
    if os.path.exists(f"{group}/io.bfq.weight"):
        return "io.bfq.weight", str(weight)
    return "io.weight", str(1 + (weight - 10) * 9999 // 990)
