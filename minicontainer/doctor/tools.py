"""Programs and libraries of this machine that parts of minicontainer are built on."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

from minicontainer.doctor.finding import Finding, limited, missing, ok
from minicontainer.errors import MinicontainerError
from minicontainer.isolation.filesystems import find_init
from minicontainer.lab import needs
from minicontainer.rootfs import busybox, host

LIBRARIES = ("python-prctl", "pyseccomp", "typer", "rich")
SLOW_TYPER = (0, 29)
"""From here on typer imports pydantic."""

LAB_MEMORY = "1G"


def python() -> Finding:
    """The interpreter and the libraries."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "?"
    seen = f"{platform.python_version()}; " + ", ".join(f"{name} {number}" for name, number in versions.items())
    typer = tuple(int(part) for part in versions["typer"].split(".")[:2] if part.isdigit())
    if typer >= SLOW_TYPER:
        return limited("Python", seen, "every command but run starts 60 to 90 ms later", "`pip install 'typer<0.29'`")
    return ok("Python", seen, "all that is needed")


def root_filesystems() -> Finding:
    """There is something to fill a root filesystem with."""
    found = [name for name in busybox.NAMES_OF_IT if shutil.which(name, path=host.FOLDERS)][:1]
    found += ["mmdebstrap"] if shutil.which("mmdebstrap", path=host.FOLDERS) else []
    seen = ", ".join([*found, "this machine's own programs"])
    if len(found) == 2:
        return ok("root filesystems", seen, "`minicontainer rootfs build` with --from busybox, host, debian")
    if "mmdebstrap" in found:
        return limited("root filesystems", seen, "no --from busybox", "install the package busybox-static")
    lost = "no --from debian" if found else "no --from busybox, no --from debian"
    return limited("root filesystems", seen, lost, f"install {'' if found else 'busybox-static and '}mmdebstrap")


def init_program() -> Finding:
    """There is a small process 1 for --init."""
    try:
        return ok("init", find_init(), "--init works")
    except MinicontainerError as error:
        return missing("init", error.cause, "no --init", error.remedy)


def lab() -> Finding:
    """The throwaway virtual machine can be started."""
    if needs.inside():
        return ok("lab", "this is it", "every limit works in here")
    try:
        needs.check_host()
        folder = needs.memory_folder(needs.memory_size(LAB_MEMORY))
    except MinicontainerError as error:
        return missing("lab", error.cause, "no `minicontainer lab`", error.remedy)
    return ok(
        "lab", f"{needs.KERNEL}, {LAB_MEMORY} of memory in {folder}", "`minicontainer lab`: limits on any machine"
    )
