"""What we may do: as root, as an ordinary user, and under the eyes of security modules."""

from __future__ import annotations

import os
import stat

import prctl

from minicontainer.doctor.attempt import attempt, become_nobody, enter_user_namespace, why
from minicontainer.doctor.finding import Finding, limited, missing, ok
from minicontainer.isolation.user import login_name
from minicontainer.isolation.user import subordinate_ids as own_range
from minicontainer.lab import needs
from minicontainer.linux import capability, process
from minicontainer.linux.mount import MS_PRIVATE, MS_REC, mount
from minicontainer.linux.proc import namespace, read, status
from minicontainer.linux.programs import find_program

FIRST_USER_NAMESPACE, FIRST_PID_NAMESPACE = 0xEFFFFFFD, 0xEFFFFFFC
"""The inode numbers of the namespaces that the machine started with: include/uapi/linux/nsfs.h."""

NEEDED = {
    "CAP_SYS_ADMIN": "no namespaces and no mounts",
    "CAP_SETUID": "no change of user",
    "CAP_SETGID": "no change of group",
    "CAP_SETPCAP": "no capability can be taken away",
    "CAP_MKNOD": "no device nodes in /dev",
}
"""Without one of these, no container of root's starts; and what goes wrong."""

USEFUL = {
    "CAP_NET_ADMIN": "no --network bridge",
    "CAP_SYS_RESOURCE": "raising a hard limit fails (--ulimit)",
    "CAP_CHOWN": "no --userns",
    "CAP_DAC_OVERRIDE": "files of others stay closed",
    "CAP_SYS_PTRACE": "no look into other users' processes",
}
"""Without these some options fail."""

RANGES = ("/etc/subuid", "/etc/subgid")
RANGE = "100000-165535"
HELPERS = ("newuidmap", "newgidmap")

SETTINGS = (
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
)
"""Settings that keep ordinary users from user namespaces: the file, the value that does, the remedy."""


def who() -> Finding:
    """Who we are, and what we are in."""
    root = os.geteuid() == 0
    seen = "root" if root else f"{login_name() or 'a user without a name'} (uid {os.geteuid()})"
    if needs.inside():
        seen += ", in the lab"
    elif namespace("self", "pid") != FIRST_PID_NAMESPACE:
        seen += ", in a container"
    confined = [
        word
        for word, yes in (("no_new_privs", prctl.get_no_new_privs()), ("a system call filter", under_filter()))
        if yes
    ]
    if root and in_user_namespace():
        consequence = "neither root's containers run nor a user's"
        return missing("user", f"{seen}, of a user namespace only", consequence, "leave it, as root or as a user")
    if confined:
        seen += ", under " + " and ".join(confined)
        return limited("user", seen, "some calls fail, and helpers such as newuidmap get no rights", "start elsewhere")
    if root:
        return ok("user", seen, "everything below can be used")
    return limited(
        "user", seen, "containers run with user ids of their own; limits only where delegated", "use sudo for the rest"
    )


def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the machine's first."""
    return namespace("self", "user") != FIRST_USER_NAMESPACE


def under_filter() -> bool:
    """Whether this process is under a seccomp filter already."""
    return status().get("Seccomp") == "2"


def capabilities() -> Finding:
    """Root has all of root's power."""
    if os.geteuid() != 0:
        return ok("capabilities", "none, as any user", "in a user namespace of its own a container has them")
    supported, (effective, _, _) = capability.supported(), capability.capget()
    lacking = capability.names(supported & ~effective)
    if not lacking:
        return ok("capabilities", f"all {capability.last() + 1}", "a container can be given any (--cap-add)")
    seen = f"all but {', '.join(lacking)}"
    follows = [words for name, words in {**NEEDED, **USEFUL}.items() if name in lacking]
    consequence = "; ".join([*follows, "a container cannot be given them"])
    remedy = "whoever started this session took them away: `capsh --print`, systemd's CapabilityBoundingSet="
    return (missing if NEEDED.keys() & set(lacking) else limited)("capabilities", seen, consequence, remedy)


# -- without root -------------------------------------------------------------------------------


def user_namespaces() -> Finding:
    """Ordinary users can make user namespaces, and have rights in them."""
    error = attempt(as_any_user)
    if error is None:
        seen = "made one as user nobody" if may_be_nobody() else "made one"
        return ok("user namespaces", seen, "containers run without root, and root's with --userns")
    consequence = "no container runs without root"
    for path, value, setting in SETTINGS:
        if read(path) == value:
            seen = f"{setting.partition('=')[0]} is {value}: {why(error)}"
            return missing("user namespaces", seen, consequence, f"`sudo sysctl -w {setting}`, or use sudo, or the lab")
    remedy = "a security module or the container around forbids them; use sudo, or `minicontainer lab`"
    return missing("user namespaces", why(error), consequence, remedy)


def may_be_nobody() -> bool:
    """Whether this is root, and the user nobody is known here."""
    return os.geteuid() == 0 and not in_user_namespace()


def as_any_user() -> None:
    """Make a user namespace, and use a right in it: AppArmor on Ubuntu allows the one and not the other."""
    if may_be_nobody():
        become_nobody()
    enter_user_namespace(process.CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def subordinate_ids() -> Finding:
    """A container without root can have more than one user id: newuidmap(1), subuid(5)."""
    one = "a container without root has one user id: no `apt` in it, no other users"
    lacking = [name for name in HELPERS if not find_program(name)]
    if lacking:
        return missing("user ids", f"no {' and '.join(lacking)}", one, "install the package uidmap (shadow-utils)")
    blunt = [name for name in HELPERS if not has_rights(find_program(name) or "")]
    if blunt:
        return limited(
            "user ids",
            f"{' and '.join(blunt)} without root's rights",
            one,
            f"`sudo chmod u+s {find_program(blunt[0])}` …",
        )
    if os.geteuid() == 0:
        users = sorted({row.partition(":")[0] for row in read(RANGES[0]).splitlines() if row.count(":") == 2})
        if users:
            return ok("user ids", f"newuidmap; ranges for {', '.join(users)}", "their containers have many user ids")
        name, seen = os.environ.get("SUDO_USER") or "USER", "newuidmap; ranges for nobody"
    else:
        uids, gids = own_range("uid"), own_range("gid")
        if uids and gids:
            return ok("user ids", f"newuidmap; {uids[1]} ids from {uids[0]}", "containers have many user ids")
        name, seen = login_name() or str(os.getuid()), "newuidmap, but no range for you"
    return limited(
        "user ids", f"{seen} in {' and '.join(RANGES)}", one,
        f"`sudo usermod --add-subuids {RANGE} --add-subgids {RANGE} {name}`",
    )  # fmt: skip


def has_rights(program: str) -> bool:
    """Whether a program gets rights of root's when it is started: by the set-user-ID bit, or setcap(8)."""
    return bool(os.stat(program).st_mode & stat.S_ISUID) or "security.capability" in os.listxattr(program)


# -- security modules ---------------------------------------------------------------------------


def security_modules() -> Finding:
    """Which Linux security modules have a say."""
    active = [name for name in read("/sys/kernel/security/lsm").split(",") if name not in ("", "capability")]
    if read("/sys/module/apparmor/parameters/enabled") == "Y" and "apparmor" not in active:
        active.append("apparmor")
    enforcing = read("/sys/fs/selinux/enforce")
    if enforcing and "selinux" not in active:
        active.append("selinux")
    if not active:
        return ok("security modules", "none", "nothing else has a say")
    seen = ", ".join(active) + (" (enforcing)" if enforcing == "1" else "")
    return ok("security modules", seen, "containers stay in the profile of whoever starts them")
