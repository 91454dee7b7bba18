"""The paragraphs of what needs little more than a word: namespaces without files, the process itself, its rights."""

from __future__ import annotations

from minicontainer.isolation import devices as device_rules
from minicontainer.linux.process import NAMESPACE_FILES
from minicontainer.shell.paragraph import Paragraph
from minicontainer.shell.text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.spec import Rlimit

JOINED = "That of another container: nsenter(1) goes there through its file in /proc/PID/ns."
PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
"""What hostname(1) takes. The kernel takes more."""


def join(container: Container, kind: str) -> str:
    """The option of nsenter that joins the existing namespace of that kind; empty if it is new, or the host's."""
    wanted = container.spec.namespace(kind)
    return f"--{NAMESPACE_FILES[kind]}={wanted.path}" if wanted and wanted.path else ""


def new(container: Container, kind: str) -> str:
    """The option of unshare that makes a new namespace of that kind; empty if there is to be none."""
    wanted = container.spec.namespace(kind)
    return f"--{'net' if kind == 'network' else kind}" if wanted and not wanted.path else ""


# -- namespaces ---------------------------------------------------------------------------------


def time(container: Container) -> Paragraph:
    text = (
        "unshare writes how far the clocks are from the host's (/proc/self/timens_offsets) before anybody is in the "
        "namespace; later it is too late. The time of day, date(1), is the same for all."
    )
    option, offsets = new(container, "time"), container.spec.linux.time_offsets
    both = [(clock, offset) for clock in ("monotonic", "boottime") if (offset := getattr(offsets, clock))]
    words = "".join(f" --{clock} {offset.secs}" for clock, offset in both) if option else ""
    fraction = bool(option) and any(offset.nanosecs for _, offset in both)
    return Paragraph(
        "time",
        text if option else JOINED if join(container, "time") else "Not asked for.",
        "time_namespaces(7), unshare(1)",
        missing=["the fraction of a second, which unshare does not take."] * fraction,
        walls=option + words,
        enter=join(container, "time"),
    )


def uts(container: Container) -> Paragraph:
    spec, inside, option = container.spec, [], new(container, "uts")
    if option and spec.hostname:
        plain, name = not set(spec.hostname) - PLAIN_NAME, quote(spec.hostname)
        inside.append(f"hostname {name}" if plain else f"printf %s {name} >/proc/sys/kernel/hostname")
    if option and spec.domainname:
        inside.append(f"domainname {quote(spec.domainname)}")
    joined = join(container, "uts")
    return Paragraph(
        "uts", how(option, joined), "uts_namespaces(7), hostname(1)", walls=option, enter=joined, inside=inside
    )


def ipc(container: Container) -> Paragraph:
    option, joined = new(container, "ipc"), join(container, "ipc")
    return Paragraph("ipc", how(option, joined), "ipc_namespaces(7)", walls=option, enter=joined)


def pid(container: Container) -> Paragraph:
    """Joined last: what runs before in the other container's pid namespace could be seen, and held, from it."""
    text = (
        "A process never changes its number. So unshare stays outside, and its child is number 1: when that ends, the "
        "kernel kills all others of the namespace."
    )
    missing = (
        "a pidfd, which names one process for good. A number may name another as soon as the first has been waited "
        "for; so the script forgets it then.",
        "the exit status 137 of a program that SIGKILL has ended. The unshare of Debian 12 complains, and makes it 1.",
    )
    option, joined = new(container, "pid"), join(container, "pid")
    man = "pid_namespaces(7), unshare(1)"
    return Paragraph("pid", how(option, joined, text), man, missing=missing, walls=option, enter_last=joined)


def how(option: str, joined: str, text: str = "") -> str:
    """What there is to say about a namespace that is new, joined, or the host's."""
    return text if option else JOINED if joined else "The host's: no wall."


# -- the process --------------------------------------------------------------------------------


def undumpable(container: Container) -> Paragraph:
    missing = (
        "PR_SET_DUMPABLE, which no program sets for another. Until its exec the first process has the host's files in "
        "reach; who shares its process numbers can look into it, by /proc/PID/root."
    )
    return Paragraph("undumpable", "", "PR_SET_DUMPABLE(2const), ptrace(2)", missing=[missing])


def session(container: Container) -> Paragraph:
    spec, inside, outside = container.spec, [], []
    missing = [
        "a session keyring of its own. keyctl(1) makes one: `keyctl session - sh FILE`.",
        "closing what your shell has open above descriptor 9: a shell knows ten of them.",
    ]
    if spec.process.terminal:
        missing.append(
            "a terminal of its own, which takes ioctls on its /dev/pts. It is given yours, into which it could even "
            "type where dev.tty.legacy_tiocsti is 1."
        )
    if spec.process.oom_score_adj is not None:
        outside.append(f'echo {spec.process.oom_score_adj} >"/proc/$pid/oom_score_adj"')
    for name, value in spec.linux.sysctl.items():
        path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
        inside.append(f"printf %s {quote(value)} >{quote(path)}")
    if spec.process.rlimits:
        inside.append(f'prlimit --pid "$$" {" ".join(map(rlimit, spec.process.rlimits))}')
    man = "setsid(1), prlimit(1), sysctl(8), proc_pid_oom_score_adj(5), session-keyring(7)"
    return Paragraph("session", "", man, missing=missing, outside=outside, inside=inside)


