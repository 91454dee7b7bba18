"""Profiles in Docker's format, resolved for one container: https://docs.docker.com/engine/security/seccomp/

The format is the OCI specification's, with conditions: a rule may hold only for containers with a
certain capability, on a certain machine, from some version of Linux on. Here they are decided, and
what comes out is plain OCI, which any runtime understands. One word is our own: `extends` names a
profile of ours whose rules come first.
"""

from __future__ import annotations

import os

from minicontainer.errors import SpecError
from minicontainer.linux.proc import kernel_version
from minicontainer.profiles.rules import MACHINES, check, verdict
from minicontainer.quickjson import parse
from minicontainer.records import Record, many, one, plain
from minicontainer.spec import Seccomp, SyscallRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

PROFILES = ("default", "hardened")


class Condition(Record):
    """What a rule depends on. `min_kernel` is `MAJOR.MINOR`."""

    caps: list[str] = plain(list)
    arches: list[str] = plain(list)
    min_kernel: str = ""


class Rule(SyscallRule):
    """A rule with its conditions. `name` is the older way to write a single name."""

    name: str = ""
    includes: Condition = one(Condition)
    excludes: Condition = one(Condition)


class Machine(Record):
    """A machine, and the other machine languages that its kernel understands."""

    architecture: str = ""
    sub_architectures: list[str] = plain(list)


class Profile(Seccomp):
    """The whole file."""

    extends: str = ""
    arch_map: list[Machine] = many(Machine)
    syscalls: list[Rule] = many(Rule)  # type: ignore[assignment]


def built_in(name: str, capabilities: Collection[str], machine: str = "") -> Seccomp:
    """Our own profile `name`, resolved; see `profile_to_spec`."""
    return load(os.path.join(os.path.dirname(__file__), name + ".json"), capabilities, machine)


def load(path: str, capabilities: Collection[str], machine: str = "") -> Seccomp:
    """The profile in the file `path`, resolved; see `profile_to_spec`. Raises SpecError."""
    try:
        with open(path, encoding="utf-8") as file:
            data = parse(file.read())
    except OSError as error:
        raise SpecError(f"cannot read the seccomp profile {path}: {error.strerror}", "name a JSON file") from None
    except ValueError as error:
        raise SpecError(f"the seccomp profile {path} is not JSON: {error}") from None
    return profile_to_spec(data, capabilities, machine)


def profile_to_spec(data: Any, capabilities: Collection[str], machine: str = "") -> Seccomp:
    """The OCI property that a profile (parsed JSON) means.

    `capabilities` is the container's bounding set by name, `machine` the machine as uname(2) calls it
    (this one). Raises SpecError with all that is wrong with the profile.
    """
    found: list[str] = []
    profile = Profile.from_json(data, found)
    found += _format_problems(profile)
    if found:
        raise SpecError("the seccomp profile is wrong: " + "; ".join(found), "compare it with Docker's default")
    docker_name, native = MACHINES.get(machine or os.uname().machine, ("", ""))
    base = built_in(profile.extends, capabilities, machine) if profile.extends else Seccomp()
    result = Seccomp(
        default_action=profile.default_action or base.default_action,
        default_errno_ret=base.default_errno_ret if profile.default_errno_ret is None else profile.default_errno_ret,
        flags=profile.flags or base.flags,
        listener_path=profile.listener_path,
        listener_metadata=profile.listener_metadata,
    )
    result.architectures = profile.architectures or next(
        ([m.architecture, *m.sub_architectures] for m in profile.arch_map if m.architecture == native),
        [] if profile.arch_map else base.architectures,
    )
    result.syscalls = list(profile.syscalls)
    check(result)  # every rule, before those that don't hold here go
    rules = [_plain(rule) for rule in profile.syscalls if _holds(rule, capabilities, docker_name)]
    result.syscalls = _extended(base.syscalls, rules, result) if profile.extends else rules
    return result


def _format_problems(profile: Profile) -> list[str]:
    found = []
    if profile.architectures and profile.arch_map:
        found.append("architectures and archMap exclude each other")
    if profile.extends and profile.extends not in PROFILES:
        found.append(f"extends: {profile.extends!r} is none of {', '.join(PROFILES)}")
    for i, rule in enumerate(profile.syscalls):
        if rule.name and rule.names:
            found.append(f"syscalls[{i}]: name and names exclude each other")
        elif rule.name:
            rule.names = [rule.name]
        for key in ("includes", "excludes"):
            version = getattr(rule, key).min_kernel
            if version and [part.isdecimal() for part in version.split(".")] != [True, True]:
                found.append(f"syscalls[{i}].{key}.minKernel: {version!r} is not like 4.8")
    return found


def _holds(rule: Rule, capabilities: Collection[str], machine: str) -> bool:
    """Whether all that the rule includes is there, and nothing of what it excludes."""
    only, but = rule.includes, rule.excludes
    return (
        all(name in capabilities for name in only.caps)
        and not any(name in capabilities for name in but.caps)
        and (not only.arches or machine in only.arches)
        and machine not in but.arches
        and (not only.min_kernel or _runs(only.min_kernel))
        and not (but.min_kernel and _runs(but.min_kernel))
    )


def _runs(version: str) -> bool:
    """Whether the kernel is of this version or newer."""
    return kernel_version() >= tuple(map(int, version.split(".")))


def _plain(rule: Rule) -> SyscallRule:
    """The rule as the OCI specification knows it."""
    return SyscallRule(names=rule.names, action=rule.action, errno_ret=rule.errno_ret, args=rule.args)


def _extended(base: list[SyscallRule], rules: list[SyscallRule], profile: Seccomp) -> list[SyscallRule]:
    """`rules` on top of `base`. What they refuse outright, as the default does, leaves the lists of `base`."""
    default = verdict(profile.default_action, profile.default_errno_ret)
    outright = [rule for rule in rules if not rule.args and verdict(rule.action, rule.errno_ret) == default]
    gone = {name for rule in outright for name in rule.names}
    for rule in base:
        rule.names = [name for name in rule.names if name not in gone]
    return [rule for rule in base if rule.names] + [rule for rule in rules if rule not in outright]
