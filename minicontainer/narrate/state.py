"""What the narrator sees from outside, and what of it has changed. proc(5)

A state is a dictionary: name of the thing -> its value, a text or a list of words. It is taken before and after a
call; what differs has been changed by it. What cannot be read, as of a process that is not dumpable by an ordinary
user, is left out. What concerns a process as a whole is in `look`.
"""

from __future__ import annotations

import os
import struct

from minicontainer.linux import capability
from minicontainer.linux.proc import MountInfo
from minicontainer.narrate.look import NAMESPACES, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minicontainer.narrate.step import Step

    State = dict[str, str | list[str]]


class Process:
    """A process by its directory in /proc, which stays its own when the pid is used again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.known: dict[str, str] = {}  # what has been told of it last
        self.trees: dict[str, str] = {}  # its descriptors of mounts that are attached nowhere yet -> copies of what
        try:
            self.dir = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self.dir = -1

    def look(self, name: str) -> str:
        """A whole file, or where a link leads; empty if it cannot be read."""
        return look(name, folder=self.dir)

    def link(self, name: str) -> str:
        """Where any other link leads, or an empty string."""
        try:
            return os.readlink(name, dir_fd=self.dir)
        except OSError:
            return ""

    def rows(self, file: str, *names: str) -> dict[str, str]:
        """Those of the rows `name: value` that are named."""
        rows = (row.partition(":") for row in self.look(file).splitlines())
        return {name: value.strip() for name, _, value in rows if name in names}

    def close(self) -> None:
        if self.dir >= 0:
            os.close(self.dir)


# -- what one call changes ----------------------------------------------------------------------


def birth(step: Step) -> State:
    """The parent's namespaces and group before the clone, the child's after it."""
    if step.result is None:
        return place(step.process)
    child = Process(int(step.result))
    found = place(child)
    found["pid, outside and inside"] = child.rows("status", "NSpid").get("NSpid", "").split()
    child.close()
    return found


def place(process: Process) -> State:
    """The namespaces that it is in itself, and its control group."""
    own = [name for name in NAMESPACES if "children" not in name]
    found: State = {label(name): inode(name, process.look(name)) for name in own}
    return {**found, "control group": group(process)}


def group(process: Process) -> str:
    """Its control group, version 2: cgroups(7)."""
    return process.rows("cgroup", "0").get("0", "")[1:]


def program(step: Step) -> State:
    """The loaded BPF program behind the descriptor that the call gave."""
    if step.result is None:
        return {}
    found = step.process.rows(f"fdinfo/{step.result}", "prog_id", "prog_type", "prog_tag")
    return {f"program {found['prog_id']}": f"type {found['prog_type']}, tag {found['prog_tag']}"} if found else {}


def executable(step: Step) -> State:
    path = step.process.link("exe")
    return {"exe": path} if path else {}


# -- networks -----------------------------------------------------------------------------------


def networks(step: Step) -> State:
    """Interfaces, addresses and routes of the host, and of the container that is being made; and its id maps."""
    found = network("host", step.process)
    if step.child:
        found |= network("container", step.child)
        found |= {name: " ".join(step.child.look(name).split()) for name in ("uid_map", "gid_map")}
    return found


def network(where: str, process: Process) -> State:
    """One network namespace: proc_net(5)."""
    interfaces = [row.partition(":")[0].strip() for row in process.look("net/dev").splitlines()[2:]]
    addresses = local_addresses(process.look("net/fib_trie"))
    for row in process.look("net/if_inet6").splitlines():
        number, _, length, *_, name = row.split()
        addresses.append(f"{ipv6(number)}/{int(length, 16)} on {name}")
    routes = []
    for row in process.look("net/route").splitlines()[1:]:
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

READERS: dict[str, Callable[[Step], State]] = {
    "clone3": birth,
    "bpf_prog_load": program,
    "run": networks,
    "try_run": networks,
    "execve": executable,
    "execveat": executable,
}
"""Call -> reader of what else it changes."""

# -- what has changed ---------------------------------------------------------------------------

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


def difference(before: State, after: State) -> tuple[State, State]:
    """What of the two differs, taken apart."""
    gone: State = {}
    come: State = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if (part := PARTS.get(name)) and isinstance(old, str) and isinstance(new, str):
            was, now = old.splitlines(), new.splitlines()
            for state, rows, others in ((gone, was, set(now)), (come, now, set(was))):
                for row in rows:
                    if row not in others:
                        state.update(part(row))
        else:
            gone |= {} if old is None else {label(name): inode(name, old)}
            come |= {} if new is None else {label(name): inode(name, new)}
    for same in [name for name in gone if gone[name] == come.get(name)]:  # as far as it is told
        del gone[same], come[same]
    return gone, come


def label(name: str) -> str:
    return f"{name.removeprefix('ns/')} namespace" if name in NAMESPACES else name


def inode(name: str, value: str | list[str]) -> str | list[str]:
    """Of `uts:[4026531838]` the number, which identifies the namespace."""
    return value.rpartition("[")[2].rstrip("]") if name in NAMESPACES and isinstance(value, str) else value


def row_of_mountinfo(row: str) -> State:
    """A mount under its number, as mount(8) shows it: proc_pid_mountinfo(5)."""
    m = MountInfo(row)
    shown = f"{m.source} on {m.target} type {m.fstype} ({m.options}) {' '.join(m.propagation) or 'private'}"
    return {f"mount {m.id}": shown}


def row_of_status(row: str) -> State:
    """Ids as they are, sets of capabilities by their names; of the other rows nothing: proc_pid_status(5)."""
    name, _, value = row.partition(":")
    if name in SETS:
        return {SETS[name]: capability.names(int(value, 16))}
    return {ROWS[name]: " ".join(value.split())} if name in ROWS else {}


def row_of_stat(row: str) -> State:
    """Session and controlling terminal: proc_pid_stat(5)."""
    fields = row.rpartition(")")[2].split()
    device = int(fields[4]) & 0xFFFFFFFF
    terminal = f"{device >> 8 & 0xFFF}:{device & 0xFF | device >> 12 & 0xFFF00}" if device else "none"
    return {"session": fields[3], "terminal": terminal}


PARTS: dict[str, Callable[[str], State]] = {
    "mountinfo": row_of_mountinfo,
    "status": row_of_status,
    "stat": row_of_stat,
}
"""Files whose rows are told apart."""