def rlimit(limit: Rlimit) -> str:
    """A resource limit as prlimit's option."""
    soft, hard = ("unlimited" if not 0 <= n < 1 << 63 else str(n) for n in (limit.soft, limit.hard))
    return f"--{limit.type.removeprefix('RLIMIT_').lower()}={soft}:{hard}"


def folder(container: Container) -> Paragraph:
    text = "Made if it is missing, while we are root. A link such as /proc/self/fd/7 leads nowhere."
    inside = [f"folder {quote(container.spec.process.cwd)}", 'cd "$at"']
    return Paragraph("folder", text, "chdir(2)", inside=inside)


# -- rights -------------------------------------------------------------------------------------


def identity(container: Container) -> Paragraph:
    user, spec = container.spec.process.user, container.spec
    groups = "--groups " + ",".join(map(str, user.additional_gids)) if user.additional_gids else "--clear-groups"
    if spec.minicontainer.rootless and len(spec.linux.gid_mappings) == 1:
        groups = "--keep-groups"  # with a single id the kernel forbids setgroups(2)
    text = "Groups first, while we may; the user last."
    rights = f"--reuid {user.uid} --regid {user.gid} {groups}"
    return Paragraph("identity", text, "setpriv(1), credentials(7)", rights=rights)


def devices(container: Container) -> Paragraph:
    """As the runtime does where no program can be attached: CAP_MKNOD goes, and the root is nodev."""
    spec, man = container.spec, "mknod(2), bpf(2)"
    if device_rules.is_open(device_rules.rules_of(spec.linux.resources.devices)):
        return Paragraph("devices", "It may use them all.", man)
    missing = (
        "the BPF program that says for each open(2) of a device node whether the container may; bpftool(8) can "
        "attach one, but somebody has to compile it first. "
    )
    if spec.namespace("user"):
        missing += "It is not missed: a node that is made in a user namespace opens nothing."
    else:
        missing += "Instead CAP_MKNOD goes, and no device node works but those that are made in /dev."
        held = spec.process.capabilities
        for name in held.fields if held else ():
            setattr(held, name, [one for one in getattr(held, name) if one != "CAP_MKNOD"])
        container.record["nodev"] = True
    return Paragraph("devices", "", man, missing=[missing])


def capabilities(container: Container) -> Paragraph:
    """The bounding set is all that counts: root's exec gives what is in it, another user's nothing."""
    held = container.spec.process.capabilities
    text = (
        "What leaves the bounding set no exec brings back. A program of root's then starts with the rest permitted and "
        "effective, a program of anybody else's with none."
    )
    kept = "".join(",+" + name.removeprefix("CAP_").lower() for name in held.bounding) if held else ",+all"
    rights = f"--bounding-set -all{kept} --inh-caps -all --ambient-caps -all"
    return Paragraph("capabilities", text, "capabilities(7), setpriv(1)", rights=rights)


def no_new_privs(container: Container) -> Paragraph:
    asked = container.spec.process.no_new_privileges
    return Paragraph(
        "no_new_privs",
        "" if asked else "Not asked for: su and sudo work inside.",
        "PR_SET_NO_NEW_PRIVS(2const), setpriv(1)",
        rights="--no-new-privs" * asked,
    )


def seccomp(container: Container) -> Paragraph:
    filter = container.spec.linux.seccomp
    if filter is None:
        return Paragraph("seccomp", "Unconfined: every system call may be made.", "seccomp(2)")
    allowed = len({name for rule in filter.syscalls if rule.action == "SCMP_ACT_ALLOW" for name in rule.names})
    missing = (
        f"the filter, which lets {allowed} system calls pass, some only with certain arguments. Debian 12 has no "
        "program that compiles such a list and loads it. (bwrap(1), and setpriv(1) of later versions, load one that "
        "has been compiled.) This container is the weaker for it: keyctl(2), bpf(2), io_uring stay in reach."
    )
    return Paragraph("seccomp", "", "seccomp(2)", missing=[missing])


def environment(container: Container) -> tuple[list[str], list[str]]:
    """The variables as arguments of `export`, and the names that a shell cannot have."""
    good: list[str] = []
    bad: list[str] = []
    for entry in container.spec.process.env:
        name = entry.partition("=")[0]
        proper = name.isascii() and name.isidentifier()
        (good if proper else bad).append(entry if proper else name)
    return good, bad
