"""The last step into a container, taken by 200 bytes of machine code instead of by our interpreter.

While a process executes a new program, the kernel looks up names on its behalf, and /proc/self/exe
still is the old program. A script that begins with `#!/proc/self/exe`, or a program that names it as
its loader, so makes the kernel start *our* interpreter, a file of the host, inside the container. Root
inside opens it, waits until nobody executes it any more, and writes to it; the next one on the host to
start Python runs the container's code. That is CVE-2019-5736, which has befallen runc. (While a file
is being executed, opening it for writing fails with ETXTBSY; Linux 6.11 and the first of 6.12 did not
even ask for that patience.) In the same way `/proc/self/fd/7/../..` names what a descriptor of ours
leads to, although it closes at exec: the lookup comes first. That was CVE-2024-21626.

So our interpreter never executes anything of the container's. It executes this program, which lives
nowhere but in a sealed memfd and has no descriptor but 0, 1, 2 and the hand-shake's, and this program
executes the container's:

    interpreter  ── execveat(memfd, [PATH, ARG0, ARG1, …], ENV) ──▶  trampoline
    trampoline   ── execve(PATH, [ARG0, ARG1, …], ENV)  ──────────▶  the container's program

    execveat(2), memfd_create(2), F_ADD_SEALS(2const); "/proc/PID/exe" in proc_pid_exe(5)
    strace -f minicontainer run …       shows one execveat and one execve
    objdump -D -b binary -m i386:x86-64 --start-address=0x78 FILE       reads what `image` makes

No name, no permission and no capability depends on the detour: what exec does to them it does twice
with the same result. Started with `#!/proc/self/exe` this program finds the hand-shake closed, and ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MFD_EXEC = 0x10  # Linux 6.3: yes, this one is to be executed
F_SEAL_EXEC = 0x20  # Linux 6.3: nor may its x bits change
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

FAILED = b"X"
"""How the message begins that tells of a failed execve: then come the errno, two bytes, low one first, and a zero."""

EXIT = 126
CALLS = ("execveat", "fcntl", "execve", "write", "exit_group")
"""The system calls that it takes, the first one by us."""


def errno_in(message: bytes) -> int:
    """The errno that a trampoline tells of in `message`; 0 if it is something else."""
    return int.from_bytes(message[1:3], "little") if message[:1] == FAILED and len(message) == 4 else 0


def create(channel: int) -> int:
    """A descriptor of the program, to be executed by a process whose hand-shake is the descriptor `channel`.

    -1 if this machine has none: a processor that it is not written for, or a kernel that executes no memfd
    (vm.memfd_noexec = 2).
    """
    program = image(os.uname().machine, channel)
    if not program:
        return -1
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("minicontainer", flags | MFD_EXEC)
        seals = SEALS | F_SEAL_EXEC
    except PermissionError:
        return -1
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd, seals = os.memfd_create("minicontainer", flags), SEALS  # before Linux 6.3 all of them were
    os.write(fd, program)
    os.fchmod(fd, 0o555)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def image(machine: str, channel: int) -> bytes:
    """The program as an ELF file for that machine (as uname(2) calls it); empty if there is none. elf(5)."""
    if machine not in CODE:
        return b""
    number, code = CODE[machine]
    instructions = code(channel)
    base, start = 0x400000, 64 + 56  # the code comes right after the two headers
    size = start + len(instructions)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, low byte first, version 1
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, number, 1, base + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000)  # PT_LOAD, to be read and executed
    return header + load + instructions


# -- the code -----------------------------------------------------------------------------------
#
# The kernel starts a program with its arguments on the stack:  argc | argv[0] … argv[argc-1] | 0 | envp[0] …
#
#     if (fcntl(channel, F_SETFD, FD_CLOEXEC) == 0) {
#         error = -execve(argv[0], argv + 1, envp);
#         write(channel, error << 8 | 'X', 4);
#     }
#     exit_group(126);


def x86_64(channel: int) -> bytes:
    """System call number in eax, arguments in rdi, rsi, rdx; the result, or a negative errno, comes back in rax."""
    fd = struct.pack("<I", channel)
    attempt = (
        b"\x48\x8b\x7c\x24\x08"  # mov  rdi, [rsp + 8]           path = argv[0]
        b"\x48\x8d\x74\x24\x10"  # lea  rsi, [rsp + 16]          argv + 1
        b"\x48\x8b\x04\x24"  #     mov  rax, [rsp]               argc
        b"\x48\x8d\x54\xc4\x10"  # lea  rdx, [rsp + 8*rax + 16]  envp, behind the arguments and a zero
        b"\xb8\x3b\x00\x00\x00"  # mov  eax, 59                  execve
        b"\x0f\x05"  #             syscall                       comes back only if it failed
        b"\xf7\xd8"  #             neg  eax                      the errno
        b"\xc1\xe0\x08"  #         shl  eax, 8
        b"\x0c\x58"  #             or   al, 'X'
        b"\x50"  #                 push rax                      the message, low byte first
        b"\xbf" + fd + #           mov  edi, channel
        b"\x48\x89\xe6"  #         mov  rsi, rsp
        b"\xba\x04\x00\x00\x00"  # mov  edx, 4
        b"\xb8\x01\x00\x00\x00"  # mov  eax, 1                   write
        b"\x0f\x05"  #             syscall
    )  # fmt: skip
    return (
        b"\xbf" + fd + #           mov  edi, channel
        b"\xbe\x02\x00\x00\x00"  # mov  esi, 2                   F_SETFD
        b"\xba\x01\x00\x00\x00"  # mov  edx, 1                   FD_CLOEXEC
        b"\xb8\x48\x00\x00\x00"  # mov  eax, 72                  fcntl
        b"\x0f\x05"  #             syscall
        b"\x85\xc0"  #             test eax, eax
        b"\x78" + bytes((len(attempt),)) + # js past the attempt, if that failed
        attempt +
        b"\xbf\x7e\x00\x00\x00"  # mov  edi, 126
        b"\xb8\xe7\x00\x00\x00"  # mov  eax, 231                 exit_group
        b"\x0f\x05"  #             syscall
    )  # fmt: skip


def aarch64(channel: int) -> bytes:
    """System call number in x8, arguments in x0, x1, x2; the result, or a negative errno, comes back in x0."""
    move_channel = 0x52800000 | channel << 5  # movz w0, #channel
    attempt = (
        0xF94007E0,  # ldr  x0, [sp, #8]        path = argv[0]
        0x910043E1,  # add  x1, sp, #16         argv + 1
        0xF94003E3,  # ldr  x3, [sp]            argc
        0x8B030C22,  # add  x2, x1, x3, lsl #3  envp, behind the arguments and a zero
        0xD2801BA8,  # mov  x8, #221            execve
        0xD4000001,  # svc  #0                  comes back only if it failed
        0x4B0003E0,  # neg  w0, w0              the errno
        0x53185C00,  # lsl  w0, w0, #8
        0x11016000,  # add  w0, w0, #'X'
        0xF81F0FE0,  # str  x0, [sp, #-16]!     the message, low byte first
        move_channel,
        0x910003E1,  # mov  x1, sp
        0xD2800082,  # mov  x2, #4
        0xD2800808,  # mov  x8, #64             write
        0xD4000001,  # svc  #0
    )
    instructions = (
        move_channel,
        0x52800041,  # mov  w1, #2              F_SETFD
        0x52800022,  # mov  w2, #1              FD_CLOEXEC
        0xD2800328,  # mov  x8, #25             fcntl
        0xD4000001,  # svc  #0
        0x37F80000 | (len(attempt) + 1) << 5,  # tbnz w0, #31, past the attempt, if that failed
        *attempt,
        0x52800FC0,  # mov  w0, #126
        0xD2800BC8,  # mov  x8, #94             exit_group
        0xD4000001,  # svc  #0
    )
    return struct.pack(f"<{len(instructions)}I", *instructions)


CODE: dict[str, tuple[int, Callable[[int], bytes]]] = {"x86_64": (62, x86_64), "aarch64": (183, aarch64)}
"""uname(2)'s name of a machine -> its number in elf(5), and the code."""
