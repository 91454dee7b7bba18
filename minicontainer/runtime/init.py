"""The container's first process, from the gate to its exec. It never returns.

It is still our Python, with our rights, while the container's files come into reach. A lazy import
now would run the container's code as root (`encodings/idna.py` in a hostile rootfs, say), so before
anything else every way of importing is shut. What it needs was imported before the clone.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from minicontainer.errors import KernelError, SpecError
from minicontainer.isolation.filesystems import INIT
from minicontainer.linux import calls, files, process
from minicontainer.linux.paths import RESOLVE_IN_ROOT, make_directory, openat2
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
        files.chdir(container.dir)
        for feature in features:
            calls.current_feature = feature.name
            feature.inside(container)
        calls.current_feature = ""
        become_program(container)
    except Orphaned:
        pass
    except BaseException as error:
        container.channel.send_error(error)
    finally:
        os._exit(125)


def shut_imports() -> None:
    """From here on an import that is not in memory already fails, wherever it would look."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()


def become_program(container: Container) -> None:
    """The last steps, in which nothing of ours may be left over: signals, umask, folder, descriptors; then exec."""
    program = container.spec.process
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:  # handlers do not survive exec, this does
            signal.signal(number, signal.SIG_DFL)
    for hidden in process.LIBC_SIGNALS:  # left ignored by a parent that uses posix_spawn(3): make, for one
        process.default_action(hidden)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(DEFAULT_UMASK if program.user.umask is None else program.user.umask)
    enter_folder(program.cwd)
    files.close_range(FIRST_OTHER_FD, files.LAST_FD, files.CLOSE_RANGE_CLOEXEC)
    process.set_pdeathsig(signal.SIGKILL)  # the changes of user and capabilities have cleared it
    container.channel.check_parent()
    args = program.args
    if container.spec.minicontainer.init:
        args = [INIT, "--", *args]
    execute(args, dict(entry.partition("=")[::2] for entry in program.env))


def enter_folder(path: str) -> None:
    """Change to the working folder, made if missing, and no way out: not through /proc/self/fd/N either."""
    try:
        folder = openat2(_root(), path, os.O_PATH | os.O_DIRECTORY, 0, RESOLVE_IN_ROOT)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise SpecError(f"cannot use {path} as the working folder: {os.strerror(error.errno)}") from None
        above = ""
        for name in path.strip("/").split("/"):
            above += "/" + name
            make_directory(above)
        folder = openat2(_root(), path, os.O_PATH | os.O_DIRECTORY, 0, RESOLVE_IN_ROOT)
    files.fchdir(folder)
    if not os.getcwd().startswith("/"):
        raise SpecError(f"the working folder {path} is outside the container's root")


def _root() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def execute(args: list[str], env: dict[str, str]) -> None:
    """Find `args[0]` as a shell would, and become it. Raises KernelError for the execve that came closest."""
    name = args[0]
    if "/" in name:
        process.execve(name, args, env)
    closest: KernelError | None = None
    for folder in env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":"):
        path = f"{folder or '.'}/{name}"
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                process.execve(path, args, env)
        except OSError:
            continue
        except KernelError as error:
            closest = error
            if error.errno != errno.EACCES:
                break
    raise closest or KernelError(f'execve("{name}")', errno.ENOENT)
