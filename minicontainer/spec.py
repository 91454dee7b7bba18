"""What a container should be: the OCI runtime specification's config.json as plain objects.

    https://github.com/opencontainers/runtime-spec/blob/main/config.md

Nothing here starts anything. Each class is one JSON object of the specification, each attribute a
property of it under the same name (`no_new_privileges` is `noNewPrivileges`). Unknown properties
are ignored, as the specification demands, and that leaves room for our own: what it has no words
for (a writable layer, published ports) stands in one top-level property, `minicontainer`. Other
runtimes pass over it, so our bundles are theirs too.
"""

from __future__ import annotations

from minicontainer.errors import SpecError
from minicontainer.quickjson import parse, serialise
from minicontainer.records import Record, many, maybe, one, plain

# -- process ------------------------------------------------------------------------------------


class User(Record):
    """config.md#user. `umask` None leaves 0022."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: list[int] = plain(list)


class ConsoleSize(Record):
    """Terminal size in characters."""

    height: int = 0
    width: int = 0


class Rlimit(Record):
    """One resource limit, `RLIMIT_NOFILE` for example. 2**64-1 and -1 mean unlimited."""

    type: str = ""
    soft: int = 0
    hard: int = 0


class Capabilities(Record):
    """The five sets of capabilities(7), by name (`CAP_CHOWN`)."""

    bounding: list[str] = plain(list)
    effective: list[str] = plain(list)
    permitted: list[str] = plain(list)
    inheritable: list[str] = plain(list)
    ambient: list[str] = plain(list)


class Process(Record):
    """config.md#process: what is executed, as whom, with which limits."""

    terminal: bool = False
    console_size: ConsoleSize | None = maybe(ConsoleSize)
    cwd: str = "/"
    env: list[str] = plain(list)
    args: list[str] = plain(list)
    user: User = one(User)
    capabilities: Capabilities | None = maybe(Capabilities)
    rlimits: list[Rlimit] = many(Rlimit)
    no_new_privileges: bool = False
    oom_score_adj: int | None = None


# -- file systems -------------------------------------------------------------------------------


class Root(Record):
    """config.md#root. `path` is absolute or relative to the bundle."""

    path: str = "rootfs"
    readonly: bool = False


class Mount(Record):
    """config.md#mounts. `options` are those of mount(8): `ro`, `rbind`, `mode=755`."""

    destination: str = ""
    type: str = ""
    source: str = ""
    options: list[str] = plain(list)


# -- linux --------------------------------------------------------------------------------------


class Namespace(Record):
    """config-linux.md#namespaces. With a `path` that namespace is joined, else a new one is made."""

    type: str = ""
    path: str = ""


class IDMapping(Record):
    """config-linux.md#user-namespace-mappings: `size` ids from `container_id` on are `host_id` on outside."""

    json_names = {"container_id": "containerID", "host_id": "hostID"}

    container_id: int = 0
    host_id: int = 0
    size: int = 1


class TimeOffset(Record):
    """config-linux.md#offset-for-time-namespace."""

    secs: int = 0
    nanosecs: int = 0


class TimeOffsets(Record):
    monotonic: TimeOffset | None = maybe(TimeOffset)
    boottime: TimeOffset | None = maybe(TimeOffset)


class Device(Record):
    """config-linux.md#devices: a node to be made. `type` is c, b, u or p; `file_mode` a number."""

    type: str = "c"
    path: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int = 0
    gid: int = 0


class DeviceRule(Record):
    """config-linux.md#allowed-device-list: access is some of r, w, m. None means any."""

    allow: bool = False
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Memory(Record):
    """Bytes; -1 is unlimited. `swap` is memory plus swap, as in cgroup v1."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None


class Cpu(Record):
    """`shares` in v1 units (1024 is one share); `quota` and `period` in microseconds; cpus, mems as `0-2,4`."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    cpus: str = ""
    mems: str = ""


class Pids(Record):
    """The greatest number of tasks; 0 or less is unlimited."""

    limit: int = 0


class ThrottleDevice(Record):
    """`rate` in bytes or operations a second."""

    major: int = 0
    minor: int = 0
    rate: int = 0


class BlockIO(Record):
    json_names = {
        "throttle_read_iops_device": "throttleReadIOPSDevice",
        "throttle_write_iops_device": "throttleWriteIOPSDevice",
    }

    weight: int | None = None
    throttle_read_bps_device: list[ThrottleDevice] = many(ThrottleDevice)
    throttle_write_bps_device: list[ThrottleDevice] = many(ThrottleDevice)
    throttle_read_iops_device: list[ThrottleDevice] = many(ThrottleDevice)
    throttle_write_iops_device: list[ThrottleDevice] = many(ThrottleDevice)


