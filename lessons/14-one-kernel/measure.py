"""A container and a virtual machine, measured side by side: python3 measure.py ROOTFS

What would harm the machine that it is done on (another clock, a panic) is done in the lab; the container has
the lab for its host then.
"""

import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

LAB = ["minicontainer", "lab"]
RUN = ["minicontainer", "run", "--network", "none"]
ROOTFS = sys.argv[1:]
CONTAINER, MACHINE, BOTH = [*RUN, *ROOTFS], LAB, [*LAB, *RUN, *ROOTFS]
STRONG = [*RUN, "--privileged", *ROOTFS]  # its root may do what root on its host may
CALLS = 100_000  # system calls: half of them read a byte, half write one
OTHER_TIME = ["date", "-s", "2001-01-01"]
PANIC = ["sh", "-c", "echo c > /proc/sysrq-trigger"]  # proc_sysrq-trigger(5)


def said(*command):
    """What a command prints; if the machine ended under it, what it had printed by then."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()


def seconds(*command):
    """How long it takes."""
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def family(pid):
    """A process and all that descend from it: proc_tid_children(5)."""
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [pid, *(each for child in children.split() for each in family(int(child)))]


def start(command):
    """From the command to its end, for a program that does nothing."""
    return f"{statistics.median(seconds(*command, 'true') for _ in range(3)) * 1000:.0f} ms"


def asleep(command):
    """What all its processes on the host take (memory that they share divided by those who share it: Pss in
    proc_pid_smaps(5)), and whether `ps` on the host shows the program."""
    with subprocess.Popen([*command, "sleep", "3.14"], stderr=subprocess.DEVNULL) as process:
        time.sleep(2)
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text().split() for pid in family(process.pid)]
        seen = "sleep 3.14" in said("ps", "-e", "-o", "args").splitlines()
    kilobytes = sum(int(words[words.index("Pss:") + 1]) for words in rollups)
    return f"{kilobytes // 1024} MB", "yes" if seen else "no"


def calls(command):
    """What that many system calls take, beyond starting the program."""
    copy = [*command, "dd", "if=/dev/zero", "of=/dev/null", "bs=1"]
    return f"{(seconds(*copy, f'count={CALLS // 2}') - seconds(*copy, 'count=1')) * 1000:.0f} ms"


def boot(command):
    """Whose boot it lives in."""
    place = "/proc/sys/kernel/random/boot_id"
    return "the host's" if said(*command, "cat", place) == said("cat", place) else "its own"


def in_the_lab(harm, question):
    """Do harm in a container in the lab; the answer to a question on its host, the lab, afterwards."""
    return said(*LAB, "sh", "-c", f"{shlex.join([*STRONG, *harm])}; echo; {question}").splitlines()[-1:] or ["down"]


def year_on_the_host():
    """Which year it is on the host of each, after it has set its clock to 2001."""
    (contained,) = in_the_lab(OTHER_TIME, "date +%Y")
    said(*LAB, *OTHER_TIME)
    machine = said("date", "+%Y")
    said(*LAB, *STRONG, *OTHER_TIME)
    return contained, machine, said("date", "+%Y")


def host_after_a_panic():
    """Whether the host of each is up, after each has made its kernel panic."""
    (contained,) = in_the_lab(PANIC, "echo up")
    said(*LAB, *PANIC)
    said(*LAB, *STRONG, *PANIC)
    return contained or "down", "up", "up"  # for who else could tell?


def main():
    kinds = CONTAINER, MACHINE, BOTH
    memory, in_sight = zip(*map(asleep, kinds), strict=True)
    rows = {
        "": ("container", "VM", "container in VM"),
        "kernel": [said(*kind, "uname", "-r") for kind in kinds],
        "boot": [boot(kind) for kind in kinds],
        "to start and end": [start(kind) for kind in kinds],
        "memory on the host": memory,
        f"{CALLS:,} system calls": [calls(kind) for kind in kinds],
        "seen by ps on the host": in_sight,
        "its clock to 2001: host in": year_on_the_host(),
        "its panic: the host is": host_after_a_panic(),
    }
    for name, values in rows.items():
        print(f"{name:26}", *(f"{value:16}" for value in values[:2]), values[2])


if __name__ == "__main__":
    main()
