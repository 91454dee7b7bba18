"""A machine for classic BPF, so that a filter can be asked about any system call of any ABI without making it."""

from __future__ import annotations

import struct

import pyseccomp

ABIS = {
    "x86-64": (pyseccomp.Arch.X86_64, 0xC000003E),
    "i386": (pyseccomp.Arch.X86, 0x40000003),
    "x32": (pyseccomp.Arch.X32, 0xC000003E),
    "arm64": (pyseccomp.Arch.AARCH64, 0xC00000B7),
    "arm": (pyseccomp.Arch.ARM, 0x40000028),
}
"""Name -> (libseccomp's number, the kernel's AUDIT_ARCH_*)."""

ALLOW = "allow"
KILL = "kill"
VERDICTS = {0x7FFF0000: ALLOW, 0x00000000: KILL, 0x80000000: "kill process", 0x00030000: "trap", 0x7FFC0000: "log"}


def number(abi: str, name: str) -> int:
    """The number of the call `name`; negative if the ABI has no such call."""
    return pyseccomp.resolve_syscall(ABIS[abi][0], name)


def names(abi: str, count: int = 1024) -> dict[int, str]:
    """Every number below `count` that libseccomp knows on this ABI, with its name."""
    base = 1 << 30 if abi == "x32" else 0
    found = {}
    for n in range(base, base + count):
        try:
            found[n] = pyseccomp.resolve_syscall(ABIS[abi][0], n).decode()
        except ValueError:
            continue
    return found


def ask(program: bytes, abi: str, call: str | int, *args: int) -> str | int:
    """The verdict of `program` on a call: "allow", "kill", or the errno that the caller gets."""
    n = call if isinstance(call, int) else number(abi, call)
    return run(program, n, ABIS[abi][1], args)


def run(program: bytes, nr: int, arch: int, args: tuple[int, ...] = ()) -> str | int:
    """Run the filter on one struct seccomp_data."""
    data = struct.pack("<IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *args, *[0] * (6 - len(args)))
    code = list(struct.iter_unpack("HBBI", program))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x05:
            at += k
        elif operation == 0x06:
            return VERDICTS[k] if k in VERDICTS else k & 0xFFFF
        else:
            true = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
            at += if_true if true[operation] else if_false
