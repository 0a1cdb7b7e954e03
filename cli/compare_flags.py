"""The command line of ``nbnumba compare``. Light, for the help's sake."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import typer
from typer.core import TyperCommand

#: Where the words behind "--" are, which belong to the simulators.
FLAGS_KEY = "nbnumba.compare.flags"


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What ``nbnumba compare`` was asked for; see its help."""

    shape: tuple[int, int] | None = None
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
    keep: bool = False


class CompareCommand(TyperCommand):
    """Keeps what stands behind ``--`` for the simulators; ``--against`` just before it means ``NB_C_BIN``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Cut the words at the first ``--``; without any word the help is shown."""
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        if "--" in args and not ctx.resilient_parsing:
            cut = args.index("--")
            ctx.meta[FLAGS_KEY] = args[cut + 1 :]
            args = args[:cut]
            if args and args[-1] == "--against":
                args = [*args, os.environ.get("NB_C_BIN", "")]
        return super().parse_args(ctx, args)
