"""The first process: how it is made, and the program that it is given for its exec.

Usually that is one clone3. But some namespaces of another container have to be joined before there is a
first process: the pid namespace, since only children are born into one, and the user namespace, since
all that is made new must belong to it. Then a middle process goes there, and clones; with CLONE_PARENT,
which makes the first process a child not of its own, but of ours.

    we ────────▶ middle: setns(user), setns(pid) ────────▶ first process, our child
       ◀──────── its pid, or why there is none; the middle ends

We ourselves stay where we are: a helper of ours (`ip`, say) must not run in the hands of a container.
"""

from __future__ import annotations

import os

from minicontainer.errors import pack, unpack
from minicontainer.linux import process, trampoline
from minicontainer.runtime.init import init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.isolation.feature import Feature
    from minicontainer.runtime.container import Container
    from minicontainer.spec import Seccomp

ANY_KIND = 0
PASSING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


def clone(container: Container, walls: list[Feature]) -> tuple[int, int]:
    """Make the first process, in the namespaces and the control group of its walls: (pid, pidfd)."""
    container.trampoline = open_trampoline(container)
    flags = process.CloneFlags(0)
    for wall in walls:
        flags |= wall.flags(container)
    cgroup = max(wall.cgroup_fd for wall in walls)
    joined = [wall.early_fd for wall in walls if wall.early_fd >= 0]
    try:
        if joined:
            return clone_there(container, walls, flags, cgroup, joined)
        pid, pidfd = process.clone3(flags, cgroup)
        if pid == 0:
            init(container, walls)
        return pid, pidfd
    finally:
        if container.trampoline >= 0:
            os.close(container.trampoline)


def clone_there(
    container: Container, walls: list[Feature], flags: process.CloneFlags, cgroup: int, joined: list[int]
) -> tuple[int, int]:
    """The same by way of a middle process, which joins these namespaces first."""
    reader, writer = os.pipe()
    middle, pidfd = process.clone3(process.CloneFlags(0))
    if middle == 0:
        try:
            for fd in joined:
                process.setns(fd, ANY_KIND)
            pid, _ = process.clone3(flags | process.CLONE_PARENT, cgroup)
            if pid == 0:
                os.close(writer)
                init(container, walls)
            os.write(writer, str(pid).encode())
        except BaseException as error:
            os.write(writer, pack(error))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    if not answer.isdigit():
        raise unpack(answer)
    return int(answer), process.pidfd_open(int(answer))


# -- its exec -----------------------------------------------------------------------------------


def open_trampoline(container: Container) -> int:
    """The program that executes the container's, or -1 with a warning where it cannot be used."""
    seccomp = container.spec.linux.seccomp
    refused = [call for call in trampoline.CALLS if seccomp and not lets_pass(seccomp, call)]
    fd = -1 if refused else trampoline.create(container.channel.child_fd)
    if fd < 0 and not container.spec.namespace("user"):
        why = f"the seccomp profile refuses {refused[0]}" if refused else "this machine executes no memfd of ours"
        warning = f"{why}: a hostile program might take hold of the host's Python; --userns auto keeps it from writing"
        container.save(warnings=[*container.record.get("warnings", []), warning])
    return fd


def lets_pass(seccomp: Seccomp, call: str) -> bool:
    """Whether the filter surely lets `call` pass, whatever its arguments."""
    rules = [rule for rule in seccomp.syscalls if call in rule.names]
    allowed = seccomp.default_action in PASSING or any(not rule.args for rule in rules)
    return allowed and all(rule.action in PASSING for rule in rules)
