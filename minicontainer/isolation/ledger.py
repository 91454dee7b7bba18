"""Who has which address and which port: a folder of symbolic links, `172.29.0.5 -> /…/containers/ID`.

A bridge belongs to the whole host, whichever state folder a container lives in, and so does this
folder. It is in /run, which is emptied at boot as the kernel's own tables are, and there is one for
each network namespace that containers are started from.

A link is made before the thing it stands for and removed after it, so nothing is ever there without
its owner's name on it. A link that leads nowhere is left from a container whose folder is gone.

    ls -l /run/minicontainer-network/*      watch it
"""

from __future__ import annotations

import fcntl
import os

from minicontainer.linux import proc
from minicontainer.quickjson import parse, serialise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = "/run/minicontainer-network"
FACTS = "network.json"


class Ledger:
    """The ledger, locked (flock) against other processes while entered."""

    def __init__(self, folder: str = "") -> None:
        self.dir = folder or f"{FOLDER}/{proc.namespace('self', 'net')}"

    def __enter__(self) -> Ledger:
        top = os.path.dirname(self.dir)
        os.makedirs(top, 0o700, exist_ok=True)
        # The lock is on the folder above: this one goes with its last entry, and a lock must not.
        self._fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.makedirs(self.dir, 0o700, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if not os.listdir(self.dir):
            os.rmdir(self.dir)
        os.close(self._fd)

    def names(self) -> list[str]:
        """All that is taken."""
        try:
            return [name for name in os.listdir(self.dir) if not name.startswith(FACTS)]
        except FileNotFoundError:  # not entered, and the last entry has gone just now
            return []

    def owner(self, name: str) -> str:
        """The container's folder that has `name`, or an empty string."""
        try:
            return os.readlink(os.path.join(self.dir, name))
        except OSError:
            return ""

    def owned_by(self, owner: str) -> list[str]:
        """What that container has."""
        return [name for name in self.names() if self.owner(name) == owner]

    def in_use(self, besides: str = "") -> bool:
        """Whether there is an owner that exists, other than `besides`."""
        return any(os.path.exists(owner) for owner in map(self.owner, self.names()) if owner not in ("", besides))

    def take(self, name: str, owner: str) -> None:
        """Note `name` down as the container's. Raises FileExistsError if it is taken."""
        os.symlink(owner, os.path.join(self.dir, name))

    def drop(self, names: list[str]) -> None:
        """Strike `names` out."""
        for name in names:
            os.unlink(os.path.join(self.dir, name))

    # -- what is to be remembered as long as anything is taken ----------------------------------------

    def facts(self) -> dict[str, Any] | None:
        """What `keep` was given last, or None."""
        try:
            with open(os.path.join(self.dir, FACTS), encoding="utf-8") as file:
                facts: dict[str, Any] = parse(file.read())
                return facts
        except (FileNotFoundError, ValueError):
            return None

    def keep(self, facts: dict[str, Any]) -> None:
        """Remember `facts`, replacing atomically what was."""
        path = os.path.join(self.dir, FACTS)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(serialise(facts))
        os.rename(path + ".new", path)

    def forget(self) -> None:
        """Remember nothing, take back everything."""
        for name in os.listdir(self.dir):
            os.unlink(os.path.join(self.dir, name))
