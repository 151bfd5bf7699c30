"""The program: its name, its version, and the commands that hang themselves on it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bncheck.errors import InvalidInput
from bncheck.version import __version__

_FIRST = ("verify", "check", "merge", "grade", "derive", "figures", "explore", "train", "explain", "doctor")
"""The commands in the order in which one meets them; others follow."""


class _Commands(TyperGroup):
    """The commands, with a refusal of others that names them all."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*(name for name in _FIRST if name in self.commands), *(n for n in self.commands if n not in _FIRST)]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise InvalidInput.unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bncheck {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bncheck(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Verify the gradients of batch normalization: derived, proved, and held against a computed tolerance."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
