"""What else is mounted in a container: `--volume`, `--mount`, `--tmpfs`, and how they join the default mounts.

A bind mount shows a directory or file of the host a second time, at a place in the container; both are
the same files. Docker's older form (`-v SRC:DST:ro`) makes a missing source, the newer one
(`--mount type=bind,source=…`) refuses it.

https://docs.docker.com/engine/storage/bind-mounts/
"""

from __future__ import annotations

import os
import stat

from minicontainer import defaults
from minicontainer.engine.parse import Invalid, absolute, boolean, byte_size
from minicontainer.errors import KernelError, UsageError
from minicontainer.linux.paths import open_in
from minicontainer.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minicontainer.spec import Spec

PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
HARMLESS = ("z", "Z", "nocopy", "consistent", "cached", "delegated", "default")
"""Words of `-v` that Docker knows and that change nothing here: SELinux labels, volumes, other systems."""

KERNELS_OWN = ("/proc", "/sys")
"""A volume there would let the container choose what our own steps read and write below (CVE-2023-28642)."""

TMPFS_FLAGS = (
    "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "atime", "noatime",
    "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
)  # fmt: skip


class Volume:
    """One mount that the user asked for. With `create` a missing source is made, as a directory."""

    __slots__ = ("create", "mount")

    def __init__(self, mount: Mount, create: bool = False) -> None:
        self.mount = mount
        self.create = create


# -- reading ------------------------------------------------------------------------------------


def volume(text: str) -> Volume:
    """`SRC:DST[:OPTIONS]`, options as in `ro,rslave`."""
    source, colon, rest = text.partition(":")
    if not colon:
        raise Invalid("has no source", "write SRC:DST, or use --tmpfs for an empty directory")
    if not source.startswith(("/", ".")):
        raise Invalid("names a volume, which only the engine keeps", "begin a directory of the host with / or ./")
    target, _, words = rest.partition(":")
    propagation, readonly = "", False
    for word in words.split(",") if words else []:
        if word in PROPAGATION and not propagation:
            propagation = word
        elif word in ("ro", "rw"):
            readonly = word == "ro"
        elif word not in HARMLESS:
            raise Invalid(
                f"has an option {word!r} that is not good here", "use ro or rw, and one of " + " ".join(PROPAGATION)
            )
    if {"ro", "rw"} <= set(words.split(",")):
        raise Invalid("is to be both ro and rw", "choose one")
    return Volume(bind(source, target, readonly, propagation), create=True)


def bind(source: str, target: str, readonly: bool, propagation: str, recursive: bool = True) -> Mount:
    """The record of a bind mount. Read-only goes for the mounts below the source too."""
    options = ["rbind" if recursive else "bind", propagation or "rprivate"]
    if readonly:
        options += ["ro", "rro"]
    return Mount(destination=destination(target), type="bind", source=os.path.abspath(source), options=options)


def destination(text: str) -> str:
    """A place in the container for a mount."""
    if not text.startswith("/"):
        raise Invalid(f"has a place in the container that is not absolute: {text!r}", "begin it with /")
    path = absolute(text)
    if path == "/":
        raise Invalid("would cover the container's root", "name a directory below /")
    if any(path == place or path.startswith(place + "/") for place in KERNELS_OWN):
        raise Invalid(f"is at {path}, which belongs to the kernel", "choose a place outside /proc and /sys")
    return path


MOUNT_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
MOUNT_KEYS = {
    "bind": ("type", "source", "target", "readonly", "bind-propagation", "bind-recursive", "consistency"),
    "tmpfs": ("type", "target", "readonly", "tmpfs-size", "tmpfs-mode", "consistency"),
}
"""What a --mount of each type may say."""


