"""Lesson 13: all walls together, and the cracks between them."""

from __future__ import annotations

import os
import signal

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson
from minicontainer.lessons.subject import Subject

LEAKY = ("sh", "-c", 'exec 9</ && exec "$@"', "sh")
"""Starts the rest of its words with an open descriptor on the host's root directory."""
SECRET = "SECRET_OF_THE_HOST"
NAMESPACES = ("uts", "pid", "mnt", "net", "ipc", "user", "cgroup")
ATTACKS = """
try() { sh -c "$2" 2>/dev/null && echo "got through: $1"; }
try "it mounts" 'mount -t tmpfs none /mnt'
try "it sets the kernel" 'true >> /proc/sys/kernel/core_pattern'
try "it makes and opens the log of the kernel" 'mknod /tmp/log c 1 11 && true >> /tmp/log'
try "it makes a namespace" 'unshare --user --map-root-user true'
"""


def ignored(status: dict[str, str]) -> list[str]:
    """The signals that a process ignores, by name."""
    bits = int(status.get("SigIgn", "0"), 16)
    return [number.name for number in signal.Signals if bits >> number - 1 & 1]


def check(inside: Inside) -> None:
    """All walls stand, and nothing comes in with the program that started the container."""
    for kind in NAMESPACES:
        look = f"ls -l /proc/{inside.pid}/ns"
        expect(f"it has a {kind} namespace of its own", inside.own(kind), True, look)
    status = inside.status()
    expect("a filter of system calls is in force: Seccomp", status.get("Seccomp"), "2", "lesson 12")
    expect("no exec gives it new rights: NoNewPrivs", status.get("NoNewPrivs"), "1", "lesson 11")
    os.environ[SECRET] = "1234"
    seen = inside.ask("env").out.splitlines()
    leaked = [row for row in seen if row.startswith(SECRET)]
    expect("the environment of the host does not come in: of a variable there", leaked, [], "os.execvpe; environ(7)")
    path = [row for row in seen if row.startswith("PATH=/")]
    expect("there is a PATH, where programs are looked for", path, like("PATH=/…", bool), "os.execvpe; environ(7)")
    with Subject([*LEAKY, *inside.subject.prefix], inside.subject._directory) as leaky:
        numbers = sorted(leaky.start().descriptors())
    expect(
        "what the host had open does not come in: open are", numbers, [0, 1, 2], "os.closerange; open(2): FD_CLOEXEC"
    )
    expect("no signal is ignored, but these are", ignored(status), [], "signal.signal, signal.SIG_DFL; signal(7)")


LESSON = Lesson(
    number=13,
    name="all-walls",
    title="All walls, and the cracks between them",
    step="nothing of the host comes in: no variables, no open files, no ignored signals",
    needs=("root", "userns"),
    check=check,
    options=("--hardened",),
    attack=Attack(
        ("sh", "-c", ATTACKS),
        told="Four attacks of the lessons before, one after the other, first in a privileged container.",
        succeeds="got through",
        down=("--privileged",),
    ),
)
