"""`minicontainer run`, from its options to the exit status of the container's program."""

from __future__ import annotations

import os

from minicontainer.cli.output import note
from minicontainer.engine.create import build_spec, notes
from minicontainer.errors import UsageError
from minicontainer.runtime.container import Container, new_id, state_root
from minicontainer.runtime.diagnose import check_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.engine.options import Options


def run(options: Options) -> int:
    """Do what `minicontainer run` was asked to. Raises MinicontainerError."""
    if options.as_shell:
        from minicontainer.cli.script import print_script

        return print_script(options)
    choose_terminal(options)
    check_root(options.root)
    if not options.rm:
        raise UsageError("a container on a root filesystem is always removed", "keep its files with --keep DIR")
    id = new_id()
    if not (options.explain or options.explain_to or options.step):
        return stay(prepare(options, id))
    from minicontainer.narrate import Narration
    from minicontainer.runtime.run import check_inherited

    check_inherited()
    with Narration(options.explain or "auto", options.explain_to, options.step, id):
        return stay(prepare(options, id))


def prepare(options: Options, id: str) -> Container:
    """The container that was asked for, described."""
    spec = build_spec(options, options.root, id)
    for line in notes(spec, options):
        note(line)
    if options.interactive is False:
        no_input()
    return Container(id, spec, os.path.join(state_root(), "containers", id))


def stay(container: Container) -> int:
    """Start it and stay until it ends."""
    from minicontainer.runtime import run as runtime  # not before: a wrong command line needs none of it

    status = runtime.run(container)
    for line in container.record.get("warnings", []):
        note(line)
    if container.record.get("oom_killed"):
        note("the kernel killed a process in the container, which had reached the memory limit (-m)")
    return status


def choose_terminal(options: Options) -> None:
    """Without -i and -t: an interactive shell if we are at a terminal, else our own input and output as they are."""
    if options.tty and options.interactive is not False and not os.isatty(0):
        raise UsageError("the input device is not a TTY", "leave -t out, or run it at a terminal")
    if options.tty is None and options.interactive is None:
        options.tty = os.isatty(0) and os.isatty(1)


def no_input() -> None:
    """Put /dev/null in the place of standard input, for `--interactive=false`."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
