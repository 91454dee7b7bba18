"""The container's own file tree: a mount namespace, overlayfs, pivot_root(2).

Three features, in this order:

    mounts    a mount namespace, cut off from the host's: from here on nothing mounted or unmounted
              inside reaches the host. mount_namespaces(7)
    root      the rootfs, read only, below a writable layer: the kernel's overlayfs
    pivot     (after the file systems are in place) the new tree becomes `/`, the old one goes

    lower   the rootfs as it is on disk          never written
    upper   what the container changed           layer/upper, dropped at the end
    merged  what it sees                         rootfs/, in its own mount namespace only

All paths are relative to the container's directory, in which the child stands: when it has become
another user, in a user namespace, it can no longer walk there from `/`.

    cat /proc/PID/mountinfo         what the container has mounted, and with which options
    ls layer/upper                  what it changed
"""

from __future__ import annotations

import errno
import os

from minicontainer.errors import KernelError, UnsupportedError
from minicontainer.isolation.feature import Feature
from minicontainer.isolation.namespaces import NamespaceFeature
from minicontainer.isolation.user import as_root_inside, namespace_with
from minicontainer.linux import files, mount
from minicontainer.linux.mount import AT_FDCWD, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container

PROPAGATION = {
    "private": MS_PRIVATE,
    "slave": MS_SLAVE,
    "shared": MS_SHARED,
    "unbindable": MS_UNBINDABLE,
    "rprivate": MS_REC | MS_PRIVATE,
    "rslave": MS_REC | MS_SLAVE,
    "rshared": MS_REC | MS_SHARED,
    "runbindable": MS_REC | MS_UNBINDABLE,
}
"""mount(8)'s names of the propagation types."""


class Mounts(NamespaceFeature):
    """An own mount table, and the end of propagation: a shared `/`, as systemd makes it, would pass every mount on."""

    name = "mounts"
    kind = "mount"

    def inside(self, container: Container) -> None:
        super().inside(container)
        if not self.flags(container):
            return
        wanted = PROPAGATION.get(container.spec.linux.rootfs_propagation, MS_REC | MS_PRIVATE)
        # Shared would let the mounts of the next steps out; the pivot grants it, once they are done.
        mount.mount(None, "/", None, MS_REC | MS_SLAVE if wanted & (MS_SHARED | MS_SLAVE) else MS_REC | MS_PRIVATE)


