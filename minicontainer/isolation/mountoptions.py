"""mount(8)'s words for options, as the specification's `mounts` use them, sorted into what the kernel takes."""

from __future__ import annotations

from minicontainer.isolation.root import PROPAGATION
from minicontainer.linux import mount

FLAGS: dict[str, tuple[bool, int]] = {
    "ro": (True, mount.MS_RDONLY),
    "rw": (False, mount.MS_RDONLY),
    "nosuid": (True, mount.MS_NOSUID),
    "suid": (False, mount.MS_NOSUID),
    "nodev": (True, mount.MS_NODEV),
    "dev": (False, mount.MS_NODEV),
    "noexec": (True, mount.MS_NOEXEC),
    "exec": (False, mount.MS_NOEXEC),
    "sync": (True, mount.MS_SYNCHRONOUS),
    "async": (False, mount.MS_SYNCHRONOUS),
    "dirsync": (True, mount.MS_DIRSYNC),
    "nosymfollow": (True, mount.MS_NOSYMFOLLOW),
    "symfollow": (False, mount.MS_NOSYMFOLLOW),
    "noatime": (True, mount.MS_NOATIME),
    "atime": (False, mount.MS_NOATIME),
    "nodiratime": (True, mount.MS_NODIRATIME),
    "diratime": (False, mount.MS_NODIRATIME),
    "relatime": (True, mount.MS_RELATIME),
    "norelatime": (False, mount.MS_RELATIME),
    "strictatime": (True, mount.MS_STRICTATIME),
    "nostrictatime": (False, mount.MS_STRICTATIME),
    "bind": (True, mount.MS_BIND),
    "rbind": (True, mount.MS_BIND | mount.MS_REC),
}
"""Word -> (set or clear, bits of mount(2))."""

ATTRIBUTES: dict[int, int] = {
    mount.MS_RDONLY: mount.MOUNT_ATTR_RDONLY,
    mount.MS_NOSUID: mount.MOUNT_ATTR_NOSUID,
    mount.MS_NODEV: mount.MOUNT_ATTR_NODEV,
    mount.MS_NOEXEC: mount.MOUNT_ATTR_NOEXEC,
    mount.MS_NOSYMFOLLOW: mount.MOUNT_ATTR_NOSYMFOLLOW,
    mount.MS_NOATIME: mount.MOUNT_ATTR_NOATIME,
    mount.MS_STRICTATIME: mount.MOUNT_ATTR_STRICTATIME,
    mount.MS_NODIRATIME: mount.MOUNT_ATTR_NODIRATIME,
}
"""Bit of mount(2) -> attribute of mount_setattr(2), which existing mounts are changed by."""

IGNORED = ("defaults", "nofail", "private", "tmpcopyup", "z", "Z")


class MountOptions:
    """The options of one mount.

    flags        bits to set, for mount(2)
    attributes   the same bits, and `clear` the others, for mount_setattr(2)
    recursive    the attributes of the words that begin with r (`rro`, `rnosuid`): for all mounts below, too
    propagation  MS_PRIVATE, …, or 0
    data         what the file system itself understands: `size=64m,mode=755`
    """

    def __init__(self, words: list[str]) -> None:
        self.flags = mount.MountFlags(0)
        self.attributes = self.clear = self.recursive = self.propagation = 0
        data = []
        for word in words:
            if word in FLAGS:
                self._flag(*FLAGS[word])
            elif word in PROPAGATION:
                self.propagation = PROPAGATION[word]
            elif word[:1] == "r" and word[1:] in FLAGS and FLAGS[word[1:]][0]:
                self.recursive |= ATTRIBUTES.get(FLAGS[word[1:]][1], 0)
            elif word not in IGNORED:
                data.append(word)
        self.data = ",".join(data)

    def _flag(self, on: bool, bits: int) -> None:
        attribute = ATTRIBUTES.get(bits, 0)
        if on:
            self.flags = mount.MountFlags(self.flags | bits)
            self.attributes |= attribute
            self.clear &= ~attribute
        else:
            self.flags = mount.MountFlags(self.flags & ~bits)
            self.attributes &= ~attribute
            self.clear |= attribute

    @property
    def bind(self) -> bool:
        return bool(self.flags & mount.MS_BIND)
