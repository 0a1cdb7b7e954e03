"""Inputs of the CUDA kernels besides :class:`nbnumba.render.inputs.KernelInputs`."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbnumba.kernels.cpu.tiles import GAUSS_END
from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, TOPHAT_EDGE, spot_metric
from nbnumba.render.gpu.case import box_of, fixed_point
from nbnumba.render.inputs import KernelInputs

#: Reduction of a half, in units of the upper word, so that an index of exactly a half is rounded down in spite of its error,
#: which may be two such units
LEFT_OFF = 4


def padded_F2(inputs: KernelInputs) -> np.ndarray:
    """Squared structure factors with a plane of default_F^2 behind the last one of each axis, flat float32."""
    nh, nk, nl = box_of(inputs.cell)
    table = np.full((nh + 1, nk + 1, nl + 1), np.float32(inputs.cell.default_F) ** 2, np.float32)
    if nh:
        np.square(inputs.Fhkl, out=table[:nh, :nk, :nl], casting="same_kind")
    return table.ravel()


def square_units(inputs: KernelInputs) -> Any:
    """Constants of the fast kernels: a ``kernels.gpu.terms.SquareUnits``."""
    from nbnumba.kernels.gpu.terms import SINC, SquareUnits

    crystal = inputs.crystal
    N = [max(n, 1.0) for n in (crystal.Na, crystal.Nb, crystal.Nc)]
    fields = N + [1 / n for n in N] + [c / n ** (2 * i) for n in N for i, c in enumerate(SINC, 1)]
    nh, nk, nl = box_of(inputs.cell)
    fixed = fixed_point(inputs)
    bits = (fixed.whole_bits, 32 - fixed.whole_bits, 2 ** (31 - fixed.whole_bits) - LEFT_OFF)
    whole = [np.int32(n) for n in (*map(int, N), *bits, nh, nk, nl, nk + 1, nl + 1)]
    end = 0.5 * GAUSS_END * GAUSS_WIDTH if crystal.shape == GAUSS else TOPHAT_EDGE
    values: list[Any] = [*map(np.float32, fields), *whole, *spot_metric(crystal), float(end)]
    values += [fixed.vector_scale, fixed.direction_scale]
    values += [2.0 ** (64 - fixed.whole_bits), 2.0 ** (31 - fixed.whole_bits)]
    return SquareUnits._make(values)
