"""What stands in the container's tree besides its files: /proc, /sys, /dev, volumes, and the masks over them.

Each of these is a window into the kernel. /proc shows the processes of one pid namespace, the one it
is mounted in; /sys the devices, read only; /dev a fresh tmpfs with the few nodes that are harmless.
What is left to see there but should not be is masked: a file by /dev/null, a directory by an empty
read-only tmpfs on top.

The rootfs may be hostile: /proc may be a symbolic link, /dev/null a trap. So every target is opened
below the root's descriptor (linux/paths.py) and mounted on by that descriptor, and whatever is put
there is taken from the host's side: its own /dev/null, its own devices.

    findmnt --task PID              the container's mounts
    cat /proc/PID/root/proc/kcore   a mask
"""

from __future__ import annotations

import errno
import os
import stat

from minicontainer.errors import KernelError, SpecError, UnsupportedError
from minicontainer.isolation.feature import Feature
from minicontainer.isolation.mountoptions import MountOptions
from minicontainer.linux import files, mount
from minicontainer.linux.paths import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, make_in, open_in, openat2
from minicontainer.linux.programs import find_program
from minicontainer.spec import Device, Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container

OWN_FILES = {"resolv.conf": "/etc/resolv.conf", "hosts": "/etc/hosts", "hostname": "/etc/hostname"}
"""Files in the container's directory that are mounted over the rootfs' own."""

KERNELS_OWN = ("/proc/", "/sys/")
"""What is mounted there must say so: no symbolic link of the rootfs may lead a volume to it (CVE-2023-28642)."""

KERNEL_TYPES = ("proc", "sysfs")
"""File systems that may stand only where the rootfs has a real directory, since others trust what is there."""

CGROUP_TYPES = ("cgroup", "cgroup2")
"""The specification's name, and the kernel's, of what we show as version 2 in either case."""

DEV_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
"""config-linux.md#default-devices: links in /dev."""

INIT = "/sbin/docker-init"
"""Where `--init` puts the host's static init, under Docker's name for it."""

INIT_PROGRAMS = ("tini-static", "catatonit")
"""The programs that will do. Python would not: /proc/1/exe would show the container the host's interpreter."""

MASK = "nr_inodes=2,size=4k"
"""Options of the tmpfs that hides a directory: room for nothing but itself."""

CLONE = mount.OPEN_TREE_CLONE | mount.OPEN_TREE_CLOEXEC


