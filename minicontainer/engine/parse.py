"""Words into values, with Docker's grammar: sizes, durations, ids, limits, names.

Each function takes the text after an option and returns its value, or raises `Invalid`, whose cause
is a predicate (`is not a number of bytes`): who called knows the option's name and completes the
sentence.

https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

from minicontainer.errors import UsageError
from minicontainer.spec import Rlimit, TimeOffset, TimeOffsets

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Collection
else:
    import _signal  # the C half; `signal` itself imports enum


class Invalid(UsageError):
    """What is wrong with one value. `cause` begins with a verb; `remedy` says what would be right."""


# -- numbers ------------------------------------------------------------------------------------

TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
LARGEST = (1 << 63) - 1


def boolean(text: str) -> bool:
    """`true`, `false` and the other spellings of Go's strconv.ParseBool."""
    if text not in TRUE + FALSE:
        raise Invalid("is neither true nor false", "leave the value out for true")
    return text in TRUE


def integer(text: str) -> int:
    """A whole number, perhaps with a sign."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise Invalid("is not a whole number", "write digits only")
    return int(text)


def between(low: int, high: int, zero: bool = False) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`; with `zero` 0 is also good and means unset."""

    def read(text: str) -> int:
        number = integer(text)
        if not low <= number <= high and not (zero and number == 0):
            raise Invalid("is out of range", f"it can be {low} to {high}")
        return number

    return read


def decimal(text: str, digits: int) -> int | None:
    """A number such as `1.5` times 10**digits, exactly; None if it is not one. Extra digits are refused, too."""
    whole, point, fraction = text.partition(".")
    if not (whole + fraction).isascii() or not whole.isdigit() or (point and not fraction.isdigit()):
        return None
    return int(whole + fraction.ljust(digits, "0")) if len(fraction) <= digits and len(whole) < 19 else None


def byte_size(text: str) -> int:
    """Bytes: `67108864`, `64m`, `64MB`, `1.5g`. Units are powers of 1024."""
    body = text.lower().strip()
    body = body.removesuffix("ib") if len(body) > 2 and body[-3] in UNITS else body.removesuffix("b")
    unit = UNITS.get(body[-1:], 1)
    number = decimal(body[:-1] if body[-1:] in UNITS else body, 9)
    if number is None or number * unit // 10**9 > LARGEST:
        raise Invalid("is not a number of bytes", "write a number and perhaps a unit b, k, m or g: 64m, 1.5g")
    return number * unit // 10**9


def size_or_unlimited(text: str) -> int:
    """Bytes, or -1 for no limit."""
    return -1 if text == "-1" else byte_size(text)


def cpus(text: str) -> int:
    """A number of CPUs such as `1.5`, in nano-CPUs."""
    number = decimal(text, 9)
    if number is None:
        raise Invalid("is not a number of CPUs", "write a decimal such as 0.5 or 2")
    return number


def number_set(text: str) -> list[int]:
    """`0-2,4` -> [0, 1, 2, 4]."""
    numbers: list[int] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not (low.isascii() and low.isdigit()) or (dash and not (high.isascii() and high.isdigit())):
            raise Invalid("is not a list of numbers", "write single numbers and ranges, as in 0-2,4")
        if int(high or low) < int(low) or int(high or low) > 8191:
            raise Invalid("has a range that is not one", "write the lower number first, as in 0-2,4")
        numbers += range(int(low), int(high or low) + 1)
    return numbers


