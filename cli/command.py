"""The Typer command that takes the reference's flags.

Typer knows the flags from a signature made of the table, which gives help, panels and shell completion. It does not
parse them: single dashes, values of many words and rules of order are the business of ``nbnumba.cli.parse``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from nbnumba.cli.flags import Flag

Request = TypeVar("Request")

_REQUEST = "nbnumba.request"


class FlagCommand(TyperCommand):
    """A command that hands its words to ``read``; what that returns is in ``ctx.meta[_REQUEST]``."""

    read: Callable[[Sequence[str]], Any]
    needs_words: bool

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the words, unless only completions are wanted, which must never fail, or the help."""
        if ctx.resilient_parsing:
            return []
        if "--help" in args or "-h" in args or (self.needs_words and not args):
            typer.echo(ctx.get_help())
            ctx.exit()
        ctx.meta[_REQUEST] = self.read(args)
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
    """A decorator that makes a function of a request a command.

    Parameters
    ----------
    read : callable
        Makes the request of the command's words.
    flags : sequence of Flag
        What help, panels and completion show.
    help, metavar : str
        What the command does, and what stands behind its name.
    panel : str
        Under which heading ``nbnumba --help`` lists it.
    needs_words : bool
        Whether help is shown where there is no word.
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
        *(flag.spellings if flag.own else (flag.name,)),
        help=flag.text,
        rich_help_panel=flag.panel,
        metavar=flag.metavar,
        show_default=False,
    )
    kind: Any = {"switch": bool, "path": Path}.get(flag.kind, str)
    # names are numbered because -N and -n, -Q and -q would be the same word to Typer
    return inspect.Parameter(
        f"flag_{index}",
        inspect.Parameter.KEYWORD_ONLY,
        default=False if kind is bool else None,
        annotation=Annotated[kind if kind is bool else kind | None, option],
    )
