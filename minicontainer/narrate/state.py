"""What the kernel says about a process, read from outside: proc(5).

A reader gives a dictionary: name of the thing -> its value, a text or a list of words. The narrator asks it
before and after a call; what differs has been changed by it. What cannot be read, as of a process that is
not dumpable by an ordinary user, is left out.
"""

from __future__ import annotations

import os
import struct

from minicontainer.linux import capability
from minicontainer.linux.proc import MountInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minicontainer.narrate.step import Step

    State = dict[str, str | list[str]]
    Reader = Callable[["Process"], State]

LONGEST = 1 << 16


class Process:
    """A process by its directory in /proc, which stays its own when the pid is used again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.trees: dict[str, str] = {}  # its descriptors of mounts that are attached nowhere yet -> copies of what
        try:
            self.dir = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self.dir = -1

    def read(self, file: str) -> str:
        """A whole file, or an empty string."""
        try:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.dir)
        except OSError:
            return ""
        try:
            data = part = os.read(fd, LONGEST)
            while part:
                data += (part := os.read(fd, LONGEST))
            return data.decode("utf-8", "surrogateescape")
        except OSError:
            return ""
        finally:
            os.close(fd)

    def link(self, file: str) -> str:
        """Where a link leads, or an empty string."""
        try:
            return os.readlink(file, dir_fd=self.dir)
        except OSError:
            return ""

    def links(self, *files: str) -> State:
        return {file.rpartition("/")[2]: target for file in files if (target := self.link(file))}

    def rows(self, file: str, *names: str) -> dict[str, str]:
        """Those of the rows `name: value` that are named."""
        rows = (row.partition(":") for row in self.read(file).splitlines())
        return {name: value.strip() for name, _, value in rows if name in names}

    def close(self) -> None:
        if self.dir >= 0:
            os.close(self.dir)


# -- namespaces and groups ----------------------------------------------------------------------

KINDS = ("user", "mnt", "pid", "pid_for_children", "net", "ipc", "uts", "cgroup", "time", "time_for_children")


def namespaces(process: Process) -> State:
    """The numbers of the namespaces it is in, from readlink /proc/PID/ns/*: namespaces(7)."""
    links = process.links(*(f"ns/{kind}" for kind in KINDS))
    return {f"{kind} namespace": str(link).strip("[]").rpartition("[")[2] for kind, link in links.items()}


def own_namespaces(process: Process) -> State:
    """Without those that only its children will be in."""
    return {name: number for name, number in namespaces(process).items() if "children" not in name}


def birth(step: Step) -> State:
    """The parent's namespaces and group before the clone, the child's after it."""
    if step.result is None:
        return {**own_namespaces(step.process), "control group": group(step.process)}
    child = Process(int(step.result))
    found = own_namespaces(child)
    found["control group"] = group(child)
    found["pid, outside and inside"] = child.rows("status", "NSpid").get("NSpid", "").split()
    child.close()
    return found


def group(process: Process) -> str:
    """Its control group, version 2: cgroups(7)."""
    return process.rows("cgroup", "0").get("0", "")[1:]


# -- files and mounts ---------------------------------------------------------------------------


def mounts(process: Process) -> State:
    """Its mount table: proc_pid_mountinfo(5)."""
    return {"mountinfo": process.read("mountinfo")}


def places(process: Process) -> State:
    """Its working folder and its root."""
    return process.links("cwd", "root")


def descriptors(step: Step) -> State:
    """The open files that an exec would leave open."""
    try:
        listing = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=step.process.dir)
    except OSError:
        return {}
    numbers = sorted(map(int, os.listdir(listing)))
    os.close(listing)
    flags = {number: step.process.rows(f"fdinfo/{number}", "flags").get("flags", "0") for number in numbers}
    return {"open after exec": [str(number) for number in numbers if not int(flags[number], 8) & os.O_CLOEXEC]}


def program(step: Step) -> State:
    """The loaded BPF program behind the descriptor that the call gave."""
    if step.result is None:
        return {}
    found = step.process.rows(f"fdinfo/{step.result}", "prog_id", "prog_type", "prog_tag")
    return {f"program {found['prog_id']}": f"type {found['prog_type']}, tag {found['prog_tag']}"} if found else {}


def executable(step: Step) -> State:
    return step.process.links("exe")


# -- the process --------------------------------------------------------------------------------

SETS = {
    "CapEff": "effective",
    "CapPrm": "permitted",
    "CapInh": "inheritable",
    "CapBnd": "bounding",
    "CapAmb": "ambient",
}
ROWS = {
    "Uid": "uids: real, effective, saved, file system",
    "Gid": "gids: real, effective, saved, file system",
    "Groups": "groups",
    "NoNewPrivs": "no_new_privs",
    "Seccomp": "seccomp mode (2: filter)",
    "Seccomp_filters": "seccomp filters",
}


def status(process: Process) -> State:
    """Its users, groups and capabilities: proc_pid_status(5)."""
    return {"status": process.read("status")}


def session(process: Process) -> State:
    """Session and controlling terminal: proc_pid_stat(5)."""
    fields = process.read("stat").rpartition(")")[2].split()
    if not fields:
        return {}
    terminal = int(fields[4]) & 0xFFFFFFFF
    number = f"{terminal >> 8 & 0xFFF}:{terminal & 0xFF | terminal >> 12 & 0xFFF00}" if terminal else "none"
    return {"session": fields[3], "terminal": number}


# -- networks -----------------------------------------------------------------------------------


def networks(step: Step) -> State:
    """Interfaces, addresses and routes of the host, and of the container that is being made; and its id maps."""
    found = network("host", step.process)
    if step.child:
        found |= network("container", step.child)
        found |= {name: " ".join(step.child.read(name).split()) for name in ("uid_map", "gid_map")}
    return found


def network(where: str, process: Process) -> State:
    """One network namespace: proc_net(5)."""
    interfaces = [row.partition(":")[0].strip() for row in process.read("net/dev").splitlines()[2:]]
    addresses = local_addresses(process.read("net/fib_trie"))
    for row in process.read("net/if_inet6").splitlines():
        number, _, length, *_, name = row.split()
        addresses.append(f"{ipv6(number)}/{int(length, 16)} on {name}")
    routes = []
    for row in process.read("net/route").splitlines()[1:]:
        name, target, gateway, _, _, _, _, mask, *_ = row.split()
        way = f" via {ipv4(gateway)}" if int(gateway, 16) else ""
        routes.append(f"{ipv4(target)}/{int(mask, 16).bit_count()}{way} on {name}")
    return {f"{where}'s interfaces": interfaces, f"{where}'s addresses": addresses, f"{where}'s routes": routes}


def local_addresses(trie: str) -> list[str]:
    """The IPv4 addresses of the namespace itself in its routing trie."""
    found, leaf = [], ""
    for row in trie.splitlines():
        words = row.split()
        if words[0] == "|--":
            leaf = words[1]
        elif words[0] == "/32" and words[-1] == "LOCAL" and leaf not in found:
            found.append(leaf)
    return found


def ipv4(text: str) -> str:
    """An address as /proc/net/route has it: hexadecimal, in the machine's order of bytes."""
    return ".".join(str(byte) for byte in struct.pack("=I", int(text, 16)))


def ipv6(text: str) -> str:
    """An address as /proc/net/if_inet6 has it: 32 hexadecimal digits."""
    from _socket import AF_INET6, inet_ntop

    return inet_ntop(AF_INET6, bytes.fromhex(text))


# -- which for which ----------------------------------------------------------------------------

OF_THE_PROCESS = (namespaces, places, mounts, status, session)
"""What is looked at when a process appears, and after each call that may have touched it."""

ALL = (namespaces, places, mounts, status)
TOUCHED: dict[str, tuple[Reader, ...]] = {
    "unshare": ALL,
    "setns": ALL,
    "mount": (mounts,),
    "umount2": (places, mounts),
    "move_mount": (mounts,),
    "mount_setattr": (mounts,),
    "pivot_root": (places, mounts),
    "chdir": (places,),
    "fchdir": (places,),
    "chroot": (places,),
    "setgroups": (status,),
    "setresuid": (status,),
    "setresgid": (status,),
    "capset": (status,),
    "cap_ambient_clear_all": (status,),
    "set_no_new_privs": (status,),
    "seccomp_set_filter": (status,),
    "setsid": (session,),
    "set_controlling_terminal": (session,),
}
"""Call -> what it may touch of that."""

READERS: dict[str, Callable[[Step], State]] = {
    "clone3": birth,
    "close_range": descriptors,
    "bpf_prog_load": program,
    "run": networks,
    "try_run": networks,
    "execve": executable,
    "execveat": executable,
}
"""Call -> reader of what else it changes."""

# -- what has changed ---------------------------------------------------------------------------


def difference(before: State, after: State) -> tuple[State, State]:
    """What of the two differs, taken apart. (While a process waits, files are only read.)"""
    gone: State = {}
    come: State = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if (part := PARTS.get(name)) and isinstance(old, str) and isinstance(new, str):
            was, now = old.splitlines(), new.splitlines()
            for state, rows, others in ((gone, was, set(now)), (come, now, set(was))):
                state.update(filter(None, (part(row) for row in rows if row not in others)))
            for same in [key for key in gone if gone[key] == come.get(key)]:  # as far as it is told
                del gone[same], come[same]
        else:
            gone |= {} if old is None else {name: old}
            come |= {} if new is None else {name: new}
    return gone, come


def row_of_mountinfo(row: str) -> tuple[str, str]:
    """A mount under its number, as mount(8) shows it."""
    m = MountInfo(row)
    return (
        f"mount {m.id}",
        f"{m.source} on {m.target} type {m.fstype} ({m.options}) {' '.join(m.propagation) or 'private'}",
    )


def row_of_status(row: str) -> tuple[str, str | list[str]] | None:
    """Ids as they are, sets of capabilities by their names; of the other rows nothing."""
    name, _, value = row.partition(":")
    if name in SETS:
        return SETS[name], capability.names(int(value, 16))
    return (ROWS[name], " ".join(value.split())) if name in ROWS else None


PARTS: dict[str, Callable[[str], tuple[str, str | list[str]] | None]] = {
    "mountinfo": row_of_mountinfo,
    "status": row_of_status,
}
"""Files whose rows are told apart."""
