"""The container's first process, from the gate to its exec. It never returns.

It is still our Python, with our rights, while the container's files come into reach. A lazy import
now would run the container's code as root (`encodings/idna.py` in a hostile rootfs, say), so before
anything else every way of importing is shut. What it needs was imported before the clone. And nothing
of the container's is executed by it: for that there is the trampoline, see `linux/trampoline.py`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from minicontainer.defaults import PATH
from minicontainer.errors import KernelError
from minicontainer.isolation.filesystems import INIT
from minicontainer.linux import calls, files, process
from minicontainer.runtime.channel import Orphaned

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from minicontainer.isolation.feature import Feature
    from minicontainer.runtime.container import Container
else:
    import _signal as signal

DEFAULT_UMASK = 0o022
FIRST_OTHER_FD = 3


def init(container: Container, features: list[Feature]) -> None:
    """Wait at the gate, put up the walls from inside, become the program."""
    try:
        process.set_pdeathsig(signal.SIGKILL)
        container.channel.child()
        shut_imports()
        container.channel.wait_for_go()
        # All that our starter left open; what is opened from here on closes at exec anyway.
        files.close_range(FIRST_OTHER_FD, files.LAST_FD, files.CLOSE_RANGE_CLOEXEC)
        files.chdir(container.dir)
        for feature in features:
            calls.current_feature = feature.name
            feature.inside(container)
        calls.current_feature = ""
        become_program(container)
    except Orphaned:
        pass
    except BaseException as error:
        if calls.leaving:
            calls.leaving()
        container.channel.send_error(error)
    finally:
        os._exit(125)


def shut_imports() -> None:
    """From here on an import that is not in memory already fails, wherever it would look."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()


def become_program(container: Container) -> None:
    """The last steps, in which nothing of ours may be left over: signals, umask; then exec."""
    program = container.spec.process
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:  # handlers do not survive exec, this does
            signal.signal(number, signal.SIG_DFL)
    for hidden in process.LIBC_SIGNALS:  # left ignored by a parent that uses posix_spawn(3): make, for one
        process.default_action(hidden)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(DEFAULT_UMASK if program.user.umask is None else program.user.umask)
    process.set_pdeathsig(signal.SIGKILL)  # the changes of user and capabilities have cleared it
    container.channel.check_parent()
    args = program.args
    if container.spec.minicontainer.init:
        args = [INIT, "--", *args]
    execute(container, args, dict(entry.partition("=")[::2] for entry in program.env))


def execute(container: Container, args: list[str], env: dict[str, str]) -> None:
    """Become the program `args[0]`. Raises KernelError."""
    path = look_up(args[0], env.get("PATH", PATH))
    if container.trampoline >= 0:
        os.set_inheritable(container.channel.child_fd, True)
        try:
            process.execveat(container.trampoline, [path, *args], env)
        except KernelError:  # forbidden by a security module, perhaps; then execve has the last word
            os.set_inheritable(container.channel.child_fd, False)
    process.execve(path, args, env)


def look_up(name: str, folders: str) -> str:
    """The path that a shell would execute for `name`, or the first that it would fail with. Raises KernelError."""
    if "/" in name:
        return name
    closest = ""
    for folder in folders.split(":"):
        path = f"{folder or '.'}/{name}"
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                continue
        except OSError:
            continue
        if os.access(path, os.X_OK):
            return path
        closest = closest or path
    if not closest:
        raise KernelError(f'execve("{name}")', errno.ENOENT)
    return closest
