"""All commands but the quick way of `run`, through typer: help, completion, and those that may take their time.

Each command is a module of this package, named after it, with a typer application `app`. It is
imported only when it is wanted.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module, util
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from minicontainer import __version__
from minicontainer.cli.options import PANELS, Option
from minicontainer.errors import UsageError

COMMANDS = ("run", "compare", "view", "rootfs", "lesson", "lab", "doctor", "cleanup")
"""In the order of the help."""


class Commands(TyperGroup):
    """The group `minicontainer`: it imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if util.find_spec(f"minicontainer.cli.{name}")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name == "run" or cmd_name not in self.list_commands(ctx):
            return super().get_command(ctx, cmd_name)
        command = typer.main.get_command(import_module(f"minicontainer.cli.{cmd_name}").app)
        command.name = cmd_name
        command.params = [param for param in command.params if not str(param.name).endswith("_completion")]
        return command


app = typer.Typer(cls=Commands, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback()
def minicontainer(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    """Containers, straight on Linux. To begin: [bold]sudo minicontainer run ./rootfs /bin/sh[/bold]"""
    if version:
        print("minicontainer", __version__)
        raise typer.Exit


def dispatch(words: list[str]) -> int:
    """Run a command line; its exit status. Raises MinicontainerError."""
    try:
        status = typer.main.get_command(app)(words or ["--help"], prog_name="minicontainer", standalone_mode=False)
    except typer.Abort:
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # One of click's, which typer keeps in another place with each version.
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "minicontainer"
        cause, _, hint = error.format_message().rstrip(".").replace("\n", " ").partition(". ")
        raise UsageError(cause, f"{hint} see '{command} --help'".strip()) from None
    return status if isinstance(status, int) else 0


# -- run ----------------------------------------------------------------------------------------


def run(**_: Any) -> int:
    """Run a command in a new container."""
    from minicontainer.cli.main import quick_run

    return quick_run(sys.argv[sys.argv.index("run") + 1 :]) or 0


HELP = (
    "Run a command in a new container.\n\n"
    "ROOTFS is a directory with the container's files. It is never written: a writable layer lies on top, and is "
    "dropped at the end. The options are Docker's. They end at ROOTFS: what follows belongs to the command."
)


def signature() -> inspect.Signature:
    """What `run` would look like to typer if its options were written out: the table, once more."""
    arguments: list[tuple[str, Any, Any]] = [
        ("rootfs", str, typer.Argument(..., metavar="ROOTFS", help="The root filesystem's directory.")),
        ("command", list[str], typer.Argument(None, metavar="[COMMAND [ARG]...]", help="By default /bin/sh.")),
    ]
    arguments += [parameter(option, panel) for panel, options in PANELS for option in options]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature([inspect.Parameter(n, kind, default=d, annotation=a) for n, a, d in arguments])


def parameter(option: Option, panel: str) -> tuple[str, Any, Any]:
    """An option's name, type and description for typer."""
    default: Any = None if option.metavar else False
    info = typer.Option(
        default,
        *option.names,
        metavar=option.metavar or None,
        help=option.help.replace("[", r"\["),
        rich_help_panel=panel,
        show_default=False,
    )
    name = option.names[-1].lstrip("-").replace("-", "_")
    return name, (list[str] if option.many else str) if option.metavar else bool, info


run.__signature__ = signature()  # type: ignore[attr-defined]
run.__annotations__ = {name: each.annotation for name, each in signature().parameters.items()}
app.command(help=HELP, context_settings={"allow_interspersed_args": False})(run)
