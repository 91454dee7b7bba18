"""Lesson 11: capabilities and no_new_privs."""

from __future__ import annotations

from minicontainer.lessons.expect import expect, like
from minicontainer.lessons.inside import Inside
from minicontainer.lessons.lesson import Attack, Lesson

INSIDE = "my_container.py, inside(): "
USUAL = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
}  # fmt: skip
KEEP = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in sorted(USUAL))
SETS = {"Bnd": "kit.drop_bounding", "Prm": "kit.capset", "Eff": "kit.capset", "Inh": "kit.capset", "Amb": "kit.capset"}
OPEN = 'mount -o remount,rw /proc/sys && echo "got through"'


def check(inside: Inside) -> None:
    """None of its sets has more than the usual capabilities, it still has those, and no exec gives more."""
    for name, function in SETS.items():
        more = sorted(inside.capabilities(name) - USUAL)[:3]
        look = f"{INSIDE}{function}; grep Cap{name} /proc/{inside.pid}/status"
        expect(f"Cap{name} has none but the usual capabilities: besides it has", more, [], look)
    need = like("CAP_CHOWN, CAP_SETUID and the like", lambda seen: {"CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"} <= seen)
    expect("it keeps what it needs", inside.capabilities("Eff"), need, INSIDE + "kit.capset")
    tried = inside.ask("hostname", "intruder")
    failed = like("another than 0", bool)
    expect("`hostname intruder` is refused: its status", tried.status, failed, "capabilities(7): CAP_SYS_ADMIN")
    expect("no exec gives it new rights", inside.status().get("NoNewPrivs"), "1", INSIDE + "kit.no_new_privs()")


LESSON = Lesson(
    number=11,
    name="capabilities",
    title="Capabilities: the master key, cut up",
    step="14 capabilities of 41, and no new privileges",
    feature="capabilities",
    check=check,
    options=("--network", "none", "--security-opt", "no-new-privileges"),
    others={
        "unshare": "unshare --uts --mount --pid --fork --kill-child sh -c 'cd {rootfs} && mount -t proc proc proc &&"
        f' exec setpriv --no-new-privs --inh-caps -all --bounding-set -all,{KEEP} chroot . "$@"\' sh',
        "bubblewrap": "bwrap --unshare-uts --unshare-pid --bind {rootfs} / --proc /proc --dev /dev --cap-drop ALL"
        " --cap-add CAP_CHOWN --cap-add CAP_SETUID --cap-add CAP_SETGID",
    },
    attack=Attack(
        ("sh", "-c", OPEN),
        told="The container takes the write protection off the kernel's settings.",
        succeeds="got through",
        options=("--security-opt", "seccomp=unconfined"),
    ),
)
