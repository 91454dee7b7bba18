"""Profiles in Docker's format: what they mean, and every way of writing one wrong."""

from __future__ import annotations

import json
from errno import EPERM
from pathlib import Path
from typing import Any

import pytest

from minicontainer.errors import SpecError, UnsupportedError
from minicontainer.profiles import docker
from minicontainer.profiles.compiler import compile
from minicontainer.profiles.docker import profile_to_spec
from minicontainer.profiles.rules import ACTIONS, check, flags
from minicontainer.spec import Seccomp, SyscallRule
from tests.classic_bpf import ALLOW, KILL, ask

X86_64 = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}


def profile(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "archMap": [X86_64], "syscalls": list(rules), **more}


def allow(*names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


def names_of(spec: Seccomp) -> list[str]:
    return [name for rule in spec.syscalls for name in rule.names]


def test_conditions_are_decided_and_gone() -> None:
    data = profile(
        allow("read", comment="always", includes=None, excludes={}),
        allow("mount", includes={"caps": ["CAP_SYS_ADMIN"]}),
        allow("chroot", includes={"caps": ["CAP_SYS_CHROOT"]}),
        allow("clone", excludes={"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}),
        allow("clone3", excludes={"caps": ["CAP_SYS_CHROOT"]}),
        allow("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        allow("cacheflush", includes={"arches": ["arm", "arm64"]}),
        allow("modify_ldt", excludes={"arches": ["amd64"]}),
        allow("ptrace", includes={"minKernel": "4.8"}),
        allow("kcmp", excludes={"minKernel": "4.8"}),
        allow("bpf", includes={"minKernel": "999.0"}),
    )
    spec = profile_to_spec(data, {"CAP_SYS_CHROOT"}, "x86_64")
    assert names_of(spec) == ["read", "chroot", "clone", "arch_prctl", "ptrace"]
    assert spec.to_json()["syscalls"][0] == {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    assert spec.architectures == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    problems: list[str] = []
    assert Seccomp.from_json(spec.to_json(), problems) == spec
    assert not problems


def test_all_capabilities_of_a_condition_are_needed() -> None:
    data = profile(allow("mount", includes={"caps": ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]}))
    assert names_of(profile_to_spec(data, {"CAP_SYS_CHROOT"})) == []
    assert names_of(profile_to_spec(data, {"CAP_SYS_CHROOT", "CAP_SYS_ADMIN"})) == ["mount"]


def test_the_older_format() -> None:
    """A single `name` a rule, and plain `architectures`."""
    data = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": None}],
    }
    spec = profile_to_spec(data, ())
    assert names_of(spec) == ["read"]
    assert spec.architectures == ["SCMP_ARCH_X86_64"]


def test_a_machine_without_an_entry_has_its_own_language_only() -> None:
    assert profile_to_spec(profile(), (), "riscv64").architectures == []


def test_extending_a_profile_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    refuse = {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}
    path.write_text(json.dumps({"extends": "default", "syscalls": [allow("keyctl"), refuse]}))
    spec, ours = docker.load(str(path), (), "x86_64"), docker.built_in("default", (), "x86_64")
    assert set(names_of(spec)) == set(names_of(ours)) - {"ptrace"} | {"keyctl"}
    assert spec.architectures == ours.architectures
    program = compile(spec)
    assert ask(program, "x86-64", "keyctl") == ALLOW
    assert ask(program, "x86-64", "ptrace") == EPERM


def test_our_profiles_say_what_each_rule_is_for() -> None:
    for name in docker.PROFILES:
        path = Path(docker.__file__).parent / f"{name}.json"
        assert all(rule["comment"] for rule in json.loads(path.read_text())["syscalls"])


# -- wrong profiles -----------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([], "the document: expected an object"),
    "nothing": ({}, "defaultAction: missing"),
    "default action": (profile(defaultAction="SCMP_ACT_NO"), "defaultAction: there is no 'SCMP_ACT_NO'"),
    "default errno": (profile(defaultErrnoRet=5000), "defaultErrnoRet: 5000 is not in 0..4095"),
    "architecture": (profile(archMap=[], architectures=["Z80"]), "architectures[0]: there is no 'Z80'"),
    "both maps": (profile(architectures=["SCMP_ARCH_X86"]), "architectures and archMap exclude each other"),
    "flag": (profile(flags=["FAST"]), "flags[0]: there is no 'FAST'"),
    "rules": (profile(syscalls={}), "syscalls: expected list"),
    "rule": (profile(syscalls=["read"]), "syscalls[0]: expected an object"),
    "names": (profile(allow()), "syscalls[0].names: a system call without a name"),
    "empty name": (profile(allow("read", "")), "syscalls[0].names: a system call without a name"),
    "numbers": (profile({"names": [1], "action": "SCMP_ACT_ALLOW"}), "syscalls[0].names: expected list[str]"),
    "both names": (profile(allow("read", name="write")), "syscalls[0]: name and names exclude each other"),
    "no action": (profile({"names": ["read"]}), "syscalls[0].action: missing"),
    "action": (profile({"names": ["read"], "action": "ALLOW"}), "syscalls[0].action: there is no 'ALLOW'"),
    "errno": (profile(allow("read", errnoRet=-1)), "syscalls[0].errnoRet: -1 is not in 0..4095"),
    "index": (
        profile(allow("read", args=[{"index": 6, "op": "SCMP_CMP_EQ"}])),
        "syscalls[0].args[0].index: 6 is not in 0..5",
    ),
    "operator": (profile(allow("read", args=[{"index": 0, "op": "=="}])), "syscalls[0].args[0].op: there is no '=='"),
    "value": (
        profile(allow("read", args=[{"index": 0, "op": "SCMP_CMP_EQ", "value": 1 << 64}])),
        "syscalls[0].args[0].value: 18446744073709551616 does not fit a register",
    ),
    "second value": (
        profile(allow("read", args=[{"index": 0, "op": "SCMP_CMP_EQ", "valueTwo": -1}])),
        "syscalls[0].args[0].valueTwo: -1 does not fit a register",
    ),
    "kernel": (
        profile(allow("read", includes={"minKernel": "new"})),
        "syscalls[0].includes.minKernel: 'new' is not like 4.8",
    ),
    "parent": ({"extends": "../../etc/passwd"}, "extends: '../../etc/passwd' is none of default, hardened"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_profile(name: str) -> None:
    data, complaint = WRONG[name]
    with pytest.raises(SpecError) as caught:
        profile_to_spec(data, ())
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_problem_is_named_at_once() -> None:
    rules = [{"names": ["read"], "action": "YES"}, allow("write", args=[{"index": 9, "op": "IS"}])]
    with pytest.raises(SpecError) as caught:
        profile_to_spec(profile(*rules, defaultAction="NO"), ())
    for place in ("defaultAction", "syscalls[0].action", "syscalls[1].args[0].index", "syscalls[1].args[0].op"):
        assert place in caught.value.cause


def test_rules_that_do_not_hold_here_are_checked_too() -> None:
    with pytest.raises(SpecError, match="there is no 'YES'"):
        profile_to_spec(profile({"names": ["mount"], "action": "YES", "includes": {"caps": ["CAP_SYS_ADMIN"]}}), ())


def test_files_that_are_no_profile(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"defaultAction": ')
    with pytest.raises(SpecError, match=r"broken.json is not JSON"):
        docker.load(str(broken), ())
    with pytest.raises(SpecError, match="No such file"):
        docker.load(str(tmp_path / "missing.json"), ())
    with pytest.raises(SpecError, match="Is a directory"):
        docker.load(str(tmp_path), ())
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="is not JSON"):
        docker.load(str(binary), ())


def test_a_supervisor_is_not_offered() -> None:
    for seccomp in (
        Seccomp(default_action="SCMP_ACT_NOTIFY"),
        Seccomp(default_action="SCMP_ACT_ALLOW", syscalls=[SyscallRule(names=["mkdir"], action="SCMP_ACT_NOTIFY")]),
    ):
        with pytest.raises(UnsupportedError, match="SCMP_ACT_NOTIFY"):
            check(seccomp)


def test_flags() -> None:
    seccomp = Seccomp(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])
    assert repr(flags(seccomp)) == "SECCOMP_FILTER_FLAG_LOG|SECCOMP_FILTER_FLAG_SPEC_ALLOW"
    assert flags(Seccomp()) == 0


def test_every_action_compiles() -> None:
    verdicts = {}
    for action in sorted(ACTIONS.keys() - {"SCMP_ACT_NOTIFY"}):
        rule = SyscallRule(names=["mkdir"], action=action, errno_ret=7)
        default = "SCMP_ACT_ALLOW" if action != "SCMP_ACT_ALLOW" else "SCMP_ACT_KILL"
        verdicts[action.removeprefix("SCMP_ACT_")] = ask(
            compile(Seccomp(default_action=default, architectures=["SCMP_ARCH_X86_64"], syscalls=[rule])),
            "x86-64",
            "mkdir",
        )
    assert verdicts == {
        "ALLOW": ALLOW, "ERRNO": 7, "KILL": KILL, "KILL_PROCESS": "kill process", "KILL_THREAD": KILL,
        "LOG": "log", "TRACE": 7, "TRAP": "trap",
    }  # fmt: skip
