"""What a user may ask of a container: `docker run`'s options, already read and typed.

The command line fills one of these from words, a daemon would from its client's JSON. Nothing here
is checked against anything else; `minicontainer.engine.checks` does that, and
`minicontainer.engine.create` makes the OCI spec.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.engine.devices import DeviceRequest
    from minicontainer.engine.mounts import Volume
    from minicontainer.spec import DeviceRule, Port, Rlimit, TimeOffsets


class Options:
    """One request. The names are those of the long options; None and empty mean that nothing was said."""

    def __init__(self) -> None:
        self.root = ""
        self.command: list[str] = []

        # the process
        self.interactive: bool | None = None
        self.tty: bool | None = None
        self.rm = True
        self.name = ""
        self.env: list[str] = []
        self.env_file: list[str] = []
        self.workdir = ""
        self.user = ""
        self.group_add: list[str] = []
        self.entrypoint: str | None = None
        self.init = False
        self.stop_signal = ""
        self.ulimit: list[Rlimit] = []
        self.oom_score_adj: int | None = None
        self.label: list[tuple[str, str]] = []
        self.annotation: list[tuple[str, str]] = []

        # files
        self.mounts: list[Volume] = []
        self.read_only = False
        self.shm_size = 0
        self.keep = ""

        # limits: bytes, nano-CPUs (10**9 is one), microseconds, (device path, rate a second)
        self.memory = 0
        self.memory_swap = 0
        self.memory_reservation = 0
        self.pids_limit: int | None = None
        self.cpus = 0
        self.cpu_shares = 0
        self.cpu_period = 0
        self.cpu_quota = 0
        self.cpuset_cpus = ""
        self.cpuset_mems = ""
        self.blkio_weight = 0
        self.device_read_bps: list[tuple[str, int]] = []
        self.device_write_bps: list[tuple[str, int]] = []
        self.device_read_iops: list[tuple[str, int]] = []
        self.device_write_iops: list[tuple[str, int]] = []

        # network
        self.network = ""
        self.publish: list[Port] = []
        self.hostname = ""
        self.domainname = ""
        self.dns: list[str] = []
        self.dns_search: list[str] = []
        self.dns_option: list[str] = []
        self.add_host: list[str] = []

        # rights
        self.privileged = False
        self.hardened = False
        self.cap_add: list[str] = []
        self.cap_drop: list[str] = []
        self.security_opt: list[tuple[str, str]] = []
        self.device: list[DeviceRequest] = []
        self.device_cgroup_rule: list[DeviceRule] = []
        self.sysctl: list[tuple[str, str]] = []

        # namespaces and walls
        self.userns = ""
        self.pid = ""
        self.ipc = ""
        self.uts = ""
        self.cgroupns = ""
        self.cgroup_parent = ""
        self.time_offset: TimeOffsets | None = None
        self.only: list[str] = []
        self.without: list[str] = []

        # telling what is done
        self.explain = ""
        self.explain_to = ""
        self.step = False
        self.as_shell = False

    @property
    def own_network(self) -> bool:
        """Whether the container gets a network namespace of its own."""
        return self.network != "host" and not self.network.startswith("container:")
