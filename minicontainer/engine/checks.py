"""Options that contradict each other, or this machine, as a list of small checks.

Whether the limits make sense is checked by `minicontainer.isolation.limits`, for other engines' bundles too.

https://github.com/moby/moby/blob/master/daemon/daemon_unix.go (verifyPlatformContainerSettings)
"""

from __future__ import annotations

import os

from minicontainer.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minicontainer.engine.options import Options


def check(options: Options) -> None:
    """Raise UsageError for the first contradiction."""
    for rule in CHECKS:
        rule(options)


def rights(o: Options) -> None:
    if o.privileged and o.hardened:
        raise UsageError("--privileged and --hardened contradict each other", "choose one")
    if o.privileged and o.userns and o.userns != "host":
        raise UsageError("--privileged means nothing in a user namespace of its own", "leave --userns out")
    if o.only and o.without:
        raise UsageError("--only and --without both say which walls stand", "use one of them")


def cpu(o: Options) -> None:
    if o.cpus and (o.cpu_period or o.cpu_quota):
        raise UsageError("--cpus sets period and quota itself", "leave --cpu-period and --cpu-quota out")


def network(o: Options) -> None:
    if not o.network.startswith("container:"):
        return
    theirs = {"publish": o.publish, "hostname": o.hostname, "dns": o.dns, "dns-search": o.dns_search,
              "dns-option": o.dns_option, "add-host": o.add_host}  # fmt: skip
    for name, value in theirs.items():
        if value:
            raise UsageError(
                f"--{name} is the business of the container whose network is joined", f"leave --{name} out"
            )


def namespaces(o: Options) -> None:
    if o.uts == "host" and (o.hostname or o.domainname):
        raise UsageError("--uts host shares the host's name, so --hostname cannot set one", "leave one of the two out")
    if o.init and o.pid:
        raise UsageError("--init makes process 1, which --pid has elsewhere", "leave one of the two out")


def time_offset(o: Options) -> None:
    if not o.time_offset:
        return
    import time

    for clock, now in (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME)):
        offset = getattr(o.time_offset, clock)
        if offset and time.clock_gettime(now) + offset.secs < 0:
            raise UsageError(
                f"--time-offset would make the {clock} clock negative", "it starts at the boot: go back less"
            )


def places(o: Options) -> None:
    if not o.keep:
        return
    keep, root = os.path.realpath(o.keep), os.path.realpath(o.root)
    if (keep + "/").startswith(root + "/") or (root + "/").startswith(keep + "/"):
        raise UsageError(f"--keep {o.keep!r} and the root filesystem lie in each other", "name another directory")
    if os.path.exists(keep) and not os.path.isdir(keep):
        raise UsageError(f"--keep {o.keep!r} is not a directory", "name a directory, which may be new")
    if not os.path.isdir(os.path.dirname(keep)):
        raise UsageError(f"--keep {o.keep!r}: there is no {os.path.dirname(keep)}", "make the directory above it first")


CHECKS: tuple[Callable[[Options], None], ...] = (rights, cpu, network, namespaces, time_offset, places)
