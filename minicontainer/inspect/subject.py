"""Whom to look at: `host`, a process by its number, or a container by its name or id."""

from __future__ import annotations

import os
from dataclasses import dataclass

from minicontainer.errors import StateError
from minicontainer.linux import proc
from minicontainer.runtime.container import Container, find

HOST = "host"


@dataclass(frozen=True)
class Subject:
    """A process, and what to call it."""

    name: str
    pid: int
    start_time: int
    """In clock ticks after boot: with the pid it is this process and no later one."""
    container: Container | None = None

    def is_alive(self) -> bool:
        """Whether it is still that process."""
        return proc.start_time(self.pid) == self.start_time


def resolve(word: str) -> Subject:
    """The process that `word` means. Raises StateError.

    The host is seen through this command's own process: what one has without a container, whatever
    one's rights. A number is a process if there is one, else the beginning of a container's id.
    """
    if word == HOST:
        return of(os.getpid(), HOST)
    if word.isdecimal() and os.path.isdir(f"/proc/{int(word)}"):
        return of(int(word), proc.status(int(word)).get("Name", word))
    try:
        container = find(word)
    except StateError as error:
        kind = "process or container" if word.isdecimal() else "container"
        raise StateError(error.cause.replace("container:", kind + ":"), "`minicontainer view` shows them") from None
    name = container.spec.minicontainer.name or container.short_id
    if not container.pid:
        raise StateError(f"container {name} is not running", "there is no process to look at")
    return of(container.pid, name, container)


def of(pid: int, name: str, container: Container | None = None) -> Subject:
    """The living process `pid` as a subject. Raises StateError."""
    began = proc.start_time(pid)
    if not began:
        raise StateError(f"process {pid} has ended", "what is left of it (a zombie) has neither walls nor a view")
    return Subject(name, pid, began, container)
