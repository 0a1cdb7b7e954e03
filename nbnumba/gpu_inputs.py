"""What the CUDA kernels take beyond :class:`nbnumba.inputs.KernelInputs`, and which of them a run takes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from nbnumba.inputs import KernelInputs
from nbnumba.kernels._jit import plain
from nbnumba.kernels.blocks import GAUSS, SQUARE, CellBlock
from nbnumba.kernels.fast_tiles import GAUSS_END
from nbnumba.kernels.lattice import GAUSS_WIDTH, TOPHAT_EDGE
from nbnumba.kernels.polarization import beam_frame
from nbnumba.kernels.spots_shell import is_for
from nbnumba.kernels.variants import FEWEST_TERMS, LARGEST_ERROR, few_cells

Kernel = Literal["fast32", "fast64", "spots", "general"]

#: Pixels of a tile along both axes, as ``gpu_fast.TILE``.
TILE = 16


def choose_variant(inputs: KernelInputs, precision: str) -> tuple[Kernel, str]:
    """Kernel and reason for one panel that the fast kernels can render.

    Compact spots as on the CPU. ``auto`` takes float32 phases where their error bound over a tile is small and many terms blur the zeros of the
    grating function; ``mixed`` for every square crystal.
    """
    if math.prod(n + 1 for n in box_of(inputs.cell)) >= 2**31:
        return "general", "more structure factors than the fast kernels can number"
    if is_for(inputs):
        return "spots", "spots without tails: reflection by reflection"
    if inputs.crystal.shape != SQUARE:
        return "fast64", "float64 phases: not a square crystal"
    if precision == "mixed":
        return "fast32", "float32 phases asked for"
    error = anchored_error(inputs)
    if inputs.steps_per_pixel < FEWEST_TERMS:
        return "fast64", "float64 phases: few terms"
    if few_cells(inputs.crystal, inputs.cell):
        return "fast64", "float64 phases: an axis with few cells is bright between reflections"
    if error > LARGEST_ERROR:
        return "fast64", f"float64 phases: float32 would be wrong by up to {error:.1e} in N h"
    return "fast32", f"float32 phases relative to tiles of 16 x 16 pixels, wrong by less than {error:.1e} in N h"


def tile_extent(inputs: KernelInputs) -> np.ndarray:
    """Largest change of h, k and l over the width and height of a tile, (3,) float64; looked for at 9 x 9 places."""
    panel = inputs.panel
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    if panel.curved:  # everywhere the same distance away, in any direction
        turns = np.eye(3)[:, None] * np.ones((1, 2, 1)) / panel.distance
    else:
        f, s = np.meshgrid(np.linspace(panel.f0, panel.f1, 9), np.linspace(panel.s0, panel.s1, 9))
        place = corner + panel.pixel_size * (f[..., None] * along + s[..., None] * across).reshape(-1, 3)
        r = np.linalg.norm(place, axis=1)[:, None]
        # change of the direction per metre along both axes, (places, 2, 3)
        turns = np.stack([(axis - place * (place @ axis)[:, None] / r**2) / r for axis in (along, across)], axis=1)
    largest = np.zeros(3)
    for first in range(0, len(inputs.cells), 256):
        vectors = inputs.cells[first : first + 256].reshape(-1, 3, 3)
        change = np.abs(np.einsum("mci,pai->mcpa", vectors, turns)).sum(axis=3).max(axis=(0, 2))
        largest = np.maximum(largest, change)
    return largest / inputs.sources[:, 3].min() * TILE * panel.pixel_size


def anchored_error(inputs: KernelInputs) -> float:
    """Bound of the phase error of float32 phases in N h, as ``variants.anchored_error`` for tiles of 16 x 16 pixels."""
    N = np.array((inputs.crystal.Na, inputs.crystal.Nb, inputs.crystal.Nc))
    return float((N * (tile_extent(inputs) + 0.5)).max() * 2.0**-24)


def box_of(cell: CellBlock) -> tuple[int, int, int]:
    """Entries of the box of structure factors along h, k, l; none without a list."""
    return (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)


def padded_F2(inputs: KernelInputs) -> np.ndarray:
    """Squared structure factors with a plane of default_F^2 behind the last one of each axis, flat float32."""
    nh, nk, nl = box_of(inputs.cell)
    table = np.full((nh + 1, nk + 1, nl + 1), np.float32(inputs.cell.default_F) ** 2, np.float32)
    if nh:
        np.square(inputs.Fhkl, out=table[:nh, :nk, :nl], casting="same_kind")
    return table.ravel()


def framed_sources(inputs: KernelInputs) -> np.ndarray:
    """The sources with the E and B vector of each beam behind them, (S, 11) float64."""
    axis = (inputs.beam.polar_x, inputs.beam.polar_y, inputs.beam.polar_z)
    frame = plain(beam_frame)
    frames = [np.ravel(frame(tuple(source[:3].tolist()), axis)) for source in inputs.sources]
    return np.ascontiguousarray(np.column_stack([inputs.sources, frames]))


def square_units(inputs: KernelInputs) -> Any:
    """Constants of the fast kernels: a ``gpu_terms.SquareUnits``."""
    from nbnumba.kernels.gpu_terms import SINC, SquareUnits

    crystal = inputs.crystal
    N = [max(n, 1.0) for n in (crystal.Na, crystal.Nb, crystal.Nc)]
    fields = N + [1 / n for n in N] + [c / n ** (2 * i) for n in N for i, c in enumerate(SINC, 1)]
    nh, nk, nl = box_of(inputs.cell)
    box = [np.int32(n) for n in (nh, nk, nl, nk + 1, nl + 1)]
    end = 0.5 * GAUSS_END * GAUSS_WIDTH if crystal.shape == GAUSS else TOPHAT_EDGE
    values: list[Any] = [*map(np.float32, fields), *box, *least_radius_sqr(inputs), float(end)]
    return SquareUnits._make(values)


def least_radius_sqr(inputs: KernelInputs) -> list[float]:
    """Squared radius of a gauss or tophat spot, with ``fudge``, that an offset of 1 along h, k or l leaves at least.

    An offset d from a lattice plane i is at least d^2 / (G^-1)_ii away in reciprocal space.
    """
    g = inputs.crystal
    if g.per_axis:
        return [n * n * g.fudge for n in (g.Na, g.Nb, g.Nc)]
    metric = np.array([[g.G11, g.G12, g.G13], [g.G12, g.G22, g.G23], [g.G13, g.G23, g.G33]])
    scale = (g.Na * g.Nb * g.Nc) ** 2 * g.fudge
    return [float(scale / x) for x in np.diag(np.linalg.inv(metric))]
