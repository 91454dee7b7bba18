"""The paragraph of what stands in the tree besides the rootfs: file systems of the kernel, volumes, devices, masks."""

from __future__ import annotations

import os

from minicontainer.isolation import filesystems as runtime
from minicontainer.isolation.mountoptions import FLAGS, IGNORED, MountOptions
from minicontainer.isolation.root import PROPAGATION
from minicontainer.shell.files import propagation
from minicontainer.shell.paragraph import Paragraph
from minicontainer.shell.text import below, command_line, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.spec import Mount

TEXT = """\
/proc shows the processes of the pid namespace that it is mounted in, /sys the devices, read only; /dev is empty but for
a few harmless nodes. What should not be seen is covered: a file by /dev/null, a folder by an empty one. `folder` and
`file` (above) find a place as the container would, so no link in the rootfs leads a mount out of it."""

RACE = """\
holding the place open (openat2(2), move_mount(2)). Who can swap a folder for a link between our two commands, through
a volume that another container has too, wins."""

HELD = """\
Sources of volumes are mounted from outside first, by root, and moved into place inside: the container's root, who is
nobody out here, could not walk to them."""

MAN = "mount(8), findmnt(8), mknod(1), proc(5), sysfs(5), pts(4), tmpfs(5), mq_overview(7)"


def filesystems(container: Container) -> Paragraph:
    spec = container.spec
    held = hold(container)
    inside: list[str] = []
    for number, entry in enumerate(spec.mounts):
        inside += mount_lines(container, entry, number if number in held else -1)
    inside += devices(container)
    for name in container.record.get("files", ()):
        inside += [f"file {runtime.OWN_FILES[name]}", f'mount --bind "$dir/{name}" "$at"']
    if spec.minicontainer.init:
        program = quote(runtime.find_init())
        inside += [f"file {runtime.INIT}", f'mount --bind {program} "$at"', 'mount -o remount,bind,ro "$at"']
    return Paragraph(
        "filesystems",
        f"{TEXT}\n\n{HELD}" if held else TEXT,
        MAN,
        missing=[RACE],
        outside=[line for lines in held.values() for line in lines],
        inside=[*inside, *read_only(container), *masks(container)],
    )


# -- mounts -------------------------------------------------------------------------------------


def mount_lines(container: Container, entry: Mount, held: int) -> list[str]:
    """Lines that mount one of the spec's mounts. `held` is its number if it stands ready outside, or -1."""
    options, place = MountOptions(entry.options), quote(entry.destination)
    if entry.type in runtime.CGROUP_TYPES:
        group = container.record.get("cgroup")
        return [f"folder {place}", 'mount --bind "$group" "$at"', *attributes(entry.options)] if group else []
    if options.bind:
        return bind_lines(container, entry, held)
    data = [word for word in entry.options if word not in PROPAGATION and word not in IGNORED]
    if entry.type == "devpts" and container.spec.linux.gid_mappings and not runtime.maps_gid(container, 5):
        data = [word for word in data if not word.startswith("gid=")]
    given = f" -o {quote(','.join(data))}" if data else ""
    lines = [f"folder {place}", f'mount -t {quote(entry.type)}{given} {quote(entry.source or entry.type)} "$at"']
    if entry.type in runtime.KERNEL_TYPES:  # others trust what is there
        complaint = quote(f"{entry.destination} in the rootfs is a link")
        lines.insert(0, f"[ ! -L {below('root', entry.destination)} ] || fail {complaint}")
    return lines


def bind_lines(container: Container, entry: Mount, held: int) -> list[str]:
    make, command, is_folder = source(container, entry)
    lines = [f"{'folder' if is_folder else 'file'} {quote(entry.destination)}"]
    if held >= 0:
        lines.append(f'mount --no-mtab --move "$dir/volumes/{held}" "$at"')
    else:
        lines = [*make, *lines, f'{command} "$at"']
    asked = next((word for word in entry.options if word in PROPAGATION), "rprivate")
    if propagation(container) == "slave" and "shared" not in asked:
        lines.append(f'mount --make-{asked} "$at"')
    return lines + attributes(entry.options)


