"""Who the container's process is: user, group and supplementary groups. credentials(7).

The order matters: groups while still root, since only CAP_SETGID may change them; the user last. All
three user ids change, so that there is no saved one to go back to.

    grep -E 'Uid|Gid|Groups' /proc/PID/status        watch it
"""

from __future__ import annotations

from errno import EINVAL, EPERM

from minicontainer.errors import KernelError, SpecError
from minicontainer.isolation.feature import Feature
from minicontainer.linux import capability, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.spec import User


NO_CHANGE = (1 << 32) - 1
"""-1 as an id. To setresuid(2) it means "leave it", so who asked for it would stay root."""


class Identity(Feature):
    name = "identity"
    wall = False

    def before(self, container: Container) -> None:
        user = container.spec.process.user
        for number in (user.uid, user.gid, *user.additional_gids):
            if not 0 <= number < NO_CHANGE:
                raise SpecError(f"{number} is not a user or group id", "ids go from 0 to 4294967294")

    def inside(self, container: Container) -> None:
        user = container.spec.process.user
        if "capabilities" not in container.spec.minicontainer.without:
            # Leaving uid 0 would clear them all, and the next feature could grant none.
            capability.set_keepcaps(True)
        try:
            _set_groups(user.additional_gids, may_fail=container.spec.namespace("user") is not None)
            process.setresgid(user.gid, user.gid, user.gid)
            process.setresuid(user.uid, user.uid, user.uid)
        except KernelError as error:
            raise _explained(error, user) from None


def _set_groups(groups: list[int], may_fail: bool) -> None:
    """Replace the supplementary groups. A user namespace of a single id forbids it; and there are none then."""
    try:
        process.setgroups(groups)
    except KernelError as error:
        if groups or not may_fail or error.errno != EPERM:
            raise


def _explained(error: KernelError, user: User) -> Exception:
    if error.errno == EINVAL:
        return SpecError(
            f"user {user.uid}:{user.gid} does not exist in this container's user namespace",
            "choose ids below the size of its map, see `--userns`",
        )
    return error
