"""The command line of ``nbnumba bench``: its options and those of ``nbnumba run``.

Nothing here imports NumPy, so that the help appears at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, count, flag, panel, switch
from nbnumba.cli.parse import Invocation, parse, positive, take_options
from nbnumba.errors import UsageError

#: Rows of the plan table, written out because its import takes longer than the help.
KERNELS = ("spots", "fast32", "fixed", "fast64", "general")
BENCH_OPTIONS: tuple[Flag, ...] = panel(
    "Bench",
    count("--repeat", "", "Number of timed renderings, after one to warm up.", default="5"),
    flag("--kernel", "choice", "", "Kernel to time; default: the one that a run would use.", choices=KERNELS),
    switch("--scaling", "Time 1, 2, 4 ... threads, too."),
)
#: Flags in the help of ``nbnumba bench``: no output file of a run but the JSON record.
BENCH_FLAGS: tuple[Flag, ...] = (
    *BENCH_OPTIONS,
    *(row for row in FLAGS if row.panel != "Output" or row.name == "--json"),
)


#: Flags that describe a crystal; without any of them the demo's crystal is used, with the flags that are given.
_CRYSTALS = {"input.matrix", "input.geometry", "crystal.cell", "structure_factors.hkl", "structure_factors.model"}


@dataclass(frozen=True)
class BenchRequest:
    """Parsed command line of ``nbnumba bench``; ``is_demo``: the flags describe no crystal."""

    repeat: int
    scaling: bool
    kernel: str | None
    is_demo: bool
    invocation: Invocation
    words: tuple[str, ...]


def parse_bench(argv: Sequence[str]) -> BenchRequest:
    """Take the options of ``nbnumba bench`` out of a command line, and parse the rest as that of a run.

    Raises
    ------
    UsageError
        The number of renderings is not allowed, or ``nbnumba run`` would refuse the other words.
    """
    given, rest = take_options(argv, BENCH_OPTIONS)
    repeat = positive("--repeat", given.get("--repeat", "5"))
    invocation = parse(rest, BENCH_OPTIONS)
    if "trace.pixel" in invocation.values:
        raise UsageError("pixels are traced in a single run: use 'nbnumba trace' with the same flags")
    is_demo = _CRYSTALS.isdisjoint(invocation.values)
    return BenchRequest(repeat, "--scaling" in given, given.get("--kernel"), is_demo, invocation, tuple(argv))
