"""The options of `minicontainer run`, as data: Docker's names, with Docker's meanings.

Three things are made of this one table: the quick parser of the command line (`cli.quick`), the help
with its panels and the shell completion (`cli.app`), and the README's table (`cli.reference`).
(typer takes 70 ms to import; a container starts in about 30.)

https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

from minicontainer.engine import parse
from minicontainer.engine.devices import device, device_rule, throttle_bytes, throttle_operations
from minicontainer.engine.mounts import mount, tmpfs, volume
from minicontainer.engine.ports import ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Option:
    """One option. Without `metavar` it is a flag; `field` is the attribute of engine.options.Options that it fills.

    `read` turns the text into the value (and raises engine.parse.Invalid); with `many` each use adds one.
    """

    __slots__ = ("field", "help", "many", "metavar", "names", "read")

    def __init__(
        self,
        *names: str,
        help: str,
        metavar: str = "",
        read: Callable[[str], Any] = str,
        many: bool = False,
        field: str = "",
    ) -> None:
        self.names = names
        self.help = help
        self.metavar = metavar
        self.read = parse.boolean if read is str and not metavar else read
        self.many = many
        self.field = field or names[-1].lstrip("-").replace("-", "_")


def explanation(text: str) -> str:
    """The form that `--explain=FORM` asks for; `--explain` leaves it to the place that it is told to."""
    if text in ("true", "false"):
        return "auto" if text == "true" else ""
    return parse.choice("auto", "plain", "rich", "json")(text)


PROCESS = (
    Option("-i", "--interactive", help="Attach standard input (the default for a root filesystem)."),
    Option("-t", "--tty", help="Give it a terminal (the default, with -i, when we have one)."),
    Option("--rm", help="Remove the container when it ends (always so here)."),
    Option("--name", metavar="NAME", read=parse.name, help="Its name."),
    Option("-e", "--env", metavar="NAME=VALUE", read=parse.assignment, many=True,
           help="Set a variable; NAME alone passes ours on."),
    Option("--env-file", metavar="FILE", many=True, help="Set the variables that FILE lists."),
    Option("-w", "--workdir", metavar="DIR", read=parse.absolute, help="Start in DIR, made if missing."),
    Option("-u", "--user", metavar="USER[:GROUP]", read=parse.user, help="Run as this user, by name or number."),
    Option("--group-add", metavar="GROUP", many=True, help="Add a group to the user's."),
    Option("--entrypoint", metavar="PROGRAM", help="Put PROGRAM before the command."),
    Option("--init", help="Run an init as process 1 that passes signals on and reaps orphans."),
    Option("--stop-signal", metavar="SIGNAL", read=parse.signal, help="The signal that asks it to stop."),
    Option("--ulimit", metavar="NAME=SOFT[:HARD]", read=parse.ulimit, many=True,
           help="Set a resource limit: nofile, nproc, …"),
    Option("--oom-score-adj", metavar="N", read=parse.between(-1000, 1000),
           help="How readily the kernel kills it when memory is short: -1000 to 1000."),
    Option("-l", "--label", metavar="KEY[=VALUE]", read=parse.pair, many=True, help="Attach a label."),
    Option("--annotation", metavar="KEY=VALUE", read=parse.pair, many=True, help="Attach an OCI annotation."),
)  # fmt: skip

FILES = (
    Option("-v", "--volume", metavar="SRC:DST[:OPTS]", read=volume, many=True, field="mounts",
           help="Show a directory or file of the host inside. OPTS: ro, rw, rslave, …"),
    Option("--mount", metavar="type=…,…", read=mount, many=True, field="mounts",
           help="The same in long form, or a tmpfs: type=bind|tmpfs,source=…,target=…,readonly"),
    Option("--tmpfs", metavar="DST[:OPTS]", read=tmpfs, many=True, field="mounts",
           help="An empty directory in memory. OPTS: size=64m, mode=1777, exec, …"),
    Option("--read-only", help="Make the root filesystem read-only."),
    Option("--shm-size", metavar="BYTES", read=parse.byte_size, help="The size of /dev/shm; 64m by default."),
    Option("--keep", metavar="DIR", help="Keep what it changes in DIR instead of dropping it."),
)  # fmt: skip

LIMITS = (
    Option("-m", "--memory", metavar="BYTES", read=parse.byte_size, help="Memory: 64m, 1.5g, …; at least 6m."),
    Option("--memory-swap", metavar="BYTES", read=parse.size_or_unlimited,
           help="Memory and swap together; -1 is unlimited, twice --memory the default."),
    Option("--memory-reservation", metavar="BYTES", read=parse.byte_size,
           help="Memory that is left to it when all is short."),
    Option("--pids-limit", metavar="N", read=parse.integer,
           help="Processes and threads; -1 is unlimited, 2048 the default."),
    Option("--cpus", metavar="N", read=parse.cpus, help="CPUs' worth of time: 0.5, 2, …"),
    Option("-c", "--cpu-shares", metavar="N", read=parse.between(2, 262144, zero=True),
           help="Share of CPU time when it is short; 1024 is the usual one."),
    Option("--cpu-period", metavar="N", read=parse.between(1000, 1_000_000, zero=True),
           help="The period that --cpu-quota is counted in, in microseconds."),
    Option("--cpu-quota", metavar="N", read=parse.integer, help="CPU time in each period, in microseconds."),
    Option("--cpuset-cpus", metavar="LIST", read=parse.cpuset, help="The CPUs it may run on: 0-2,4"),
    Option("--cpuset-mems", metavar="LIST", read=parse.cpuset, help="The memory nodes it may use."),
    Option("--blkio-weight", metavar="N", read=parse.between(10, 1000, zero=True),
           help="Share of disk time: 10 to 1000."),
    Option("--device-read-bps", metavar="PATH:BYTES", read=throttle_bytes, many=True,
           help="Bytes a second read from a disk."),
    Option("--device-write-bps", metavar="PATH:BYTES", read=throttle_bytes, many=True,
           help="Bytes a second written to it."),
    Option("--device-read-iops", metavar="PATH:N", read=throttle_operations, many=True, help="Reads a second."),
    Option("--device-write-iops", metavar="PATH:N", read=throttle_operations, many=True, help="Writes a second."),
)  # fmt: skip

NETWORK = (
    Option("--net", "--network", metavar="MODE", read=parse.choice("none", "host", "bridge", "container:"),
           help="none (loopback only), bridge (the default), host, or container:NAME."),
    Option("-p", "--publish", metavar="[[IP:]PORT:]PORT", read=ports, many=True,
           help="Open a port of the host to it: 8080:80, 127.0.0.1::53/udp, ranges."),
    Option("-h", "--hostname", metavar="NAME", read=parse.hostname, help="Its host name; the id by default."),
    Option("--domainname", metavar="NAME", read=parse.hostname, help="Its NIS domain name."),
    Option("--dns", metavar="IP", read=parse.ip_address, many=True, help="A name server."),
    Option("--dns-search", metavar="DOMAIN", read=parse.domain, many=True, help="A domain to search names in."),
    Option("--dns-option", metavar="OPTION", many=True, help="An option for resolv.conf(5)."),
    Option("--add-host", metavar="NAME:IP", read=parse.host_entry, many=True, help="A line for /etc/hosts."),
)  # fmt: skip

RIGHTS = (
    Option("--hardened", help="Hold it tighter: own user ids, no capabilities, read-only root, no network, …"),
    Option("--privileged", help="Let it do nearly all that root can; says loudly what falls."),
    Option("--cap-add", metavar="CAP", read=parse.capability, many=True, help="Give a capability: NET_ADMIN, …, ALL"),
    Option("--cap-drop", metavar="CAP", read=parse.capability, many=True, help="Take a capability: CHOWN, …, ALL"),
    Option("--security-opt", metavar="OPT", read=parse.security_option, many=True,
           help="seccomp=FILE, seccomp=unconfined or no-new-privileges"),
    Option("--device", metavar="HOST[:DST[:rwm]]", read=device, many=True, help="Let it use a device of the host."),
    Option("--device-cgroup-rule", metavar="RULE", read=device_rule, many=True,
           help="Allow devices by number: 'c 42:* rwm'"),
    Option("--sysctl", metavar="NAME=VALUE", read=parse.sysctl, many=True,
           help="Set a kernel setting of its own namespaces."),
)  # fmt: skip

WALLS = (
    Option("--userns", metavar="MODE", read=parse.userns,
           help="Own user ids: auto or UID:GID:COUNT; host for the host's."),
    Option("--pid", metavar="MODE", read=parse.choice("host", "container:"),
           help="Share processes: host or container:NAME."),
    Option("--ipc", metavar="MODE", read=parse.choice("private", "shareable", "none", "host", "container:"),
           help="private (the default), none (no /dev/shm), host or container:NAME."),
    Option("--uts", metavar="MODE", read=parse.choice("private", "host"), help="host shares the host's name."),
    Option("--cgroupns", metavar="MODE", read=parse.choice("private", "host"),
           help="host shows it the host's control groups."),
    Option("--cgroup-parent", metavar="PATH", help="Put its control group below this one."),
    Option("--time-offset", metavar="OFFSET", read=parse.time_offset,
           help="Shift its clocks since boot: +1h30m, or monotonic=-2d,boottime=3h"),
    Option("--only", metavar="WALLS", read=parse.words, many=True, help="Put up only these walls: uts,pid,…"),
    Option("--without", metavar="WALLS", read=parse.words, many=True, help="Leave these walls down."),
)  # fmt: skip

TELLING = (
    Option("--explain", read=explanation,
           help="Tell each call to the kernel as it is made: what it changes, and why. --explain=json for programs."),
    Option("--explain-to", metavar="FILE", help="Tell it to FILE instead of standard error."),
    Option("--step", help="Tell it, and wait for a key before each call: q goes on without, ^C stops."),
    Option("--as-shell", help="Print it as a shell script that needs nothing of ours, and run nothing."),
)  # fmt: skip

PANELS = (
    ("Process", PROCESS),
    ("Files", FILES),
    ("Limits", LIMITS),
    ("Network", NETWORK),
    ("Rights", RIGHTS),
    ("Namespaces and walls", WALLS),
    ("Telling", TELLING),
)

OPTIONS = {name: option for _, options in PANELS for option in options for name in option.names}
"""Each name with its option."""

ENGINES = "belongs to the engine, which keeps containers while nobody watches"
IMAGES = "is about images, and a root filesystem is a plain directory"
OLD = "is of another time or system: the kernel's cgroup v2 has nothing like it"

REFUSED = {
    name: why
    for why, names in (
        (
            ENGINES,
            "-d --detach --detach-keys -a --attach --restart --sig-proxy --cidfile --stop-timeout --log-driver "
            "--log-opt --link --network-alias --ip --ip6 --link-local-ip --mac-address --volumes-from --volume-driver "
            "--label-file --health-cmd --health-interval --health-retries --health-start-interval "
            "--health-start-period --health-timeout --no-healthcheck --runtime --gpus",
        ),
        (
            IMAGES,
            "-P --publish-all --expose --pull --platform -q --quiet --disable-content-trust --storage-opt "
            "--isolation --use-api-socket",
        ),
        (
            OLD,
            "--kernel-memory --memory-swappiness --oom-kill-disable --blkio-weight-device --cpu-rt-period "
            "--cpu-rt-runtime --cpu-count --cpu-percent --io-maxbandwidth --io-maxiops",
        ),
    )
    for name in names.split()
}
"""Options of `docker run` that are not here, and why."""
