"""Search of the orientation within some degrees of the start, where its spots do not overlap with those of the image yet.

Every orientation of a grid is predicted with spots as wide as the grid is coarse, and compared with the image by their
correlation in the pixels that are brighter than their surroundings. The best ones are refined with ever narrower spots,
and the one that explains the image best is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nbnumba.derive.catalog import find
from nbnumba.derive.setting import DEGREE, Setting, setting_of
from nbnumba.errors import ConfigError
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.refinement.boxes import rendered, typical_spacing, widened
from nbnumba.refinement.measured import Measured
from nbnumba.refinement.options import RefineOptions
from nbnumba.refinement.simulation import simulation_of
from nbnumba.render.inputs import KernelInputs

#: Distance of the orientations, in widths of a spot; most of them along an axis; how many are refined.
STRIDE, MOST, BEST = 1.0, 15, 5
#: Width (pixels) of the surroundings of a pixel, and standard deviations by which bright ones exceed them.
AROUND, CLEAR = 21, 4.0


def search(
    experiments: Sequence[Experiment], measured: Measured, options: RefineOptions, device: str
) -> list[Experiment]:
    """The experiments with the orientations that explain the image best; one lattice after the other."""
    bright = [excess(image, good, measured.noise) for image, good in zip(measured.photons, measured.good, strict=True)]
    return [_search_one(one, bright, measured, options, device) for one in experiments]


def excess(image: np.ndarray, good: np.ndarray, noise: float) -> np.ndarray:
    """Square root of what a pixel has above its surroundings, 0 where that is not clear or the pixel is not good."""
    from scipy.ndimage import uniform_filter

    weight = uniform_filter(good.astype(np.float64), AROUND)
    around = uniform_filter(np.where(good, image, 0.0), AROUND) / np.maximum(weight, 1e-9)
    limit = around + CLEAR * np.sqrt(np.maximum(around, 0.25) + noise)
    # bright spots raise their own surroundings: once more without them
    calm = good & (image < limit)
    weight = uniform_filter(calm.astype(np.float64), AROUND)
    around = uniform_filter(np.where(calm, image, 0.0), AROUND) / np.maximum(weight, 1e-9)
    above = image - around
    found: np.ndarray = np.where(good & (above > CLEAR * np.sqrt(np.maximum(around, 0.25) + noise)), above, 0.0)
    return np.sqrt(found)


def _search_one(
    experiment: Experiment, bright: Sequence[np.ndarray], measured: Measured, options: RefineOptions, device: str
) -> Experiment:
    start = setting_of(experiment)
    step = max(STRIDE * width_deg(start.first), 2 * options.search_deg / (MOST - 1))
    count = int(np.ceil(options.search_deg / step))
    offsets = np.linspace(-options.search_deg, options.search_deg, 2 * count + 1)
    broad = [widened(x, step / 2) for x in start.panels]
    scored = []
    for turn in itertools.product(offsets, repeat=3):
        direct = turned(start, turn)
        cells = Setting(experiment, start.start, start.state._replace(direct=direct)).first.cells
        scored.append((_score(broad, cells, measured, bright), turn))
    scored.sort(reverse=True)
    quick = replace(
        options,
        parameters=("misset", "scale"),
        stages=(),
        restraints=(),
        reach_deg=step,
        search_deg=0.0,
        reject=0.0,
        iterations=15,
    )
    best, most = start.state.direct, -np.inf
    for _, turn in scored[:BEST]:
        found = _refined(start, turned(start, turn), measured, quick, device)
        if found is not None and found[0] > most:
            most, best = found
    return _moved(start, best)


def width_deg(inputs: KernelInputs) -> float:
    """Turn of the crystal by which a typical spot moves as far as it is wide."""
    wide = widened(inputs, 0.0)
    lengths = np.linalg.norm(wide.cells[0].reshape(3, 3), axis=1)
    size = float(np.median(lengths * [wide.crystal.Na, wide.crystal.Nb, wide.crystal.Nc]))
    return typical_spacing(wide) / size / DEGREE


def turned(start: Setting, turn: Sequence[float]) -> np.ndarray:
    """Cell vectors after rotations about x, y and z (deg)."""
    state = start.state
    for axis, change in zip("xyz", turn, strict=True):
        state = find(f"misset_{axis}_deg", start.experiment).applied(state, change)
    return state.direct


def _moved(start: Setting, direct: np.ndarray) -> Experiment:
    """The experiment with other cell vectors."""
    changed = Setting(start.experiment, start.start, start.state._replace(direct=direct))
    return resolve(simulation_of(changed), start.experiment)


def _score(broad: Sequence[KernelInputs], cells: np.ndarray, measured: Measured, bright: Sequence[np.ndarray]) -> float:
    """Correlation of the square roots of prediction and image."""
    product = square = 0.0
    few = np.unique(np.linspace(0, len(cells) - 1, len(broad[0].cells)).astype(int))
    for x, good, image in zip(broad, measured.good, bright, strict=True):
        light = np.where(good, rendered(replace(x, cells=np.ascontiguousarray(cells[few])), good.shape), 0.0)
        square += float(light.sum())
        product += float((np.sqrt(light) * image).sum())
    return product / np.sqrt(square) if square > 0 else 0.0


def _refined(
    start: Setting, direct: np.ndarray, measured: Measured, options: RefineOptions, device: str
) -> tuple[float, np.ndarray] | None:
    """Cell vectors after a refinement of orientation and scale, and how well spots then correlate with the image.

    None where no spot is predicted.
    """
    from nbnumba.refinement.refine import Refinement  # which imports this module where it is needed

    try:
        found = Refinement([_moved(start, direct)], measured, options, device).run()
    except ConfigError:
        return None
    spots = found.spots
    known = np.isfinite(spots["correlation"])
    match = float((spots["correlation"] * spots["expected"])[known].sum() / max(spots["expected"].sum(), 1e-300))
    return match, found.settings[0].state.direct
