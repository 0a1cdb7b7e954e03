"""The command line of ``nbnumba series``: its options and those of ``nbnumba run``.

Nothing here imports NumPy, so that the help appears at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag, count, file, flag, panel, switch
from nbnumba.cli.parse import Invocation, parse, positive, take_options
from nbnumba.errors import UsageError

SERIES_OPTIONS: tuple[Flag, ...] = panel(
    "Series",
    count("--images", "", "Number of images of a rotation series; -osc is the width of one, -phi the start."),
    count("--stills", "", "Number of stills, each of another crystal."),
    flag(
        "--orientations",
        "choice",
        "",
        "Orientations of stills: random, or fixed by -mat and -misset.",
        metavar="random|fixed",
        choices=("random", "fixed"),
        default="random",
    ),
    file("--vary", "", "TOML file of the values that vary from shot to shot."),
    flag(
        "--out", "path", "", "Folder of the series; one that exists is continued.", metavar="FOLDER", default="series"
    ),
    flag(
        "--name",
        "path",
        "",
        "Images are called NAME_0001.img.",
        metavar="NAME",
        default="that of --npy and other output flags, else the -hkl file's name",
    ),
    count("--workers", "", "Processes on this machine; jobs with --slurm. Default: one per core."),
    flag("--scheduler", "path", "", "Send the images to the Dask cluster at tcp://HOST:PORT.", metavar="URL"),
    switch("--slurm", "Send the images to SLURM, through dask-jobqueue and its configuration."),
    switch("--no-contact-sheet", "Draw no contact sheet."),
)
#: Flags in the help of ``nbnumba series``.
SERIES_FLAGS: tuple[Flag, ...] = (*SERIES_OPTIONS, *(row for row in FLAGS if row.name not in ("--json", "--dry-run")))

_COUNTS = ("--images", "--stills", "--workers")
#: Fields of a run that a series does not take, with the message.
_REFUSED = {
    "outputs.json": "--json belongs to a single run: a series keeps its record in series.json",
    "run.dry_run": "--dry-run belongs to a single run: 'nbnumba run --dry-run' prints the facts of the first image",
    "trace.pixel": "pixels are traced in a single run: use 'nbnumba trace' with the flags of one image",
}


@dataclass(frozen=True)
class SeriesRequest:
    """Parsed command line of ``nbnumba series``; ``invocation``: the flags of a run."""

    images: int
    kind: str
    orientations: str
    vary: str | None
    out: str
    name: str | None
    workers: int | None
    scheduler: str | None
    slurm: bool
    contact_sheet: bool
    invocation: Invocation


def parse_series(argv: Sequence[str]) -> SeriesRequest:
    """Take the options of ``nbnumba series`` out of a command line, and parse the rest as that of a run.

    Raises
    ------
    UsageError
        Neither --images nor --stills is given, options contradict one another, or ``nbnumba run`` would refuse the
        rest.
    """
    given, rest = take_options(argv, SERIES_OPTIONS)
    invocation = parse(rest, SERIES_OPTIONS)
    numbers = {name: positive(name, given[name]) for name in _COUNTS if name in given}
    if ("--images" in numbers) == ("--stills" in numbers):
        raise UsageError("series needs either --images N (a rotation series) or --stills N")
    if "--scheduler" in given and "--slurm" in given:
        raise UsageError("--scheduler and --slurm name two clusters: give one of them")
    if "--orientations" in given and "--images" in given:
        raise UsageError(
            "--orientations is for --stills: a rotation series turns one crystal (-misset random turns it)"
        )
    if "/" in given.get("--name", ""):
        raise UsageError(f"--name must be a name without a folder, got {given['--name']!r}: give the folder as --out")
    for dest, message in _REFUSED.items():
        if dest in invocation.values:
            raise UsageError(message)
    return SeriesRequest(
        images=numbers.get("--images", numbers.get("--stills", 0)),
        kind="rotation" if "--images" in numbers else "stills",
        orientations=given.get("--orientations", "random"),
        vary=given.get("--vary"),
        out=given.get("--out", "series"),
        name=given.get("--name"),
        workers=numbers.get("--workers"),
        scheduler=given.get("--scheduler"),
        slurm="--slurm" in given,
        contact_sheet="--no-contact-sheet" not in given,
        invocation=invocation,
    )
