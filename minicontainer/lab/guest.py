"""Process 1 of the virtual machine: makes a root, runs one command, says how it ended, turns the power off.

The kernel starts it with the host's file tree, read-only, as its root (hostfs). On top comes an overlay
whose upper layer is a tmpfs, so everything can be written and nothing of it reaches the host. Then
the file systems that a Linux system has, with cgroup v2 and all of its controllers.

It is Python without site-packages (`-I -S`), the host's own interpreter. Few imports: each costs five
times what it does outside.

    minicontainer lab findmnt       watch it
"""

from __future__ import annotations

import _socket
import fcntl
import os
import struct
import sys
import termios

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from minicontainer import quickjson
from minicontainer.errors import MinicontainerError
from minicontainer.lab import share, wire
from minicontainer.lab.command import Command
from minicontainer.linux.calls import libc
from minicontainer.linux.files import mknod, symlink, write_file
from minicontainer.linux.mount import (
    AT_FDCWD,
    MNT_DETACH,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
    MS_SHARED,
    OPEN_TREE_CLONE,
    mount,
    move_mount,
    open_tree,
    pivot_root,
    umount2,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

MODULES = "/usr/lib/uml/modules"
AT_BOOT = ("overlay", "ipv6")  # the kernel calls modprobe for the others when something asks for them
MOUNTS = (
    ("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
    ("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
    ("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
    ("devtmpfs", "/dev", MS_NOSUID, None),
    ("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"),
    ("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
    ("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"),
    ("tmpfs", "/tmp", 0, "mode=1777"),  # these two since an overlay cannot be the upper layer of another
    ("tmpfs", "/var/lib/minicontainer", 0, "mode=711"),
    ("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"),
)
LINKS = (("/proc/self/fd", "/dev/fd"), ("fd/0", "/dev/stdin"), ("fd/1", "/dev/stdout"), ("fd/2", "/dev/stderr"))
IFF_UP, SIOCSIFFLAGS = 1, 0x8914  # netdevice(7)
RB_POWER_OFF = 0x4321FEDC  # reboot(2); `echo o > /proc/sysrq-trigger` does the same
CHARACTER_DEVICE = 0o020000


def main() -> NoReturn:
    """The machine's whole life."""
    line = wire.Line("/dev/ttyS0")
    try:
        line.send(wire.READY)
        plan = receive_plan(line)
        upper = writable_root()
        filesystems(plan["keep"])
        devices()
        network()
        controllers()
        command = Command(plan)
        line.send(wire.STARTED)
        status = command.run(line)
        if plan["share"]:
            share.send(upper, plan["share"], line.send)
        line.send(wire.EXIT, wire.EXIT_STATUS.pack(status))
    except (MinicontainerError, OSError) as error:
        line.send(wire.FAILED, str(error).encode())
    finally:  # anything else: the traceback goes to the console
        termios.tcdrain(line.fd)
        libc.reboot(RB_POWER_OFF)
        os._exit(0)


def receive_plan(line: wire.Line) -> dict[str, Any]:
    """What to run: the host's START, as plan.py makes it."""
    while True:
        for kind, payload in line.receive():
            if kind == wire.START:
                plan: dict[str, Any] = quickjson.parse(payload.decode())
                return plan


def writable_root() -> int:
    """Put an overlay over the host's tree and make that the root. A descriptor of the overlay's upper layer."""
    mount("proc", "/proc", "proc")
    mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755")
    for name in ("upper", "work", "root", "lib", "lib/modules"):
        os.mkdir(f"/tmp/{name}")
    release = os.uname().release
    symlink(f"{MODULES}/{release}", f"/tmp/lib/modules/{release}")  # where modprobe looks for them
    if os.spawnv(os.P_WAIT, "/sbin/modprobe", ["modprobe", "-d", "/tmp", "-a", *AT_BOOT]):
        raise MinicontainerError(f"modprobe cannot load {' and '.join(AT_BOOT)} for kernel {release}")
    mount("overlay", "/tmp/root", "overlay", 0, "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work")
    upper = os.open("/tmp/upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir("/tmp/root")
    pivot_root(".", ".")  # the old root lies on top of the new one now,
    umount2(".", MNT_DETACH)  # and goes
    os.chdir("/")
    return upper


def filesystems(keep: list[str]) -> None:
    """Mount what a system has. Directories of the host in `keep` stay visible where that would hide them."""
    kept = {path: open_tree(AT_FDCWD, path, OPEN_TREE_CLONE) for path in keep}
    for kind, place, flags, options in MOUNTS:
        os.makedirs(place, exist_ok=True)
        mount(kind, place, kind, flags, options)
    for path, tree in kept.items():
        os.makedirs(path, exist_ok=True)
        target = os.open(path, os.O_PATH | os.O_DIRECTORY)
        move_mount(tree, target)
        os.close(target)
        os.close(tree)
    os.makedirs("/lib/modules", exist_ok=True)
    mount(MODULES, "/lib/modules", None, MS_BIND)
    mount(None, "/", None, MS_SHARED | MS_REC)  # as systemd leaves a host


def devices() -> None:
    """The links that udev makes, and the nodes whose opening loads a module: /dev/fuse, /dev/net/tun, …"""
    for target, path in LINKS:
        symlink(target, path)
    with open(f"/lib/modules/{os.uname().release}/modules.devname", encoding="utf-8") as table:
        rows = [row.split() for row in table if not row.startswith("#")]
    for _, name, number in rows:  # tun net/tun c10:200
        major, minor = map(int, number[1:].split(":"))
        os.makedirs(os.path.dirname(f"/dev/{name}"), exist_ok=True)
        mknod(f"/dev/{name}", CHARACTER_DEVICE | 0o666, os.makedev(major, minor))


def network() -> None:
    """Host name and the loopback interface. There is no way out of the machine."""
    _socket.sethostname("lab")
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(any_socket.fileno(), SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    any_socket.close()


def controllers() -> None:
    """Pass all controllers on to the groups below the root, as systemd does on a host: cgroups(7)."""
    with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as names:
        write_file("/sys/fs/cgroup/cgroup.subtree_control", " ".join(f"+{name}" for name in names.read().split()))


if __name__ == "__main__":
    main()
