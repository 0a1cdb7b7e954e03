"""The Typer command that takes the reference's flags.

Typer knows the flags from a signature made of the table, which gives help, panels and shell completion. It does not
parse them: single dashes, values of many words and rules of order are the business of ``nbnumba.cli.parse``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from nbnumba.cli.flags import Flag
from nbnumba.cli.parse import parse

INVOCATION = "nbnumba.invocation"


class FlagCommand(TyperCommand):
    """A command that hands its words to ``parse``; the result is in ``ctx.meta[INVOCATION]``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the words, unless only completions are wanted, which must never fail."""
        if ctx.resilient_parsing:
            return []
        if not args or "--help" in args or "-h" in args:
            typer.echo(ctx.get_help())
            ctx.exit()
        ctx.meta[INVOCATION] = parse(args)
        return []


def with_flags(flags: Sequence[Flag]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a function of a context the flags as parameters, for Typer to see."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def command(ctx: typer.Context, **_: Any) -> None:
            function(ctx)

        command.__name__ = function.__name__
        command.__doc__ = function.__doc__
        parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        parameters += [_parameter(index, flag) for index, flag in enumerate(flags)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {entry.name: entry.annotation for entry in parameters}
        return command

    return decorate


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
