"""Which system calls a container may make. seccomp(2)."""

from __future__ import annotations

from minicontainer.isolation.feature import Feature


class Seccomp(Feature):
    name = "seccomp"
