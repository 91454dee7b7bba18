"""The device program is run here by a small machine of our own, and compared with the rules' plain meaning."""

from __future__ import annotations

import itertools
import random
import struct
from typing import TYPE_CHECKING

import pytest

from minicontainer.errors import SpecError
from minicontainer.isolation.devices import DEVICE_RULES, is_open, rules_of
from minicontainer.linux.bpf import ACCESS, TYPES, device_program
from minicontainer.spec import DeviceRule

if TYPE_CHECKING:
    from minicontainer.linux.bpf import Rule

DENY_ALL = DeviceRule(allow=False)


def execute(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """What the kernel's machine would answer: just those instructions that our programs have."""
    context = [sum(ACCESS[letter] for letter in access) << 16 | TYPES[kind], major, minor]
    registers = [0] * 6
    at = 0
    while True:
        op, register, offset, value = struct.unpack_from("<BBhi", program, 8 * at)
        dst, src = register & 15, register >> 4
        at += 1
        if op == 0x61:
            registers[dst] = context[offset // 4]
        elif op == 0x54:
            registers[dst] &= value & 0xFFFFFFFF
        elif op == 0x74:
            registers[dst] >>= value
        elif op == 0xB7:
            registers[dst] = value
        elif op == 0xBC:
            registers[dst] = registers[src]
        elif op == 0x15:
            at += offset if registers[dst] == value else 0
        elif op == 0x55:
            at += offset if registers[dst] != value else 0
        else:
            assert op == 0x95
            return bool(registers[0])


def meaning(rules: list[Rule], kind: str, major: int, minor: int, access: str) -> bool:
    """For each letter, the last rule that matches it decides."""

    def one(letter: str) -> bool:
        matching = [
            allow
            for allow, type, rule_major, rule_minor, letters in rules
            if type in ("a", kind) and rule_major in (None, major) and rule_minor in (None, minor) and letter in letters
        ]
        return matching[-1] if matching else False

    return all(map(one, access))


def test_program_means_what_the_rules_mean() -> None:
    chance = random.Random(1)
    requests = list(itertools.product("bc", (0, 1, 2), (0, 1), ("r", "w", "m", "rw", "rwm", "rm")))
    for _ in range(500):
        rules: list[Rule] = [
            (
                chance.random() < 0.5,
                chance.choice("abc"),
                chance.choice((None, 0, 1, 2)),
                chance.choice((None, 0, 1)),
                chance.choice(("r", "w", "m", "rw", "rwm", "rwm")),
            )
            for _ in range(chance.randrange(6))
        ]
        program = device_program(rules)
        for request in requests:
            assert execute(program, *request) == meaning(rules, *request), (rules, request)


def test_a_denied_part_is_not_reached_by_asking_for_more() -> None:
    program = device_program([(True, "c", 1, 11, "rwm"), (False, "c", 1, 11, "w")])
    assert execute(program, "c", 1, 11, "r")
    assert not execute(program, "c", 1, 11, "w")
    assert not execute(program, "c", 1, 11, "rw")


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rw", True),  # null
        ("c", 136, 77, "rw", True),  # a terminal
        ("c", 10, 229, "m", True),  # fuse: may be made
        ("c", 10, 229, "rw", False),  # may not be opened
        ("c", 1, 11, "r", False),  # kmsg
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "r", False),  # a disk
        ("b", 1, 3, "r", False),  # a block device with the numbers of null
    ],
)
def test_default_rules(kind: str, major: int, minor: int, access: str, allowed: bool) -> None:
    assert execute(device_program(rules_of([DENY_ALL])), kind, major, minor, access) is allowed


def test_no_rules_mean_the_default_ones() -> None:
    assert device_program(rules_of([])) == device_program(rules_of([DENY_ALL]))


def test_minus_one_is_any_number() -> None:
    rule = DeviceRule(allow=True, type="c", major=10, minor=-1, access="rw")
    assert execute(device_program(rules_of([DENY_ALL, rule])), "c", 10, 229, "rw")


def test_everything_allowed_needs_no_program() -> None:
    everything = DeviceRule(allow=True)
    assert is_open(rules_of([DENY_ALL, everything]))
    assert not is_open(rules_of([everything, DeviceRule(allow=False, type="c", major=1, minor=11)]))
    assert not is_open(rules_of([]))


def test_nothing_unreachable_after_a_rule_for_everything() -> None:
    answer = 2 * 8
    start = 6 * 8
    assert len(device_program([(True, "c", 1, 3, "rwm"), (False, "a", None, None, "rwm")])) == start + answer


@pytest.mark.parametrize(
    "rule",
    [
        DeviceRule(type="x"),
        DeviceRule(type="c", access="rx"),
        DeviceRule(type="c", major=-2),
        DeviceRule(minor=1 << 20),
    ],
)
def test_bad_rules_are_refused(rule: DeviceRule) -> None:
    with pytest.raises(SpecError) as raised:
        rules_of([rule])
    assert raised.value.remedy


def test_default_table_is_closed() -> None:
    """Wildcards only for making nodes, and for terminals, which are the container's own."""
    assert [rule for rule in DEVICE_RULES if None in rule] == [
        ("c", None, None, "m"),
        ("b", None, None, "m"),
        ("c", 136, None, "rwm"),
    ]