def mount(text: str) -> Volume:
    """`type=bind|tmpfs,source=…,target=…,readonly,…`."""
    said: dict[str, str] = {}
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        key = MOUNT_NAMES.get(key.lower(), key.lower())
        if not value and (equals or key != "readonly"):
            raise Invalid(f"has a word {field!r} without a value", "write KEY=VALUE,KEY=VALUE,…")
        said[key] = value or "true"
    kind = said.get("type", "")
    if kind not in MOUNT_KEYS:
        raise Invalid(
            f"has type {kind or 'volume'!r}, which only the engine keeps", "begin with type=bind or type=tmpfs"
        )
    if unknown := [key for key in said if key not in MOUNT_KEYS[kind]]:
        raise Invalid(f"has a key {unknown[0]!r}", f"a {kind} has " + ", ".join(MOUNT_KEYS[kind]))
    if "target" not in said or (kind == "bind" and "source" not in said):
        raise Invalid(f"has no {'source' if 'target' in said else 'target'}", "add source=… and target=…")
    readonly = boolean(said.get("readonly", "false"))
    if kind == "tmpfs":
        words = ["size=" + said["tmpfs-size"]] if "tmpfs-size" in said else []
        words += ["mode=" + said["tmpfs-mode"]] if "tmpfs-mode" in said else []
        return Volume(tmpfs_mount(said["target"], [*words, "ro"] if readonly else words))
    propagation, recursive = said.get("bind-propagation", ""), said.get("bind-recursive", "enabled")
    if propagation and propagation not in PROPAGATION:
        raise Invalid(f"has an unknown propagation {propagation!r}", "it can be " + " ".join(PROPAGATION))
    if recursive not in ("enabled", "disabled", "writable", "readonly"):
        raise Invalid(
            f"has an unknown bind-recursive {recursive!r}", "it can be enabled, disabled, writable or readonly"
        )
    made = bind(said["source"], said["target"], readonly, propagation, recursive != "disabled")
    if recursive == "writable" and readonly:
        made.options.remove("rro")
    return Volume(made)


def csv_fields(text: str) -> list[str]:
    """The fields of one line of CSV: commas between, double quotes around what holds a comma."""
    fields, field, quoted = [], "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += char
    return [*fields, field]


def tmpfs(text: str) -> Volume:
    """`DST[:OPTIONS]`, options as in `size=64m,mode=1777,exec`."""
    target, _, words = text.partition(":")
    return Volume(tmpfs_mount(target, words.split(",") if words else []))


def tmpfs_mount(target: str, words: list[str]) -> Mount:
    """The record of a tmpfs with these options over the default ones."""
    options = list(defaults.TMPFS_OPTIONS)
    for word in words:
        key, _, value = word.partition("=")
        if word in TMPFS_FLAGS:
            opposite = word[2:] if word.startswith("no") else "no" + word
            options = [option for option in options if option != opposite]
        elif key not in TMPFS_VALUES or not value:
            raise Invalid(
                f"has an option {word!r} that tmpfs does not know", "see tmpfs(5): size=64m, mode=1777, exec, …"
            )
        read = TMPFS_VALUES.get(key)
        options.append(f"{key}={read(value)}" if read else word)
    return Mount(destination=destination(target), type="tmpfs", source="tmpfs", options=options)


def tmpfs_size(text: str) -> str:
    """Bytes, or a percentage of the memory."""
    if text.endswith("%") and text[:-1].isascii() and text[:-1].isdigit():
        return text
    try:
        return str(byte_size(text))
    except Invalid as error:
        raise Invalid(f"has a size {text!r} that {error.cause}", error.remedy) from None


def octal(text: str) -> str:
    """A file mode such as 1777."""
    if not text or set(text) - set("01234567") or len(text) > 5 or int(text, 8) > 0o7777:
        raise Invalid(f"has a mode {text!r} that is not octal", "write one such as 1777 or 755")
    return text


def number(text: str) -> str:
    """A whole number."""
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"has {text!r} where a number should be", "write digits")
    return text


