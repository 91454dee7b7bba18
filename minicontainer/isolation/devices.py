"""Which devices a container may use, whatever nodes it finds or makes: mknod(2), and "Device controller" in

    https://docs.kernel.org/admin-guide/cgroup-v2.html

A device node is a name for a driver, and a container that may make nodes (CAP_MKNOD, which Docker
gives and so do we) can name any: the host's disk, its memory, /dev/fuse. So the kernel is told, for
the whole control group, which drivers may be opened: a BPF program (see `linux.bpf`) answers each
time. Making a node stays allowed, using it does not:

    $ mknod /tmp/kmsg c 1 11; cat /tmp/kmsg
    cat: can't open '/tmp/kmsg': Operation not permitted

Where no program can be attached, CAP_MKNOD goes, and the container's own root is mounted `nodev`.

    bpftool cgroup list /sys/fs/cgroup/minicontainer/ID        watch it
"""

from __future__ import annotations

import os

from minicontainer.errors import KernelError, SpecError, UnsupportedError
from minicontainer.isolation.feature import Feature
from minicontainer.linux import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.linux.bpf import Rule
    from minicontainer.runtime.container import Container
    from minicontainer.spec import DeviceRule

DEVICE_RULES: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),  # any node may be made …
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null      … and these may be opened
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 1, "rwm"),  # console
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, None, "rwm"),  # pts/*
)
"""What every container may do, after its spec's own rules, as in runc and crun: type, major, minor, access."""


class Devices(Feature):
    """The wall around the host's devices. Comes after `cgroup`, whose group it needs."""

    name = "devices"

    def before(self, container: Container) -> None:
        rules = rules_of(container.spec.linux.resources.devices)
        if is_open(rules):
            return
        try:
            attach(container.record.get("cgroup", ""), rules)
        except (KernelError, UnsupportedError) as error:
            # In a user namespace there is nothing to drop: a node made there, or in a file system
            # mounted there, opens no device.
            if not container.spec.namespace("user"):
                do_without(container, error)


def rules_of(devices: list[DeviceRule]) -> list[Rule]:
    """The spec's rules and then the default ones; the last that matches counts. Raises SpecError."""
    rules: list[Rule] = []
    for rule in devices:
        major, minor = wildcard(rule.major), wildcard(rule.minor)
        if rule.type not in ("a", "b", "c"):
            raise SpecError(f"a device rule of type {rule.type!r}", "it is a (all), b (block) or c (character)")
        if not set(rule.access) <= set("rwm"):
            raise SpecError(f"a device rule for access {rule.access!r}", "it is some of r (read), w (write), m (mknod)")
        if not all(number is None or 0 <= number < 1 << 20 for number in (major, minor)):
            raise SpecError(f"there is no device {rule.major}:{rule.minor}", "`ls -l /dev` shows the two numbers")
        rules.append((rule.allow, rule.type, major, minor, rule.access))
    return rules + [(True, *rule) for rule in DEVICE_RULES]


def wildcard(number: int | None) -> int | None:
    """Engines write -1 for "any" where the specification leaves the number out."""
    return None if number == -1 else number


def is_open(rules: list[Rule]) -> bool:
    """Whether these rules allow everything (`--privileged`)."""
    for rule in reversed(rules):
        if not rule[0]:
            return False
        if bpf.is_for_everything(rule):
            return True
    return False


def attach(group: str, rules: list[Rule]) -> None:
    """Let the program for `rules` decide in the control group `group`. Raises KernelError, UnsupportedError."""
    if not group:
        raise UnsupportedError("the container has no control group of its own")
    program = bpf.bpf_prog_load(bpf.device_program(rules))
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        bpf.bpf_prog_attach(directory, program)
    finally:
        os.close(directory)
        os.close(program)


def do_without(container: Container, reason: Exception) -> None:
    """Take CAP_MKNOD from the container, and the devices from its file systems; say so in the record."""
    capabilities = container.spec.process.capabilities
    for name in capabilities.fields if capabilities else ():
        names = getattr(capabilities, name)
        setattr(capabilities, name, [one for one in names if one != "CAP_MKNOD"])
    container.spec.save(container.path("config.json"))  # exec reads it there
    warning = f"devices cannot be guarded ({reason}): CAP_MKNOD dropped, root mounted nodev"
    container.save(nodev=True, warnings=[*container.record.get("warnings", []), warning])
