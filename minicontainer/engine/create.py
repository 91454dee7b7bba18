"""From Docker's options to an OCI spec: `build_spec`, a straight list of steps over one record.

    cat /var/lib/minicontainer/containers/ID/config.json        the result, while the container runs

Each step fills its part of the spec. The order is that of need: who the user is decides the home
directory in the environment, which namespaces are the container's own decides what may be set in them.
"""

from __future__ import annotations

import os

from minicontainer import defaults
from minicontainer.engine import checks, devices, mounts, namespaces, users
from minicontainer.engine.environment import environment
from minicontainer.engine.mounts import Volume
from minicontainer.errors import CommandNotFound, UsageError
from minicontainer.isolation import limits
from minicontainer.linux import capability
from minicontainer.linux.proc import is_user_mode_linux
from minicontainer.profiles import docker
from minicontainer.spec import Capabilities, DeviceRule, Mount, Overlay, Pids, Root, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.engine.options import Options
    from minicontainer.spec import Seccomp


def build_spec(options: Options, root: str, id: str, make_sources: bool = True) -> Spec:
    """The description of the container `id` on the root filesystem `root`, as `options` ask for it.

    Missing sources of volumes are made on the way, last, if `make_sources`. Raises UsageError, SpecError,
    StateError, UnsupportedError; then nothing was made.
    """
    checks.check(options)
    spec = Spec(root=Root(path=os.path.abspath(root)), mounts=defaults.mounts())
    spec.minicontainer.rootless = os.geteuid() != 0
    own_words(spec, options)
    namespaces.set_namespaces(spec, options, id)
    names(spec, options, id)
    process(spec, options, root)
    rights(spec, options)
    network(spec, options)
    files(spec, options, root)
    device_nodes(spec, options)
    resources(spec, options)
    limits.check(spec.linux.resources)
    if make_sources:
        mounts.make_sources(options.mounts)
    return spec


def own_words(spec: Spec, o: Options) -> None:
    """What the specification has no words for."""
    ours = spec.minicontainer
    ours.name, ours.init, ours.stop_signal = o.name, o.init, o.stop_signal
    ours.labels = dict(o.label)
    ours.overlay = Overlay(keep=os.path.abspath(o.keep) if o.keep else "")
    spec.annotations = dict(o.annotation)


def names(spec: Spec, o: Options, id: str) -> None:
    """Host and domain name, and where the control group goes."""
    if spec.namespace("uts"):
        spec.hostname = o.hostname or id[:12]
        spec.domainname = o.domainname
    if o.cgroup_parent:
        spec.linux.cgroups_path = os.path.normpath("/" + o.cgroup_parent) + "/" + id


# -- the process --------------------------------------------------------------------------------


def process(spec: Spec, o: Options, root: str) -> None:
    """The command, its user, its environment."""
    program = spec.process
    program.args = [o.entrypoint, *o.command] if o.entrypoint else o.command or [defaults.COMMAND]
    if not program.args[0]:
        raise CommandNotFound("the command is an empty word", "name a program, or none at all for " + defaults.COMMAND)
    program.cwd = o.workdir or "/"
    program.terminal = bool(o.tty)
    program.oom_score_adj = o.oom_score_adj
    program.rlimits = list({limit.type: limit for limit in o.ulimit}.values())
    place = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        home = users.look_up(place, o.user, o.group_add, program.user)
    finally:
        os.close(place)
    if spec.minicontainer.rootless and len(spec.linux.gid_mappings) == 1:
        if o.group_add:
            raise UsageError("--group-add needs more than one group id", "ask root for a range in /etc/subgid")
        program.user.additional_gids = []  # with one mapped id the kernel takes setgroups(2) away
    program.env = environment(o, spec.hostname or os.uname().nodename, home)


def rights(spec: Spec, o: Options) -> None:
    """Capabilities, no_new_privs, seccomp, masks."""
    program, down = spec.process, spec.minicontainer.without
    security = dict(o.security_opt)
    program.no_new_privileges = security.get("no-new-privileges", "true" if o.hardened else "false") == "true"
    if "no_new_privs" in down:
        program.no_new_privileges = False
    held = capabilities(o)
    program.capabilities = Capabilities(bounding=held, effective=held, permitted=held)
    if not o.privileged:
        spec.linux.masked_paths = [*defaults.MASKED_PATHS, *thermal_throttles()]
        spec.linux.readonly_paths = list(defaults.READONLY_PATHS)
    profile = security.get("seccomp", "unconfined" if o.privileged else "")
    if profile != "unconfined" and "seccomp" not in down:
        spec.linux.seccomp = seccomp(profile, o.hardened, held)


