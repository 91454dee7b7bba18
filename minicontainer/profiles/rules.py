"""The words of the OCI specification's `linux.seccomp`: config-linux.md#seccomp.

Except for the flags they are libseccomp's own, and so are their meanings: seccomp_rule_add(3).
"""

from __future__ import annotations

from errno import EPERM

from minicontainer.errors import SpecError, UnsupportedError
from minicontainer.linux import seccomp as kernel
from minicontainer.linux.seccomp import FilterFlags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minicontainer.spec import Seccomp, SyscallArg, SyscallRule

ACTIONS = {
    "SCMP_ACT_ALLOW": kernel.SECCOMP_RET_ALLOW,
    "SCMP_ACT_ERRNO": kernel.SECCOMP_RET_ERRNO,
    "SCMP_ACT_KILL": kernel.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": kernel.SECCOMP_RET_KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": kernel.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_LOG": kernel.SECCOMP_RET_LOG,
    "SCMP_ACT_NOTIFY": kernel.SECCOMP_RET_USER_NOTIF,
    "SCMP_ACT_TRACE": kernel.SECCOMP_RET_TRACE,
    "SCMP_ACT_TRAP": kernel.SECCOMP_RET_TRAP,
}
WITH_ERRNO = (kernel.SECCOMP_RET_ERRNO, kernel.SECCOMP_RET_TRACE)
REFUSING = ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP")
MAX_ERRNO = 4095

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}
"""uname(2)'s name of a machine -> Docker's, libseccomp's."""

ARCHITECTURES = tuple("SCMP_ARCH_" + name for name in (
    "X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32",
    "PPC", "PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64", "LOONGARCH64"))  # fmt: skip


def verdict(action: str, errno: int | None) -> int:
    """What a filter returns for this action."""
    value = ACTIONS[action]
    return value | (EPERM if errno is None else errno) if value in WITH_ERRNO else value


def flags(seccomp: Seccomp) -> FilterFlags:
    """The flags as the kernel's."""
    return FilterFlags(sum(value for value, name in FilterFlags.names.items() if name in seccomp.flags))


def check(seccomp: Seccomp) -> None:
    """Raise SpecError with all that is wrong, or UnsupportedError for what is not ours (yet)."""
    if found := list(problems(seccomp)):
        raise SpecError("the seccomp profile is wrong: " + "; ".join(found), "seccomp_rule_add(3) has the words")
    if "SCMP_ACT_NOTIFY" in (seccomp.default_action, *(rule.action for rule in seccomp.syscalls)):
        raise UnsupportedError(
            "the seccomp profile wants SCMP_ACT_NOTIFY: a supervisor that answers for the kernel",
            "there is none here; use SCMP_ACT_ERRNO",
        )


def problems(seccomp: Seccomp) -> Iterator[str]:
    """What is wrong, each with its place in the JSON."""
    yield from _choice("defaultAction", seccomp.default_action, ACTIONS)
    yield from _errno("defaultErrnoRet", seccomp.default_errno_ret)
    for i, name in enumerate(seccomp.architectures):
        yield from _choice(f"architectures[{i}]", name, ARCHITECTURES)
    for i, name in enumerate(seccomp.flags):
        yield from _choice(f"flags[{i}]", name, FilterFlags.names.values())
    for i, rule in enumerate(seccomp.syscalls):
        yield from _rule(f"syscalls[{i}]", rule)


def _rule(place: str, rule: SyscallRule) -> Iterator[str]:
    if not rule.names or "" in rule.names:
        yield f"{place}.names: a system call without a name"
    yield from _choice(f"{place}.action", rule.action, ACTIONS)
    yield from _errno(f"{place}.errnoRet", rule.errno_ret)
    for i, arg in enumerate(rule.args):
        yield from _arg(f"{place}.args[{i}]", arg)


def _arg(place: str, arg: SyscallArg) -> Iterator[str]:
    if not 0 <= arg.index <= 5:
        yield f"{place}.index: {arg.index} is not in 0..5"
    yield from _choice(f"{place}.op", arg.op, OPERATORS)
    for name, value in (("value", arg.value), ("valueTwo", arg.value_two)):
        if not 0 <= value < 1 << 64:
            yield f"{place}.{name}: {value} does not fit a register"


def _choice(place: str, word: str, words: object) -> Iterator[str]:
    if word not in words:  # type: ignore[operator]
        yield f"{place}: {'missing' if not word else 'there is no ' + repr(word)}"


def _errno(place: str, number: int | None) -> Iterator[str]:
    if number is not None and not 0 <= number <= MAX_ERRNO:
        yield f"{place}: {number} is not in 0..{MAX_ERRNO}"
