"""The command line of ``nbnumba trace``: its options and those of ``nbnumba run``.

Nothing here imports NumPy, so that the help appears at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, flag, panel, switch
from nbnumba.cli.parse import Invocation, is_flag, parse, take_options
from nbnumba.errors import UsageError

#: Orders of a trace: that of cause, and that of an instrumented C program.
ORDERS = ("cause", "c")

TRACE_OPTIONS: tuple[Flag, ...] = panel(
    "Trace",
    flag("--pixel", "ints", "", "Pixel to trace, counted from 0; may be repeated.", metavar="S F", count=2),
    switch("--per-phi", "One more line for each phi step."),
    switch("--table", "A readable table instead of TRACE_PY lines."),
    flag(
        "--order",
        "choice",
        "",
        "c: lines as an instrumented C program prints them.",
        metavar="NAME",
        choices=ORDERS,
    ),
    flag("--out", "path", "", "Write the lines into this file.", metavar="FILE"),
)
#: Flags in the help of ``nbnumba trace``: no output file of a run but the JSON record.
TRACE_FLAGS: tuple[Flag, ...] = (
    *TRACE_OPTIONS,
    *(row for row in FLAGS if row.panel != "Output" or row.name == "--json"),
)

# spelling -> whether the slow index comes first
_PIXEL_FLAGS = {"--pixel": True, "-trace_pixel": True, "--trace_pixel": True}
_PIXEL_FLAGS |= {"-printout_pixel": False, "--printout_pixel": False}


@dataclass(frozen=True)
class TraceRequest:
    """Parsed command line of ``nbnumba trace``.

    ``pixels`` are (slow, fast), ``order``: cause or c, ``out``: a file for the lines, or empty, ``words``: the command line as
    given.
    """

    pixels: tuple[tuple[int, int], ...]
    per_phi: bool
    table: bool
    order: str
    out: str
    invocation: Invocation
    words: tuple[str, ...]


def parse_trace(argv: Sequence[str]) -> TraceRequest:
    """Take pixels and the options of ``nbnumba trace`` out of a command line, and parse the rest as that of a run.

    Raises
    ------
    UsageError
        No pixel is given, or only one index of one, or ``nbnumba run`` would refuse the rest.
    """
    words, rest = list(argv), []
    pixels: list[tuple[int, int]] = []
    while words and not is_flag(words[0]):
        pixels.append(_pixel(words, "PIXEL"))
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in _PIXEL_FLAGS:
            if equals:
                words.insert(0, value)
            first, second = _pixel(words, name)
            pixels.append((first, second) if _PIXEL_FLAGS[name] else (second, first))
        else:
            rest.append(word)
    if not pixels:
        raise UsageError("trace needs a pixel: give SLOW FAST first, or --pixel SLOW FAST")
    given, rest = take_options(rest, TRACE_OPTIONS)
    invocation = parse(rest, TRACE_OPTIONS)
    return TraceRequest(
        pixels=tuple(dict.fromkeys(pixels)),
        per_phi="--per-phi" in given,
        table="--table" in given,
        order=given.get("--order", "cause"),
        out=given.get("--out", ""),
        invocation=invocation,
        words=tuple(argv),
    )


def _pixel(words: list[str], name: str) -> tuple[int, int]:
    """Two whole numbers off the front of ``words``, as two words or as one with a comma."""
    given = words[:2]
    if given and "," in given[0]:
        given = given[0].split(",")
        del words[:1]
    else:
        del words[:2]
    if len(given) != 2 or not all(re.fullmatch(r"[+-]?\d+", word) for word in given):
        raise UsageError(f"{name} needs two whole numbers, got {' '.join(given) or 'nothing'!r}")
    return int(given[0]), int(given[1])