TMPFS_VALUES: dict[str, Callable[[str], str]] = {
    "size": tmpfs_size,
    "mode": octal,
    "uid": number,
    "gid": number,
    "nr_inodes": number,
    "nr_blocks": number,
    "mpol": str,
}
"""What tmpfs(5) can be told, and how each is read."""


# -- joining ------------------------------------------------------------------------------------


def add_volumes(spec: Spec, volumes: list[Volume], root: str) -> None:
    """Put the volumes into the spec: instead of a default mount at the same place, outer ones before inner ones.

    Raises UsageError for two at one place, a missing source, a file over a directory of the root
    filesystem at `root` or the other way round, or a propagation that the source lacks.
    """
    places: dict[str, Volume] = {}
    for asked in volumes:
        place = asked.mount.destination
        if place in places:
            raise UsageError(f"two mounts at {place}", "leave one out")
        places[place] = asked
    spec.mounts = [
        entry
        for entry in spec.mounts
        if entry.destination not in places and not ("/dev" in places and entry.destination.startswith("/dev/"))
    ]
    for place in sorted(places, key=lambda path: path.count("/")):
        entry = places[place].mount
        if entry.type == "bind":
            check_source(places[place])
            if not any(place.startswith(other.destination + "/") for other in spec.mounts):
                check_kind(entry, root)
            share_root(spec, entry)
        spec.mounts.append(entry)


def check_source(asked: Volume) -> None:
    """Raise UsageError if the source is missing and is not to be made."""
    source = asked.mount.source
    if not os.path.lexists(source) if asked.create else not os.path.exists(source):
        if not asked.create:
            raise UsageError(f"the source of a bind mount does not exist: {source}", "make it first; -v would make it")
    elif not os.path.exists(source):
        raise UsageError(f"the volume's source is a link to nothing: {source}", "remove the link, or make its target")


def check_kind(entry: Mount, root: str) -> None:
    """Raise UsageError if a file would lie on a directory, or a directory on a file: mount(2) takes neither."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = open_in(top, entry.destination)
        there = stat.S_ISDIR(os.fstat(place).st_mode)
        os.close(place)
    except KernelError:
        return  # nothing is there yet: the right kind will be made
    finally:
        os.close(top)
    if os.path.exists(entry.source) and os.path.isdir(entry.source) != there:
        kinds = ("a directory", "a file") if there else ("a file", "a directory")
        raise UsageError(f"{entry.destination} is {kinds[0]}, but {entry.source} is {kinds[1]}", "give two of one kind")


def make_sources(volumes: list[Volume]) -> None:
    """Make the directories that `-v` names and that are missing. Raises UsageError."""
    for asked in volumes:
        if asked.create and not os.path.exists(asked.mount.source):
            try:
                os.makedirs(asked.mount.source, 0o755)
            except OSError as error:
                raise UsageError(
                    f"cannot make the volume's source {asked.mount.source}: {error.strerror}",
                    "make it yourself, or name another",
                ) from None


def share_root(spec: Spec, entry: Mount) -> None:
    """See that mounts can pass between the source and the container, if that was asked for. Raises UsageError."""
    wanted = next((word for word in entry.options if "shared" in word or "slave" in word), "")
    if not wanted:
        return
    from minicontainer.linux import proc

    source = os.path.realpath(entry.source)
    above = [m for m in proc.mounts() if source == m.target or source.startswith(m.target.rstrip("/") + "/")]
    tags = " ".join(max(above, key=lambda m: len(m.target)).propagation) if above else ""
    if "shared:" not in tags and not ("slave" in wanted and "master:" in tags):
        raise UsageError(
            f"{entry.source} is not on a shared mount, so it cannot be {wanted}",
            "`mount --make-shared` that mount, or leave the word out",
        )
    if "shared" in wanted or spec.linux.rootfs_propagation != "shared":
        spec.linux.rootfs_propagation = "shared" if "shared" in wanted else "rslave"
