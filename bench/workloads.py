"""The commands that the benchmarks time: flags of ``nbnumba run``, each for one kind of work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nbnumba.data import lysozyme_text

#: Geometry of a real data collection on a six-megapixel detector, ten phi steps of 0.01 degrees.
SIX_MEGAPIXEL = """
-nointerpolate -oversample 1 -exposure 1 -flux 1e18 -beamsize 1.0 -spindle_axis -1 0 0 -Xbeam 217.742295
-Ybeam 213.907080 -distance 231.274660 -lambda 0.976800 -pixel 0.172 -detpixels_x 2463 -detpixels_y 2527
-odet_vector -0.000088 0.004914 -0.999988 -sdet_vector -0.005998 -0.999970 -0.004913
-fdet_vector 0.999982 -0.005998 -0.000118 -beam_vector 0.00051387949 0.0 -0.99999986 -Na 36 -Nb 47 -Nc 29
-osc 0.1 -phi 0 -phisteps 10
"""
#: A similar crystal, used if NB_REAL_DATA does not name the folder with A.mat and scaled.hkl of the real one.
LIKE_THE_REAL_CRYSTAL = "-hkl lysozyme.hkl -cell 26.7514 31.31 33.6734 88.687 71.5295 68.1375 -misset 61 -47 12"

MEGAPIXEL = (
    "-hkl lysozyme.hkl -cell 78 78 38 90 90 90 -misset 10 20 30 -lambda 1 -distance 200 -pixel 0.1 -detpixels 1024"
)
FEW_DOMAINS = f"{MEGAPIXEL} -oversample 1 -N 30 -phi 5 -osc 1 -phisteps 2 -mosaic 0.5 -mosaic_domains 20"
MANY_DOMAINS = f"{MEGAPIXEL} -oversample 1 -N 30 -phi 5 -osc 1 -phisteps 10 -mosaic 0.5 -mosaic_domains 200"
SENSOR = "-detector_thick 450 -detector_abs 260 -detector_thicksteps 5 -polar 0.9"
# in the reference the radius of gauss and tophat spots is scaled by Na*Nb*Nc: this makes spots as wide as square ones
FUDGE = "-fudge 7.5e-3"


@dataclass(frozen=True)
class Workload:
    """A command and its description; ``comparable``: no phi step is 0, where the reference's image has a defect."""

    name: str
    what: str
    flags: str
    comparable: bool = True


def _first() -> str:
    crystal = "-mat A.mat -hkl scaled.hkl" if os.environ.get("NB_REAL_DATA") else LIKE_THE_REAL_CRYSTAL
    return f"{crystal} {SIX_MEGAPIXEL}"


def workloads() -> dict[str, Workload]:
    """All workloads by name."""
    rows = [
        Workload("W1", "6 Mpixel, 10 phi steps", _first(), comparable=False),
        Workload("W2", "20 mosaic domains x 2 phi steps", FEW_DOMAINS),
        Workload("W2L", "200 mosaic domains x 10 phi steps", MANY_DOMAINS),
        Workload(
            "W3",
            "3 x 3 divergence x 5 wavelengths, oversample 2",
            f"{MEGAPIXEL} -N 30 -oversample 2 -divergence 2 -divsteps 3 -square_div -dispersion 1 -dispsteps 5",
        ),
        Workload("W4", "W2 with gauss spots", f"{FEW_DOMAINS} -gauss_xtal {FUDGE}"),
        Workload("W4L", "W2L with gauss spots", f"{MANY_DOMAINS} -gauss_xtal {FUDGE}"),
        Workload("W5", "W2 with tophat spots", f"{FEW_DOMAINS} -tophat_spots {FUDGE}"),
        Workload("W6", "5 sensor layers, oversample 3", f"{MEGAPIXEL} -N 30 -oversample 3 {SENSOR}"),
        Workload(
            "W7",
            "interpolation, 1 cell",
            f"{MEGAPIXEL} -N 1 -oversample 1 -interpolate -distance 300 -phi 5 -osc 1 -phisteps 2",
        ),
        Workload(
            "W8",
            "every -oversample_* flag (general kernel)",
            f"{MEGAPIXEL} -N 30 -oversample 2 {SENSOR} -oversample_thick -oversample_polar -oversample_omega",
        ),
        Workload("W9", "start-up: 64 x 64 pixels", f"{MEGAPIXEL} -detpixels 64 -N 30 -oversample 1"),
        Workload("W10", "16 Mpixel", f"{MEGAPIXEL} -detpixels 4096 -pixel 0.075 -N 30 -oversample 1"),
    ]
    return {row.name: row for row in rows}


def lay_out(folder: Path) -> None:
    """Write the input files into ``folder``: the data of ``nbnumba.data``, and links to the files of NB_REAL_DATA."""
    (folder / "lysozyme.hkl").write_text(lysozyme_text())
    if real := os.environ.get("NB_REAL_DATA"):
        for name in ("A.mat", "scaled.hkl"):
            os.symlink(Path(real).resolve() / name, folder / name)
