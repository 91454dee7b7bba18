"""Arguments as strace(1) would write them: numbers by their names, descriptors with what they lead to.

`linux/` passes most flags as `Flags`, which spell themselves. The rest are plain numbers there, and are
given their meaning here, by the name of the parameter.
"""

from __future__ import annotations

import os
import stat

from minicontainer.linux.calls import Flags
from minicontainer.linux.mount import AttrFlags, MountFlags, TreeFlags, UmountFlags
from minicontainer.linux.process import CloneFlags
from minicontainer.narrate.observer import DESCRIPTORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from minicontainer.narrate.state import Process
    from minicontainer.narrate.step import Step
else:
    import _signal as signal

AT_FDCWD = "-100"
TREE = "tree"
"""The parameter that holds a mount: what it is a copy of is known from its open_tree."""


class OpenFlags(Flags):
    """Flags of openat2(2)."""


class CloseFlags(Flags):
    """Flags of close_range(2)."""


OpenFlags.define(**{
    name: getattr(os, name)
    for name in ("O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CREAT", "O_EXCL", "O_WRONLY",
                 "O_RDWR", "O_CLOEXEC")
})  # fmt: skip
CloseFlags.define(CLOSE_RANGE_CLOEXEC=4)

SIGNALS = {int(value): name for name, value in vars(signal).items() if name.startswith("SIG") and name[3:].isalpha()}
TYPES = {stat.S_IFCHR: "S_IFCHR", stat.S_IFBLK: "S_IFBLK", stat.S_IFIFO: "S_IFIFO", stat.S_IFREG: "S_IFREG"}


def octal(number: int) -> str:
    return f"0{number:o}" if number else "0"


def node_mode(number: int) -> str:
    return f"{TYPES.get(stat.S_IFMT(number), '0')}|{octal(stat.S_IMODE(number))}"


def device(number: int) -> str:
    return f"makedev({os.major(number)}, {os.minor(number)})"


def signal_name(number: int) -> str:
    return SIGNALS.get(number, str(number))


def last_descriptor(number: int) -> str:
    return "~0U" if number == 0xFFFFFFFF else str(number)


def flags(family: type[Flags]) -> Callable[[int], str]:
    return lambda number: repr(family(number))


SPELLINGS: dict[tuple[str, str], Callable[[int], str]] = {
    ("openat2", "flags"): flags(OpenFlags),
    ("openat2", "mode"): octal,
    ("mkdir", "mode"): octal,
    ("mknod", "mode"): node_mode,
    ("mknod", "device"): device,
    ("close_range", "last"): last_descriptor,
    ("close_range", "flags"): flags(CloseFlags),
    ("setns", "kind"): flags(CloneFlags),
    ("unshare", "flags"): flags(CloneFlags),
    ("mount", "flags"): flags(MountFlags),
    ("umount2", "flags"): flags(UmountFlags),
    ("open_tree", "flags"): flags(TreeFlags),
    ("mount_setattr", "flags"): flags(TreeFlags),
    ("mount_setattr", "set"): flags(AttrFlags),
    ("mount_setattr", "clear"): flags(AttrFlags),
    ("mount_setattr", "propagation"): flags(MountFlags),
    ("set_pdeathsig", "number"): signal_name,
    ("default_action", "number"): signal_name,
    ("pidfd_send_signal", "number"): signal_name,
    ("send_signal", "number"): signal_name,
}
"""(call, parameter) -> how its number is written."""


def destinations(step: Step) -> dict[str, str]:
    """Where the descriptors lead that are among the arguments, unless the process itself has said so."""
    numbers = [raw for name, spelled, raw in step.arguments if spelled.isdigit() and name.lstrip("=") in DESCRIPTORS]
    return {number: destination(step.process, number) for number in numbers}


def destination(process: Process, number: str) -> str:
    """Where a descriptor leads, as `</path>` or `<pidfd of 1234>`; empty if that cannot be seen."""
    link = process.link(f"fd/{number}")
    if link == "anon_inode:[pidfd]":
        pid = process.rows(f"fdinfo/{number}", "Pid").get("Pid", "")
        return f"<pidfd of {pid}>" if pid not in ("", "-1") else "<pidfd>"
    return f"<{link.removeprefix('anon_inode:')}>" if link else ""


def spell_arguments(step: Step) -> list[str]:
    return [("=" in name) * f"{name[1:]}=" + spell(step, name.lstrip("="), *rest) for name, *rest in step.arguments]


def spell(step: Step, name: str, spelled: str, raw: str) -> str:
    if not spelled.lstrip("-").isdigit():
        return spelled
    if name in DESCRIPTORS:
        return "AT_FDCWD" if raw == AT_FDCWD else spelled + step.destinations.get(raw, "")
    if name == TREE:
        return spelled + step.process.trees.get(raw, "")
    spelling = SPELLINGS.get((step.call, name))
    return spelling(int(raw)) if spelling else spelled


def follow_trees(step: Step) -> None:
    """Remember which descriptors of the process hold copies of mounts, and of which."""
    trees = step.process.trees
    if step.call == "open_tree" and step.result:
        folder = next((spelled for name, spelled, _ in step.arguments if name == "dir_fd"), "")
        trees[step.result] = f"<copy of {step.raw('path') or folder.partition('<')[2].rstrip('>') or folder}>"
    elif step.call == "openat2" and step.result:
        trees.pop(step.result, None)
    elif step.call == "move_mount" and step.result:
        trees.pop(step.raw(TREE), None)
