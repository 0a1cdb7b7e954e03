"""The command line of ``nbnumba refine``: its options and those of ``nbnumba run``.

Nothing here imports NumPy, so that the help appears at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nbnumba.cli.derivatives_flags import CELL_SYSTEMS
from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, count, file, flag, panel, switch
from nbnumba.cli.parse import Invocation, is_flag, not_negative, parse, positive, take_options
from nbnumba.errors import UsageError

REFINE_OPTIONS: tuple[Flag, ...] = panel(
    "Refinement",
    flag(
        "--refine",
        "path",
        "",
        "Parameters and groups of them, with commas: misset, cell, N, scale, spread, distance, spectrum, tilt, panels, F, and "
        "all of docs/derivatives.md.",
        metavar="NAMES",
        default="misset,cell,N,scale",
    ),
    flag(
        "--stages",
        "path",
        "",
        "Parameters of each stage: 'scale; misset scale; cell N misset scale'. Default: all at once.",
        metavar="TEXT",
    ),
    flag(
        "--restrain", "path", "", "Standard deviations of values at the start: 'cell=0.2, misset=0.1'.", metavar="TEXT"
    ),
    flag("--out", "path", "", "Begin of the names of the output files.", metavar="PREFIX", default="refined"),
    flag(
        "--likelihood",
        "choice",
        "",
        "Photons with readout noise, or photons alone. Default: by --read-noise.",
        choices=("auto", "gaussian", "poisson"),
    ),
    flag(
        "--planes",
        "choice",
        "",
        "Plane of background beside each spot: refined with all else, kept as found at first, or none.",
        choices=("refined", "kept", "none"),
    ),
    flag("--search", "float", "", "Look for the orientation within this angle first.", metavar="DEG"),
    flag(
        "--reach",
        "float",
        "",
        "Shoeboxes hold the spots of a crystal that is turned by this angle.",
        metavar="DEG",
        default="0.2",
    ),
    flag("--rim", "float", "", "Frame of background around each spot, pixels.", metavar="PX", default="2"),
    flag("--reject", "float", "", "Leave out pixels that are off by more sigma; 0: none.", metavar="X", default="6"),
    flag("--iterations", "float", "", "Most iterations of a stage.", metavar="N", default="50"),
    flag("--image", "float", "", "Which image of a file that has several, from 1.", metavar="N"),
    flag("--refl", "path", "", "Refine against the indexed reflections of this table of DIALS.", metavar="FILE.refl"),
    flag("--lattices", "path", "", "Experiments of --geometry that share the image: 1,2.", metavar="N,N"),
    flag(
        "--cell-system",
        "choice",
        "",
        "Crystal system: lengths and angles that are equal change together. Default: that of the cell.",
        choices=CELL_SYSTEMS,
    ),
    switch("--no-picture", "Do not draw PREFIX.png."),
    switch(
        "--self-test", "Simulate an image, disturb its model, and refine it: no image is needed; files with --out only."
    ),
    file(
        "--list", "", "Many shots: each line an image, and flags of that shot; --out is a folder, which is continued."
    ),
    flag(
        "--share",
        "path",
        "",
        "With --list: parameters that all shots have in common, as 'distance,panels[0:4],panels'.",
        metavar="NAMES",
    ),
    count("--workers", "", "With --list: processes on this machine; jobs with --slurm. Default: one per core."),
    flag(
        "--scheduler", "path", "", "With --list: send the shots to the Dask cluster at tcp://HOST:PORT.", metavar="URL"
    ),
    switch("--slurm", "With --list: send the shots to SLURM, through dask-jobqueue and its configuration."),
)
#: Flags in the help of ``nbnumba refine``: no output file of a run but the JSON record.
REFINE_FLAGS: tuple[Flag, ...] = (
    *REFINE_OPTIONS,
    *(row for row in FLAGS if row.panel != "Output" or row.name in ("--json", "-adc")),
)
#: Options that are numbers: the field of the options, and whether it is whole.
_NUMBERS = {
    "--search": ("search_deg", False),
    "--reach": ("reach_deg", False),
    "--rim": ("rim_px", True),
    "--reject": ("reject", False),
    "--iterations": ("iterations", True),
}
#: Options of which there are a few values: the field of the options.
_CHOICES = {"--likelihood": "likelihood", "--planes": "background", "--cell-system": "cell_system"}


@dataclass(frozen=True)
class RefineRequest:
    """Parsed command line of ``nbnumba refine``.

    Attributes
    ----------
    images : tuple of str
        Names of files.
    options : dict
        Arguments of :func:`nbnumba.refinement.refine.refine`.
    lattices : tuple of int
        Numbers of experiments; empty: one lattice.
    number : int or None
        Which image of a file.
    refl : str
        Table of reflections; empty: none.
    list_file : str or None
        List of many shots; ``out`` is a folder then.
    share, workers, scheduler, slurm
        How they are refined.
    """

    images: tuple[str, ...]
    parameters: str
    stages: str
    options: dict[str, Any]
    out: str
    lattices: tuple[int, ...]
    picture: bool
    self_test: bool
    invocation: Invocation
    words: tuple[str, ...]
    restraints: dict[str, float] = field(default_factory=dict)
    number: int | None = None
    refl: str = ""
    list_file: str | None = None
    share: str = ""
    workers: int | None = None
    scheduler: str | None = None
    slurm: bool = False


def parse_refine(argv: Sequence[str]) -> RefineRequest:
    """Take images and the options of ``nbnumba refine`` out of a command line, and parse the rest as that of a run.

    Raises
    ------
    UsageError
        There is no image, a number is none, or ``nbnumba run`` would refuse the rest.
    """
    words = list(argv)
    images = []
    while words and not is_flag(words[0]):
        images.append(words.pop(0))
    given, rest = take_options(words, REFINE_OPTIONS)
    self_test = "--self-test" in given
    _check_list(given, images)
    if not images and not self_test and "--list" not in given:
        raise UsageError("refine needs an image: nbnumba refine IMAGE FLAGS (or --list FILE, or --self-test)")
    if images and self_test:
        raise UsageError(f"--self-test makes its own image: leave out {images[0]}")
    options: dict[str, Any] = {}
    for name, (key, whole) in _NUMBERS.items():
        if name in given:
            options[key] = _number(name, given[name], whole)
    options |= {key: given[name] for name, key in _CHOICES.items() if name in given}
    return RefineRequest(
        images=tuple(images),
        parameters=given.get("--refine", "misset,cell,N,scale"),
        stages=given.get("--stages", ""),
        options=options,
        out=given.get("--out", "" if self_test else "refined"),
        lattices=lattices_of(given.get("--lattices", "")),
        picture="--no-picture" not in given,
        self_test=self_test,
        invocation=parse(rest, REFINE_OPTIONS),
        words=tuple(argv),
        restraints=_restraints(given.get("--restrain", "")),
        number=image_number(given["--image"]) if "--image" in given else None,
        refl=given.get("--refl", ""),
        list_file=given.get("--list"),
        share=given.get("--share", ""),
        workers=positive("--workers", given["--workers"]) if "--workers" in given else None,
        scheduler=given.get("--scheduler"),
        slurm="--slurm" in given,
    )


def _number(name: str, text: str, whole: bool) -> float | int:
    value = not_negative(name, text, f"{'whole ' if whole else ''}number")
    if whole and not value.is_integer():
        raise UsageError(f"{name} needs a whole number, 0 or more, got {text!r}")
    return int(value) if whole else value


def image_number(text: str) -> int:
    """Which image of a file, from the value of ``--image``."""
    return int(_number("--image", text, True))


def _check_list(given: dict[str, str], images: Sequence[str]) -> None:
    """Raise UsageError where options of many shots and of single images contradict one another."""
    if "--list" not in given:
        for name in ("--share", "--workers", "--scheduler", "--slurm"):
            if name in given:
                raise UsageError(f"{name} is for many shots: give --list FILE")
        return
    if images or "--self-test" in given:
        raise UsageError(f"--list names the images: leave out {images[0] if images else '--self-test'}")
    if "--scheduler" in given and "--slurm" in given:
        raise UsageError("--scheduler and --slurm name two clusters: give one of them")
    if not given.get("--share", "x").strip():
        raise UsageError("--share needs the names of parameters, as distance,panels")


def lattices_of(text: str) -> tuple[int, ...]:
    """Numbers of experiments with commas between them."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdigit() for word in words) or len(set(words)) != len(words):
        raise UsageError(f"--lattices needs numbers of experiments, as 1,2, got {text!r}")
    return tuple(map(int, words))


def _restraints(text: str) -> dict[str, float]:
    found = {}
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        name, equals, value = part.partition("=")
        try:
            sigma = float(value)
        except ValueError:
            sigma = 0.0
        if not equals or not 0 < sigma < float("inf"):
            raise UsageError(f"--restrain needs NAME=SIGMA with a SIGMA above 0, as cell=0.2, got {part!r}")
        found[name.strip()] = sigma
    return found
