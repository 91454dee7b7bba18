"""Where containers live: the state folder, and what its file system can do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL

from minicontainer.doctor.attempt import attempt, own_mounts, why
from minicontainer.doctor.finding import Finding, limited, missing, ok
from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.isolation.root import idmapped, mount_overlay
from minicontainer.isolation.user import BLOCK, FIRST_BLOCK
from minicontainer.linux.files import remove_tree
from minicontainer.linux.proc import MountInfo, filesystems, mounts
from minicontainer.runtime.cleanup import leftovers as all_leftovers
from minicontainer.runtime.container import Container, state_root
from minicontainer.spec import IDMapping, Namespace, Spec

SCARCE = 256 << 20
"""Bytes. Less room than this, and a container that installs a few packages fills it."""


def existing(path: str) -> str:
    """`path`, or the nearest folder above it that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def mount_of(path: str) -> MountInfo:
    """The mount that `path` is on."""
    inside = [m for m in mounts() if os.path.commonpath((m.target, path)) == m.target]
    return max(enumerate(inside), key=lambda pair: (len(pair[1].target), pair[0]))[1]  # the last one covers the others


def size(count: int) -> str:
    """A number of bytes as people read it."""
    return f"{count / (1 << 30):.1f} GB" if count >= 1 << 30 else f"{count >> 20} MB"


def state_folder() -> Finding:
    """There is a place for containers that can be written, with room in it."""
    path = state_root()
    folder = existing(path)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    made = "" if folder == path else ", not made yet"
    seen = f"{path} ({mount_of(os.path.realpath(folder)).fstype}{made}), {size(free)} free"
    other = "name another folder in MINICONTAINER_ROOT"
    if not os.access(folder, os.W_OK) or room.f_flag & os.ST_RDONLY:
        return missing("state folder", f"{seen}, not writable", "no container runs", other)
    if free < SCARCE:
        return limited("state folder", seen, "containers cannot write much", f"make room, or {other}")
    return ok("state folder", seen, "containers keep their files here")


# -- what its file system can do ----------------------------------------------------------------


@contextmanager
def trial_container() -> Iterator[Container]:
    """A container's directory beside the others', with what the root feature makes in it."""
    folder = tempfile.mkdtemp(prefix=".doctor-", dir=existing(state_root()))
    try:
        for name in ("lower", "layer", "layer/upper", "layer/work", "rootfs"):
            os.mkdir(os.path.join(folder, name))
        yield Container("doctor", Spec(), folder)
    finally:
        remove_tree(folder)


def overlay() -> Finding:
    """A writable layer can be laid over a root filesystem: the real thing, tried."""
    try:
        with trial_container() as container:
            if os.geteuid() != 0:
                container.spec.linux.namespaces = [Namespace(type="user")]
            error = attempt(lambda: lay_over(container))
    except OSError as reason:
        error = MinicontainerError(f"cannot be tried: {reason.strerror}")
    fstype = mount_of(os.path.realpath(existing(state_root()))).fstype
    if error is None:
        return ok("overlayfs", f"mounted with its upper layer on {fstype}", "root filesystems stay as they are")
    if isinstance(error, KernelError) and error.errno == EINVAL:
        return limited(
            "overlayfs", f"{fstype} cannot hold an upper layer", "what a container writes is kept in memory; no --keep",
            "name a folder on ext4, xfs or btrfs in MINICONTAINER_ROOT",
        )  # fmt: skip
    known = "" if "overlay" in filesystems() else "; the kernel does not know it"
    remedy = "`modprobe overlay`" if known else "see namespaces and user namespaces"
    return missing("overlayfs", f"{why(error)}{known}", "no container runs", remedy)


def lay_over(container: Container) -> None:
    """Mount the overlay in mounts of this process alone. Raises KernelError with EINVAL if it fell back to tmpfs."""
    own_mounts()
    os.chdir(container.dir)
    mount_overlay(container)
    if any(mount.target == container.path("layer") for mount in mounts()):
        raise KernelError("mount", EINVAL)


def idmapped_mounts() -> Finding:
    """A mount can show its files under other owners: mount_setattr(2)."""
    if os.geteuid() != 0:
        return ok("idmapped mounts", "not needed without root", "a user's files are root's in the container")
    try:
        with trial_container() as container:
            container.spec.root.path = "rootfs"
            linux = container.spec.linux
            linux.uid_mappings = linux.gid_mappings = [IDMapping(host_id=FIRST_BLOCK, size=BLOCK)]
            error = attempt(lambda: idmapped(container))
    except OSError as reason:
        error = MinicontainerError(f"cannot be tried: {reason.strerror}")
    if error is None:
        fstype = mount_of(os.path.realpath(existing(state_root()))).fstype
        return ok("idmapped mounts", f"made on {fstype}", "--userns works with root filesystems there")
    remedy = "put root filesystems on ext4, xfs or btrfs (Linux 5.15)"
    return limited("idmapped mounts", why(error), "no --userns, no --hardened, with root filesystems there", remedy)


def leftovers() -> Finding:
    """Nothing is left of crashed runs."""
    try:
        found = [leftover.what for leftover in all_leftovers()]
    except (MinicontainerError, OSError) as error:
        return limited("leftovers", f"cannot be looked for: {error}", "unknown", "look again as their owner")
    if not found:
        return ok("leftovers", "none", "no crash has left anything")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return limited(
        "leftovers", f"{found[0]}{more}", "they take up names, addresses and room", "`minicontainer cleanup`"
    )
