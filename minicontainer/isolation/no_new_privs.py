"""No new privileges: exec never gives rights. PR_SET_NO_NEW_PRIVS(2const).

Without it a set-user-ID program, or one with file capabilities, is a door from uid 1000 inside the
container to its root. With it such programs run with the rights of whoever starts them: `su`,
`sudo` and `ping` of old lose their magic. There is no way back, for this process or any that it starts.

    grep NoNewPrivs /proc/PID/status        watch it
"""

from __future__ import annotations

from minicontainer.isolation.feature import Feature
from minicontainer.linux import capability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container


class NoNewPrivs(Feature):
    name = "no_new_privs"

    def inside(self, container: Container) -> None:
        if container.spec.process.no_new_privileges:
            capability.set_no_new_privs()
