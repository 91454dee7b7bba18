"""`minicontainer run`'s words into engine.options.Options, by Docker's rules.

-it, -eA=b, -e A=b, -e=A=b      short options cluster; the first with a value takes the rest, or the next word
--env A=b, --env=A=b            so do long ones
--read-only=false               a flag takes a value only with =
ROOTFS COMMAND -x --y           options end at the first word that is none, or at --
"""

from __future__ import annotations

from minicontainer.cli.options import OPTIONS, REFUSED
from minicontainer.engine.options import Options
from minicontainer.engine.parse import Invalid, nearest
from minicontainer.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.cli.options import Option

SEE_HELP = "see 'minicontainer run --help'"


class HelpWanted(Exception):
    """`--help` stood among the options."""


def parse_options(words: list[str]) -> Options:
    """The request that the words after `run` make. Raises UsageError; HelpWanted."""
    options = Options()
    rest = list(reversed(words))
    while rest and rest[-1].startswith("-") and rest[-1] != "-":
        word = rest.pop()
        if word == "--":
            break
        if word.startswith("--"):
            long_option(options, word, rest)
        else:
            cluster(options, word, rest)
    if not rest:
        raise UsageError(
            "run needs the directory of a root filesystem", "for example: minicontainer run ./rootfs /bin/sh"
        )
    options.root = rest.pop()
    options.command = rest[::-1]
    return options


def long_option(options: Options, word: str, rest: list[str]) -> None:
    """`--name`, `--name=value`, or `--name` with the value in the next word."""
    name, equals, value = word.partition("=")
    if name == "--help":
        raise HelpWanted
    option = known(name)
    if not equals:
        value = next_word(name, rest) if option.metavar else "true"
    put(options, option, name, value)


def cluster(options: Options, word: str, rest: list[str]) -> None:
    """`-it`, `-p80:80`, `-p=80:80`, `-p` with the value in the next word."""
    letters = word[1:]
    while letters:
        name, letters = "-" + letters[0], letters[1:]
        option = known(name, word)
        if option.metavar:
            value = letters.removeprefix("=") if letters else next_word(name, rest)
            letters = ""
        elif letters.startswith("="):
            value, letters = letters[1:], ""
        else:
            value = "true"
        put(options, option, name, value)


def known(name: str, word: str = "") -> Option:
    """The option of that name. Raises UsageError, with the nearest name if it may be a slip."""
    if name in OPTIONS:
        return OPTIONS[name]
    if name in REFUSED:
        raise UsageError(f"{name} {REFUSED[name]}", f"leave it out; {SEE_HELP}")
    inside = f" in {word!r}" if word and word != name else ""
    hint = nearest(name, [known for known in OPTIONS if known.startswith("--")]) if name.startswith("--") else ""
    raise UsageError(f"unknown option {name!r}{inside}", f"{hint} {SEE_HELP}".strip())


def next_word(name: str, rest: list[str]) -> str:
    """The value of the option `name`, which is the next word whatever it looks like."""
    if not rest:
        raise UsageError(f"{name} needs a value, {OPTIONS[name].metavar}", SEE_HELP)
    return rest.pop()


def put(options: Options, option: Option, name: str, text: str) -> None:
    """Read the value and store it. Raises UsageError that names the option and the value."""
    try:
        value = option.read(text)
    except Invalid as error:
        raise UsageError(f"{name} {text!r} {error.cause}", error.remedy or SEE_HELP) from None
    if not option.many:
        setattr(options, option.field, value)
    elif isinstance(value, list):
        getattr(options, option.field).extend(value)
    else:
        getattr(options, option.field).append(value)
