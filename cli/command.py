"""The Typer command that takes the reference's flags.

Typer gets a signature made from the table of flags, for help, panels and shell completion. It does not parse the flags:
``nbnumba.cli.parse`` handles single dashes, values of several words and the rules of order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from nbnumba.cli.flags import Flag
from nbnumba.cli.parse import with_files

Request = TypeVar("Request")

_REQUEST = "nbnumba.request"


class FlagCommand(TyperCommand):
    """A command whose words are parsed by ``read``; the result is in ``ctx.meta[_REQUEST]``."""

    read: Callable[[Sequence[str]], Any]
    needs_words: bool

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the words, except for the help and for completion, which must never fail."""
        if ctx.resilient_parsing:
            return []
        if "--help" in args or "-h" in args or (self.needs_words and not args):
            typer.echo(ctx.get_help())
            ctx.exit()
        ctx.meta[_REQUEST] = self.read(with_files(args))
        return []


def flag_command(
    app: typer.Typer,
    name: str,
    read: Callable[[Sequence[str]], Request],
    flags: Sequence[Flag],
    help: str,
    *,
    metavar: str = "FLAGS",
    panel: str,
    needs_words: bool = True,
) -> Callable[[Callable[[Request], None]], Callable[[Request], None]]:
    """Decorator that makes a command of a function that takes a request.

    Parameters
    ----------
    read : callable
        Parses the command's words into the request.
    flags : sequence of Flag
        Flags in help, panels and completion.
    help, metavar : str
        Description of the command, and the words after its name in the usage line.
    panel : str
        Heading under which ``nbnumba --help`` lists it.
    needs_words : bool
        Whether the help is shown if there are no words.
    """
    kind = type("FlagCommand", (FlagCommand,), {"read": staticmethod(read), "needs_words": needs_words})

    def register(function: Callable[[Request], None]) -> Callable[[Request], None]:
        def command(ctx: typer.Context, **_: Any) -> None:
            function(ctx.meta[_REQUEST])

        parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        parameters += [_parameter(index, flag) for index, flag in enumerate(flags)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {entry.name: entry.annotation for entry in parameters}
        app.command(name, cls=kind, help=help, options_metavar=metavar, rich_help_panel=panel)(command)
        return function

    return register


def _parameter(index: int, flag: Flag) -> inspect.Parameter:
    option = typer.Option(
        *(flag.spellings if flag.is_extension else (flag.name,)),
        help=flag.text,
        rich_help_panel=flag.panel,
        metavar=flag.metavar,
        show_default=False,
    )
    kind: Any = {"switch": bool, "path": Path}.get(flag.kind, str)
    # names are numbered because Typer would not distinguish -N from -n, nor -Q from -q
    return inspect.Parameter(
        f"flag_{index}",
        inspect.Parameter.KEYWORD_ONLY,
        default=False if kind is bool else None,
        annotation=Annotated[kind if kind is bool else kind | None, option],
    )
