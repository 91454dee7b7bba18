"""What this machine can do, found out by looking and by trying.

Much of what a container needs can be there and still be forbidden: by a missing capability, by a
setting, by a security module, by the container that one is in already. No file tells it all, so what can
be tried is tried, in a child process that takes it away again with its end (see `attempt`).

    finding     one line of the answer
    attempt     trying a thing out
    kernel      release, architecture, namespaces, seccomp, …
    rights      root or not, capabilities, user namespaces, security modules
    groups      control groups
    storage     the state folder, overlayfs, idmapped mounts, leftovers
    network     the bridge, other people's firewall, the network without root
    tools       programs and libraries

    minicontainer doctor --json
"""

from __future__ import annotations

from collections.abc import Callable

from minicontainer.doctor import groups, kernel, network, rights, storage, tools
from minicontainer.doctor.finding import Finding, State

CHECKS: tuple[Callable[[], Finding], ...] = (
    kernel.release,
    kernel.architecture,
    rights.who,
    rights.capabilities,
    kernel.namespaces,
    kernel.time_namespaces,
    rights.user_namespaces,
    rights.subordinate_ids,
    storage.state_folder,
    storage.overlay,
    storage.idmapped_mounts,
    groups.version,
    groups.limits,
    groups.device_program,
    kernel.seccomp,
    rights.security_modules,
    kernel.sealed_memory,
    network.bridge_network,
    network.firewall,
    network.rootless_network,
    tools.python,
    tools.root_filesystems,
    tools.init_program,
    tools.lab,
    storage.leftovers,
)
"""In the order of reading."""

VITAL = ("kernel", "user", "capabilities", "namespaces", "state folder", "overlayfs", "seccomp")
"""The names of the findings that a container of root's cannot do without."""


def examine() -> list[Finding]:
    """All findings, in order."""
    return [check() for check in CHECKS]


def can_run(findings: list[Finding]) -> bool:
    """Whether a container of root's can run on a machine of which this was found."""
    return not any(finding.name in VITAL and finding.state is State.MISSING for finding in findings)
