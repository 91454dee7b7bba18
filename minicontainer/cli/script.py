"""`minicontainer run --as-shell …`: print the container as a shell script, and run nothing."""

from __future__ import annotations

import os
import sys

from minicontainer.cli.output import note
from minicontainer.engine.create import build_spec, notes
from minicontainer.errors import UsageError
from minicontainer.runtime.container import Container, new_id, state_root
from minicontainer.runtime.diagnose import check_root
from minicontainer.shell import script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.engine.options import Options

DIGITS = 12
"""Of the id. It stands in the script in many places, and two scripts seldom meet."""


def print_script(options: Options) -> int:
    """Write the script that makes this container to standard output. Raises MinicontainerError."""
    if options.explain or options.explain_to or options.step:
        raise UsageError("--as-shell runs nothing that could be explained", "use one of the two")
    if options.tty is None and options.interactive is None:
        options.tty = os.isatty(0)  # our output goes into a file, but the script will be run where we are
    check_root(options.root)
    id = new_id()[:DIGITS]
    spec = build_spec(options, options.root, id, make_sources=False)
    for line in notes(spec, options):
        note(line)
    container = Container(id, spec, os.path.join(state_root(), "containers", id))
    command = ["minicontainer", *(word for word in sys.argv[1:] if word != "--as-shell")]
    text = script(container, command, stdin=options.interactive is not False)
    sys.stdout.buffer.write(os.fsencode(text))
    return 0
