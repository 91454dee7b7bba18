"""A container: a spec (what it should be), features (how), a record (what became of it).

On disk it is one directory, `ROOT/containers/ID`, which is also an OCI bundle. The process that takes
care of the container holds a lock on it, flock(2), which the kernel drops however that process ends.

    config.json   the spec
    state.json    the record: pid, when, how it ended
    rootfs/       where the container's root is mounted, seen only in its own mount namespace
    layer/        the writable layer: overlayfs' upper and work
    resolv.conf, hosts, hostname    mounted over the container's own
"""

from __future__ import annotations

import fcntl
import os

from minicontainer.errors import SpecError, StateError
from minicontainer.linux import proc
from minicontainer.linux.files import remove_tree
from minicontainer.quickjson import line, parse
from minicontainer.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minicontainer.runtime.channel import Channel


def state_root() -> str:
    """Where all state lives: $MINICONTAINER_ROOT, or /var/lib/minicontainer for root, or the user's own folder."""
    if chosen := os.environ.get("MINICONTAINER_ROOT"):
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/var/lib/minicontainer"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "minicontainer")


def new_id() -> str:
    """64 hexadecimal digits, as Docker's container ids."""
    return os.urandom(32).hex()


class Container:
    """One container. `spec` is its description, `dir` its directory (made by `create`)."""

    def __init__(self, id: str, spec: Spec, dir: str, bundle: str = "") -> None:
        self.id = id
        self.spec = spec
        self.dir = dir
        self.bundle = bundle or dir
        self.record: dict[str, Any] = {"id": id, "status": "creating", "pid": 0, "bundle": self.bundle}
        self._lock = -1
        # What lives only as long as the process that starts the container:
        self.channel: Channel = None  # type: ignore[assignment]  # the hand-shake with its first process
        self.trampoline = -1  # the program that executes the container's own
        self.root_fd = -1  # its root, in the child, before the pivot

    @property
    def short_id(self) -> str:
        """The first 12 digits: what people see, and the tail of names on the host (cgroup, veth)."""
        return self.id[:12]

    @property
    def root(self) -> str:
        """The absolute path of the root filesystem that the spec names."""
        return os.path.normpath(os.path.join(self.bundle, self.spec.root.path))

    def path(self, *names: str) -> str:
        """A path inside the container's directory."""
        return os.path.join(self.dir, *names)

    # -- on disk ------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the directory and take its lock. Raises StateError if the id or the name is taken."""
        folder = os.path.dirname(self.dir)
        os.makedirs(folder, 0o700, exist_ok=True)
        turn = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Nobody else takes a name until ours can be seen; and no cleanup finds us between mkdir and lock.
            name = self.spec.minicontainer.name
            fcntl.flock(turn, fcntl.LOCK_EX if name else fcntl.LOCK_SH)
            if name and any(name == other.spec.minicontainer.name for other in all_containers(folder)):
                raise StateError(f"the name {name} is taken", "choose another, or end the container that has it")
            try:
                os.mkdir(self.dir, 0o700)
            except FileExistsError:
                raise StateError(f"container {self.id} exists already", "choose another id") from None
            self.lock()
            try:
                self.spec.save(self.path("config.json"))
                self.save()
            except BaseException:
                remove_tree(self.dir)
                raise
        finally:
            os.close(turn)

    def lock(self) -> bool:
        """Take the container's lock; False if another process has it."""
        self._lock = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            return False
        return True

    def unlock(self) -> None:
        """Let go of it."""
        os.close(self._lock)
        self._lock = -1

    def save(self, **changes: Any) -> None:
        """Replace state.json atomically by the record with `changes`."""
        self.record.update(changes)
        temporary = self.path("state.json.new")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(line(self.record))
        os.rename(temporary, self.path("state.json"))

    @classmethod
    def load(cls, dir: str) -> Container:
        """The container in the directory `dir`. Raises StateError or SpecError if it is not whole."""
        try:
            with open(os.path.join(dir, "state.json"), encoding="utf-8") as file:
                record = parse(file.read())
            id, bundle = record["id"], record["bundle"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateError(f"{dir} holds no container: {error}") from None
        container = cls(id, Spec.load(os.path.join(dir, "config.json")), dir, bundle)
        container.record = record
        return container

    # -- alive --------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The pid of the container's first process on the host, or 0 if it is not running."""
        pid = self.record["pid"]
        return pid if pid and proc.start_time(pid) == self.record.get("start_time") else 0


def all_containers(folder: str = "") -> list[Container]:
    """Every container with a whole directory (below `folder`; by default ours), in the order of their ids."""
    folder = folder or os.path.join(state_root(), "containers")
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            found.append(Container.load(os.path.join(folder, name)))
        except (StateError, SpecError):
            continue  # being made or being removed at this moment, or left by a crash
    return found


def find(name: str) -> Container:
    """The running or stopped container with that name, id, or unique beginning of an id."""
    containers = all_containers()
    for container in containers:
        if name in (container.id, container.spec.minicontainer.name):
            return container
    matches = [container for container in containers if name and container.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    raise StateError(f"{len(matches)} containers match {name!r}" if matches else f"no such container: {name}")
