"""The command line of ``nbnumba compare``; nothing here imports NumPy, so that the help appears at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import typer
from typer.core import TyperCommand

from nbnumba.cli.flag_table import TABLE
from nbnumba.cli.parse import is_flag, with_files
from nbnumba.errors import UsageError

#: Key in ``ctx.meta`` of the words after "--", the flags of both simulators.
FLAGS_KEY = "nbnumba.inspect.compare.flags"


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Options of ``nbnumba compare``; see its help."""

    shape: tuple[int, int] | None = None
    image: int | None = None
    roi: tuple[int, int, int, int] | None = None
    mask: Path | None = None
    fit: bool = False
    rtol: float = 1e-3
    atol: float = 0.0
    radius: float = 3.0
    min_correlation: float = 0.999
    sum_ratio: str = "0.99:1.01"
    max_rel: float = 0.01
    out: Path = Path()
    picture: bool = True
    pictures: bool = False
    keep: bool = False
    accept_explained: bool = False
    max_peak_distance: float = 1.0
    max_dhkl: float = 5e-4
    py_bin: str | None = None
    resample: bool = False


class CompareCommand(TyperCommand):
    """Keeps the words after ``--`` for the simulators; ``--against`` just before it means ``NB_C_BIN``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Split the words at the first ``--``; without any word the help is shown.

        Raises
        ------
        UsageError
            A flag of a simulation stands before ``--``.
        """
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        if "--" in args and not ctx.resilient_parsing:
            cut = args.index("--")
            ctx.meta[FLAGS_KEY] = with_files(args[cut + 1 :])
            args = args[:cut]
            if args and args[-1] == "--against":
                args = [*args, os.environ.get("NB_C_BIN", "")]
        own = {word for parameter in self.params for word in (*parameter.opts, *parameter.secondary_opts)}
        args = [f"-{word}" if f"-{word}" in own else word for word in args]  # one dash or two, as everywhere
        for word in args if "--against" in args and not ctx.resilient_parsing else []:
            if word not in own and is_flag(word) and TABLE.find(word) is not None:
                raise UsageError(f"the flags of the simulation come after '--': --against EXECUTABLE -- {word} ...")
        return super().parse_args(ctx, args)
