"""The paragraphs of the container's file tree: user ids (whose files are they?), mounts, root, pivot."""

from __future__ import annotations

from minicontainer.isolation.root import PROPAGATION, work_beside
from minicontainer.linux.mount import MS_SHARED, MS_SLAVE
from minicontainer.shell.paragraph import Paragraph
from minicontainer.shell.process import JOINED, join, new
from minicontainer.shell.text import quote, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.spec import IDMapping

USER = """\
The map is written once, from outside, while the first process waits. It then becomes 0, which is root inside and
nobody in particular outside. (--keep-caps: until then it is nobody, and an exec would take its capabilities.)"""

BECOME_ROOT = "setpriv --reuid 0 --regid 0 {groups} --inh-caps -all --ambient-caps -all"

MOUNTS = """\
A copy of the host's mount table, and the end of propagation: a shared /, as systemd makes it, would pass on every mount
that is made in here."""

SHARED = """\
mounts of the container that reach the host. The copy that would pass them on has to be taken before propagation ends,
and to be kept where there is none (open_tree(2)). Mounts only come in."""

ROOT = """\
overlayfs: reads fall through to lower, a write first copies the file up. The rootfs stays as it is, and what the
container has changed goes with the layer."""

COPY = """\
an idmapped mount, on which files that are root's on disk would be the container's root's; mount(8) has it from
util-linux 2.39 on (X-mount.idmap), and Debian 12 has 2.38. So the rootfs is copied, by a tar that is in the user
namespace already: what it unpacks belongs to the ids inside."""

PIVOT = """\
chroot would leave the host's tree a few `..` away. Here it is taken off: first it lies stacked on the new one, then it
goes with all its mounts. This is done from outside, because umount itself is in the tree that goes. The kernel carries
the first process over: who had the old root, has the new one."""


# -- user ---------------------------------------------------------------------------------------


def user(container: Container) -> Paragraph:
    """The map by hand, as root may; an ordinary user has the helpers write more than one id."""
    linux, rootless = container.spec.linux, container.spec.minicontainer.rootless
    wall, joined = new(container, "user"), join(container, "user")
    if not (joined or wall):
        return Paragraph("user", "Not asked for: root inside is root outside.", "user_namespaces(7)")
    owner = f"{linux.uid_mappings[0].host_id}:{linux.gid_mappings[0].host_id}"
    give = [] if rootless else [f'chown -R {owner} "$dir" # the container\'s root is to work here']
    if joined:
        return Paragraph("user", JOINED, "user_namespaces(7)", enter=joined, outside=give)
    outside = []
    single = rootless and len(linux.gid_mappings) == 1
    if single:
        outside.append('echo deny >"/proc/$pid/setgroups" # the condition for mapping one\'s own group')
    outside += [map_line("uid", linux.uid_mappings, rootless), map_line("gid", linux.gid_mappings, rootless), *give]
    become = BECOME_ROOT.format(groups="--keep-groups" if single else "--clear-groups")
    helpers = ("newuidmap", "newgidmap") if rootless and not single else ()
    return Paragraph(
        "user",
        USER,
        "user_namespaces(7), unshare(1), newuidmap(1)",
        settings=[f'become="{become}"'],
        walls=f"{wall} --keep-caps",
        outside=outside,
        needs=helpers,
    )


def map_line(kind: str, mappings: list[IDMapping], rootless: bool) -> str:
    """The line that writes one map."""
    rows = [f"{m.container_id} {m.host_id} {m.size}" for m in mappings]
    if rootless and len(rows) > 1:
        return f'new{kind}map "$pid" {" ".join(rows)}'
    return f"printf '%s\\n' {words(rows)} >\"/proc/$pid/{kind}_map\""


# -- mounts -------------------------------------------------------------------------------------


def propagation(container: Container) -> str:
    """`slave` if mounts of the host are to come in, else `private`."""
    wanted = PROPAGATION.get(container.spec.linux.rootfs_propagation, 0)
    return "slave" if wanted & (MS_SHARED | MS_SLAVE) else "private"


