"""What a failed system call means here, and what to do about it: (call, errno) -> one clause."""

from __future__ import annotations

from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOSPC, ENOSYS, EOVERFLOW, EPERM

USER_NAMESPACES = "unprivileged user namespaces may be off; `minicontainer doctor` tells how to turn them on"

PRIVILEGE = "it takes root, or a user namespace of one's own; see `minicontainer doctor`"

FOREIGN_OWNER = "the folder's owner is not mapped in the user namespace; make the rootfs your own with `chown -R`"

HINTS: dict[tuple[str, int], str] = {
    ("clone3", EPERM): USER_NAMESPACES + ", or use sudo",
    ("clone3", ENOSYS): "the kernel is older than 5.3, or a seccomp filter hides clone3",
    ("clone3", ENOSPC): "the limit in /proc/sys/user/max_*_namespaces is reached",
    ("unshare", EPERM): USER_NAMESPACES + ", or use sudo",
    ("unshare", EINVAL): "the kernel lacks this namespace, or a second thread is running",
    ("unshare", ENOSPC): "the limit in /proc/sys/user/max_*_namespaces is reached",
    ("mount", EPERM): "mounting needs root or a user namespace; an LSM such as AppArmor may also forbid it",
    ("mount", ENODEV): "the kernel does not know this file system; try `modprobe` with its name",
    ("mkdir", EOVERFLOW): FOREIGN_OWNER,
    ("openat2", EOVERFLOW): FOREIGN_OWNER,
    ("pivot_root", EINVAL): "the new root must be a mount point and `/` must not be shared or an initramfs",
    ("pivot_root", EBUSY): "the new root is on the current root's own mount",
    ("setgroups", EPERM): PRIVILEGE,
    ("setresuid", EPERM): PRIVILEGE,
    ("setresgid", EPERM): PRIVILEGE,
    ("capset", EPERM): PRIVILEGE,
    ("capbset_drop", EPERM): PRIVILEGE,
    ("seccomp_set_filter", EACCES): "a filter takes no_new_privs (`--security-opt no-new-privileges`) or CAP_SYS_ADMIN",
    ("seccomp_set_filter", EINVAL): "the kernel was built without seccomp filters, or does not know one of the flags",
}


def hint(call: str, errno: int) -> str:
    """The remedy for `call` failing with `errno`, or an empty string."""
    return HINTS.get((call, errno), "")
