"""Second derivatives of the image with respect to single parameters, panel by panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbnumba.derive.engine import PanelPass, threads
from nbnumba.derive.parameter import Curvature
from nbnumba.errors import ConfigError
from nbnumba.kernels.cpu.curvatures import curve_pixels, make_curved_scratch
from nbnumba.kernels.formulas.blocks import ROUND
from nbnumba.kernels.formulas.curvatures import (
    FORM_ONCE,
    FORM_TWICE,
    FORMED,
    NUMBERS,
    PEAK,
    SHIFTING,
)


def bend_tables(curvatures: Sequence[Curvature]) -> tuple[np.ndarray, np.ndarray]:
    """Arguments ``bends`` of :func:`nbnumba.kernels.cpu.curvatures.curve_pixels`."""
    numbers = np.zeros((len(curvatures), NUMBERS))
    orientations = max(len(c.once) for c in curvatures)
    changes = np.zeros((len(curvatures), orientations, 18))
    for row, change, c in zip(numbers, changes, curvatures, strict=True):
        change[:, :9], change[:, 9:] = c.once.reshape(-1, 9), c.twice.reshape(-1, 9)
        row[FORM_ONCE : FORM_ONCE + 6], row[FORM_TWICE : FORM_TWICE + 6] = c.form_once, c.form_twice
        row[PEAK], row[PEAK + 1] = c.peak_once, c.peak_twice
        row[FORMED], row[SHIFTING] = row[:FORMED].any(), c.per_wavelength
    return changes, numbers


def second_values(one: PanelPass, curvatures: Sequence[Curvature]) -> np.ndarray:
    """Second derivatives of the pixels of a panel, (n, parameters).

    Raises
    ------
    ConfigError
        Structure factors are interpolated.
    """
    x = one.inputs
    if x.cell.interpolate:
        raise ConfigError(
            "there are no second derivatives where structure factors are interpolated: give -nointerpolate"
        )
    tables = (one.sources, x.cells, one.F2, *make_curved_scratch(threads(), len(curvatures)))
    out = np.empty((len(one.pixels), len(curvatures)))
    round_ = 1 if x.crystal.shape == ROUND else None
    curve_pixels(out, one.pixels, bend_tables(curvatures), *one.blocks, tables, one.ends[:2], round_)
    return out
