"""The command line of ``nbnumba bench``: its own options before those of ``nbnumba run``. Light, for the help's sake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, count, flag, panel, switch
from nbnumba.cli.parse import Invocation, parse
from nbnumba.errors import UsageError

#: Rows of the plan table; written out, as importing it takes longer than the help.
KERNELS = ("spots", "fast32", "fixed", "fast64", "general")
OWN: tuple[Flag, ...] = panel(
    "Bench",
    count("--repeat", "", "Renderings that are timed, after one to warm up.", default="5"),
    flag("--kernel", "choice", "", "Kernel to time; default: the one that a run would take.", choices=KERNELS),
    switch("--scaling", "Time 1, 2, 4 ... threads, too."),
)
#: What the help of ``nbnumba bench`` lists: no file of a run is written, but for the record.
BENCH_FLAGS: tuple[Flag, ...] = (*OWN, *(row for row in FLAGS if row.panel != "Output" or row.name == "--json"))


#: What describes a crystal of the user's own; without any of them the demo's is taken, with the flags that were given.
_CRYSTALS = {"input.matrix", "input.geometry", "crystal.cell", "structure_factors.hkl", "structure_factors.model"}


@dataclass(frozen=True)
class BenchRequest:
    """What ``nbnumba bench`` was asked for; ``is_demo``: the flags describe no crystal."""

    repeat: int
    scaling: bool
    kernel: str | None
    is_demo: bool
    invocation: Invocation
    words: tuple[str, ...]


def parse_bench(argv: Sequence[str]) -> BenchRequest:
    """Take the bench's own options out of a command line, and parse the rest as that of a run.

    Raises
    ------
    UsageError
        No such number of renderings, or what ``nbnumba run`` would refuse.
    """
    words, rest = list(argv), []
    repeat, scaling, kernel = 5, False, None
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name == "--repeat":
            if not equals and not words:
                raise UsageError("--repeat needs a value, but the command line ends there")
            repeat = _positive(value if equals else words.pop(0))
        elif name == "--kernel":
            if not equals and not words:
                raise UsageError("--kernel needs a value, but the command line ends there")
            kernel = _kernel(value if equals else words.pop(0))
        elif word == "--scaling":
            scaling = True
        else:
            rest.append(word)
    invocation = parse(rest, OWN)
    if "trace.pixel" in invocation.values:
        raise UsageError("pixels are traced in a single run: use 'nbnumba trace' with the same flags")
    return BenchRequest(repeat, scaling, kernel, _CRYSTALS.isdisjoint(invocation.values), invocation, tuple(argv))


def _kernel(name: str) -> str:
    if name not in KERNELS:
        raise UsageError(f"--kernel must be one of {', '.join(KERNELS)}, got {name!r}")
    return name


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"--repeat needs a whole number above 0, got {text!r}")
    return int(text)
