"""Putting files into a root filesystem so that an interrupted build can just be repeated.

Every file and link is made under another name and then renamed to its own, rename(2): at any
moment it is there whole, or not at all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from minicontainer.errors import UsageError


class Tree:
    """A root filesystem being filled. Paths are those of the container: `/bin/sh`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = self.links = self.changed = 0

    def copy(self, source: str, path: str) -> None:
        """Put the host's file `source` (a link is followed) at `path`, with its mode and times."""
        target = self._place(path)
        wanted = os.stat(source)
        self.files += 1
        if target.is_file() and not target.is_symlink():
            found = target.stat()
            if (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
                return
        temporary = target.with_name(f".{target.name}.new")
        shutil.copy2(source, temporary)
        temporary.chmod(wanted.st_mode & 0o755)  # no setuid bit travels into a container unasked
        temporary.replace(target)
        self.changed += 1

    def link(self, path: str, to: str) -> None:
        """Make `path` a relative link to `to`: it means the same from outside as from inside."""
        target = self._place(path)
        relative = os.path.relpath(to, os.path.dirname(path))
        self.links += 1
        if target.is_symlink() and os.readlink(target) == relative:
            return
        temporary = target.with_name(f".{target.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(relative)
        temporary.replace(target)
        self.changed += 1

    def _place(self, path: str) -> Path:
        """Where `path` is on the host. Its folder is made; it may not be a link that leads out of the root."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(self.root.resolve()):
            raise UsageError(f"{target.parent} leads out of the root filesystem", "remove that link")
        return target