def source(container: Container, entry: Mount) -> tuple[list[str], str, bool]:
    """Lines that make the source of a bind mount if need be, the command that mounts it, whether it is a folder."""
    path = os.path.join(container.bundle, entry.source)
    missing = not os.path.exists(path)  # then it is one of -v, and to be made
    how = "--rbind" if "rbind" in entry.options else "--bind"
    return [f"mkdir -p {quote(path)}"] * missing, f"mount {how} {quote(path)}", missing or os.path.isdir(path)


def attributes(options: list[str]) -> list[str]:
    """Lines that give the mount at "$at" the attributes among these words."""
    said = [word for word in options if word in FLAGS and word not in ("bind", "rbind")]
    lines = [f'mount -o remount,bind,{",".join(said)} "$at"'] if said and said != ["ro"] else []
    if "rro" in options:
        lines.append('read_only "$at"')
    elif said == ["ro"]:
        lines.append('mount -o remount,bind,ro "$at"')
    return lines


def hold(container: Container) -> dict[int, list[str]]:
    """For a user namespace: lines that mount the sources from outside, by the number of the mount."""
    spec = container.spec
    if not spec.namespace("user") or spec.minicontainer.rootless:
        return {}
    result: dict[int, list[str]] = {}
    for number, entry in enumerate(spec.mounts):
        if MountOptions(entry.options).bind:
            make, command, is_folder = source(container, entry)
            place = f'"$dir/volumes/{number}"'
            make += [] if result else ['mkdir "$dir/volumes"']
            make += [f"mkdir {place}" if is_folder else f": >{place}"]
            result[number] = [*make, f'nsenter --target "$pid" --mount {command} {place}']
    return result


# -- devices ------------------------------------------------------------------------------------


def devices(container: Container) -> list[str]:
    """Lines for the nodes, and for the links that programs expect beside them."""
    nodes, lines, last = container.spec.linux.devices, [], ""
    if container.spec.namespace("user"):  # nobody may make a node in there, but the host's can be shown
        lines = [command_line("for path in", [node.path for node in nodes], "; do"), '\tfile "$path"']
        lines += ['\tmount --bind "$path" "$at"', '\tmount -o remount,bind,ro "$at"', "done"]
        nodes = []
    for device in nodes:
        above, _, name = device.path.rpartition("/")
        if above != last:
            lines.append(f"folder {quote(above or '/')}")
            last = above
        mode = 0o666 if device.file_mode is None else device.file_mode
        node = below("at", f"/{name}")
        numbers = "" if device.type == "p" else f" {device.major} {device.minor}"
        lines.append(f"[ -e {node} ] || mknod -m {mode:03o} {node} {device.type}{numbers}")
        if device.uid or device.gid:
            lines.append(f"chown -h {device.uid}:{device.gid} {node}")
    lines.append("folder /dev")
    return lines + [f'[ -e "$at/{name}" ] || ln -s {target} "$at/{name}"' for name, target in runtime.DEV_LINKS.items()]


# -- masks --------------------------------------------------------------------------------------


def read_only(container: Container) -> list[str]:
    paths = container.spec.linux.readonly_paths
    if not paths:
        return []
    return [
        command_line("for path in", paths, "; do"),
        '\tfind_place "$path"',
        '\t[ -e "$at" ] || continue',
        '\tmount --rbind "$at" "$at"',
        '\tread_only "$at"',
        "done",
    ]


def masks(container: Container) -> list[str]:
    paths = container.spec.linux.masked_paths
    if not paths:
        return []
    return [
        command_line("for path in", paths, "; do"),
        '\tfind_place "$path"',
        '\tif [ -d "$at" ]; then',
        f'\t\tmount -t tmpfs -o ro,{runtime.MASK} tmpfs "$at"',
        '\telif [ -e "$at" ]; then',
        '\t\tmount --bind /dev/null "$at"',
        '\t\tmount -o remount,bind,ro "$at"',
        "\tfi",
        "done",
    ]
