"""Starting User-Mode Linux, a kernel that is an ordinary program, so that it cannot outlive its user.

    minicontainer lab          the session: terminal, streams, exit status
      └── keeper               waits for either side to end, then ends all of the machine
            └── linux.uml      the kernel, with a helper or two
                  └── …        one host process for each process inside, traced by the kernel

Killing the kernel leaves the others behind: they are stopped, and their parent is gone. So the keeper is
their subreaper (PR_SET_CHILD_SUBREAPER(2const)): whatever loses its parent becomes its child. It holds
one end of a pipe whose other end only the session has. End of file there means that the session is gone,
be it by SIGKILL, and that is all it has to know.

    pstree -p $(pgrep -f 'minicontainer lab')       watch it
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import prctl

from minicontainer.lab import needs
from minicontainer.lab.seal import new_filter

GUEST = Path(__file__).with_name("guest.py")
STREAMS = 3  # the descriptor of the serial line in linux.uml
TERMINAL = 0

# Found with initcall_debug: these three took 1.2 of the 1.5 seconds to boot. Nobody uses RAID 6, the 256
# terminals of BSD, or the exact length of a busy loop in here.
QUICK = ("initcall_blacklist=raid6_select_algo", "pty.legacy_count=0", "lpj=17000000")


def kernel_arguments(memory: int) -> list[str]:
    """The command line of linux.uml: the host's tree as root, one serial line, process 1."""
    return [
        str(needs.KERNEL),
        f"mem={memory >> 10}K",
        *("rootfstype=hostfs", "rootflags=/", "ro"),
        *("con=none", "con0=fd:0,fd:1", "ssl=none", f"ssl0=fd:{STREAMS}"),
        "uml_dir=/proc",  # it insists on a directory for its pid file; here, it cannot make one
        *("quiet", *QUICK),
        f"init={quoted(sys.executable)}",
        *("--", "-I", "-S", quoted(str(GUEST))),
    ]


def quoted(word: str) -> str:
    """`word` for a kernel's command line, where only a blank needs quotes."""
    return f'"{word}"' if " " in word else word


class Machine:
    """A running virtual machine: `line` is the socket to its process 1, `console` a pipe of the kernel's messages."""

    def __init__(self, memory: int) -> None:
        """Start it with `memory` bytes. Raises UnsupportedError where the host cannot."""
        needs.check_host()
        folder = needs.memory_folder(memory)
        rules = new_filter()
        self.line, far_line = socket.socketpair()
        self.console, far_console = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self._keeper = os.fork()
        if self._keeper == 0:
            for fd in (self.line.fileno(), self.console, self._lifeline):
                os.close(fd)
            keep(kernel_arguments(memory), folder, rules, far_line.fileno(), far_console, lifeline)
        for fd in (far_console, lifeline):
            os.close(fd)
        far_line.close()

    def end(self) -> None:
        """End the machine, however far it is, and wait until all of it is gone."""
        os.close(self._lifeline)
        os.waitpid(self._keeper, 0)
        self.line.close()
        os.close(self.console)


def keep(arguments: list[str], folder: str, rules: Any, line: int, console: int, lifeline: int) -> NoReturn:
    """The keeper's life: start the kernel, wait for it or the session to end, leave nothing."""
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        prctl.set_child_subreaper(1)
        settings = termios.tcgetattr(TERMINAL) if os.isatty(TERMINAL) else None
        kernel = os.fork()
        if kernel == 0:
            become_kernel(arguments, folder, rules, line, console)
        with suppress(OSError):  # EACCES: it has done so itself already
            os.setpgid(kernel, kernel)
        os.close(line)
        os.close(console)
        pidfd = os.pidfd_open(kernel)
        ended, _, _ = select.select([lifeline, pidfd], [], [])
        os.killpg(kernel, signal.SIGKILL)
        if settings and lifeline in ended:  # the session may have left the terminal raw
            termios.tcsetattr(TERMINAL, termios.TCSADRAIN, settings)
        while True:
            os.wait()
    except ChildProcessError:
        os._exit(0)
    finally:
        os._exit(1)


def become_kernel(arguments: list[str], folder: str, rules: Any, line: int, console: int) -> NoReturn:
    """In the keeper's child: streams, the seal, exec. Never returns."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open("/dev/null", os.O_RDWR)
        streams = [os.dup(fd) for fd in (nothing, console, console, line)]
        for target, fd in enumerate(streams):
            os.dup2(fd, target)
        os.closerange(STREAMS + 1, os.sysconf("SC_OPEN_MAX"))
        rules.load()
        os.execve(arguments[0], arguments, {"TMPDIR": folder, "PATH": needs.SYSTEM_FOLDERS})
    except BaseException as error:
        os.write(2, f"{arguments[0]} cannot be started under a seccomp filter: {error}\n".encode())
    finally:
        os._exit(127)
