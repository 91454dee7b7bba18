"""The kernel, called by name: what my_container.py needs and Python's `os` does not have.

Each function is one system call and does what its man page says (section 2: `man 2 mount`). When the
kernel refuses, it raises OSError with the kernel's reason. Read it: nothing in here is hidden or clever.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import warnings  # noqa: F401  os.execvp wants it, and once the root is another one, Python's own files are out of reach

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# clone(2), namespaces(7)
CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000
# mount(2), umount(2)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH = 2
# system call numbers differ from one kind of processor to another: syscalls(2)
X86 = platform.machine() == "x86_64"
NUMBERS = {
    "clone": 56 if X86 else 220, "pivot_root": 155 if X86 else 41, "capset": 126 if X86 else 91,
    "mount": 165 if X86 else 40, "umount2": 166 if X86 else 39, "unshare": 272 if X86 else 97,
    "setns": 308 if X86 else 268, "ptrace": 101 if X86 else 117, "reboot": 169 if X86 else 142,
    "init_module": 175 if X86 else 105, "kexec_load": 246 if X86 else 104, "keyctl": 250 if X86 else 219,
    "add_key": 248 if X86 else 217, "request_key": 249 if X86 else 218, "bpf": 321 if X86 else 280,
    "sethostname": 170 if X86 else 161, "mkdirat": 258 if X86 else 34, "personality": 135 if X86 else 92,
    "swapon": 167 if X86 else 224, "settimeofday": 164 if X86 else 170, "clock_settime": 227 if X86 else 112,
    "finit_module": 313 if X86 else 273, "clone3": 435, "io_uring_setup": 425, "open_by_handle_at": 304 if X86 else 265,
    "perf_event_open": 298 if X86 else 241, "userfaultfd": 323 if X86 else 282,
}  # fmt: skip


def call(name, *args):
    """The system call `name`; text becomes a C string, None a null pointer. Raises OSError."""
    args = [os.fsencode(a) if isinstance(a, str) else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def clone(flags=0):
    """os.fork, but the child is born in new namespaces (CLONE_NEW…): its pid here, 0 in the child."""
    ctypes.pythonapi.PyOS_BeforeFork()  # what os.fork does, too
    pid = ctypes.PyDLL(None, use_errno=True).syscall(
        ctypes.c_long(NUMBERS["clone"]), ctypes.c_long(flags | signal.SIGCHLD), *[ctypes.c_long(0)] * 4
    )
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), f"clone: {os.strerror(ctypes.get_errno())}")
    return pid


def unshare(flags):
    """Move this process into new namespaces (with CLONE_NEWPID: its next child)."""
    call("unshare", flags)


def sethostname(name):
    call("sethostname", name, len(os.fsencode(name)))


def mount(source, target, fstype=None, flags=0, options=None):
    """mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID, "size=1m"); mount("/a", "/b", flags=MS_BIND)."""
    call("mount", source, target, fstype, flags, options)


def umount(target, flags=0):
    call("umount2", target, flags)


def pivot_root(new_root, put_old):
    call("pivot_root", new_root, put_old)


def prctl(option, value=0, address=0):
    if libc.prctl(option, *map(ctypes.c_ulong, (value, address, 0, 0))) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def no_new_privs():
    """From now on no exec gives more rights than there were: PR_SET_NO_NEW_PRIVS(2const)."""
    prctl(38, 1)


def drop_bounding(capability):
    """Give up a capability, by number, for good: PR_CAPBSET_DROP(2const)."""
    prctl(24, capability)


def capset(mask):
    """Keep just the capabilities whose bits are set in `mask`: permitted and effective; none is inheritable."""
    low, high = mask & 0xFFFFFFFF, mask >> 32
    call("capset", struct.pack("Ii", 0x20080522, 0), struct.pack("6I", low, low, 0, high, high, 0))


def seccomp(denied):
    """From now on the system calls named in `denied` fail with EPERM: seccomp(2), and bpf(4) on the language."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, JMP|JEQ|K, JMP|JGE|K, RET|K
    arch, allow, kill, refuse = 0xC000003E if X86 else 0xC00000B7, 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
    lines = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, kill), (load, 0, 0, 0)]  # which processor; which call
    lines += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # a second set of numbers: x32
    for name in denied:
        lines += [(equal, 0, 1, NUMBERS[name]), (give, 0, 0, refuse)]
    lines.append((give, 0, 0, allow))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    pointer = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(program)))
    prctl(22, 2, ctypes.addressof(pointer))
