"""The command line of ``nbnumba derivatives``: its options and those of ``nbnumba run``.

Nothing here imports NumPy, so that the help appears at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, flag, panel, switch
from nbnumba.cli.parse import Invocation, parse, take_options
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
    system = given.get("--cell-system", "")
    if system and system not in CELL_SYSTEMS:
        raise UsageError(f"--cell-system must be one of {', '.join(CELL_SYSTEMS)}, got {system!r}")
    invocation = parse(rest, DERIVATIVES_OPTIONS)
    return DerivativesRequest(
        names=given["--of"],
        out=given.get("--out", ""),
        check="--check" in given,
        information="--information" in given,
        readout=_photons("--readout", given),
        background=_photons("--background", given),
        picture=given.get("--picture", ""),
        cell_system=system,
        invocation=invocation,
        words=tuple(argv),
    )


def _photons(name: str, given: dict[str, str]) -> float:
    text = given.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name} needs a number of photons, 0 or more, got {text!r}")
    return value