def capabilities(o: Options) -> list[str]:
    """The names that stay: Docker's rules for --cap-add and --cap-drop, ALL included, in the kernel's order."""
    known = capability.names(capability.supported())
    if o.privileged:
        return known
    held = set(() if o.hardened or "ALL" in o.cap_drop else defaults.CAPABILITIES)
    held = set(known) - set(o.cap_drop) if "ALL" in o.cap_add else (held - set(o.cap_drop)) | set(o.cap_add)
    if unknown := held - set(known):
        raise UsageError(f"this kernel has no {min(unknown)}", "leave it out")
    return [name for name in known if name in held]


def seccomp(profile: str, hardened: bool, held: list[str]) -> Seccomp:
    """The filter of system calls: of the file `profile`, or our own."""
    if profile:
        return docker.load(profile, held)
    return docker.built_in("hardened" if hardened else "default", held)


def thermal_throttles() -> list[str]:
    """A directory for each CPU that has one."""
    folder, below = defaults.THERMAL_THROTTLE
    try:
        cpus = sorted(name for name in os.listdir(folder) if name[:3] == "cpu" and name[3:].isdigit())
    except OSError:
        return []
    return [path for cpu in cpus if os.path.exists(path := f"{folder}/{cpu}/{below}")]


# -- files --------------------------------------------------------------------------------------


def files(spec: Spec, o: Options, root: str) -> None:
    """What is mounted, and what may be written."""
    spec.root.readonly = o.read_only or o.hardened
    volumes = list(o.mounts)
    taken = {asked.mount.destination for asked in volumes}
    if o.hardened:
        volumes += [
            Volume(mounts.tmpfs_mount(place, words.split(",")))
            for place, words in defaults.HARDENED_TMPFS
            if place not in taken
        ]
    shared_memory(spec, o)
    for entry in spec.mounts:
        if o.privileged and entry.type in ("sysfs", "cgroup"):
            entry.options.remove("ro")
    namespaces.borrow_mounts(spec)
    mounts.add_volumes(spec, volumes, root)


def shared_memory(spec: Spec, o: Options) -> None:
    """/dev/shm goes with the ipc namespace: the host's if that is shared, none for `--ipc none`, else its own."""
    shm = next(entry for entry in spec.mounts if entry.destination == "/dev/shm")
    if not spec.namespace("ipc"):
        shm.type, shm.source, shm.options = "bind", "/dev/shm", ["rbind", "rprivate"]
    elif o.ipc == "none":
        spec.mounts.remove(shm)
    else:
        shm.options.append(f"size={o.shm_size or defaults.SHM_SIZE}")


def device_nodes(spec: Spec, o: Options) -> None:
    """The standard nodes, and those that were asked for, with the rules to open them."""
    linux = spec.linux
    linux.devices = defaults.devices()
    asked, rules = devices.requested(o.device)
    linux.resources.devices = [DeviceRule(allow=o.privileged), *rules, *o.device_cgroup_rule]
    asked = (devices.of_host() if o.privileged else []) + asked
    if spec.namespace("user"):
        # Nobody may make device nodes in a user namespace, but the host's own can be bound. (Read only is the
        # node, its mode and owner; not the device.)
        bound = {inside: host for host, inside, _ in o.device}
        spec.mounts += [
            Mount(destination=node.path, type="bind", source=devices.source(node.path, bound), options=["bind", "ro"])
            for node in asked
        ]
        return
    places = {node.path: node for node in [*linux.devices, *asked]}
    linux.devices = list(places.values())


# -- limits and network -------------------------------------------------------------------------


