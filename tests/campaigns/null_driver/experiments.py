"""Small experiments that between them launch every CUDA kernel, as flags of the command line."""

from __future__ import annotations

from typing import NamedTuple

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.model.config import Simulation

_BASE = "-cell 50 60 70 90 90 90 -default_F 10 -detpixels 64 -pixel 0.5 -distance 100 -lambda 1 -misset 10 20 30"
_MANY = f"{_BASE} -N 5 -mosaic_dom 50 -mosaic 0.3"
_FEW = f"{_BASE} -N 5 -mosaic_dom 1 -oversample 1"
_COMPACT = f"{_BASE} -N 20 -gauss_xtal -fudge 0.1 -mosaic_dom 5 -mosaic 0.3"


class Experiment(NamedTuple):
    """Flags, the row of ``bench.cuda_resources.KERNELS`` that they lead to, and the functions that are launched."""

    flags: str
    row: str
    functions: tuple[str, ...]


_FAST, _SPLIT = ("render_fast",), ("render_fast", "close_fast")
_SPOTS = ("find_spots", "place_tiles", "fill_lists", "paint_spots", "close_pixels")
EXPERIMENTS = {
    "fast32": Experiment(_MANY, "fast square float32", _FAST),
    "fast32 curved": Experiment(f"-curved_det {_MANY}", "fast square float32, curved", _FAST),
    "fast32 by source": Experiment(f"{_MANY} -dmin 2", "fast square float32, by source", _FAST),
    "fast32 split": Experiment(f"{_BASE} -N 5 -mosaic_dom 3000 -mosaic 0.3", "fast square float32, split", _SPLIT),
    "fixed": Experiment(_FEW, "fast square fixed point", _FAST),
    "fixed curved": Experiment(f"-curved_det {_FEW}", "fast square fixed point, curved", _FAST),
    "fixed by source": Experiment(f"{_FEW} -dmin 2", "fast square fixed point, by source", _FAST),
    "fast64 square": Experiment(f"{_FEW} -N 3000", "fast square float64", _FAST),
    "fast64 round": Experiment(f"{_BASE} -N 5 -round_xtal", "fast round", _FAST),
    "fast64 gauss": Experiment(f"{_BASE} -N 2 -gauss_xtal -fudge 0.1", "fast gauss, tophat", _FAST),
    "general": Experiment(f"{_BASE} -N 5 -oversample 2 -oversample_omega", "general", ("render_general",)),
    "spots": Experiment(f"{_COMPACT} -oversample 1", "spots, paint", _SPOTS),
    "spots sub-pixels": Experiment(f"{_COMPACT} -oversample 2", "spots, paint, sub-pixels", _SPOTS),
    "spots by term": Experiment(f"{_COMPACT} -fudge 5 --physics correct", "spots, paint, term by term", _SPOTS),
}
#: Needs a list of structure factors: golden cases launch it.
ELSEWHERE = ("general, interpolating",)
#: Parts that experiments with split sums, and with spots, launch as well.
SHARED_ROWS = ("fast, end of split sums", "spots, find", "spots, place", "spots, fill", "spots, close")


#: Of derivatives: row of ``bench.cuda_resources.KERNELS`` -> flags, and the parameters.
DERIVED = {
    "derivatives, square": (_FEW, "misset_x_deg"),
    "derivatives, square, turned domains": (_MANY, "misset_x_deg,mosaic_spread_deg"),
    "derivatives, square, curved": (f"-curved_det {_FEW}", "misset_x_deg"),
    "derivatives, round": (f"{_BASE} -N 5 -round_xtal", "misset_x_deg"),
    "derivatives, gauss, tophat": (f"{_BASE} -N 2 -gauss_xtal -fudge 0.1", "misset_x_deg"),
    "derivatives of spots, one ray": (f"{_COMPACT} -oversample 1", "misset_x_deg"),
    "derivatives of spots": (f"{_COMPACT} -oversample 2", "misset_x_deg"),
    "derivatives, square, interpolating": (f"{_FEW} -hkl tests/golden/inputs/hex.hkl -interpolate", "misset_x_deg"),
}
#: What each of these launches as well, for its results.
DERIVED_RESULTS = ("derivatives, images", "derivatives, gradient", "derivatives, normal")
#: What those of spots launch as well.
DERIVED_SPOTS = (
    "spots, find",
    "spots, place",
    "spots, fill",
    "derivatives of spots, sort",
    "derivatives of spots, end",
)


def simulation(name: str, more: str = "") -> Simulation:
    """An experiment, with further flags."""
    return build(parse(f"{EXPERIMENTS[name].flags} {more}".split()))[0]
