"""What was measured and found, in words: sizes, durations, capabilities, and each fact of a comparison.

Texts may hold names that a container chose; `output.plain` has to be put over them before they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from minicontainer.inspect import rights, tree, within
from minicontainer.inspect.census import Seen
from minicontainer.inspect.groups import Group, Limits
from minicontainer.inspect.subject import Subject
from minicontainer.inspect.view import Clocks
from minicontainer.linux import capability

HIDDEN = "not for you to see"
LONG_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
ALL_IDS = 2**32 - 1

# -- numbers ------------------------------------------------------------------------------------


def size(number: float) -> str:
    """Bytes: `840 B`, `1.2 MiB`."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1000:
            break
        number, unit = number / 1024, larger
    whole = unit == "B" or number >= 10 or number == int(number)
    return f"{number:.0f} {unit}" if whole else f"{number:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the one or two units that matter: `42s`, `3m20s`, `5h10m`, `12d4h`."""
    rest = int(abs(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count}{unit}")
    shown = [part for part in parts[:2] if not part.startswith("0")]
    return "".join(shown) or f"{abs(seconds):.2g}s"


def short_ids(text: str) -> str:
    """Container ids cut to the 12 digits that people know them by."""
    return LONG_ID.sub(r"\1", text)


def listed(items: list[str], most: int) -> str:
    """The first `most` items, and how many more."""
    shown = items[:most] if len(items) > most + 1 else items
    more = [f"{len(items) - len(shown)} more"] if len(shown) < len(items) else []
    return ", ".join(shown + more)


def capabilities(held: int) -> str:
    """A set of capabilities: by name, or by what is missing if most are there."""
    missing = capability.names(capability.supported() & ~held)
    if not missing:
        return f"all {capability.last() + 1}"
    if len(missing) < 10:
        return f"all but {bare(missing)}"
    names = capability.names(held)
    return f"{len(names)}: {bare(names)}" if names else "none"


def bare(names: list[str]) -> str:
    """Capabilities as the options of `run` take them: `net_raw`."""
    return " ".join(name.removeprefix("CAP_").lower() for name in names)


# -- the facts of a comparison ----------------------------------------------------------------------


def describe(name: str, subject: Subject, value: Any, most: int) -> str:
    """What fact `name` of a view says, in words; lists are cut after `most` items."""
    if value is None:
        return HIDDEN
    if name == "root":
        return root(subject, value)
    return DESCRIBE[name](value, most) if name in DESCRIBE else str(value)


def root(subject: Subject, value: tree.Root) -> str:
    if not value.fstype:
        return f"the folder {value.path} (chroot)"
    text = value.fstype if value.source in (value.fstype, "none") else f"{value.fstype} of {value.source}"
    if value.fstype == "overlay":
        layers = next((o.partition("=")[2] for o in value.options.split(",") if o.startswith("lowerdir=")), "")
        ours = subject.container and subject.container.spec.minicontainer.overlay
        below = f"{layers.count(':') + 1} layers" if ":" in layers else layers
        below = subject.container.root if subject.container and ours else below
        text = f"overlay over {below}"
    return text + f", at {value.path}" * (value.path not in ("", "/")) + ", read-only" * value.read_only


def mounts(found: list[tree.Mount], most: int) -> str:
    masked, locked = sum(m.masks for m in found), sum(m.locks for m in found)
    below = sum(bool(m.place) for m in found)
    others = [m for m in found if not m.place and m.target != "/"]
    text = f"{len(found)}: {below} in /proc /sys /dev"
    text += f" ({masked} masked, {locked} read-only)" if masked or locked else ""
    shown = listed(by_folder(others), most)
    return f"{text}; {shown}" if shown else text


def by_folder(found: list[tree.Mount]) -> list[str]:
    """The mounts, three and more in one folder as one: `/etc/ (3 mounts)`."""
    folders: dict[str, list[str]] = {}
    for one in found:
        folders.setdefault(one.target.rpartition("/")[0], []).append(mount(one))
    texts = [[f"{folder}/ ({len(names)} mounts)"] if folder and len(names) > 2 else names for folder, names in
             folders.items()]  # fmt: skip
    return [text for names in texts for text in names]


def mount(one: tree.Mount) -> str:
    same_name = one.target.rpartition("/")[2] == one.part.rpartition("/")[2]
    notes = [f"{one.part} of {one.source}"] if one.part != "/" and not same_name else []
    notes += ["ro"] if one.read_only else []
    return one.target + (f" ({', '.join(notes)})" if notes else "")


def processes(seen: list[Seen], most: int) -> str:
    programs = [f"{each.number} {each.name}" for each in seen if not each.kernel]
    threads = len(seen) - len(programs)
    count = f"{len(seen)}" + (f", {threads} of them the kernel's" if threads else "")
    return f"{count}: {listed(programs, most)}"


def interfaces(found: list[within.Interface], most: int) -> str:
    return listed([interface(each) for each in found], most)


def interface(one: within.Interface) -> str:
    """An interface with its addresses, but for those that every machine has (loopback, link-local)."""
    if one.addresses is None:
        return one.name
    shown = [address for address in one.addresses if not address.startswith(("127.", "::1/", "fe80:"))]
    return " ".join([one.name, *(["down"] if one.up is False else []), *shown])


def id_map(ranges: list[rights.Range], _: int) -> str:
    if any(each.inside == each.outside == 0 and each.count >= ALL_IDS for each in ranges):
        return "every id is itself"
    return "; ".join(one_range(each) for each in ranges) or "none: no id has a meaning yet"


def one_range(each: rights.Range) -> str:
    if each.count == 1:
        return f"{each.inside} is {each.outside}"
    return f"{each.inside} is {each.outside} ({each.count} ids)"


def ids(value: rights.Ids, most: int) -> str:
    inside = ["no id" if id is None else str(id) for id in (value.uid_inside, value.gid_inside)]
    text = f"uid {inside[0]}, gid {inside[1]}"
    if (value.uid_inside, value.gid_inside) != (value.uid, value.gid):
        text += f"; outside {value.uid}" + f" and {value.gid}" * (value.gid != value.uid)
    groups = listed([str(group) for group in value.groups], most)
    return f"{text}, groups {groups}" if groups else text


def sets(value: dict[str, int], _: int) -> str:
    """The effective set, and the others as far as they say more."""
    parts = [capabilities(value["effective"])]
    if value["permitted"] != value["effective"]:
        parts.append(f"permitted {capabilities(value['permitted'])}")
    if value["bounding"] != value["permitted"]:
        parts.append(f"bounding {capabilities(value['bounding'])}")
    parts += [f"{name} {capabilities(value[name])}" for name in ("inheritable", "ambient") if value[name]]
    return "; ".join(parts)


def seccomp(value: rights.Seccomp, _: int) -> str:
    if value.mode != "filter":
        return value.mode
    return f"{value.filters} filter{'s' * (value.filters != 1)} of system calls"


def cgroup(value: Group, most: int) -> str:
    others = [f"{path} ({name})" for name, path in value.others.items()]
    return listed([short_ids(path) for path in filter(None, [value.path, *others])], most)


def limits(value: Limits, _: int) -> str:
    parts = [f"memory {size(value.memory)}"] if value.memory is not None else []
    parts += [f"swap {size(value.swap)}"] if value.swap is not None else []
    parts += [f"{value.processes} processes"] if value.processes is not None else []
    parts += [f"{value.cpus:g} CPUs"] if value.cpus is not None else []
    return ", ".join(parts) or "none"


def clocks(value: Clocks, _: int) -> str:
    parts = [f"{'-' if offset < 0 else '+'}{duration(offset)} {name}" for name, offset in (
        ("monotonic", value.monotonic), ("since boot", value.boottime)) if offset]  # fmt: skip
    return ", ".join(parts) or "as the kernel counts"


DESCRIBE: dict[str, Callable[[Any, int], str]] = {
    "mounts": mounts,
    "processes": processes,
    "interfaces": interfaces,
    "uid_map": id_map,
    "gid_map": id_map,
    "ids": ids,
    "capabilities": sets,
    "seccomp": seccomp,
    "no_new_privs": lambda value, _: "yes" if value else "no",
    "cgroup": cgroup,
    "limits": limits,
    "clocks": clocks,
}
"""Fact -> its words, given the value and how many items of a list to show."""
