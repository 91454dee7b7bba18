"""Devices of the host, for the container: `--device`, `--device-cgroup-rule`, and the limits of block devices.

A device node is a name for a pair of numbers (major, minor); who may open it is decided twice, by the
node's permissions and by the cgroup's device rules. So each device that is let in is a node and a rule.

    ls -l /dev; cat /proc/devices
"""

from __future__ import annotations

import os
import stat

from minicontainer.engine.parse import Invalid, absolute, byte_size, integer
from minicontainer.errors import UsageError
from minicontainer.spec import Device, DeviceRule, ThrottleDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    DeviceRequest = tuple[str, str, str]
    """Path on the host, path in the container, access as some of r, w, m."""

ON_DEV = ("/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev")
"""Places in the host's /dev whose like the container has of its own."""


# -- reading ------------------------------------------------------------------------------------


def device(text: str) -> DeviceRequest:
    """`HOST[:CONTAINER[:rwm]]`; the second word may be the access if it is nothing but r, w and m."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise Invalid("is not a device", "write HOST_PATH[:CONTAINER_PATH[:rwm]], as in /dev/kvm")
    if len(parts) == 2 and is_access(parts[1]):
        parts.insert(1, parts[0])
    host, inside, access = (*parts, *(parts[0], "rwm")[len(parts) - 1 :])
    if not is_access(access):
        raise Invalid(f"has an unknown access {access!r}", "use r, w and m for reading, writing and mknod")
    return absolute(host), absolute(inside), access


def is_access(text: str) -> bool:
    """Whether `text` is some of r, w, m, each once."""
    return bool(text) and not set(text) - set("rwm") and len(set(text)) == len(text)


def device_rule(text: str) -> DeviceRule:
    """`c 42:* rwm`: type (a, b, c), major and minor number or *, access."""
    fields = text.split(" ")
    major, _, minor = fields[1].partition(":") if len(fields) == 3 else ("", "", "")
    numbers = [n if n == "*" else n if n.isascii() and n.isdigit() and len(n) < 8 else "" for n in (major, minor)]
    if len(fields) != 3 or fields[0] not in ("a", "b", "c") or not all(numbers) or not is_access(fields[2]):
        raise Invalid("is not a device rule", "write TYPE MAJOR:MINOR ACCESS, as in 'c 42:* rwm'")
    low, high = (None if n == "*" else int(n) for n in numbers)
    return DeviceRule(allow=True, type=fields[0], major=low, minor=high, access=fields[2])


def throttle(read_rate: Callable[[str], int]) -> Callable[[str], tuple[str, int]]:
    """A reader of `PATH:RATE`."""

    def read(text: str) -> tuple[str, int]:
        path, _, rate = text.rpartition(":")
        if not path.startswith("/"):
            raise Invalid("is not PATH:RATE", "write a block device and a rate, as in /dev/sda:1m")
        try:
            number = read_rate(rate)
        except Invalid as error:
            raise Invalid(f"has a rate that {error.cause}", error.remedy) from None
        if number < 1:
            raise Invalid("has a rate below 1", "leave the option out for no limit")
        return path, number

    return read


throttle_bytes = throttle(byte_size)
throttle_operations = throttle(integer)


# -- looking them up ----------------------------------------------------------------------------


def requested(requests: list[DeviceRequest]) -> tuple[list[Device], list[DeviceRule]]:
    """Nodes and rules for `--device`; a directory stands for all devices in it. Raises UsageError."""
    devices, rules = [], []
    for host, inside, access in requests:
        found = list(below(host, inside))
        if not found:
            raise UsageError(f"--device {host!r} is no device", "name a device node, or a directory that has some")
        for node in found:
            devices.append(node)
            rules.append(DeviceRule(allow=True, type=node.type, major=node.major, minor=node.minor, access=access))
    return devices, rules


def below(host: str, inside: str) -> list[Device]:
    """The device at `host`, or those in the directory, as nodes at `inside`."""
    try:
        info = os.stat(host)
        if not stat.S_ISDIR(info.st_mode):
            return [node(inside, info)] if is_device(info) else []
        names = sorted(os.listdir(host))
    except OSError as error:
        raise UsageError(f"--device {host!r}: {error.strerror}", "see `ls -l /dev` for what there is") from None
    found = []
    for name in names:
        path = f"{host.rstrip('/')}/{name}"
        try:
            info = os.lstat(path)
        except OSError:
            continue  # unplugged at this moment
        if path not in ON_DEV and (is_device(info) or stat.S_ISDIR(info.st_mode)):
            found += below(path, f"{inside.rstrip('/')}/{name}")
    return found


def source(inside: str, bound: dict[str, str]) -> str:
    """The host's path of the device that is to be at `inside`; `bound` is container path -> host path."""
    for place, host in bound.items():
        if inside == place or inside.startswith(place.rstrip("/") + "/"):
            return host + inside[len(place) :]
    return inside


def of_host() -> list[Device]:
    """All of the host's devices, for `--privileged`."""
    return [device for device in below("/dev", "/dev") if device.path != "/dev/console"]


def is_device(info: os.stat_result) -> bool:
    """Whether it is a character or a block device."""
    return stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)


def node(path: str, info: os.stat_result) -> Device:
    """The record of a device node like `info`, to be made at `path`."""
    return Device(
        type="b" if stat.S_ISBLK(info.st_mode) else "c",
        path=path,
        major=os.major(info.st_rdev),
        minor=os.minor(info.st_rdev),
        file_mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
    )


def throttled(option: str, limits: list[tuple[str, int]]) -> list[ThrottleDevice]:
    """Rates by device number. Raises UsageError for what is not a block device."""
    result = []
    for path, rate in limits:
        try:
            info = os.stat(path)
        except OSError as error:
            raise UsageError(f"{option} {path!r}: {error.strerror}", "`lsblk -p` lists block devices") from None
        if not stat.S_ISBLK(info.st_mode):
            raise UsageError(f"{option} {path!r} is no block device", "`lsblk -p` lists them")
        result.append(ThrottleDevice(major=os.major(info.st_rdev), minor=os.minor(info.st_rdev), rate=rate))
    return result
