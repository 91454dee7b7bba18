"""What the runtime does, told by the runtime: `MINICONTAINER_TRACE=FILE minicontainer run …`

One line a kernel call, as it is made, in the parent and in the container's first process: who makes
it, for which feature, the call with its arguments, and what came of it. Lay `strace -f` beside it.
"""

from __future__ import annotations

import os

from minicontainer.errors import KernelError
from minicontainer.linux import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def start(path: str) -> None:
    """From now on append every call to the file `path`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    first = os.getpid()

    def observer(call: calls.Call) -> Any:
        who = f"{'parent' if os.getpid() == first else 'child':6} {call.feature or '-':15}"
        if call.name in ("execve", "execveat"):  # there is no after
            os.write(fd, f"{who} {call}\n".encode())
            return call.run()
        try:
            result = call.run()
        except KernelError as error:
            os.write(fd, f"{who} {error.cause}\n".encode())
            raise
        if result == (0, -1):  # the child's side of clone3; the parent tells it
            return result
        os.write(fd, f"{who} {call} = {0 if result is None else result}\n".encode())
        return result

    calls.observer = observer
