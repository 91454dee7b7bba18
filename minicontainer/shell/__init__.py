"""A container as a shell script: `minicontainer run --as-shell …` prints one, and runs nothing.

It is made of what the runtime is made of: the same spec, the same list of features in the same order
(isolation/order.py), the same lines for `ip` and `nft`, the same limits, options and masks. Each feature is
a paragraph; `--without X` leaves out X's. What differs is said in the script itself, after "Not here".

    process, groups, network, files, filesystems      a function a feature, which makes its paragraph
    paragraph, text                                    what a paragraph is, and how the shell reads words
    frame                                              what stands around them

    minicontainer run --as-shell ./rootfs /bin/sh >box.sh; less box.sh; sudo sh box.sh        watch it
"""

from __future__ import annotations

from minicontainer.isolation import order
from minicontainer.shell import files, frame, groups, network, process
from minicontainer.shell.filesystems import filesystems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minicontainer.runtime.container import Container
    from minicontainer.shell.paragraph import Paragraph

PARAGRAPHS: dict[str, Callable[[Container], Paragraph]] = {
    "time": process.time,
    "undumpable": process.undumpable,
    "user": files.user,
    "cgroup": groups.group,
    "devices": process.devices,
    "net": network.network,
    "uts": process.uts,
    "ipc": process.ipc,
    "pid": process.pid,
    "mounts": files.mounts,
    "root": files.root,
    "filesystems": filesystems,
    "session": process.session,
    "pivot": files.pivot,
    "folder": process.folder,
    "identity": process.identity,
    "capabilities": process.capabilities,
    "no_new_privs": process.no_new_privs,
    "seccomp": process.seccomp,
}
"""Feature -> the function that writes its paragraph."""


def script(container: Container, command: list[str], stdin: bool = True) -> str:
    """The script that makes this container, which `command` would. `stdin`: whether its program gets ours.

    Nothing is changed on the host, but the host is looked at: which network is free, where the control groups
    are. Raises UnsupportedError, StateError, UsageError.
    """
    paragraphs = [PARAGRAPHS[feature.name](container) for feature in order.features(container.spec)]
    parts = [
        frame.head(container, paragraphs, command),
        frame.start(container, paragraphs),
        frame.PLACES,
        *map(str, paragraphs),
        frame.process(container, paragraphs, stdin),
        frame.order(paragraphs),
    ]
    return "\n".join(parts)
