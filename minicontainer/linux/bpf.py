"""The program that decides which devices a group may use: bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE.

Version 2 of control groups has no devices controller with files to write to. Instead the kernel asks
a small program, attached to the group, each time a process of the group opens a device node or makes
one. The program gets a struct bpf_cgroup_dev_ctx and answers 1 (go on) or 0 (EPERM):

    access_type   what node is it (low 16 bits), what is wanted of it (high 16 bits)
    major, minor  which device

We write the program as the machine code of the kernel's virtual machine: eleven registers, eight
bytes an instruction. The kernel's verifier reads it before it is loaded, and refuses anything that
may loop, may read what it should not, or cannot be reached.

    bpftool cgroup list /sys/fs/cgroup/minicontainer/ID; bpftool prog dump xlated id N        watch it
"""

from __future__ import annotations

import ctypes
import os
import struct
from errno import EACCES, EINVAL

from minicontainer.errors import KernelError
from minicontainer.linux.calls import check, libc, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    Rule = tuple[bool, str, int | None, int | None, str]
    """Allow it? Type a, b or c; major and minor number or None for any; some of the letters r, w, m."""

SYS_BPF = {"x86_64": 321, "ppc64le": 361}.get(os.uname().machine, 280)
BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2

TYPES = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}
EVERYTHING = 7

# -- the assembler: struct bpf_insn { u8 code; u8 dst:4, src:4; s16 off; s32 imm; } ----------------------

R0, R1, R2, R3, R4, R5 = range(6)
"""R0 is the answer and R1 points to the context at the start; the others are ours."""

LOAD, AND, SHIFT_RIGHT, SET, COPY = 0x61, 0x54, 0x74, 0xB7, 0xBC
JUMP_IF_EQUAL, JUMP_IF_NOT_EQUAL, EXIT = 0x15, 0x55, 0x95
NEXT_RULE = -1
"""Stands for the distance to the end of a rule's instructions until that is known."""

Instruction = tuple[int, int, int, int, int]


def ins(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Instruction:
    return code, dst, src, off, imm


def answer(allow: bool) -> list[Instruction]:
    return [ins(SET, R0, imm=int(allow)), ins(EXIT)]


START = [
    ins(LOAD, R2, R1, 0),
    ins(AND, R2, imm=0xFFFF),  # R2: the node's type
    ins(LOAD, R3, R1, 0),
    ins(SHIFT_RIGHT, R3, imm=16),  # R3: the kinds of access that no rule has decided yet
    ins(LOAD, R4, R1, 4),  # R4: major
    ins(LOAD, R5, R1, 8),  # R5: minor
]


def one_rule(rule: Rule) -> list[Instruction]:
    """The instructions that settle what this rule has a say in, and go on behind their end with the rest."""
    allow, kind, major, minor, letters = rule
    access = sum(ACCESS[letter] for letter in set(letters))
    code = [
        ins(JUMP_IF_NOT_EQUAL, register, off=NEXT_RULE, imm=value)
        for register, value in ((R2, TYPES.get(kind)), (R4, major), (R5, minor))
        if value is not None
    ]
    if allow and access != EVERYTHING:  # these are granted; all of what was asked for?
        code += [ins(AND, R3, imm=~access), ins(JUMP_IF_NOT_EQUAL, R3, off=NEXT_RULE, imm=0)]
    elif access != EVERYTHING:  # one of these is asked for?
        code += [ins(COPY, R1, R3), ins(AND, R1, imm=access), ins(JUMP_IF_EQUAL, R1, off=NEXT_RULE, imm=0)]
    code += answer(allow)
    return [ins(*i[:3], len(code) - at - 1, i[4]) if i[3] == NEXT_RULE else i for at, i in enumerate(code)]


def device_program(rules: list[Rule]) -> bytes:
    """The program for these rules. The last one that matches counts, for each of r, w and m on its own.

    So the rules are tried from the last to the first. What none of them decides is denied.
    """
    code = list(START)
    for rule in reversed(rules):
        code += one_rule(rule)
        if is_for_everything(rule):
            break  # nothing gets past it, and the verifier refuses what cannot be reached
    else:
        code += answer(False)
    return b"".join(struct.pack("<BBhi", op, src << 4 | dst, off, imm) for op, dst, src, off, imm in code)


def is_for_everything(rule: Rule) -> bool:
    """Whether it decides about all access to all devices."""
    return rule[1:4] == ("a", None, None) and set(rule[4]) == set(ACCESS)


# -- into the kernel ------------------------------------------------------------------------------


@syscall
def bpf_prog_load(program: bytes) -> int:
    """Have a device program verified and loaded; its descriptor (close-on-exec). BPF_PROG_LOAD in bpf(2).

    Raises KernelError: EPERM without CAP_BPF or CAP_SYS_ADMIN, and with the verifier's last words if
    it does not like the program.
    """
    try:
        return _load(program, None)
    except OSError as error:
        if error.errno not in (EINVAL, EACCES):
            raise
        log = ctypes.create_string_buffer(65536)
        try:
            return _load(program, log)
        except OSError as again:
            said = [row for row in log.value.decode(errors="replace").splitlines() if not row.startswith("processed ")]
            raise KernelError("bpf_prog_load", again.errno or 0, said[-1] if said else "") from None


def _load(program: bytes, log: ctypes.Array[ctypes.c_char] | None) -> int:
    code, license = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"MIT")
    logging = (0, 0, 0) if log is None else (1, len(log), ctypes.addressof(log))
    return _bpf(BPF_PROG_LOAD, struct.pack(
        "=IIQQIIQII16s", BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code),
        ctypes.addressof(license), *logging, 0, 0, b"minicontainer"))  # fmt: skip


@syscall
def bpf_prog_attach(group: int, program: int) -> None:
    """Attach a loaded device program to the group whose directory `group` is open. BPF_PROG_ATTACH in bpf(2).

    Programs further up go on being asked: all must agree (BPF_F_ALLOW_MULTI). It goes with the group.
    """
    _bpf(BPF_PROG_ATTACH, struct.pack("=IIII", group, program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI))


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return check(libc.syscall(ctypes.c_long(SYS_BPF), command, buffer, len(attributes)))
