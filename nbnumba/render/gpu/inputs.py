"""What the CUDA kernels take beyond :class:`nbnumba.render.inputs.KernelInputs`, and which of them a run takes."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from nbnumba.kernels.cpu.tiles import GAUSS_END
from nbnumba.kernels.formulas.blocks import GAUSS, SQUARE, CellBlock, PanelBlock
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, TOPHAT_EDGE, spot_metric
from nbnumba.kernels.formulas.polarization import beam_frame
from nbnumba.kernels.formulas.spots_shell import is_for
from nbnumba.kernels.jit.cpu import plain
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.variants import FEWEST_TERMS, LARGEST_ERROR, few_cells

Kernel = Literal["fast32", "fixed", "fast64", "spots", "general"]

#: Pixels of a tile along both axes, as ``kernels.gpu.fast.TILE``.
TILE = 16
#: Fixed-point phases are taken up to this :func:`fixed_error`: within it 99 of 100 pixels of a single term stay within
#: 1e-4 of their own value, and all within 1e-6 of the maximum
LARGEST_FIXED_ERROR = 1.5e-7
#: What a half is short of, in units of the upper word: an index of exactly a half is rounded down, though its error may be
#: two such units
LEFT_OFF = 4
#: Cells along an axis that float64 phases can count: a float32 holds the whole part of N h.
MOST_CELLS = 2**23


def choose_variant(inputs: KernelInputs, precision: str) -> tuple[Kernel, str]:
    """Kernel and reason for one panel that the fast kernels can render.

    Compact spots as on the CPU. ``auto`` takes float32 phases where their error bound over a tile is small and many terms
    blur the zeros of the grating function; ``mixed`` for every square crystal. Else ``auto`` takes phases in fixed point
    where their bound is small, and float64 ones where not.
    """
    if math.prod(n + 1 for n in box_of(inputs.cell)) >= 2**31:
        return "general", "more structure factors than the fast kernels can number"
    if max(inputs.crystal.Na, inputs.crystal.Nb, inputs.crystal.Nc) > MOST_CELLS:
        return "general", "more cells than the fast kernels can count"
    if is_for(inputs):
        return "spots", "spots without tails: reflection by reflection"
    if inputs.crystal.shape != SQUARE:
        return "fast64", "float64 phases: not a square crystal"
    if precision == "mixed":
        return "fast32", "float32 phases asked for"
    error = anchored_error(inputs)
    if inputs.steps_per_pixel < FEWEST_TERMS:
        reason = "few terms"
    elif few_cells(inputs.crystal, inputs.cell):
        reason = "an axis with few cells is bright between reflections"
    elif error > LARGEST_ERROR:
        reason = f"float32 would be wrong by up to {error:.1e} in N h"
    else:
        return "fast32", f"float32 phases relative to tiles of 16 x 16 pixels, wrong by less than {error:.1e} in N h"
    if precision == "auto" and fixed_error(inputs) <= LARGEST_FIXED_ERROR:
        return "fixed", f"phases in fixed point: {reason}"
    return "fast64", f"float64 phases: {reason}"


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


def nearest_place(panel: PanelBlock) -> float:
    """Least distance (m) from the crystal to a point of the tiles of a panel; 0 where no bound is known."""
    depth = abs(panel.first_depth) + panel.layers * abs(panel.layer_step)
    if panel.curved:
        return max(panel.distance - depth, 0.0)
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    if np.abs(np.array([along @ along - 1, across @ across - 1, along @ across])).max() > 1e-6:
        return 0.0
    # the foot of the perpendicular from the crystal, moved into the rectangle of whole tiles
    ends = TILE * np.array([[panel.f0 // TILE, -(-panel.f1 // TILE)], [panel.s0 // TILE, -(-panel.s1 // TILE)]])
    f, s = np.clip((-corner @ along, -corner @ across), *(ends * panel.pixel_size).T)
    return max(float(np.linalg.norm(corner + f * along + s * across)) - depth, 0.0)


def largest_turn(panel: PanelBlock) -> float:
    """Largest difference between the direction (unit vector) of a pixel and that of its tile's middle, at most."""
    reach = 0.5 * math.hypot(TILE, TILE) * panel.pixel_size
    reach += panel.layers * abs(panel.layer_step)
    if panel.curved:  # both arcs, one after the other
        reach *= 1.5
    nearest = nearest_place(panel)
    return reach / nearest if nearest > 0 else math.inf


class FixedPoint(NamedTuple):
    """Units of phases in fixed point (:mod:`nbnumba.kernels.gpu.fixed`)."""

    whole_bits: int  # of the 64 bits of an index; 0: no number of them serves
    vector_scale: float  # units in 1 of cell vectors over lambda; both factors are below 2^31,
    direction_scale: float  # of differences of direction; the product of both is 2^(64 - whole_bits)
    change: float  # largest difference of an index from the tile's middle


def fixed_point(inputs: KernelInputs) -> FixedPoint:
    """Units that hold the largest index and cell vector; cell vectors and directions are rounded equally well."""
    vector = float(np.linalg.norm(inputs.cells.reshape(-1, 3), axis=1).max() / inputs.sources[:, 3].min())
    turn = largest_turn(inputs.panel)
    change = vector * turn
    if not 0.0 < change < 2.0**20:
        return FixedPoint(0, 0.0, 0.0, math.inf)
    whole_bits = 2 + max(0, math.ceil(math.log2(1.01 * change)))
    direction_scale = math.sqrt(2.0 ** (64 - whole_bits) * vector / turn)
    return FixedPoint(whole_bits, 2.0 ** (64 - whole_bits) / direction_scale, direction_scale, change)


def fixed_error(inputs: KernelInputs) -> float:
    """Bound of the phase error of phases in fixed point, in N h; infinite where no units hold an index."""
    fixed = fixed_point(inputs)
    most = max(inputs.crystal.Na, inputs.crystal.Nb, inputs.crystal.Nc)
    return most * (math.sqrt(3.0 * fixed.change * 2.0 ** (fixed.whole_bits - 64)) + 2.0**-33)


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
