"""`minicontainer view`: the machine and its containers as a building, live in the terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.inspect.house import House, Watcher

app = typer.Typer(add_completion=False)

PERIOD = 1.0
"""Seconds between two looks."""

GLANCE = 0.3
"""Seconds that a single picture takes: rates need two looks."""


@app.command()
def view(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    svg: Annotated[str, typer.Option("--svg", metavar="FILE", help="Save one picture in FILE and end.")] = "",
) -> int:
    """Show this machine as a building: containers are its apartments, the kernel is its foundation.

    The picture is renewed each second; q quits. $COLUMNS and $LINES give a saved picture another size.
    """
    from minicontainer.cli.output import console
    from minicontainer.inspect.house import Watcher

    screen, watcher = console(), Watcher()
    if not (once or svg) and sys.stdout.isatty():
        return live(watcher)
    from minicontainer.cli.building import building

    picture = building(glance(watcher), screen.width, screen.height)
    if svg:
        from minicontainer.cli.picture import save

        save(picture, svg, screen.width, "minicontainer view")
    if once or not svg:
        screen.print(picture)
    return 0


def glance(watcher: Watcher) -> House:
    """The house with rates."""
    import time

    watcher.look()
    time.sleep(GLANCE)
    return watcher.look()


# -- live ---------------------------------------------------------------------------------------


def live(watcher: Watcher) -> int:
    """Draw until a key or a signal ends it. The exit status. Raises UsageError without a keyboard."""
    import signal

    keyboard = find_keyboard()
    while (ended := show(watcher, keyboard)) == signal.SIGTSTP:
        os.kill(os.getpid(), signal.SIGSTOP)  # with the terminal as it was; `fg` brings us back here
    return 128 + ended if ended else 0


def find_keyboard() -> int:
    """A descriptor of the terminal's keyboard, even if standard input is something else. Raises UsageError."""
    from minicontainer.errors import UsageError

    if os.isatty(0):
        return 0
    try:
        return os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise UsageError("there is no keyboard to take a q from", "use --once") from None


def show(watcher: Watcher, keyboard: int) -> int:
    """Draw on the terminal's other screen until a key (0) or a signal (its number) ends it; then all is as before."""
    from time import monotonic

    from rich.live import Live

    from minicontainer.cli.building import building
    from minicontainer.cli.keys import Keys
    from minicontainer.cli.output import console

    screen, due = console(), monotonic() + GLANCE  # the first picture has no rates: the second comes soon
    with Keys(keyboard) as keys, Live(console=screen, screen=True, auto_refresh=False) as picture:
        while True:
            picture.update(building(watcher.look(), screen.width, screen.height, fill=True), refresh=True)
            if (ended := keys.wait(max(0.0, due - monotonic()))) is not None:
                return ended
            if (now := monotonic()) >= due:
                due = now + PERIOD
