"""From the OCI specification's `linux.seccomp` to the instructions of a filter.

libseccomp turns names into numbers, for each machine language, and the rules into a search tree. Two
things it cannot say are put in front of its program, by hand:

    ┌─────────────────────────┐
    │ newer than every rule?  │──▶ ENOSYS    so that programs fall back to older calls, as on an
    ├─────────────────────────┤              older kernel, and don't take EPERM for a verdict
    │ an exception?           │──▶ refused   a rule that says what the default says: libseccomp
    ├─────────────────────────┤              has no "all but"
    │ the lists               │──▶ allowed
    └─────────────────────────┘──▶ refused   the default

seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3); bpf(4) for the instructions
"""

from __future__ import annotations

import os
import struct
from errno import ENOSYS

from minicontainer.errors import SpecError, UnsupportedError
from minicontainer.linux.seccomp import BPF_MAXINSNS, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
from minicontainer.profiles.rules import OPERATORS, REFUSING, check, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minicontainer.spec import Seccomp, SyscallRule

    Instruction = tuple[int, int, int, int]

# struct sock_filter: what to do, how far to jump if true, if false, with which number.
LOAD, JUMP, JUMP_IF_EQUAL, JUMP_IF_GREATER, JUMP_IF_GREATER_OR_EQUAL, RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x06
FORMAT = "HBBI"
NUMBER, ARCHITECTURE = 0, 4
"""Where struct seccomp_data has them."""

RETURN_ALLOW = (RETURN, 0, 0, SECCOMP_RET_ALLOW)
RETURN_ENOSYS = (RETURN, 0, 0, SECCOMP_RET_ERRNO | ENOSYS)
MANY_RULES = 32
"""From so many on a tree is quicker than a list."""

UNKNOWN = -1  # of other negative numbers libseccomp knows the call, but not on this machine
X32_BIT = 0x40000000
"""From here on a number on x86-64 is of its second ABI."""
ARM_PRIVATE = 0x0F0000
"""From here on a number on 32-bit ARM is of ARM's own few calls."""


def compile(seccomp: Seccomp) -> bytes:
    """The filter as an array of struct sock_filter. Raises SpecError, UnsupportedError."""
    check(seccomp)
    default = verdict(seccomp.default_action, seccomp.default_errno_ret)
    lists: list[SyscallRule] = []
    exceptions: list[SyscallRule] = []
    for rule in seccomp.syscalls:
        (exceptions if verdict(rule.action, rule.errno_ret) == default else lists).append(rule)
    library = _library()
    machines = _machines(library, seccomp)
    program = _tree(library, machines, lists, default, library.KILL)
    if seccomp.default_action in REFUSING:
        if exceptions:
            program = chain(_tree(library, machines, exceptions, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW), program)
        if default != RETURN_ENOSYS[3]:
            program = refuse_newer(library, machines, seccomp.syscalls) + program
    if len(program) > BPF_MAXINSNS:
        raise SpecError(f"the seccomp profile makes {len(program)} instructions; the kernel takes {BPF_MAXINSNS}")
    return b"".join(struct.pack(FORMAT, *instruction) for instruction in program)


def _library() -> Any:
    """pyseccomp, which looks for libseccomp when it is imported: 20 ms, once a profile."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError):
        raise UnsupportedError("libseccomp is not installed", "install the package libseccomp2") from None
    return pyseccomp


def _machines(library: Any, seccomp: Seccomp) -> list[int]:
    """libseccomp's numbers of the machine languages that are let in; the native one always is."""
    names = [name.removeprefix("SCMP_ARCH_") for name in seccomp.architectures]
    known = [getattr(library.Arch, name) for name in names if hasattr(library.Arch, name)]
    return list(dict.fromkeys([library.system_arch(), *known]))


def _tree(
    library: Any, machines: list[int], rules: list[SyscallRule], default: int, stranger: int
) -> list[Instruction]:
    """libseccomp's program for these rules. `stranger` is the verdict on calls in another machine language."""
    filter = library.SyscallFilter(default)
    filter.set_attr(library.Attr.ACT_BADARCH, stranger)
    if len(rules) > MANY_RULES:
        filter.set_attr(library.Attr.CTL_OPTIMIZE, 2)
    try:
        for machine in machines[1:]:
            filter.add_arch(machine)
    except OSError:
        raise SpecError("the seccomp profile's architectures do not go together", "see its archMap") from None
    for rule in rules:
        for name in rule.names:
            _add(library, filter, name, rule)
    with open(os.memfd_create("seccomp"), "r+b") as file:
        filter.export_bpf(file)
        file.seek(0)
        return list(struct.iter_unpack(FORMAT, file.read()))


def _add(library: Any, filter: Any, name: str, rule: SyscallRule) -> None:
    """Tell libseccomp of one name in a rule. Names that it does not know are left out, as Docker does."""
    number = library.resolve_syscall(library.Arch.NATIVE, name)
    if number == UNKNOWN:
        return
    conditions = [library.Arg(arg.index, OPERATORS[arg.op], arg.value, arg.value_two) for arg in rule.args]
    repeated = len({arg.index for arg in rule.args}) < len(rule.args)
    try:
        # libseccomp takes one condition an argument. Of several, Docker's runtimes make alternatives.
        for group in [[one] for one in conditions] if repeated else [conditions]:
            filter.add_rule(verdict(rule.action, rule.errno_ret), number, *group)
    except OSError as error:
        raise SpecError(f"libseccomp refuses the rule for {name}: {error.strerror}") from None


def chain(first: list[Instruction], second: list[Instruction]) -> list[Instruction]:
    """One program of two: what the first allows, the second looks at."""
    return [
        (JUMP, 0, 0, len(first) - i - 1) if instruction == RETURN_ALLOW else instruction
        for i, instruction in enumerate(first)
    ] + second


def refuse_newer(library: Any, machines: list[int], rules: list[SyscallRule]) -> list[Instruction]:
    """The part that answers ENOSYS to every number above all those that the rules name."""
    names = {name for rule in rules for name in rule.names}
    part: list[Instruction] = []
    for machine in machines:
        audit, limit = machine, 1 << 32
        if machine == library.Arch.X32:
            audit = library.Arch.X86_64
        elif machine == library.Arch.X86_64:
            limit = X32_BIT
        elif machine == library.Arch.ARM:
            limit = ARM_PRIVATE
        last = max((n for name in names if (n := library.resolve_syscall(machine, name)) < limit), default=-1)
        if last >= 0:
            part += [
                (LOAD, 0, 0, ARCHITECTURE),
                (JUMP_IF_EQUAL, 0, 4, audit),
                (LOAD, 0, 0, NUMBER),
                (JUMP_IF_GREATER, 0, 2, last),
                (JUMP_IF_GREATER_OR_EQUAL, 1, 0, limit - 1),
                RETURN_ENOSYS,
            ]
    return part
