"""The paragraph of the control group: mkdir, echo, rmdir."""

from __future__ import annotations

from minicontainer.isolation import cgroup, limits
from minicontainer.linux import cgroup2
from minicontainer.shell.paragraph import Paragraph
from minicontainer.shell.process import join, new
from minicontainer.shell.text import below, quote, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container

TEXT = """\
A control group is a directory: mkdir makes it, the files in it are meters and dials, rmdir removes it when its last
process has gone. The first process is born in it, since what makes it goes there first; unshare itself, which stays
to wait, is then moved out. Controllers are handed down from group to group where they are to be had. A new cgroup
namespace has its maker's group as its root."""

MAN = "cgroups(7), cgroup_namespaces(7), https://docs.kernel.org/admin-guide/cgroup-v2.html"


def group(container: Container) -> Paragraph:
    wall, joined = new(container, "cgroup"), join(container, "cgroup")
    top = cgroup2.top()
    wanted = limits.asked(container.spec.linux.resources)
    for controller in wanted:
        if controller not in cgroup2.controllers(top):
            raise cgroup.unavailable(controller)
    if not top:
        why = ["a group of its own. No cgroup2 is mounted where this was made."]
        return Paragraph("cgroup", TEXT, MAN, missing=why, walls=wall, enter=joined)
    place = cgroup.place(container, top)
    container.record["cgroup"] = place
    return Paragraph(
        "cgroup",
        TEXT,
        MAN,
        settings=[f"cgroups={quote(top)}", f"group={quote(place)}"],
        walls=wall,
        enter=joined,
        before=[*make(top, place, list(wanted)), *dials(container)],
        child=['echo 0 >"$group/cgroup.procs" # 0: whoever writes it'],
        outside=['echo "$waiter" >"$home/cgroup.procs"', *hand_over(container)],
        after=REMOVE,
    )


def make(top: str, place: str, wanted: list[str]) -> list[str]:
    """Lines that make the group and those above it, with the controllers handed down from one to the next."""
    controllers = words(list(dict.fromkeys([*cgroup.USUAL_CONTROLLERS, *wanted])))
    names = place[len(top) :].strip("/").split("/")
    lines = ['home=$cgroups$(sed -n "s/^0:://p" /proc/self/cgroup) # our own group']
    for depth, name in enumerate(names):
        above, place = "/".join(["", *names[:depth]]), below("cgroups", "/".join(["", *names[: depth + 1]]))
        lines += [
            f"for controller in {controllers}; do",
            f'\techo "+$controller" 2>/dev/null >{below("cgroups", above + "/cgroup.subtree_control")} || :',
            "done",
        ]
        undo = f"later {quote(f'rmdir {place} 2>/dev/null')}"
        if depth == len(names) - 1:
            lines += ['mkdir "$group"', "later cgroup_after"]
        elif name == cgroup.PARENT:  # goes with whoever is last
            lines += [f"[ -d {place} ] || mkdir {place}", undo]
        else:
            lines += [f"[ -d {place} ] || {{", f"\tmkdir {place}", f"\t{undo}", "}"]
    if wanted:
        lines += [
            f"for controller in {words(wanted)}; do",
            '\tgrep -qw "$controller" "$group/cgroup.controllers" || fail "no $controller controller in $group"',
            "done",
        ]
    return lines


REMOVE = (
    'echo 1 >"$group/cgroup.kill" # all processes of the group end, whatever they forked',
    "for pause in 0 0.1 0.5 2; do # the kernel takes a moment to let go of them",
    '\tsleep "$pause"',
    '\tfind "$group" -depth -type d -exec rmdir {} \\; 2>/dev/null',
    '\t[ -d "$group" ] || break',
    "done",
)


def dials(container: Container) -> list[str]:
    """Lines that write the limits."""
    lines = []
    for file, text in limits.settings(container.spec.linux.resources):
        if file == "io.weight":  # the file is that of the scheduler that is there
            other, value = limits.weight_row("", int(text))
            lines += [
                f'if [ -e "$group/io.bfq.weight" ]; then echo {text} >"$group/io.bfq.weight"; '
                f'else echo {value} >"$group/{other}"; fi'
            ]
            continue
        dial = below("group", f"/{file}")
        optional = file == "memory.swap.max" or not limits.is_limit(text)  # a kernel without swap has no such file
        lines.append(f"[ ! -e {dial} ] || " * optional + f"echo {quote(text)} >{dial}")
    return lines


def hand_over(container: Container) -> list[str]:
    """Lines that give the group to the container's own root, if it sees it writable: as `cgroup.delegate`."""
    linux = container.spec.linux
    root = next((m.host_id for m in linux.uid_mappings if m.container_id == 0), 0)
    writable = any(m.type in ("cgroup", "cgroup2") and "ro" not in m.options for m in container.spec.mounts)
    if not (container.spec.namespace("user") and writable) or container.spec.minicontainer.rootless:
        return []
    return [
        f'chown {root} "$group"',
        "while read -r file; do",
        f'\t[ ! -e "$group/$file" ] || chown {root} "$group/$file"',
        "done </sys/kernel/cgroup/delegate",
    ]
