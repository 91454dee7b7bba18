"""One container from its description to its exit status: the whole life in one screen."""

from __future__ import annotations

import os

from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.isolation.order import features
from minicontainer.linux import calls, files, process
from minicontainer.linux.proc import start_time
from minicontainer.runtime.channel import Channel
from minicontainer.runtime.first import clone
from minicontainer.runtime.init import DEFAULT_UMASK
from minicontainer.runtime.supervise import Signals, Terminal, supervise

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from minicontainer.isolation.feature import Feature
    from minicontainer.runtime.container import Container
else:
    import _signal as signal

STANDARD = (0, 1, 2)


def run(container: Container) -> int:
    """Start the container, stay until it ends, leave nothing. Its exit status, or 128+n after signal n.

    Raises MinicontainerError if it could not be started; then, too, nothing is left.
    """
    check_inherited()
    path = os.environ.get("MINICONTAINER_TRACE")
    if not path or calls.observer:
        return live(container)
    from minicontainer.narrate import Narration

    with Narration("plain", path, id=container.id):
        return live(container)


def live(container: Container) -> int:
    """The whole life. See `run`."""
    undo: list[Callable[[], None]] = []
    with Signals() as signals:
        try:
            container.create()
            undo.append(lambda: files.remove_tree(container.dir))
            pidfd, master = start(container, features(container.spec), undo)
            container.save(status="running")
            return supervise(pidfd, Terminal(master) if master >= 0 else None, signals)
        finally:
            clean_up(undo)


def start(container: Container, walls: list[Feature], undo: list[Callable[[], None]]) -> tuple[int, int]:
    """Put up the walls and start the program in them: (pidfd, master end of its terminal or -1).

    What has to be undone at the end is added to `undo` before it is done.
    """
    container.channel = Channel()
    undo.append(container.channel.close)
    for wall in walls:
        calls.current_feature = wall.name
        undo.append(lambda wall=wall: take_down(container, wall))  # type: ignore[misc]
        wall.before(container)
    calls.current_feature = ""
    pid, pidfd = clone(container, walls)
    undo.append(lambda: end(pid, pidfd))
    container.channel.parent()
    container.save(pid=pid, start_time=start_time(pid), status="created")

    for wall in walls:
        calls.current_feature = wall.name
        wall.outside(container, pid)
    calls.current_feature = ""
    container.channel.go()
    try:
        master = container.channel.wait_until_started()
        tell_executed(0)
        return pidfd, master
    except KernelError as error:
        if error.call.startswith("execve("):
            tell_executed(error.errno)
            from minicontainer.runtime.diagnose import explain_exec

            program = container.spec.process.args[0]
            raise explain_exec(container.root, program, error.errno, path_of(container)) from None
        raise


def take_down(container: Container, wall: Feature) -> None:
    """Undo what is left of one wall."""
    calls.current_feature = wall.name
    wall.after(container)
    calls.current_feature = ""


def tell_executed(errno: int) -> None:
    """Tell the observer, if there is one, how the trampoline's execve went."""
    if calls.executed:
        calls.executed(errno)


def check_inherited() -> None:
    """Mend what our starter may have left us.

    Descriptors 0, 1 and 2 become the container's; one that is closed would be the number of the next file
    that we open. (Python itself refuses to start with a directory there, which would be a way out.) The umask
    would be on what we make in the container, its `/` above all. And who ignores SIGCHLD learns of no child
    how it ended.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(DEFAULT_UMASK)
    while (fd := os.open("/dev/null", os.O_RDWR)) in STANDARD:
        os.set_inheritable(fd, True)
    os.close(fd)


def path_of(container: Container) -> str:
    """The PATH that the container's program is looked up in."""
    return next((entry[5:] for entry in container.spec.process.env if entry.startswith("PATH=")), "")


def end(pid: int, pidfd: int) -> None:
    """Kill the container's first process if it still runs, and take its exit status off the kernel."""
    try:
        process.pidfd_send_signal(pidfd, 9)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except (ProcessLookupError, ChildProcessError, KernelError):
        pass  # it has ended and been waited for
    os.close(pidfd)


def clean_up(undo: list[Callable[[], None]]) -> None:
    """Undo in reverse. Every step is tried; a failure is told beside the error that is on its way, if any.

    After a failure the directory stays, whose removal is the last step: `cleanup` reads in it what there is to do.
    """
    failures: list[str] = []
    while undo and not (failures and len(undo) == 1):
        try:
            undo.pop()()
        except (MinicontainerError, OSError) as error:
            failures.append(str(error))
    if failures:
        told = f"minicontainer: not cleaned up: {'; '.join(failures)}; `minicontainer cleanup` tries again\n"
        os.write(2, told.encode())