def resources(spec: Spec, o: Options) -> None:
    """What the control group limits."""
    to = spec.linux.resources
    to.memory.limit = o.memory or None
    to.memory.swap = o.memory_swap or (2 * o.memory if o.memory > 0 else None)
    to.memory.reservation = o.memory_reservation or None
    to.cpu.shares = o.cpu_shares or None
    to.cpu.quota = limits.quota(o.cpus / 10**9) if o.cpus else o.cpu_quota or None
    to.cpu.period = limits.DEFAULT_PERIOD if o.cpus else o.cpu_period or None
    to.cpu.cpus, to.cpu.mems = o.cpuset_cpus, o.cpuset_mems
    to.block_io.weight = o.blkio_weight or None
    to.block_io.throttle_read_bps_device = devices.throttled("--device-read-bps", o.device_read_bps)
    to.block_io.throttle_write_bps_device = devices.throttled("--device-write-bps", o.device_write_bps)
    to.block_io.throttle_read_iops_device = devices.throttled("--device-read-iops", o.device_read_iops)
    to.block_io.throttle_write_iops_device = devices.throttled("--device-write-iops", o.device_write_iops)
    available = available_controllers() if "cgroup" not in spec.minicontainer.without else []
    if o.pids_limit is not None:
        to.pids = Pids(limit=o.pids_limit if o.pids_limit > 0 else -1)
    elif "pids" in available:
        to.pids = Pids(limit=defaults.HARDENED_PIDS_LIMIT if o.hardened else defaults.PIDS_LIMIT)
    if o.hardened and not o.memory and "memory" in available:
        to.memory.limit = to.memory.swap = defaults.HARDENED_MEMORY


def available_controllers() -> list[str]:
    """The cgroup v2 controllers that a container could get."""
    from minicontainer.linux import cgroup2

    group = cgroup2.top()
    return cgroup2.controllers(group) if group else []


def network(spec: Spec, o: Options) -> None:
    """Which network, and the kernel's settings for it."""
    to = spec.minicontainer.network
    own = spec.namespace("network")
    to.mode = o.network or default_network(spec, o) if own else "host"
    if o.publish and to.mode == "none":
        raise UsageError("--publish needs a network", "--network bridge gives it one, --network none does not")
    if own and not own.path:
        to.ports, to.dns, to.hosts = list(o.publish), list(o.dns), list(o.add_host)
        to.dns_search, to.dns_options = list(o.dns_search), list(o.dns_option)
        unset = "net.ipv4.ping_group_range" if spec.namespace("user") else ""
        spec.linux.sysctl = {name: value for name, value in defaults.SYSCTLS if name != unset}
    for name, value in o.sysctl:
        kind = "network" if name.startswith("net.") else "ipc"
        space = spec.namespace(kind)
        if not space or space.path:
            raise UsageError(f"--sysctl {name} would change a {kind} namespace that is shared", "leave it out")
        spec.linux.sysctl[name] = value


def default_network(spec: Spec, o: Options) -> str:
    """Docker's bridge for root; an ordinary user has one only through a helper; in the lab it takes seconds to load."""
    if o.hardened:
        return "none"
    if spec.minicontainer.rootless:
        from minicontainer.isolation.usernet import rootless_tool

        return "bridge" if rootless_tool() else "none"
    return "none" if is_user_mode_linux() else "bridge"


# -- what should be said ------------------------------------------------------------------------


def notes(spec: Spec, o: Options) -> list[str]:
    """What the user should hear before the container starts, one line each."""
    said = []
    if o.privileged:
        said.append("--privileged: no seccomp, no masks, all capabilities, all devices; root inside is root outside")
    if spec.minicontainer.without:
        said.append("walls down: " + ", ".join(spec.minicontainer.without) + "; what is behind them is in reach")
    if o.publish and spec.minicontainer.network.mode == "host":
        said.append("--publish means nothing with the host's network; its ports are the host's already")
    if not o.network and not o.hardened and spec.minicontainer.network.mode == "none" and spec.namespace("network"):
        said.append(f"no network but loopback: {'; '.join(no_network(spec))}")
    return said


def no_network(spec: Spec) -> tuple[str, ...]:
    """Why the container has none by default, and what to do about it."""
    if spec.minicontainer.rootless:
        from minicontainer.isolation.usernet import obstacle

        return obstacle() or ()
    return ("in the lab a bridge takes some seconds to load", "--network bridge makes one")