class Resources(Record):
    """config-linux.md#control-groups. `unified` is cgroup v2 file name -> content."""

    json_names = {"block_io": "blockIO"}

    devices: list[DeviceRule] = many(DeviceRule)
    memory: Memory = one(Memory)
    cpu: Cpu = one(Cpu)
    pids: Pids | None = maybe(Pids)
    block_io: BlockIO = one(BlockIO)
    unified: dict[str, str] = plain(dict)


class SyscallArg(Record):
    """One comparison of a system call's argument; `value_two` is the mask's right side."""

    index: int = 0
    value: int = 0
    value_two: int = 0
    op: str = ""


class SyscallRule(Record):
    names: list[str] = plain(list)
    action: str = ""
    errno_ret: int | None = None
    args: list[SyscallArg] = many(SyscallArg)


class Seccomp(Record):
    """config-linux.md#seccomp."""

    default_action: str = ""
    default_errno_ret: int | None = None
    architectures: list[str] = plain(list)
    flags: list[str] = plain(list)
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: list[SyscallRule] = many(SyscallRule)


class Linux(Record):
    namespaces: list[Namespace] = many(Namespace)
    uid_mappings: list[IDMapping] = many(IDMapping)
    gid_mappings: list[IDMapping] = many(IDMapping)
    time_offsets: TimeOffsets = one(TimeOffsets)
    devices: list[Device] = many(Device)
    cgroups_path: str = ""
    resources: Resources = one(Resources)
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = maybe(Seccomp)
    sysctl: dict[str, str] = plain(dict)
    masked_paths: list[str] = plain(list)
    readonly_paths: list[str] = plain(list)
    mount_label: str = ""


# -- ours ---------------------------------------------------------------------------------------


class Overlay(Record):
    """A writable layer over the root. `keep` is the directory that receives it, or empty: dropped at exit."""

    keep: str = ""


class Port(Record):
    """A published port: `host_ip:host_port` outside reaches `container_port` inside. Host port 0: any free one.

    With `host_port_last` the first free one from `host_port` up to that.
    """

    container_port: int = 0
    host_port: int = 0
    host_port_last: int = 0
    host_ip: str = ""
    protocol: str = "tcp"


class Network(Record):
    """`mode` is none, host, bridge or container:NAME; empty: none, and /etc/hosts and so on stay the rootfs' own.

    `hosts` are lines `NAME:IP`; `dns` are addresses.
    """

    mode: str = ""
    ports: list[Port] = many(Port)
    dns: list[str] = plain(list)
    dns_search: list[str] = plain(list)
    dns_options: list[str] = plain(list)
    hosts: list[str] = plain(list)


class Extension(Record):
    """The `minicontainer` property: what the specification has no words for."""

    name: str = ""
    overlay: Overlay | None = maybe(Overlay)
    network: Network = one(Network)
    init: bool = False
    rootless: bool = False
    without: list[str] = plain(list)
    labels: dict[str, str] = plain(dict)
    stop_signal: str = ""


class Spec(Record):
    """The whole of config.json."""

    oci_version: str = "1.2.0"
    process: Process = one(Process)
    root: Root = one(Root)
    hostname: str = ""
    domainname: str = ""
    mounts: list[Mount] = many(Mount)
    annotations: dict[str, str] = plain(dict)
    linux: Linux = one(Linux)
    minicontainer: Extension = one(Extension)

    @classmethod
    def load(cls, path: str) -> Spec:
        """The spec in the file `path`. Raises SpecError with every problem that a type check finds."""
        problems: list[str] = []
        try:
            with open(path, encoding="utf-8") as file:
                spec = cls.from_json(parse(file.read()), problems)
        except OSError as error:
            raise SpecError(f"cannot read {path}: {error.strerror}", "a bundle is a folder with config.json") from None
        except ValueError as error:
            raise SpecError(f"{path} is not JSON: {error}") from None
        if problems:
            raise SpecError(f"{path}: " + "; ".join(problems))
        return spec

    def save(self, path: str) -> None:
        """Write config.json to `path`."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(serialise({"ociVersion": self.oci_version, **self.to_json()}))

    def namespace(self, kind: str) -> Namespace | None:
        """The namespace of that type (`pid`, `network`, `mount`, …) if the container has its own or joins one."""
        return next((n for n in self.linux.namespaces if n.type == kind), None)
