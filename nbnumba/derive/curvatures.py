"""Second derivatives of the image with respect to single parameters, panel by panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbnumba.derive.engine import GAUSS_END, threads
from nbnumba.derive.parameter import Curvature
from nbnumba.errors import ConfigError
from nbnumba.kernels.cpu.curvatures import curve_pixels, make_curved_scratch
from nbnumba.kernels.cpu.derivatives import squared_peak
from nbnumba.kernels.formulas.blocks import ROUND, SQUARE
from nbnumba.kernels.formulas.curvatures import (
    FORM_ONCE,
    FORM_TWICE,
    FORMED,
    NUMBERS,
    PEAK,
    SHIFTING,
)
from nbnumba.kernels.formulas.lattice import size_matrix, spot_metric
from nbnumba.render.inputs import KernelInputs, framed_sources


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


def second_values(inputs: KernelInputs, pixels: np.ndarray, curvatures: Sequence[Curvature]) -> np.ndarray:
    """Second derivatives of pixels of a panel, (n, parameters).

    ``pixels``: slow and fast index, (n, 2) int32.

    Raises
    ------
    ConfigError
        Structure factors are interpolated.
    """
    if inputs.cell.interpolate:
        raise ConfigError(
            "there are no second derivatives where structure factors are interpolated: give -nointerpolate"
        )
    crystal = inputs.crystal
    metric = None if crystal.shape == SQUARE else spot_metric(crystal)
    blocks = (inputs.panel, crystal, inputs.cell, inputs.beam, metric)
    peak = squared_peak(crystal.shape, float(np.linalg.det(size_matrix(crystal))))
    scratch = make_curved_scratch(threads(), len(curvatures))
    tables = (framed_sources(inputs), inputs.cells, inputs.F2_table(np.float64), *scratch)
    out = np.empty((len(pixels), len(curvatures)))
    round_ = 1 if crystal.shape == ROUND else None
    curve_pixels(out, pixels, bend_tables(curvatures), *blocks, tables, (peak, GAUSS_END), round_)
    return out
