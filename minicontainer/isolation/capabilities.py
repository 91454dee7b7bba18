"""Root's power, cut down to what a container needs. capabilities(7).

The root of a container that has no user namespace is the host's root, behind walls. The capabilities
that could climb them (CAP_SYS_ADMIN mounts, CAP_SYS_MODULE loads code into the kernel, CAP_SYS_PTRACE
reads other processes) go from all five sets; from the bounding set, so that no exec brings them back.
What is left by default lets root inside chown, bind to port 80 and become another user.

    grep Cap /proc/PID/status        watch it
    capsh --decode=00000000a80425fb
"""

from __future__ import annotations

from minicontainer.errors import SpecError
from minicontainer.isolation.feature import Feature
from minicontainer.linux import capability
from minicontainer.linux.capability import NONE, Capability, CapabilitySet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container

SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


class Capabilities(Feature):
    name = "capabilities"

    def before(self, container: Container) -> None:
        """Decide what can be granted: no process can give what it does not have.

        The specification wants the rest left out with a warning, not an error.
        """
        self.last = capability.last()
        self.sets, left_out = grantable(container, self.last)
        if left_out:
            warning = f"left out, since minicontainer does not have it itself: {', '.join(left_out)}"
            container.save(warnings=[*container.record.get("warnings", []), warning])

    def inside(self, container: Container) -> None:
        if container.spec.process.capabilities is None:
            return
        bounding, effective, permitted, inheritable, ambient = (self.sets[name] for name in SETS)
        _, own, kept = capability.capget()
        capability.capset(own, own, kept)  # after a change of user they are permitted, but asleep
        for number in map(Capability, range(self.last + 1)):
            if not bounding >> number & 1:
                capability.capbset_drop(number)
        capability.cap_ambient_clear_all()
        capability.capset(effective, permitted, inheritable)
        for number in map(Capability, range(self.last + 1)):
            if ambient >> number & 1:
                capability.cap_ambient_raise(number)


def grantable(container: Container, last: int) -> tuple[dict[str, CapabilitySet], list[str]]:
    """The spec's five sets without what cannot be granted; and the names of that."""
    asked = container.spec.process.capabilities
    own = _own(container) & ((2 << last) - 1)
    sets, left_out = {}, []
    for name in SETS:
        mask = 0
        for word in getattr(asked, name, ()):
            try:
                one = capability.parse(word)
            except SpecError:  # a capability of the future
                one = NONE
            mask |= one & own
            if not one or one & ~own:
                left_out.append(word)
        sets[name] = CapabilitySet(mask)
    # The kernel's own rules: capset(2), PR_CAP_AMBIENT(2const).
    sets["effective"] = CapabilitySet(sets["effective"] & sets["permitted"])
    sets["inheritable"] = CapabilitySet(sets["inheritable"] & sets["bounding"])
    sets["ambient"] = CapabilitySet(sets["ambient"] & sets["permitted"] & sets["inheritable"])
    return sets, list(dict.fromkeys(left_out))


def _own(container: Container) -> int:
    """What the child will have: the first process of a user namespace has everything in it."""
    if container.spec.namespace("user") and "user" not in container.spec.minicontainer.without:
        return capability.ALL
    return capability.capget()[1]
