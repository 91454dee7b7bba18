"""Why each call is made, and where to read on: tables.

A row of WHY is looked for by the feature and the call; where a call serves several ends, by a word that is in
it (or in `parent`, `child`, `helper`: who makes it). The first row that fits counts, so the general one is last.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.narrate.step import Step

LESSONS = (
    "a process", "hostname", "processes", "mounts", "root", "/proc, /sys, /dev", "layers", "limits", "network",
    "ipc and time", "users", "capabilities", "seccomp", "all walls", "one kernel, or a kernel each",
)  # fmt: skip

FEATURES = {
    "": (0, "the process itself: made, kept from outliving us, and turned into the program"),
    "time": (9, "own offsets of the clocks that count since boot"),
    "undumpable": (13, "nobody looks into the first process while it is still our program"),
    "user": (10, "own user ids: root inside is nobody in particular outside"),
    "cgroup": (7, "a control group: how much the container gets, and the handle to all its processes"),
    "devices": (5, "which devices may be used, whatever nodes there are"),
    "net": (8, "own interfaces, addresses, routes and ports"),
    "uts": (1, "own host name"),
    "ipc": (9, "own shared memory, semaphores and message queues"),
    "pid": (2, "own process numbers, beginning with 1"),
    "mounts": (3, "own mount table, cut off from the host's"),
    "root": (6, "the container's files: the rootfs, read only, below a layer that can be written"),
    "filesystems": (5, "windows into the kernel, and what is masked in them; volumes"),
    "session": (0, "session, terminal, keys, resource limits, kernel settings"),
    "pivot": (4, "the new tree becomes /, the host's goes"),
    "folder": (4, "the folder that the program starts in"),
    "identity": (11, "the user that the program runs as"),
    "capabilities": (11, "root's power, cut down to what a container needs"),
    "no_new_privs": (11, "no exec gives rights"),
    "seccomp": (12, "a filter in front of every system call"),
}
"""Feature -> its lesson, and what it is for."""

JOIN = "Join the namespace of the other container, instead of one of its own."
MAKE_FOLDER = "Make the folder to mount on, since the rootfs does not have it."
ATTACH = "Attach the mount at its place in the container's tree, held by a descriptor: no link can lead it astray."
IDMAP = "A process that does nothing but be in a user namespace, until its id map has been used."

WHY: dict[str, tuple[tuple[str, str, str], ...]] = {
    "": (
        ("openat2", "",
         "Look a user up in the container's own files, as if its root were /: no symbolic link leads out."),
        ("clone3", "(0)",
         "A middle process, to go into the namespaces that are joined and make the first process there."),
        ("clone3", "", "Make the container's first process, born inside its new namespaces and its control group."),
        ("setns", "", "Choose the pid namespace in which our next child is born: a process never changes its own."),
        ("set_pdeathsig", "",
         "Should we die, the kernel kills it too. (A change of user clears this: so it is said twice.)"),
        ("close_range", "",
         "What our starter left open closes at exec: no file of the host gets into the container."),
        ("chdir", "", "Stand in the container's directory: as another user it could not walk there from / any more."),
        ("default_action", "",
         "The C library hides this signal, and our starter may have left it ignored: back to the default."),
        ("execveat", "",
         "Execute a few instructions from sealed memory: the container never gets hold of the host's Python."),
        ("execve", "", "Become the program: the same process behind the same walls, with another memory."),
        ("pidfd_send_signal", "SIGKILL",
         "Make sure that it has ended; process 1 takes its whole pid namespace with it."),
        ("pidfd_send_signal", "", "Pass on a signal that was sent to us and is meant for the container."),
    ),
    "time": (
        ("unshare", "", "A time namespace for the next child: its offsets can be set only while nobody is in it."),
        ("write_file", "", "Say how far its clock since boot is from the host's."),
        ("setns", "parent", "Our own later children are not to be born in it: back to the host's."),
        ("setns", "", JOIN),
    ),
    "undumpable": (
        ("set_dumpable", "",
         "Who shares its processes could look through /proc/PID/root and /proc/PID/fd into the host."),
    ),
    "user": (
        ("write_file", "setgroups", "The kernel's condition for mapping one's own group: no group can be dropped."),
        ("write_file", "", "Say which ids outside stand for those inside. It can be written once."),
        ("run", "",
         "An ordinary user maps the ids of /etc/subuid and /etc/subgid by this helper, which runs as root."),
        ("setgroups", "", "Drop the groups of our starter."),
        ("setresgid", "", "Become group 0 of the new namespace."),
        ("setresuid", "", "Become root inside, with all capabilities there and none outside."),
        ("setns", "", JOIN),
    ),
    "cgroup": (
        ("mkdir", "minicontainer.self", "Make room: a group that hands out controllers holds no processes itself."),
        ("mkdir", "", "A directory in cgroup2 is a group of processes; the kernel fills it with meters and dials."),
        ("setxattr", "", "Mark it as ours, and whose, so that a clean-up after a crash removes nothing else."),
        ("write_file", "subtree_control", "Hand these controllers to the groups below, which have no dials without."),
        ("write_file", "cgroup.procs", "Move the processes that are in the way."),
        ("write_file", "cgroup.kill", "Kill every process in the group at once, however many it forked."),
        ("write_file", "cgroup.freeze", "Stop every process in the group, or let them go on."),
        ("write_file", "memory.max",
         "Memory in bytes. When nothing can be reclaimed any more, the kernel kills in this group only."),
        ("write_file", "memory.swap.max", "Swap in bytes, on top of memory."),
        ("write_file", "memory.low", "Memory that is left to it while others have some to give."),
        ("write_file", "pids.max", "Processes and threads: a fork bomb ends here."),
        ("write_file", "cpu.max", "CPU time in microseconds, and the period in which it may be used up."),
        ("write_file", "cpu.weight", "Its share of CPU time when there is not enough for all."),
        ("write_file", "cpuset", "The processors and memory nodes that it may use."),
        ("write_file", "io.", "How fast it may read from and write to disks."),
        ("write_file", "", "A dial of the container's group."),
        ("chown", "", "The container's own root may make groups below this one."),
        ("send_signal", "", "Kill a frozen process: this kernel cannot kill the group at once."),
        ("rmdir", "", "The last process has gone: remove the group."),
        ("setns", "", JOIN),
    ),
    "devices": (
        ("bpf_prog_load", "",
         "A small program says which devices may be opened. The kernel checks that it ends and reads nothing else."),
        ("bpf_prog_attach", "", "From now on it is asked each time a process of the group opens a device node."),
    ),
    "net": (
        ("run", "type veth",
         "A cable with two ends: one is eth0 inside, the other plugged into the bridge. Then the published ports."),
        ("run", "type bridge",
         "The first container makes the bridge, a switch of software, and the packet rules around it."),
        ("run", "nsenter", "Inside: an address, and the bridge as the way to everywhere else."),
        ("run", "delete element", "Take back the published ports."),
        ("run", "pasta", "Without root a helper process carries the packets to and fro."),
        ("run", "", "Rules for packets."),
        ("try_run", "conntrack",
         "Forget flows to these ports, which the kernel has decided on before the container was there."),
        ("try_run", "delete table", "The last container takes the bridge and the rules away."),
        ("try_run", "link del", "Unplug the cable; both ends go."),
        ("try_run", "", "Take away what may be gone already."),
        ("write_file", "route_localnet", "Let packets for published ports on 127.0.0.1 pass to the bridge."),
        ("write_file", "accept_ra", "No container is to advertise itself as a router."),
        ("write_file", "accept_redirects", "Leave the host as it was found."),
        ("write_file", "forward", "The host passes packets on between its interfaces; or, at the end, as before."),
        ("loopback_up", "", "A new network stack has nothing but lo, and that is down: bring 127.0.0.1 up."),
        ("pidfd_send_signal", "", "End the helper that carried the packets."),
        ("setns", "", "Join the network of the other container: both meet on 127.0.0.1."),
    ),
    "uts": (
        ("sethostname", "", "Give the container its name; the host keeps its own."),
        ("setdomainname", "", "And its NIS domain name."),
        ("setns", "", JOIN),
    ),
    "ipc": (("setns", "", JOIN),),
    "pid": (("setns", "", JOIN),),
    "mounts": (
        ("mount", "MS_SLAVE",
         "Cut the copied mount table off: nothing mounted in here reaches the host, only the host's come in."),
        ("mount", "",
         "Cut the copied mount table off from the host's: what is mounted on one side does not appear on the other."),
        ("setns", "", JOIN),
    ),
    "root": (
        ("mkdir", "layer/upper", "Here the kernel puts what the container changes."),
        ("mkdir", "layer/work", "overlayfs prepares files here before they appear in upper, in one rename."),
        ("mkdir", "layer", "The writable layer, dropped at the end."),
        ("mkdir", "lower", "Here the rootfs is attached, read only as the lower layer."),
        ("mkdir", "", "Here the container's root is mounted; only its own mount table shows it."),
        ("rmdir", "", "The layer is to be kept: make room for links to the places that the user named."),
        ("symlink", "", "A link to where the layer is kept."),
        ("chown", "", "Its root is another user outside, and is to stand and write here."),
        ("open_tree", "", "Take a copy of the mount that the rootfs is in, attached nowhere yet."),
        ("clone3", "", IDMAP),
        ("set_pdeathsig", "", "Should we die, the kernel kills the helper too."),
        ("write_file", "", "Give the helper's user namespace the container's id map."),
        ("mount_setattr", "IDMAP", "On this mount files that are root's on disk belong to the container's root."),
        ("pidfd_send_signal", "", "The helper has served: its namespace lives on in the mount."),
        ("move_mount", "", "Attach it where overlayfs looks for the lower layer, or as the root itself."),
        ("mount", '"tmpfs"', "This file system cannot hold an upper layer, so memory does."),
        ("mount", "",
         "Lay upper over lower: reads fall through, a write first copies the file up. The rootfs stays as it is."),
        ("setns", "", "Enter a user namespace with the container's map."),
        ("setresgid", "", "Become its root's group."),
        ("setresuid", "", "Become its root, to whom all that it left belongs."),
    ),
    "filesystems": (
        ("openat2", "O_CREAT", "Make an empty file to mount on."),
        ("openat2", "RESOLVE_NO_SYMLINKS", "Here no link is followed at all: others trust what is at this place."),
        ("openat2", "",
         "Hold the place by a descriptor, found as if the container's root were /: no symbolic link leads out."),
        ("mkdir", "", MAKE_FOLDER),
        ("mount", '"proc"', "/proc of the new pid namespace: only the container's processes are in it."),
        ("mount", '"sysfs"', "/sys, read only: the devices and drivers of the one kernel."),
        ("mount", '"devpts"', "Terminals of its own: /dev/pts/0 in here is nobody else's."),
        ("mount", '"mqueue"', "POSIX message queues of the new ipc namespace."),
        ("mount", "nr_inodes=2", "Hide this folder below an empty one that nobody can write to."),
        ("mount", '"shm"', "/dev/shm, for memory that its processes share."),
        ("mount", "STRICTATIME", "/dev: an empty folder in memory, in which only harmless devices will be."),
        ("mount", "", "A file system that the options asked for."),
        ("open_tree", '"/dev/null"',
         "Take the host's /dev/null, as something to put over what is to be hidden, or to show."),
        ("open_tree", '"resolv.conf"', "The container's own list of name servers, to be put over the rootfs' one."),
        ("open_tree", '"hosts"', "Its own list of host names."),
        ("open_tree", '"hostname"', "Its own name, for programs that look into the file."),
        ("open_tree", '"/sys/fs/cgroup', "Its own control group, which it is to see as the root of all."),
        ("open_tree", "AT_EMPTY_PATH", "Copy the mount of this place, to lay it over itself with other attributes."),
        ("open_tree", "", "Take a copy of the mount that is to be seen inside, attached nowhere yet."),
        ("mount_setattr", "MOUNT_ATTR_RDONLY", "Make the copy read only; the original stays as it is."),
        ("mount_setattr", "propagation", "Mounts on the original do not appear on the copy, nor the other way."),
        ("mount_setattr", "", "Give the copy the options of the volume."),
        ("move_mount", "", ATTACH),
        ("mknod", "", "A name for a driver of the kernel; the few that every program expects."),
        ("symlink", "", "Programs expect this link in /dev."),
    ),
    "session": (
        ("setsid", "",
         "A session of its own: signals and keys of our terminal do not reach it, nor its terminal us."),
        ("join_session_keyring", "",
         "Leave our keyring, with its tickets and keys of encrypted disks, for an empty one."),
        ("write_file", "oom_score_adj", "How readily the kernel kills it when memory is short."),
        ("write_file", "", "A kernel setting of its own namespaces."),
        ("setrlimit", "", "A limit for each of its processes."),
        ("openat2", "ptmx", "A new terminal from its own /dev/pts: this is the end that we hold."),
        ("openat2", "", "The place for /dev/console."),
        ("open_slave", "", "The other end, which is the container's screen and keyboard."),
        ("fchown", "", "The terminal belongs to the user that the program runs as."),
        ("open_tree", "", "Take the terminal's node as a mount."),
        ("move_mount", "", "Show it as /dev/console, too."),
        ("set_controlling_terminal", "", "Make it the terminal whose ^C and hang-up this session gets."),
    ),
    "pivot": (
        ("mount_setattr", "MOUNT_ATTR_RDONLY", "The container's root is read only."),
        ("mount_setattr", "MOUNT_ATTR_NODEV", "No program guards the devices, so no node works here."),
        ("mount_setattr", "", "With no_new_privs, set-user-ID bits mean nothing anyway: say so on the mount."),
        ("fchdir", "", "Go to the new root, which is still a folder of the host's tree."),
        ("pivot_root", "", "Swap: the new tree is /, and the host's lies stacked on the same place."),
        ("umount2", "", "Let the host's tree go, with all its mounts. chroot would leave it a few .. away."),
        ("chdir", "", "Stand in the new root."),
        ("mount", "", "The propagation that the container asked for, now that nothing of the host is left."),
    ),
    "folder": (
        ("openat2", "",
         "Find the folder with no magic link on the way: /proc/self/fd/7 could lead back to the host."),
        ("mkdir", "", "Make the folder, as Docker does."),
        ("fchdir", "", "Start there."),
    ),
    "identity": (
        ("set_keepcaps", "", "Leaving uid 0 would clear all capabilities, before it is decided which stay."),
        ("setgroups", "", "The groups of the user, and no others."),
        ("setresgid", "", "Become the group: real, effective and saved, so that there is no way back."),
        ("setresuid", "", "Become the user: real, effective and saved, so that there is no way back."),
    ),
    "capabilities": (
        ("capbset_drop", "", "No exec will ever give this one back."),
        ("cap_ambient_clear_all", "", "No program keeps a capability over exec just because its starter had it."),
        ("cap_ambient_raise", "", "But this one, which the container is to have without being root."),
        ("capset", "",
         "First wake what the change of user left permitted but asleep; at the end keep what a container needs."),
    ),
    "no_new_privs": (
        ("set_no_new_privs", "", "su and sudo lose their magic: no exec gives more rights than there are."),
    ),
    "seccomp": (
        ("seccomp_set_filter", "",
         "From here on a program in the kernel looks at every system call, and refuses what containers do not need."),
    ),
}  # fmt: skip

MAN = {
    "run": (("pasta", "pasta(1)"), ("newuidmap", "newuidmap(1)"), ("newgidmap", "newgidmap(1)"),
            ("nsenter", "nsenter(1), ip(8)"), ("ip -batch", "ip(8), nft(8)"), ("", "nft(8)")),
    "try_run": (("conntrack", "conntrack(8)"), ("ip -batch", "ip(8), nft(8)"), ("", "nft(8)")),
    "write_file": (("/uid_map", "user_namespaces(7)"), ("/gid_map", "user_namespaces(7)"),
                   ("/setgroups", "user_namespaces(7)"), ("timens_offsets", "time_namespaces(7)"),
                   ("oom_score_adj", "proc_pid_oom_score_adj(5)"), ("/proc/sys/net", "proc_sys_net(5), sysctl(8)"),
                   ("/proc/sys", "proc_sys(5), sysctl(8)"), ("", "cgroups(7)")),
    "setns": (("CLONE_NEWTIME", "time_namespaces(7), setns(2)"), ("CLONE_NEWPID", "pid_namespaces(7), setns(2)"),
              ("", "setns(2)")),
    "mount": (('"overlay"', "mount(2), mount(8)"), ('"tmpfs"', "tmpfs(5), mount(2)"), ('"proc"', "proc(5), mount(2)"),
              ('"sysfs"', "sysfs(5), mount(2)"), ('"devpts"', "pts(4), mount(2)"),
              ('"mqueue"', "mq_overview(7), mount(2)"), ("MS_PRIVATE", "mount_namespaces(7), mount(2)"),
              ("MS_SLAVE", "mount_namespaces(7), mount(2)"), ("", "mount(2)")),
    "set_dumpable": (("", "PR_SET_DUMPABLE(2const)"),),
    "set_pdeathsig": (("", "PR_SET_PDEATHSIG(2const)"),),
    "set_keepcaps": (("", "PR_SET_KEEPCAPS(2const)"),),
    "set_no_new_privs": (("", "PR_SET_NO_NEW_PRIVS(2const)"),),
    "capbset_drop": (("", "PR_CAPBSET_DROP(2const), capabilities(7)"),),
    "cap_ambient_clear_all": (("", "PR_CAP_AMBIENT(2const), capabilities(7)"),),
    "cap_ambient_raise": (("", "PR_CAP_AMBIENT(2const), capabilities(7)"),),
    "capset": (("", "capset(2), capabilities(7)"),),
    "seccomp_set_filter": (("", "seccomp(2)"),),
    "bpf_prog_load": (("", "bpf(2)"),),
    "bpf_prog_attach": (("", "bpf(2)"),),
    "loopback_up": (("", "netdevice(7), network_namespaces(7)"),),
    "join_session_keyring": (("", "keyctl(2), session-keyring(7)"),),
    "open_slave": (("", "ioctl_tty(2), pty(7)"),),
    "set_controlling_terminal": (("", "ioctl_tty(2)"),),
    "default_action": (("", "rt_sigaction(2), nptl(7)"),),
    "send_signal": (("", "kill(2)"),),
    "clone3": (("", "clone3(2), namespaces(7)"),),
    "unshare": (("", "unshare(2), time_namespaces(7)"),),
    "sethostname": (("", "sethostname(2), uts_namespaces(7)"),),
    "setdomainname": (("", "setdomainname(2), uts_namespaces(7)"),),
    "fchown": (("", "chown(2)"),),
    "fchdir": (("", "chdir(2)"),),
}  # fmt: skip
"""Call -> (a word in it, manual page). A call that is not here has a page of its own name in section 2."""


def why(step: Step) -> str:
    """One sentence; empty if the table has none."""
    for call, word, sentence in WHY.get(step.feature, ()):
        if call == step.call and (word in step.text or word == step.who):
            return sentence
    return ""


def man(step: Step) -> str:
    """The manual pages."""
    for word, page in MAN.get(step.call, ()):
        if word in step.text:
            return page
    return f"{step.call}(2)"


def lesson(step: Step) -> int:
    """The number of the lesson on what the call is made for."""
    return FEATURES[step.feature][0]
