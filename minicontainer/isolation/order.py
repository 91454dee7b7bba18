"""Which walls go up, in which order: one tuple."""

from __future__ import annotations

from minicontainer.isolation.capabilities import Capabilities
from minicontainer.isolation.cgroup import Cgroup
from minicontainer.isolation.devices import Devices
from minicontainer.isolation.filesystems import Filesystems
from minicontainer.isolation.folder import Folder
from minicontainer.isolation.identity import Identity
from minicontainer.isolation.namespaces import Ipc, Pid, Time, Uts
from minicontainer.isolation.net import Net
from minicontainer.isolation.no_new_privs import NoNewPrivs
from minicontainer.isolation.root import Mounts, Pivot, Root
from minicontainer.isolation.seccomp import Seccomp
from minicontainer.isolation.session import Session
from minicontainer.isolation.undumpable import Undumpable
from minicontainer.isolation.user import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.isolation.feature import Feature
    from minicontainer.spec import Spec

ORDER: tuple[type[Feature], ...] = (
    Time,  # the parent enters it for its children, so before the clone and first of all
    Undumpable,  # before namespaces of others are joined, and before helpers are cloned
    User,  # the other new namespaces belong to it; inside, everything after is done as its root
    Cgroup,  # limits hold before anything runs; its namespace is rooted where the child then is
    Devices,  # its rules are attached to the group
    Net,
    Uts,
    Ipc,
    Pid,
    Mounts,  # private propagation before the first mount
    Root,
    Filesystems,  # on the new tree, while the host's /dev and /proc are still in reach
    Session,  # the terminal comes from the container's /dev/pts; sysctls need the writable /proc
    Pivot,
    Folder,  # in the new tree, but still with root's right to enter it
    Identity,  # keeps the capabilities of root, which the next one needs
    Capabilities,
    NoNewPrivs,
    Seccomp,  # last, so that the steps above need not be allowed by it
)

NEEDS = {"devices": "cgroup", "root": "mounts", "filesystems": "root", "pivot": "root"}
"""Without an own mount table a new root would be the host's new root too, and so on up."""


def names() -> list[str]:
    """The walls by name, in order: what `--only` and `--without` accept."""
    return [kind.name for kind in ORDER if kind.wall]


def closure(without: list[str]) -> list[str]:
    """`without` together with the walls that cannot stand without those."""
    down = set(without)
    for name, need in NEEDS.items():  # in the order of ORDER, so one pass is enough
        if need in down:
            down.add(name)
    return [name for name in names() if name in down]


def features(spec: Spec) -> list[Feature]:
    """Fresh features for one container, in order, without those that its spec takes down."""
    down = set(spec.minicontainer.without)
    down |= {name for name, need in NEEDS.items() if need in down}
    chosen = [kind() for kind in ORDER if kind.name not in down]
    if not spec.process.no_new_privileges:
        # Installing a filter then takes CAP_SYS_ADMIN, which the container seldom keeps.
        chosen.sort(key=lambda feature: _PRIVILEGED.get(feature.name, 0))
    return chosen


_PRIVILEGED = {"identity": 2, "capabilities": 2, "no_new_privs": 2, "seccomp": 1}
