"""What the default and the hardened profile let pass: their compiled filters are asked about every call."""

from __future__ import annotations

from errno import ENOSYS, EPERM

import pytest

from minicontainer.profiles import docker
from minicontainer.profiles.compiler import compile
from tests.classic_bpf import ALLOW, KILL, ask, names, number, run

CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip
X86 = ("x86-64", "i386", "x32")
ARM = ("arm64", "arm")

REFUSED = """
    acct add_key afs_syscall bdflush bpf break clock_settime clock_settime64 create_module delete_module
    fanotify_init finit_module fsconfig fsmount fsopen fspick ftime futimens get_kernel_syms get_mempolicy
    getpmsg gtty idle init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lock lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr
    mbind migrate_pages mount mount_setattr move_mount move_pages mpx nfsservctl nice oldfstat oldlstat
    oldolduname oldstat olduname open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd
    pivot_root process_madvise prof profil putpmsg query_module quotactl quotactl_fd readdir reboot request_key
    security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday sgetmask
    sigaction signal sigpending sigsuspend ssetmask stime stty swapoff swapon sysfs syslog tuxcall ulimit umount
    umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old vserver _sysctl pciconfig_iobase
    pciconfig_read pciconfig_write file_getattr file_setattr listns uprobe rseq_slice_yield
"""
"""What fails with EPERM in a container with Docker's capabilities, of all the calls of these five ABIs."""

NO_LONGER_OR_NOT_YET = {"clone3"}
"""What fails with ENOSYS though it has a name and a number below those that the profile allows."""


@pytest.fixture(scope="module")
def x86() -> bytes:
    return compile(docker.built_in("default", CAPABILITIES, "x86_64"))


@pytest.fixture(scope="module")
def arm() -> bytes:
    return compile(docker.built_in("default", CAPABILITIES, "aarch64"))


@pytest.fixture(scope="module")
def hardened() -> bytes:
    return compile(docker.built_in("hardened", (), "x86_64"))


@pytest.mark.parametrize("abi", X86 + ARM)
def test_every_call_of_every_abi(abi: str, x86: bytes, arm: bytes) -> None:
    program = x86 if abi in X86 else arm
    verdicts = {name: ask(program, abi, n) for n, name in names(abi).items()}
    known = set(verdicts)
    assert {name for name, verdict in verdicts.items() if verdict == EPERM} == set(REFUSED.split()) & known
    assert {name for name, verdict in verdicts.items() if verdict == ENOSYS} >= NO_LONGER_OR_NOT_YET & known
    assert set(verdicts.values()) <= {ALLOW, EPERM, ENOSYS}


@pytest.mark.parametrize("abi", X86 + ARM)
def test_newer_calls_do_not_exist(abi: str, x86: bytes, arm: bytes) -> None:
    program = x86 if abi in X86 else arm
    base, first_free = (1 << 30, 548) if abi == "x32" else (0, 500)
    assert {ask(program, abi, base + n) for n in range(first_free, 1000)} == {ENOSYS}


def test_another_machine_language_is_killed(x86: bytes) -> None:
    assert run(x86, 0, 0xC00000B7) == KILL


@pytest.mark.parametrize("abi", X86)
def test_no_new_namespaces(abi: str, x86: bytes) -> None:
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x7E020000):
        assert ask(x86, abi, "clone", flag | 17) == EPERM, hex(flag)
    assert ask(x86, abi, "clone", 17) == ALLOW  # fork: SIGCHLD
    assert ask(x86, abi, "clone", 0x003D0F00) == ALLOW  # a thread of glibc's
    assert ask(x86, abi, "clone3", 0) == ENOSYS
    assert ask(x86, abi, "unshare", 0x10000000) == EPERM


@pytest.mark.parametrize("abi", X86)
def test_socket_families(abi: str, x86: bytes) -> None:
    call = 359 if abi == "i386" else number(abi, "socket")  # libseccomp has a number of its own for i386's
    assert {family for family in range(46) if ask(x86, abi, call, family) != ALLOW} == {38, 40}


@pytest.mark.parametrize("abi", ("x86-64", "x32"))
@pytest.mark.parametrize("upper", (1, 0x80000000, 0xFFFFFFFF))
def test_the_upper_half_of_a_register_hides_nothing(abi: str, upper: int, x86: bytes) -> None:
    for family in (38, 40):
        assert ask(x86, abi, "socket", upper << 32 | family) == EPERM
    for request in (0x5412, 0x541C):
        assert ask(x86, abi, "ioctl", 0, upper << 32 | request) == EPERM
    assert ask(x86, abi, "clone", upper << 32 | 0x10000000) == EPERM


