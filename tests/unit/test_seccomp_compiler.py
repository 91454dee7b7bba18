"""What a filter answers, for profiles that are not ours."""

from __future__ import annotations

from errno import EACCES, ENOSYS, EPERM
from typing import Any

import pytest

from minicontainer.errors import SpecError
from minicontainer.profiles.compiler import compile
from minicontainer.spec import Seccomp, SyscallArg, SyscallRule
from tests.classic_bpf import ALLOW, KILL, ask, number

FOUR = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]


def rule(names: str, action: str, *args: tuple[int, str, int, int], errno: int | None = None) -> SyscallRule:
    conditions = [SyscallArg(index=i, op="SCMP_CMP_" + op, value=a, value_two=b) for i, op, a, b in args]
    return SyscallRule(names=names.split(), action="SCMP_ACT_" + action, errno_ret=errno, args=conditions)


def program(default: str, *rules: SyscallRule, **more: Any) -> bytes:
    more.setdefault("architectures", FOUR)
    return compile(Seccomp(default_action="SCMP_ACT_" + default, syscalls=list(rules), **more))


@pytest.mark.parametrize(
    ("operator", "passing"),
    [("NE", "<>"), ("LT", "<"), ("LE", "<="), ("EQ", "="), ("GE", ">="), ("GT", ">")],
)
@pytest.mark.parametrize("middle", [100, 1 << 32, (1 << 64) - 2])
def test_comparisons(operator: str, passing: str, middle: int) -> None:
    filter = program("ERRNO", rule("dup2", "ALLOW", (1, operator, middle, 0)))
    answers = {
        sign: ask(filter, "x86-64", "dup2", 0, middle + i) == ALLOW for i, sign in ((-1, "<"), (0, "="), (1, ">"))
    }
    assert answers == {sign: sign in passing for sign in "<=>"}


def test_a_mask() -> None:
    filter = program("ERRNO", rule("dup2", "ALLOW", (0, "MASKED_EQ", 0xF0, 0x50)))
    assert [value for value in range(256) if ask(filter, "x86-64", "dup2", value) == ALLOW] == list(range(0x50, 0x60))


def test_conditions_on_different_arguments_are_all_needed() -> None:
    filter = program("ERRNO", rule("dup2", "ALLOW", (0, "EQ", 1, 0), (1, "EQ", 2, 0)))
    assert ask(filter, "x86-64", "dup2", 1, 2) == ALLOW
    assert ask(filter, "x86-64", "dup2", 1, 3) == ask(filter, "x86-64", "dup2", 0, 2) == EPERM


def test_conditions_on_one_argument_are_alternatives() -> None:
    filter = program("ERRNO", rule("dup2", "ALLOW", (0, "EQ", 1, 0), (0, "EQ", 2, 0)))
    assert [ask(filter, "x86-64", "dup2", value) for value in range(4)] == [EPERM, ALLOW, ALLOW, EPERM]


def test_unknown_names_are_left_out() -> None:
    filter = program("ERRNO", rule("read frobnicate", "ALLOW"), rule("frobnicate", "KILL"))
    assert ask(filter, "x86-64", "read") == ALLOW


def test_the_same_rules_in_every_abi() -> None:
    filter = program("ERRNO", rule("read openat openat2", "ALLOW"))
    for abi in ("x86-64", "i386", "x32", "arm64"):
        assert ask(filter, abi, "read") == ask(filter, abi, "openat") == ALLOW
        assert ask(filter, abi, "write") == EPERM
    assert ask(filter, "arm", "read") == KILL


def test_a_list_of_refusals() -> None:
    filter = program("ALLOW", rule("mount", "ERRNO", errno=EACCES), rule("reboot", "KILL_PROCESS"))
    assert ask(filter, "x86-64", "read") == ALLOW
    assert ask(filter, "x86-64", "mount") == EACCES
    assert ask(filter, "x86-64", "reboot") == "kill process"
    assert ask(filter, "x86-64", 2000) == ALLOW
    assert ask(filter, "arm", "mount") == KILL  # another ABI must not be the way around it


# -- exceptions ---------------------------------------------------------------------------------


def test_an_exception_goes_before_the_lists() -> None:
    exception = rule("ioctl", "ERRNO", (1, "MASKED_EQ", 0xFFFFFFFF, 0x5412))
    for rules in ([rule("ioctl read openat2", "ALLOW"), exception], [exception, rule("ioctl read openat2", "ALLOW")]):
        filter = program("ERRNO", *rules)
        for abi in ("x86-64", "i386", "x32", "arm64"):
            assert ask(filter, abi, "ioctl", 0, 0x5412) == EPERM
            assert ask(filter, abi, "ioctl", 0, 0x5413) == ask(filter, abi, "read") == ALLOW
            assert ask(filter, abi, "write") == EPERM


def test_an_exception_has_the_default_errno() -> None:
    rules = [rule("ioctl", "ALLOW"), rule("ioctl", "ERRNO", (1, "EQ", 1, 0), errno=EACCES)]
    filter = program("ERRNO", *rules, default_errno_ret=EACCES)
    assert ask(filter, "x86-64", "ioctl", 0, 1) == EACCES
    assert ask(filter, "x86-64", "ioctl", 0, 2) == ALLOW


def test_a_permissive_default_has_no_exceptions() -> None:
    filter = program("LOG", rule("mkdir", "LOG"), rule("mkdir", "KILL", (1, "EQ", 1, 0)))
    assert ask(filter, "x86-64", "mkdir", 0, 1) == KILL
    assert ask(filter, "x86-64", "mkdir", 0, 0) == "log"


# -- newer calls --------------------------------------------------------------------------------


def test_what_is_newer_than_every_rule_does_not_exist() -> None:
    filter = program("ERRNO", rule("read openat2", "ALLOW"))
    last = {abi: number(abi, "openat2") for abi in ("x86-64", "i386", "x32", "arm64")}
    for abi, n in last.items():
        assert ask(filter, abi, n) == ALLOW
        assert ask(filter, abi, n + 1) == ask(filter, abi, n + 1000) == ENOSYS
        assert ask(filter, abi, n - 1) == EPERM


def test_the_calls_of_arm_itself_do_not_count_as_newest() -> None:
    filter = program("ERRNO", rule("read cacheflush", "ALLOW"), architectures=["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
    assert ask(filter, "arm", "cacheflush") == ALLOW
    assert ask(filter, "arm", 2000) == ENOSYS


@pytest.mark.parametrize(("default", "errno", "newest"), [("KILL", None, ENOSYS), ("TRAP", None, ENOSYS),
                                                          ("ALLOW", None, ALLOW), ("LOG", None, "log"),
                                                          ("ERRNO", ENOSYS, ENOSYS)])  # fmt: skip
def test_other_defaults(default: str, errno: int | None, newest: str | int) -> None:
    filter = program(default, rule("read", "ERRNO", errno=EACCES), default_errno_ret=errno)
    assert ask(filter, "x86-64", 2000) == newest


def test_too_long_for_the_kernel() -> None:
    calls = ("ioctl", "fcntl", "read", "write", "close", "dup", "prctl", "lseek")
    rules = [rule(calls[n % 8], "ALLOW", (1, "EQ", n << 32 | n, 0)) for n in range(1300)]
    with pytest.raises(SpecError, match="the kernel takes 4096"):
        program("ERRNO", *rules, architectures=[])


def test_the_same_profile_gives_the_same_bytes() -> None:
    rules = [rule("read write ioctl openat", "ALLOW"), rule("ioctl", "ERRNO", (1, "EQ", 1, 0))]
    assert program("ERRNO", *rules) == program("ERRNO", *rules)