class Root(Feature):
    """The rootfs with a writable layer on it, mounted at `rootfs/`; `container.root_fd` holds it open."""

    name = "root"

    def __init__(self) -> None:
        self.lower = -1

    def before(self, container: Container) -> None:
        overlay = container.spec.minicontainer.overlay
        folders = ["rootfs", "lower", "layer", "layer/upper", "layer/work"] if overlay else ["rootfs"]
        for folder in folders:
            files.mkdir(container.path(folder))
        if overlay and overlay.keep:
            self._keep(container, overlay.keep)
        linux = container.spec.linux
        if linux.uid_mappings and not container.spec.minicontainer.rootless:
            self.lower = idmapped(container)
            owner = linux.uid_mappings[0].host_id, linux.gid_mappings[0].host_id
            for folder in ("", *folders):
                files.chown(container.path(folder), *owner)

    def _keep(self, container: Container, keep: str) -> None:
        """Put the writable layer's `upper` where the user wants to find it afterwards, and `work` beside it."""
        os.makedirs(keep, exist_ok=True)
        os.makedirs(work_beside(keep), exist_ok=True)
        for folder, target in (("upper", keep), ("work", work_beside(keep))):
            files.rmdir(container.path("layer", folder))
            files.symlink(os.path.abspath(target), container.path("layer", folder))

    def inside(self, container: Container) -> None:
        if self.lower < 0:
            recursive = mount.OPEN_TREE_CLONE | mount.OPEN_TREE_CLOEXEC | mount.AT_RECURSIVE
            self.lower = mount.open_tree(AT_FDCWD, container.root, recursive)
        overlay = container.spec.minicontainer.overlay
        attach(self.lower, "lower" if overlay else "rootfs")
        if overlay:
            mount_overlay(container)
        container.root_fd = os.open("rootfs", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def after(self, container: Container) -> None:
        remove_layer(container, container.path("layer"))
        overlay = container.spec.minicontainer.overlay
        if overlay and overlay.keep:
            remove_layer(container, work_beside(overlay.keep))


class Pivot(Feature):
    """The new tree becomes `/`: pivot_root(2). chroot(2) would leave the old one a few `..` away."""

    name = "pivot"
    wall = False

    def inside(self, container: Container) -> None:
        spec = container.spec
        attributes = mount.MOUNT_ATTR_RDONLY if spec.root.readonly else 0
        if spec.process.no_new_privileges:  # their set-user-ID bits mean nothing to it anyway
            attributes |= mount.MOUNT_ATTR_NOSUID
        if attributes:
            mount.mount_setattr(container.root_fd, 0, attributes)
        if container.record.get("nodev"):  # no device program could be attached: see `devices`
            mount.mount_setattr(container.root_fd, 0, mount.MOUNT_ATTR_NODEV)
        files.fchdir(container.root_fd)
        # Both arguments may be the same place: the old root is then stacked on the new one, and goes
        # with one umount. No directory has to be made for it in the container's tree.
        mount.pivot_root(".", ".")
        mount.umount2(".", mount.MNT_DETACH)
        files.chdir("/")
        propagation = PROPAGATION.get(spec.linux.rootfs_propagation, 0)
        if propagation & MS_SHARED:
            mount.mount(None, "/", None, propagation)


def remove_layer(container: Container, path: str) -> None:
    """Remove what the container has written at `path`, whichever of its users it belongs to."""
    try:
        files.remove_tree(path)
    except PermissionError:
        if not container.spec.minicontainer.rootless:
            raise
        as_root_inside(container, lambda: files.remove_tree(path))


def work_beside(keep: str) -> str:
    """overlayfs' work folder for the upper layer `keep`: on the same file system, but not in it."""
    return os.path.abspath(keep) + ".work"


def attach(tree: int, path: str) -> None:
    """Attach the mount held by `tree` at the directory `path`."""
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount.move_mount(tree, place)
    os.close(place)
    os.close(tree)


def mount_overlay(container: Container) -> None:
    """Mount the overlay of lower/ and layer/ at rootfs/.

    Some file systems cannot hold an upper layer (overlayfs itself, NFS, a VM's view of its host):
    there, the layer is a tmpfs in the container's own mount namespace.
    """
    options = "lowerdir=lower,upperdir=layer/upper,workdir=layer/work"
    if container.spec.namespace("user"):
        options += ",userxattr"  # trusted.* attributes are the initial user namespace's alone
    try:
        mount.mount("overlay", "rootfs", "overlay", 0, options)
    except KernelError as error:
        overlay = container.spec.minicontainer.overlay
        if error.errno != errno.EINVAL or (overlay and overlay.keep):
            raise
        mount.mount("tmpfs", "layer", "tmpfs", mount.MS_NOSUID | mount.MS_NODEV, "mode=755")
        files.mkdir("layer/upper")
        files.mkdir("layer/work")
        mount.mount("overlay", "rootfs", "overlay", 0, options)


def idmapped(container: Container) -> int:
    """The rootfs as a mount on which its owners appear as the container's own: mount_setattr(2).

    Its files belong to root on disk; below this mount they belong to whoever is root inside.
    """
    linux = container.spec.linux
    tree = mount.open_tree(AT_FDCWD, container.root, mount.OPEN_TREE_CLONE | mount.OPEN_TREE_CLOEXEC)
    namespace = namespace_with(linux.uid_mappings, linux.gid_mappings)
    try:
        mount.mount_setattr(tree, 0, set=mount.MOUNT_ATTR_IDMAP, userns=namespace)
    except KernelError as error:
        if error.errno != errno.EINVAL:
            raise
        raise UnsupportedError(
            f"the file system of {container.root} cannot show its files under other owners, as a user namespace needs",
            "put the root filesystem on ext4, xfs or btrfs, or use --userns host",
        ) from None
    finally:
        os.close(namespace)
    return tree
