"""`--publish`: [[IP:]HOST_PORT[-LAST]:]CONTAINER_PORT[-LAST][/tcp|udp|sctp], an IPv6 address in brackets.

https://docs.docker.com/engine/network/#published-ports
"""

from __future__ import annotations

from minicontainer.engine.parse import Invalid, is_ip_address
from minicontainer.spec import Port

PROTOCOLS = ("tcp", "udp", "sctp")
SHAPE = "write [[IP:]HOST_PORT:]CONTAINER_PORT[/tcp|udp|sctp], as in 8080:80 or 127.0.0.1:8080:80"


def ports(text: str) -> list[Port]:
    """The ports that one `--publish` means. Host port 0 is any free one.

    A range of host ports for one container port means the first free one of them; Port.host_port_last
    is its end.
    """
    addresses, _, protocol = text.rpartition("/") if "/" in text else (text, "", "tcp")
    if protocol.lower() not in PROTOCOLS:
        raise Invalid(f"has an unknown protocol {protocol!r}", "it can be tcp, udp or sctp")
    rest, _, inside = addresses.rpartition(":")
    ip, colon, outside = rest.rpartition(":")
    if ip.startswith("[") and ip.endswith("]"):
        ip = ip[1:-1]
    elif ":" in ip:
        raise Invalid("has too many colons", "put an IPv6 address in brackets, as in [::1]:8080:80")
    if (colon and not ip) or (ip and not is_ip_address(ip)):
        raise Invalid(f"has no IP address before the ports: {ip!r}", SHAPE)
    first, last = port_range(inside)
    host_first, host_last = port_range(outside) if outside.strip("0") else (0, 0)
    count, host_count = last - first + 1, host_last - host_first + 1
    protocol = protocol.lower()
    if host_first and count == 1 < host_count:
        return [
            Port(container_port=first, host_port=host_first, host_port_last=host_last, host_ip=ip, protocol=protocol)
        ]
    if host_first and count != host_count:
        raise Invalid(f"has {host_count} ports outside and {count} inside", "make the two ranges equally long")
    step = 1 if host_first else 0
    return [
        Port(container_port=first + i, host_port=host_first + i * step, host_ip=ip, protocol=protocol)
        for i in range(count)
    ]


def port_range(text: str) -> tuple[int, int]:
    """`80` -> (80, 80), `80-90` -> (80, 90)."""
    low, dash, high = text.partition("-")
    numbers = [int(n) if n.isascii() and n.isdigit() and len(n) < 6 else 0 for n in (low, high if dash else low)]
    if not 1 <= numbers[0] <= numbers[1] <= 65535:
        raise Invalid(f"has no valid port where {text!r} stands", "ports are 1 to 65535, a range is LOW-HIGH")
    return numbers[0], numbers[1]