def mounts(container: Container) -> Paragraph:
    wall, joined = new(container, "mount"), join(container, "mount")
    return Paragraph(
        "mounts",
        MOUNTS,
        "mount_namespaces(7), unshare(1), mount(8)",
        missing=[SHARED] * container.spec.linux.rootfs_propagation.endswith("shared"),
        walls=f"{wall} --propagation {propagation(container)}",
        enter=joined,
    )


def root(container: Container) -> Paragraph:
    """The rootfs below a layer, or as it is (in a bundle of others)."""
    spec = container.spec
    source, overlay = quote(container.root), spec.minicontainer.overlay
    copied = bool(spec.namespace("user")) and not spec.minicontainer.rootless
    top = "lower" if overlay else "rootfs"
    outside, inside = [], [f'mount --rbind "$rootfs" "$dir/{top}"']
    if copied:
        into = f'nsenter --target "$pid" --user tar -C "$dir/{top}" -xpf - --numeric-owner'
        outside = ["tar -C \"$rootfs\" --exclude='./dev/*' -cf - . |", f"\t{into}"]
        inside = []
    if overlay:
        inside += overlay_lines(userxattr=bool(spec.namespace("user")), kept=bool(overlay.keep))
    return Paragraph(
        "root",
        ROOT if overlay else "The rootfs itself, which the container may change.",
        "mount(8), https://docs.kernel.org/filesystems/overlayfs.html",
        missing=[COPY] * copied,
        settings=[f"rootfs={source}", "root=$dir/rootfs"],
        before=layer(container) if overlay else ['mkdir "$dir/rootfs"'],
        outside=outside,
        inside=inside,
    )


def layer(container: Container) -> list[str]:
    """Lines that make the folders of the writable layer."""
    spec = container.spec
    lines = ['mkdir "$dir/rootfs" "$dir/lower" "$dir/layer"']
    if (overlay := spec.minicontainer.overlay) and overlay.keep:
        keep, work = overlay.keep, work_beside(overlay.keep)
        undo = f"rm -rf {quote(work)}"
        lines += [f"mkdir -p {words([keep, work])}", f"later {quote(undo)}"]
        lines += [f'ln -s {quote(keep)} "$dir/layer/upper"', f'ln -s {quote(work)} "$dir/layer/work"']
    else:
        lines += ['mkdir "$dir/layer/upper" "$dir/layer/work"']
    if spec.minicontainer.rootless and len(spec.linux.uid_mappings) > 1:
        lines += ["""later 'unshare --map-root-user --map-auto rm -rf "$dir/layer"'  # whichever user's it is"""]
    return lines


def overlay_lines(userxattr: bool, kept: bool) -> list[str]:
    """Lines that mount the overlay, with names that are short and hold no comma: relative to "$dir"."""
    options = "lowerdir=lower,upperdir=layer/upper,workdir=layer/work" + ",userxattr" * userxattr
    mount = f"mount -t overlay -o {options} overlay rootfs"
    if kept:
        return ["(", '\tcd "$dir"', f"\t{mount}", ")"]
    return [
        "(",
        '\tcd "$dir"',
        f"\t{mount} 2>/dev/null || {{",
        "\t\t# This file system cannot hold an upper layer, so memory does.",
        "\t\tmount -t tmpfs -o nosuid,nodev,mode=755 tmpfs layer",
        "\t\tmkdir layer/upper layer/work",
        f"\t\t{mount}",
        "\t}",
        ")",
    ]


def pivot(container: Container) -> Paragraph:
    spec = container.spec
    attributes = ["ro"] * spec.root.readonly
    attributes += ["nosuid"] * spec.process.no_new_privileges  # set-user-ID bits mean nothing to it anyway
    attributes += ["nodev"] * bool(container.record.get("nodev"))  # see devices
    inside = [f'mount -o remount,bind,{",".join(attributes)} "$root"'] if attributes else []
    enter = 'nsenter --target "$pid" --mount'
    if spec.minicontainer.rootless:
        enter += " --user --preserve-credentials"
    finish = [f'{enter} pivot_root "$root" "$root"', f"{enter} umount --lazy /"]
    man = "pivot_root(8), pivot_root(2), nsenter(1), umount(8)"
    return Paragraph("pivot", PIVOT, man, inside=inside, finish=finish)
