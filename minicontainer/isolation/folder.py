"""The working folder that the program starts in: chdir(2).

It is a name in the container, and may be a trap: `/proc/self/fd/7` is a symbolic link by which /proc
leads to what a descriptor of ours has open, perhaps a directory of the host (CVE-2024-21626). So it is
resolved as below the new root, without such links, and made there if it is missing; after the pivot, but
while we are root: a user's home may be closed to others.

    readlink /proc/PID/cwd
"""

from __future__ import annotations

import os
import stat

from minicontainer.errors import KernelError, SpecError
from minicontainer.isolation.feature import Feature
from minicontainer.linux import files
from minicontainer.linux.paths import make_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container


class Folder(Feature):
    name = "folder"
    wall = False

    def inside(self, container: Container) -> None:
        path = container.spec.process.cwd
        try:
            folder = open_folder(path)
            files.fchdir(folder)
        except KernelError as error:
            raise SpecError(f"cannot use {path} as the working folder: {os.strerror(error.errno)}") from None
        if not os.getcwd().startswith("/"):
            raise SpecError(f"the working folder {path} is outside the container's root")
        os.close(folder)


def open_folder(path: str) -> int:
    """A descriptor of the folder `path`, made if it is missing."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    folder = make_in(root, path, directory=True)
    os.close(root)
    if not stat.S_ISDIR(os.fstat(folder).st_mode):
        raise SpecError(f"cannot use {path} as the working folder: it is no folder")
    return folder
