"""The command line of ``nbnumba derivatives``: its options and those of ``nbnumba run``.

Nothing here imports NumPy, so that the help appears at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, flag, panel, switch
from nbnumba.cli.parse import Invocation, not_negative, parse, take_options
from nbnumba.errors import UsageError

#: Names of ``nbnumba.derive.catalog``, written out because its import takes longer than the help.
CELL_SYSTEMS = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "rhombohedral",
    "cubic",
)
DERIVATIVES_OPTIONS: tuple[Flag, ...] = panel(
    "Derivatives",
    flag("--of", "path", "", "Parameters, with commas between them (docs/derivatives.md lists them).", metavar="NAMES"),
    flag("--out", "path", "", "Write image and derivatives as HDF5.", metavar="FILE.h5"),
    switch(
        "--check", "Compare each derivative with central differences; exit code 1 if one differs by more than 1e-6."
    ),
    switch("--information", "Print how well the image determines the parameters, under photon noise."),
    flag(
        "--readout", "float", "", "With --information: readout noise of a pixel, photons.", default="0", metavar="SIGMA"
    ),
    flag(
        "--background",
        "float",
        "",
        "With --information: further photons in each pixel.",
        default="0",
        metavar="PHOTONS",
    ),
    flag("--picture", "path", "", "Draw the derivatives, a panel for each, as PNG.", metavar="FILE.png"),
    flag(
        "--cell-system",
        "choice",
        "",
        "Crystal system: cell lengths and angles that are equal change together.",
        choices=CELL_SYSTEMS,
    ),
)
#: Flags in the help of ``nbnumba derivatives``: no output file of a run but the JSON record.
DERIVATIVES_FLAGS: tuple[Flag, ...] = (
    *DERIVATIVES_OPTIONS,
    *(row for row in FLAGS if row.panel != "Output" or row.name == "--json"),
)


@dataclass(frozen=True)
class DerivativesRequest:
    """Parsed command line of ``nbnumba derivatives``; ``out``, ``picture``, ``cell_system`` are empty if not given."""

    names: str
    out: str
    check: bool
    information: bool
    readout: float
    background: float
    picture: str
    cell_system: str
    invocation: Invocation
    words: tuple[str, ...]


def parse_derivatives(argv: Sequence[str]) -> DerivativesRequest:
    """Take the options of ``nbnumba derivatives`` out of a command line, and parse the rest as that of a run.

    Raises
    ------
    UsageError
        No parameter is named, a number is none, or ``nbnumba run`` would refuse the rest.
    """
    given, rest = take_options(argv, DERIVATIVES_OPTIONS)
    if not given.get("--of"):
        raise UsageError("derivatives needs parameters: give --of NAMES, as --of misset_x_deg,cell_a")
    invocation = parse(rest, DERIVATIVES_OPTIONS)
    return DerivativesRequest(
        names=given["--of"],
        out=given.get("--out", ""),
        check="--check" in given,
        information="--information" in given,
        readout=not_negative("--readout", given.get("--readout", "0"), "number of photons"),
        background=not_negative("--background", given.get("--background", "0"), "number of photons"),
        picture=given.get("--picture", ""),
        cell_system=given.get("--cell-system", ""),
        invocation=invocation,
        words=tuple(argv),
    )