def cpuset(text: str) -> str:
    """`0-2,4`, as the kernel's cpuset files have it."""
    if text:
        number_set(text)
    return text


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def time_offset(text: str) -> TimeOffsets:
    """`+1h30m`, `-90s`, `2d` for both clocks, or `monotonic=1h,boottime=2d` for each."""
    offsets = TimeOffsets()
    for part in text.split(","):
        clock, equals, amount = part.rpartition("=")
        if equals and clock not in ("monotonic", "boottime"):
            raise Invalid(f"names an unknown clock {clock!r}", "the clocks are monotonic and boottime")
        nanoseconds = duration(amount)
        for name in (clock,) if equals else ("monotonic", "boottime"):
            setattr(offsets, name, TimeOffset(secs=nanoseconds // 10**9, nanosecs=nanoseconds % 10**9))
    return offsets


def duration(text: str) -> int:
    """`1h30m`, `-90s`, `1.5d`, `20` (seconds) in nanoseconds."""
    wrong = Invalid("is not a time", "write a sign, numbers and units s, m, h or d, as in +1h30m; at most 146 years")
    rest = text[1:] if text[:1] in ("-", "+") else text
    total, number = 0, ""
    for char in rest if rest[-1:] in SECONDS else rest + "s":
        if char not in SECONDS:
            number += char
            continue
        value = decimal(number, 9)
        if value is None:
            raise wrong
        total, number = total + value * SECONDS[char], ""
    if total > 146 * 365 * 86400 * 10**9 or (rest[-1:] not in SECONDS and any(unit in rest for unit in SECONDS)):
        raise wrong
    return -total if text.startswith("-") else total


# -- names --------------------------------------------------------------------------------------


def is_name(text: str, also: str = "") -> bool:
    """Whether `text` is letters, digits and the characters of `also`, and begins with a letter or digit."""
    return text[:1].isalnum() and all(c.isalnum() or c in also for c in text) and text.isascii()


def name(text: str) -> str:
    """A container's name, `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, as Docker has it."""
    if not is_name(text, "_.-") or len(text) < 2 or len(text) > 128:
        raise Invalid(
            "is not a container's name", "use two or more letters, digits, _ . -, the first a letter or digit"
        )
    return text


def hostname(text: str) -> str:
    """A host or domain name that sethostname(2) takes and that is harmless in /etc/hosts."""
    if not is_name(text, "_.-") or len(text) > 64:
        raise Invalid("is not a host name", "use letters, digits, - and dots, at most 64 in all")
    return text


def domain(text: str) -> str:
    """A search domain for resolv.conf, or `.` for none."""
    return text if text == "." else hostname(text)


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address."""
    if not is_ip_address(text):
        raise Invalid("is not an IP address", "write one such as 192.0.2.1 or 2001:db8::1")
    return text


def is_ip_address(text: str) -> bool:
    """Whether inet_pton(3) takes it."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
            return True
        except (OSError, ValueError):
            continue
    return False


def host_entry(text: str) -> str:
    """`NAME:IP` or `NAME=IP`, an IPv6 address perhaps in brackets, as `NAME:IP`."""
    host, separator, address = text.partition("=" if "=" in text else ":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not separator or not is_name(host, "_.-") or not (address == "host-gateway" or is_ip_address(address)):
        raise Invalid("is not NAME:ADDRESS", "write a host name and an IP address, as in db:192.0.2.7")
    return f"{host}:{address}"


def absolute(text: str) -> str:
    """An absolute path inside the container, without `.`, `..` and doubled slashes."""
    import os.path

    if not text.startswith("/"):
        raise Invalid("is not an absolute path", "begin it with /")
    return "/" + os.path.normpath(text).lstrip("/")


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`, or `KEY` with an empty value."""
    key, _, value = text.partition("=")
    if not key or any(c.isspace() for c in key):
        raise Invalid("has no key", "write KEY=VALUE, the key without spaces")
    return key, value


def assignment(text: str) -> str:
    """`NAME=VALUE`, or `NAME` alone for the value that it has here."""
    if not text or text.startswith("="):
        raise Invalid("has no variable's name", "write NAME=VALUE, or NAME to pass on its value")
    return text


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one word out of `words`; a last `container:` allows `container:NAME`."""

    def read(text: str) -> str:
        if text in words and text[-1:] != ":":
            return text
        if "container:" in words and text.startswith("container:") and is_name(text[10:], "_.-"):
            return text
        raise Invalid("is not known", "it can be " + " or ".join(w + "NAME" if w[-1] == ":" else w for w in words))

    return read


def words(text: str) -> list[str]:
    """`a,b,c` as a list."""
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise Invalid("has an empty name in it", "write names with commas between, as in net,pid")
    return found


def user(text: str) -> str:
    """`NAME|UID[:GROUP|GID]`."""
    if not text or text.startswith(":") or text.count(":") > 1 or any(c.isspace() for c in text):
        raise Invalid("is not a user", "write NAME or UID, and perhaps :GROUP or :GID after it")
    return text


def userns(text: str) -> str:
    """`auto`, `host` or `UID:GID:COUNT`."""
    numbers = text.split(":")
    if text not in ("auto", "host") and not (len(numbers) == 3 and all(n.isascii() and n.isdigit() for n in numbers)):
        raise Invalid("is not understood", "use auto, host or UID:GID:COUNT, as in 100000:100000:65536")
    return text


# -- kernel words -------------------------------------------------------------------------------


def signal(text: str) -> str:
    """A signal as SIGTERM, TERM, 15 or RTMIN+1; returned with SIG before it."""
    for key, value in vars(_signal).items():
        if key[:3] == "SIG" and key[3:4] != "_" and (text.upper() in (key, key[3:]) or text == str(int(value))):
            return key
    base, plus, number = text.upper().removeprefix("SIG").partition("+")
    if base == "RTMIN" and plus and number.isascii() and number.isdigit() and int(number) <= 30:
        return f"SIGRTMIN+{int(number)}"
    raise Invalid("is not a signal", "write a name or a number, as in SIGTERM or 15; `kill -l` lists them")


def capability(text: str) -> str:
    """`NET_ADMIN`, `cap_net_admin`, `ALL`: returned as CAP_NET_ADMIN or ALL."""
    from minicontainer.linux.capability import NAMES

    wanted = text.upper()
    if wanted == "ALL":
        return wanted
    wanted = "CAP_" + wanted.removeprefix("CAP_")
    if wanted not in NAMES:
        raise Invalid("is not a capability", nearest(wanted, NAMES) or "capabilities(7) lists them, and ALL means all")
    return wanted


RLIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
    "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip


UNLIMITED = (1 << 64) - 1
"""RLIM_INFINITY, as config.json has it."""


def ulimit(text: str) -> Rlimit:
    """`NAME=SOFT[:HARD]`; -1 is unlimited."""
    key, _, value = text.partition("=")
    if key not in RLIMITS:
        raise Invalid("names no resource limit", nearest(key, RLIMITS) or "the names are " + ", ".join(RLIMITS))
    soft_text, colon, hard_text = value.partition(":")
    try:
        soft = integer(soft_text)
        hard = integer(hard_text) if colon else soft
    except Invalid:
        raise Invalid("has no whole number", f"write {key}=SOFT or {key}=SOFT:HARD, -1 for unlimited") from None
    if min(soft, hard) < -1:
        raise Invalid("has a negative number", "-1 means unlimited")
    soft, hard = (UNLIMITED if number == -1 else number for number in (soft, hard))
    if soft > hard:
        raise Invalid("has a soft limit above the hard one", "write the smaller first: NAME=SOFT:HARD")
    return Rlimit(type="RLIMIT_" + key.upper(), soft=soft, hard=hard)


SYSCTLS = ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
           "kernel.shmmni", "kernel.shm_rmid_forced")  # fmt: skip


def sysctl(text: str) -> tuple[str, str]:
    """`NAME=VALUE` of a kernel setting that belongs to a namespace, so that it does not reach the host."""
    key, equals, value = text.partition("=")
    if not equals or not value or not is_name(key, "_.-/") or ".." in key:
        raise Invalid("is not NAME=VALUE", "write one such as net.core.somaxconn=1024")
    key = key.replace("/", ".")
    if key not in SYSCTLS and not key.startswith(("net.", "fs.mqueue.")):
        raise Invalid("would change the host too", "a container can set net.*, fs.mqueue.* and kernel.msg*, sem, shm*")
    return key, value


SECURITY_OPTIONS = ("seccomp", "no-new-privileges")


def security_option(text: str) -> tuple[str, str]:
    """`seccomp=FILE`, `seccomp=unconfined`, `no-new-privileges[=BOOL]`; a colon for = is old but good."""
    cut = min((i for i in (text.find("="), text.find(":")) if i > 0), default=len(text))
    key, value = text[:cut], text[cut + 1 :]
    if key == "no-new-privileges":
        return key, "true" if boolean(value or "true") else "false"
    if key == "seccomp" and value:
        return key, value
    if key in ("apparmor", "label", "systempaths", "writable-cgroups"):
        raise Invalid("is not offered here", "use " + " or ".join(SECURITY_OPTIONS) + "; --without takes walls down")
    raise Invalid("is not a security option", "use seccomp=FILE, seccomp=unconfined or no-new-privileges")


def nearest(word: str, known: Collection[str]) -> str:
    """`did you mean X?` if a known word is close, else an empty string."""
    import difflib  # on the way to an error only

    found = difflib.get_close_matches(word, known, 1, 0.7)
    return f"did you mean {found[0]}?" if found else ""
