"""My container: python3 my_container.py ROOTFS PROGRAM [ARG...]

It starts a program as a child process and waits for it. With each lesson a wall is added, at the
place that has the lesson's number.
"""

import os
import subprocess
import sys
from pathlib import Path

import kit

ROOT = os.geteuid() == 0  # or an ordinary user, for whom there are fewer walls
GROUP = f"/sys/fs/cgroup/my-container-{os.getpid()}"
LIMITS = {"memory.max": "64M", "memory.swap.max": "0", "pids.max": "50", "cpu.max": "50000 100000"}
PLAIN = kit.MS_NOSUID | kit.MS_NODEV | kit.MS_NOEXEC
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


def walls():
    """The namespaces that the child is born in: kit.CLONE_NEW… put together with |."""
    flags = kit.CLONE_NEWUTS
    flags |= kit.CLONE_NEWPID
    flags |= kit.CLONE_NEWNS
    flags |= kit.CLONE_NEWNET
    flags |= kit.CLONE_NEWIPC
    if ROOT and os.path.exists("/proc/self/ns/time"):  # Linux 5.6
        kit.unshare(kit.CLONE_NEWTIME)  # for the children that come; their clocks start at 0
        up = Path("/proc/uptime").read_text().split(".")[0]
        Path("/proc/self/timens_offsets").write_text(f"monotonic -{up} 0\nboottime -{up} 0")
    flags |= kit.CLONE_NEWUSER
    return flags


def outside(pid):
    """In the parent, while the child `pid` waits at the gate."""
    if ROOT and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):  # version 2
        limits(pid)
    if ROOT:
        cable(pid)
    users(pid)


def limits(pid):
    """A control group with fuses, and the child in it: cgroups(7)."""
    os.mkdir(GROUP)
    for file, value in LIMITS.items():
        Path(GROUP, file).write_text(value)
    Path(GROUP, "cgroup.procs").write_text(str(pid))


def cable(pid):
    """A veth pair, one end here and one with the child, and a network of four addresses for it: veth(4)."""
    number = pid * 4 % 65536
    network, last = f"10.99.{number // 256}", number % 256
    script = f"""
        ip link add my{pid} up type veth peer name eth0 netns {pid}
        ip addr add {network}.{last + 1}/30 dev my{pid}
        nsenter --net=/proc/{pid}/ns/net sh -ec '
            ip link set lo up
            ip link set eth0 up
            ip addr add {network}.{last + 2}/30 dev eth0
            ip route add default via {network}.{last + 1}'"""
    subprocess.run(["sh", "-ec", script], check=True)


def users(pid):
    """Root inside is nobody in particular outside, or just the user who started us: user_namespaces(7)."""
    uid, gid, count = (100000, 100000, 65536) if ROOT else (os.getuid(), os.getgid(), 1)
    if not ROOT:
        Path(f"/proc/{pid}/setgroups").write_text("deny")  # else no map of groups for ordinary users
    Path(f"/proc/{pid}/uid_map").write_text(f"0 {uid} {count}")
    Path(f"/proc/{pid}/gid_map").write_text(f"0 {gid} {count}")


def inside(rootfs):
    """In the child, before the program: build the walls, from the foundation up."""
    os.chdir(rootfs)  # while we still are who may go there; "." stays this folder, even if a tmpfs covers it
    if ROOT:
        os.setgroups([])
    os.setgid(0)
    os.setuid(0)
    kit.prctl(1, 9)  # PR_SET_PDEATHSIG: no parent, no container
    kit.unshare(kit.CLONE_NEWCGROUP)  # whose root is the group that the child is in by now
    kit.sethostname("container")
    kit.mount(None, "/", flags=kit.MS_REC | kit.MS_PRIVATE)
    rootfs = layer()
    windows(rootfs)
    os.chdir(rootfs)
    kit.pivot_root(".", ".")  # the old root now lies on the new one
    kit.umount(".", kit.MNT_DETACH)
    # lesson 11: capabilities
    # lesson 12: system calls


def layer():
    """An empty layer over the current folder, in memory: where the two are one. MS_NODEV: no device opens there."""
    kit.mount("tmpfs", "/tmp", "tmpfs")
    for name in ("upper", "work", "root"):
        os.mkdir(f"/tmp/{name}")
    options = "lowerdir=.,upperdir=/tmp/upper,workdir=/tmp/work,userxattr"
    kit.mount("overlay", "/tmp/root", "overlay", kit.MS_NODEV, options)
    kit.mount("tmpfs", "/tmp/root/tmp", "tmpfs", kit.MS_NOSUID | kit.MS_NODEV, "mode=1777")  # the old one is nobody's
    return "/tmp/root"


def windows(root):
    """/proc, /sys and /dev: the kernel's windows, and what is dangerous behind them shut."""
    kit.mount("proc", root + "/proc", "proc", PLAIN)
    kit.mount("sysfs", root + "/sys", "sysfs", PLAIN | kit.MS_RDONLY)
    kit.mount("tmpfs", root + "/dev", "tmpfs", PLAIN, "mode=755")
    os.mkdir(root + "/dev/pts")
    kit.mount("devpts", root + "/dev/pts", "devpts", kit.MS_NOSUID | kit.MS_NOEXEC, "ptmxmode=0666,mode=620")
    for name, target in LINKS.items():
        os.symlink(target, f"{root}/dev/{name}")
    for name in DEVICES:
        open(f"{root}/dev/{name}", "x").close()
        show(f"/dev/{name}", f"{root}/dev/{name}")
    for path in READ_ONLY:
        show(root + path, root + path)
    for path in MASKED:
        show("/dev/null", root + path)


def show(source, target):
    """Bind `source` at `target`, read-only, if that is there. (A device can be written to nevertheless.)"""
    if os.path.exists(target):
        kit.mount(source, target, flags=kit.MS_BIND)
        kept = os.statvfs(target).f_flag & PLAIN
        kit.mount(None, target, flags=kit.MS_REMOUNT | kit.MS_BIND | kit.MS_RDONLY | kept)


def start(program):
    """Become the program: this process stays, what it runs is replaced. execve(2) does not return."""
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"my_container: {program[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


def main():
    rootfs, *program = sys.argv[1:]
    hear, tell = os.pipe()  # the gate: the child waits until the parent has closed its end
    pid = kit.clone(walls())
    if pid == 0:
        os.close(tell)
        os.read(hear, 1)
        os.close(hear)
        inside(os.path.abspath(rootfs))
        start(program)
    os.close(hear)
    outside(pid)
    os.close(tell)
    _, status = os.waitpid(pid, 0)
    if os.path.exists(GROUP):
        os.rmdir(GROUP)
    code = os.waitstatus_to_exitcode(status)  # minus the number of the signal that ended it, if one did
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