@pytest.mark.parametrize("abi", X86)
def test_terminal_input_cannot_be_faked(abi: str, x86: bytes) -> None:
    assert ask(x86, abi, "ioctl", 0, 0x5412) == EPERM  # TIOCSTI
    assert ask(x86, abi, "ioctl", 0, 0x541C) == EPERM  # TIOCLINUX
    for request in (0x5401, 0x5411, 0x5413, 0x5414, 0x541B, 0x541D, 0x80045430, 0x400454CA, 0, 0xFFFFFFFF):
        assert ask(x86, abi, "ioctl", 0, request) == ALLOW, hex(request)
    assert ask(x86, abi, "ioctl", 0x5412, 0x5401, 0x5412) == ALLOW  # only the second argument counts


@pytest.mark.parametrize("abi", X86)
def test_personality(abi: str, x86: bytes) -> None:
    for allowed in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert ask(x86, abi, "personality", allowed) == ALLOW
    for refused in (0x0040000, 0x0400000, 1, 9):  # ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, …
        assert ask(x86, abi, "personality", refused) == EPERM


OPENED = {
    "CAP_SYS_ADMIN": "mount umount2 unshare setns bpf perf_event_open clone3 fsopen sethostname quotactl syslog",
    "CAP_SYS_MODULE": "init_module finit_module delete_module",
    "CAP_SYS_PTRACE": "process_madvise pidfd_getfd kcmp",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_TIME": "settimeofday clock_settime",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_NICE": "mbind set_mempolicy get_mempolicy",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}


@pytest.mark.parametrize("capability", OPENED)
def test_a_capability_opens_the_calls_that_need_it(capability: str, x86: bytes) -> None:
    program = compile(docker.built_in("default", (*CAPABILITIES, capability), "x86_64"))
    for name in OPENED[capability].split():
        assert ask(x86, "x86-64", name) in (EPERM, ENOSYS), name
        assert ask(program, "x86-64", name) == ALLOW, name
    for name in ("keyctl", "add_key", "io_uring_setup", "kexec_load", "userfaultfd", "swapon"):
        assert ask(program, "x86-64", name) == EPERM, name


def test_sys_admin_may_make_namespaces() -> None:
    program = compile(docker.built_in("default", (*CAPABILITIES, "CAP_SYS_ADMIN"), "x86_64"))
    assert ask(program, "x86-64", "clone", 0x10000000) == ALLOW


def test_without_chroot_no_chroot(x86: bytes) -> None:
    program = compile(docker.built_in("default", (), "x86_64"))
    assert ask(x86, "x86-64", "chroot") == ALLOW
    assert ask(program, "x86-64", "chroot") == EPERM


def test_tracing_is_safe_from_linux_4_8_on(monkeypatch: pytest.MonkeyPatch, x86: bytes) -> None:
    assert ask(x86, "x86-64", "ptrace") == ALLOW
    monkeypatch.setattr(docker, "kernel_version", lambda: (4, 7))
    program = compile(docker.built_in("default", CAPABILITIES, "x86_64"))
    assert ask(program, "x86-64", "ptrace") == EPERM


# -- hardened -----------------------------------------------------------------------------------


def test_hardened_sockets(hardened: bytes) -> None:
    def ask_for(family: int, kind: int, protocol: int = 0) -> str | int:
        return ask(hardened, "x86-64", "socket", family, kind, protocol)

    allowed = {(family, kind) for family in range(46) for kind in range(1, 11) if ask_for(family, kind) == ALLOW}
    inet = {(family, kind) for family in (2, 10) for kind in (1, 2)}
    assert allowed == {(1, 1), (1, 2), (1, 5)} | inet | {(16, kind) for kind in range(1, 11)}
    assert ask_for(2, 1 | 0o2004000) == ALLOW  # SOCK_CLOEXEC|SOCK_NONBLOCK
    assert ask_for(2, 3 | 0o2000000, 1) == EPERM  # a raw socket for ICMP
    assert ask_for(16, 3, 12) == EPERM  # NETLINK_NETFILTER


HARDENED_REFUSES = """
    chroot fanotify_mark modify_ldt name_to_handle_at personality process_vm_readv process_vm_writev ptrace
    remap_file_pages socket vmsplice
"""


def test_hardened_is_less_than_the_default(hardened: bytes, x86: bytes) -> None:
    lost = {name for n, name in names("x86-64").items() if ask(x86, "x86-64", n) == ALLOW != ask(hardened, "x86-64", n)}
    assert lost == set(HARDENED_REFUSES.split())
    assert ask(hardened, "x86-64", "personality", 0xFFFFFFFF) == ALLOW
    gained = {
        name for n, name in names("x86-64").items() if ask(hardened, "x86-64", n) == ALLOW != ask(x86, "x86-64", n)
    }
    assert not gained


def test_hardened_has_one_abi(hardened: bytes) -> None:
    assert ask(hardened, "i386", "getpid") == KILL
    assert ask(hardened, "x32", "getpid") == KILL
