"""Fewer system calls: what a container does not need of the kernel, it cannot attack. seccomp(2).

The other walls decide what a call acts on; this one decides whether it happens at all. Of the 350
calls of Linux a program needs some dozens, and much of what the rest reaches was never meant for
strangers: that is where most escapes from containers began. The default lets about 300 pass, with
conditions where the arguments matter; see `minicontainer/profiles/default.json`.

    grep Seccomp /proc/PID/status        watch it: 2 is a filter, and how many
"""

from __future__ import annotations

import os

from minicontainer.isolation.feature import Feature
from minicontainer.linux.seccomp import FilterFlags, seccomp_set_filter
from minicontainer.runtime.container import state_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container


class Seccomp(Feature):
    """Comes last, or, without no_new_privs, before the capability that it then takes is gone."""

    name = "seccomp"

    def __init__(self) -> None:
        self.program = b""
        self.filter_flags = FilterFlags(0)

    def before(self, container: Container) -> None:
        if seccomp := container.spec.linux.seccomp:
            from minicontainer.profiles import cache, rules

            self.program = cache.load(seccomp, cache_folders())
            self.filter_flags = rules.flags(seccomp)

    def inside(self, container: Container) -> None:
        if self.program:
            seccomp_set_filter(self.filter_flags, self.program)


def cache_folders() -> list[str]:
    """Where compiled filters may be kept, best first."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [os.path.join(state_root(), "cache", "seccomp"), os.path.join(cache_home, "minicontainer", "seccomp")]
