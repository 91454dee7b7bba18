"""The network wall: interfaces, addresses, ports and sockets of the container's own: network_namespaces(7).

none             a new namespace; loopback is up, there is no way out
bridge           a new namespace, a veth cable to a bridge on the host (bridge.py); without root
                 a helper process carries the packets (usernet.py)
host             no wall: the host's interfaces, and its services on 127.0.0.1, are the container's
container:NAME   the namespace of another container; the two meet on 127.0.0.1

lsns -t net; nsenter -t PID -n ip addr      watch it
"""

from __future__ import annotations

from minicontainer.isolation import names
from minicontainer.isolation.namespaces import NamespaceFeature
from minicontainer.linux import net

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from minicontainer.runtime.container import Container

ACCEPT_RA = "net/ipv6/conf/eth0/accept_ra"


class Net(NamespaceFeature):
    name = "net"
    kind = "network"

    def before(self, container: Container) -> None:
        super().before(container)
        if wire := wiring(container):
            wire.join(container)
        if container.spec.minicontainer.network.mode:
            names.write(container)

    def outside(self, container: Container, pid: int) -> None:
        if wire := wiring(container):
            wire.plug_in(container, pid)

    def inside(self, container: Container) -> None:
        super().inside(container)
        if self.flags(container):
            net.loopback_up()
            if net.sysctl(ACCEPT_RA):
                net.set_sysctl(ACCEPT_RA, "0")  # the route is set; no neighbour is to offer another

    def after(self, container: Container) -> None:
        if wire := wiring(container):
            wire.leave(container)


def wiring(container: Container) -> ModuleType | None:
    """In the parent: what connects the container to the outside, a module with join, plug_in and leave, or None."""
    own = container.spec.namespace("network")
    if container.spec.minicontainer.network.mode != "bridge" or not own or own.path:
        return None
    if container.spec.minicontainer.rootless:
        from minicontainer.isolation import usernet

        return usernet
    from minicontainer.isolation import bridge

    return bridge