class Filesystems(Feature):
    """Mounts, device nodes and masks, in that order."""

    name = "filesystems"

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self.kernels: set[int] = set()
        """The st_dev of the container's /proc and /sys."""

    def before(self, container: Container) -> None:
        """Take copies of the bind sources while we may still walk everywhere.

        In a user namespace the child's privileges end where ids are not mapped. An ordinary user has
        the same rights inside and outside, and may not take copies here.
        """
        if container.spec.minicontainer.init:
            container.save(init=find_init())
        if container.spec.minicontainer.rootless:
            return
        for entry in container.spec.mounts:
            if MountOptions(entry.options).bind:
                self.sources[entry.destination] = open_source(container, entry)

    def inside(self, container: Container) -> None:
        root = container.root_fd
        for entry in container.spec.mounts:
            self._mount(container, root, entry)
            if entry.destination in ("/proc", "/sys"):
                place = open_in(root, entry.destination)
                self.kernels.add(os.fstat(place).st_dev)
                os.close(place)
        make_devices(container, root)
        for name, target in OWN_FILES.items():
            if os.path.exists(name):
                self._bind(mount.open_tree(mount.AT_FDCWD, name, CLONE), root, target, directory=False)
        if container.spec.minicontainer.init:
            self._bind(read_only(container.record["init"]), root, INIT, directory=False)
        for path in container.spec.linux.readonly_paths:
            make_readonly(root, path)
        for path in container.spec.linux.masked_paths:
            mask(root, path)

    def _mount(self, container: Container, root: int, entry: Mount) -> None:
        options = MountOptions(entry.options)
        if entry.type in CGROUP_TYPES:
            show_cgroup(container, root, entry.destination, options)
            return
        if options.bind:
            tree = self.sources.get(entry.destination, -1)
            tree = tree if tree >= 0 else open_source(container, entry)
            set_attributes(tree, options)
            self._bind(tree, root, entry.destination, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
            return
        target = self._target(root, entry.destination, directory=True)
        if entry.type in KERNEL_TYPES:
            os.close(target)
            target = open_real(root, entry.destination)
        data = options.data
        if entry.type == "devpts" and container.spec.linux.gid_mappings and not maps_gid(container, 5):
            data = ",".join(word for word in data.split(",") if not word.startswith("gid="))
        mount.mount(entry.source or entry.type, f"/proc/self/fd/{target}", entry.type, options.flags, data)
        os.close(target)
        if options.propagation:
            placed = open_in(root, entry.destination)
            mount.mount_setattr(placed, 0, propagation=options.propagation & ~mount.MS_REC)
            os.close(placed)

    def _bind(self, tree: int, root: int, path: str, directory: bool) -> None:
        """Attach the mount held by `tree` at `path` below `root`, which is made if it is not there."""
        target = self._target(root, path, directory)
        mount.move_mount(tree, target)
        os.close(target)
        os.close(tree)

    def _target(self, root: int, path: str, directory: bool) -> int:
        """A descriptor of `path` below `root`, made if need be. It must not lead into /proc or /sys unawares."""
        target = make_in(root, path, directory)
        if not path.startswith(KERNELS_OWN) and os.fstat(target).st_dev in self.kernels:
            raise SpecError(f"{path} in the rootfs is a link into /proc or /sys", "remove it")
        return target


def find_init() -> str:
    """The host's program for `--init`. Raises UnsupportedError."""
    for name in INIT_PROGRAMS:
        if program := find_program(name):
            return program
    raise UnsupportedError("--init needs a static init program", "install the package tini or catatonit")


def maps_gid(container: Container, gid: int) -> bool:
    return any(m.container_id <= gid < m.container_id + m.size for m in container.spec.linux.gid_mappings)


# -- bind mounts --------------------------------------------------------------------------------


def open_source(container: Container, entry: Mount) -> int:
    """A copy of the mount that a bind takes its content from."""
    source = os.path.join(container.bundle, entry.source)
    recursive = mount.AT_RECURSIVE if MountOptions(entry.options).flags & mount.MS_REC else 0
    try:
        return mount.open_tree(mount.AT_FDCWD, source, CLONE | recursive)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            raise SpecError(f"the source {source} of the mount at {entry.destination} does not exist") from None
        raise


def set_attributes(tree: int, options: MountOptions) -> None:
    """Give a mount that is attached nowhere yet its options and its propagation (private unless said otherwise)."""
    propagation = options.propagation or mount.MS_PRIVATE
    below = mount.AT_RECURSIVE if propagation & mount.MS_REC or options.flags & mount.MS_REC else 0
    mount.mount_setattr(tree, below, propagation=propagation & ~mount.MS_REC)
    if options.attributes or options.clear:
        clear = options.clear | (mount.MOUNT_ATTR_ATIME if options.attributes & mount.MOUNT_ATTR_ATIME else 0)
        mount.mount_setattr(tree, 0, set=options.attributes, clear=clear)
    if options.recursive:
        mount.mount_setattr(tree, mount.AT_RECURSIVE, set=options.recursive)


def read_only(path: str) -> int:
    """A copy of the mount at the host's `path`, read only.

    Of a device this can still be written to; but root inside cannot change the mode or owner of the host's file.
    """
    tree = mount.open_tree(mount.AT_FDCWD, path, CLONE)
    mount.mount_setattr(tree, 0, set=mount.MOUNT_ATTR_RDONLY)
    return tree


def bind(tree: int, root: int, path: str, directory: bool) -> None:
    """Attach the mount held by `tree` at `path` below `root`, which is made if it is not there."""
    target = make_in(root, path, directory)
    mount.move_mount(tree, target)
    os.close(target)
    os.close(tree)


def open_real(root: int, path: str) -> int:
    """Open `path` below `root` if no symbolic link stands in the way."""
    try:
        return openat2(root, path.lstrip("/"), os.O_PATH | os.O_DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    except KernelError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise SpecError(f"{path} in the rootfs is not a real directory", "remove the link or file there") from None
        raise


def show_cgroup(container: Container, root: int, path: str, options: MountOptions) -> None:
    """Bind the container's own control group at `path`: what a mount of cgroup2 in its namespace would show.

    Such a mount waits 10 ms for every processor to pass an RCU grace period; a bind does not wait.
    """
    if group := container.record.get("cgroup"):
        tree = mount.open_tree(mount.AT_FDCWD, group, CLONE)
        set_attributes(tree, options)
        bind(tree, root, path, directory=True)


# -- devices ------------------------------------------------------------------------------------


def make_devices(container: Container, root: int) -> None:
    """The spec's device nodes and the standard links in /dev.

    In a user namespace nobody may make a device node; there, the host's own nodes are bound.
    """
    by_bind = bool(container.spec.namespace("user"))
    for device in container.spec.linux.devices:
        if by_bind:
            bind(read_only(device.path), root, device.path, directory=False)
        else:
            make_node(root, device)
    dev = make_in(root, "/dev", directory=True)
    for name, target in DEV_LINKS.items():
        try:
            files.symlink(target, name, dev)
        except KernelError as error:
            if error.errno not in (errno.EEXIST, errno.EROFS):
                raise
    os.close(dev)


DEVICE_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def make_node(root: int, device: Device) -> None:
    """Make one device node below `root`; one that is there already is taken as it is."""
    folder, _, name = device.path.rpartition("/")
    parent = make_in(root, folder or "/", directory=True)
    mode = 0o666 if device.file_mode is None else device.file_mode
    try:
        files.mknod(name, DEVICE_TYPES[device.type] | mode, os.makedev(device.major, device.minor), parent)
        if device.uid or device.gid:
            os.chown(name, device.uid, device.gid, dir_fd=parent, follow_symlinks=False)
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
    finally:
        os.close(parent)


# -- masks --------------------------------------------------------------------------------------


def make_readonly(root: int, path: str) -> None:
    """Bind `path` below `root` over itself, read only; nothing if it is not there."""
    target = open_existing(root, path)
    if target >= 0:
        tree = mount.open_tree(target, "", CLONE | mount.AT_EMPTY_PATH | mount.AT_RECURSIVE)
        mount.mount_setattr(tree, mount.AT_RECURSIVE, set=mount.MOUNT_ATTR_RDONLY)
        mount.move_mount(tree, target)
        os.close(tree)
        os.close(target)


def mask(root: int, path: str) -> None:
    """Hide `path` below `root`: a directory under an empty read-only tmpfs, a file under the host's /dev/null."""
    target = open_existing(root, path)
    if target < 0:
        return
    if stat.S_ISDIR(os.fstat(target).st_mode):
        mount.mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", mount.MS_RDONLY, MASK)
    else:
        null = read_only("/dev/null")
        mount.move_mount(null, target)
        os.close(null)
    os.close(target)


def open_existing(root: int, path: str) -> int:
    """An O_PATH descriptor of `path` below `root`, or -1 if there is nothing."""
    try:
        return open_in(root, path)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return -1
        raise
