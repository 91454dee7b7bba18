"""One container from its description to its exit status: the whole life in one screen."""

from __future__ import annotations

import os

from minicontainer.errors import KernelError, MinicontainerError
from minicontainer.isolation.order import features
from minicontainer.linux import calls, files, process
from minicontainer.linux.proc import start_time
from minicontainer.runtime.channel import Channel
from minicontainer.runtime.init import init
from minicontainer.runtime.supervise import Signals, Terminal, supervise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minicontainer.isolation.feature import Feature
    from minicontainer.runtime.container import Container


def run(container: Container) -> int:
    """Start the container, stay until it ends, leave nothing. Its exit status, or 128+n after signal n.

    Raises MinicontainerError if it could not be started; then, too, nothing is left.
    """
    if path := os.environ.get("MINICONTAINER_TRACE"):
        from minicontainer.runtime import trace

        trace.start(path)
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
        undo.append(lambda wall=wall: wall.after(container))  # type: ignore[misc]
        wall.before(container)
    flags, cgroup = process.CloneFlags(0), -1
    for wall in walls:
        flags |= wall.flags(container)
        cgroup = max(cgroup, wall.cgroup_fd)

    pid, pidfd = process.clone3(flags, cgroup)
    if pid == 0:
        init(container, walls)
    undo.append(lambda: end(pid, pidfd))
    container.channel.parent()
    container.save(pid=pid, start_time=start_time(pid), status="created")

    for wall in walls:
        calls.current_feature = wall.name
        wall.outside(container, pid)
    calls.current_feature = ""
    container.channel.go()
    try:
        return pidfd, container.channel.wait_until_started()
    except KernelError as error:
        if error.call.startswith("execve("):
            from minicontainer.runtime.diagnose import explain_exec

            program = container.spec.process.args[0]
            raise explain_exec(container.root, program, error.errno, path_of(container)) from None
        raise


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
    """Undo in reverse. Every step is tried; a failure is told beside the error that is on its way, if any."""
    failures = []
    while undo:
        try:
            undo.pop()()
        except (MinicontainerError, OSError) as error:
            failures.append(str(error))
    if failures:
        told = f"minicontainer: not cleaned up: {'; '.join(failures)}; `minicontainer cleanup` tries again\n"
        os.write(2, told.encode())
