"""Calls of the kernels of derivatives, panel by panel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numba
import numpy as np

from nbnumba.kernels.cpu.derivatives import (
    GRADIENT,
    GROUP,
    NORMAL,
    VALUES,
    derive_pixels,
    make_scratch,
    squared_peak,
)
from nbnumba.kernels.formulas.blocks import GAUSS, ROUND, SQUARE
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, TOPHAT_EDGE, size_matrix, spot_metric
from nbnumba.kernels.formulas.spots_shell import SPOT_END, is_for
from nbnumba.kernels.formulas.sums import BRAGG, GROUND, SUMS
from nbnumba.memory import derived
from nbnumba.render.inputs import KernelInputs, framed_sources

#: squared radius at which Gaussian spots end: exp(-110) of the peak, below the range of a float32 image
GAUSS_END = 55.0 * GAUSS_WIDTH
#: From sums to the image, (1, SUMS).
IMAGE = np.zeros((1, SUMS))
IMAGE[0, [BRAGG, GROUND]] = 1.0
_NONE, _NO_VALUES = np.zeros(0), np.zeros((0, 0))


class Goal(NamedTuple):
    """What is wanted of the sums of every pixel.

    Attributes
    ----------
    kind : int
        ``VALUES``, ``NORMAL`` or ``GRADIENT`` of :mod:`nbnumba.kernels.cpu.derivatives`.
    chain : (rows, SUMS) float64
        From sums to the image, in row 0, and to derivatives.
    weights, rights : (spixels, fpixels) float64, or None
    """

    kind: int
    chain: np.ndarray
    weights: np.ndarray | None = None
    rights: np.ndarray | None = None

    @property
    def totals(self) -> int:
        """Number of the totals: of ``NORMAL`` for each row but the first its right side, and its products with the earlier ones."""
        rows = len(self.chain)
        return {VALUES: 0, NORMAL: (rows - 1) * (rows + 2) // 2, GRADIENT: SUMS}[self.kind]


class PanelPass(ABC):
    """A panel whose derivatives are computed: arguments of the kernel that do not depend on what is wanted.

    Attributes
    ----------
    mask : (spixels, fpixels) bool
        The chosen pixels.
    pixels : (n, 2) int32
        Slow and fast index of the pixels that have sums: chosen ones that are not known to be 0.
    blocks, sources, ends
        Arguments of the kernels (:func:`nbnumba.kernels.cpu.derivatives.derive_pixels`).
    device : str
        Name of the device that computes.
    """

    device = "cpu"

    def __init__(self, inputs: KernelInputs, spins: np.ndarray | None, mask: np.ndarray) -> None:
        self.inputs, self.mask = inputs, mask
        self._spins = np.zeros((0, 0)) if spins is None else spins
        self._spinning = None if spins is None else 1
        crystal = inputs.crystal
        metric = None if crystal.shape == SQUARE else spot_metric(crystal, inputs.coupling)
        self.blocks = (inputs.panel, crystal, inputs.cell, inputs.beam, metric)
        self.sources = framed_sources(inputs)
        peak = squared_peak(crystal.shape, float(np.linalg.det(size_matrix(crystal, inputs.coupling))))
        end = GAUSS_END if crystal.shape == GAUSS else TOPHAT_EDGE
        self.ends = (peak, end, first_out_of_range(inputs))
        self.pixels = self._find_pixels()

    @abstractmethod
    def _find_pixels(self) -> np.ndarray:
        """See :attr:`pixels`."""

    @abstractmethod
    def run(self, goal: Goal) -> np.ndarray:
        """Values (pixels, rows), or totals (n,)."""

    def image(self) -> np.ndarray:
        """Photons, (spixels, fpixels) float64; 0 in pixels that are not chosen."""
        return self.scatter(self.run(Goal(VALUES, IMAGE))[:, 0])

    @property
    def F2(self) -> np.ndarray:
        """F^2 as of ``structure.F2_at``, float64, kept as long as F."""
        x = self.inputs
        table: np.ndarray = derived(
            x.Fhkl, ("F2 row float64", x.cell.default_F, x.cell.has_hkl), lambda: x.F2_table(np.float64)
        )
        return table

    def gather(self, image: np.ndarray) -> np.ndarray:
        """Values of an image at the pixels, (n,)."""
        values: np.ndarray = image[self.pixels[:, 0], self.pixels[:, 1]]
        return values

    def scatter(self, values: np.ndarray) -> np.ndarray:
        """Image of values (n,) of the pixels; 0 elsewhere."""
        image = np.zeros(self.mask.shape)
        image[self.pixels[:, 0], self.pixels[:, 1]] = values
        return image


def first_out_of_range(inputs: KernelInputs) -> int:
    """The first pixel (slow times columns and fast) with an evaluation out of range, where that ends interpolation.

    As large as can be where there is none.
    """
    never = int(np.iinfo(np.int64).max)
    if not inputs.cell.interpolate or inputs.cell.fallback_each:
        return never
    from nbnumba.kernels.cpu.general import render_general
    from nbnumba.kernels.cpu.trace import record_pixel
    from nbnumba.kernels.formulas.pixel import COLUMNS

    x, panel = inputs, inputs.panel
    rows, record = np.zeros(panel.s1, np.uint8), np.zeros((1, COLUMNS))
    arguments = (panel, x.crystal, x.cell, x.beam, x.sources, x.cells, x.Fhkl)
    render_general(np.zeros((panel.s1, panel.fpixels), np.float32), *arguments, x.mask, panel.s0, panel.s1, rows)
    for s in np.flatnonzero(rows)[:1]:
        for f in range(panel.f0, panel.f1):
            masked = x.mask.size and x.mask[s, f] == 0
            if not masked and not record_pixel(record, int(s), f, *arguments, 1, x.cells)[1]:
                return int(s) * panel.fpixels + f
    return never


class CpuPass(PanelPass):
    """A panel on the CPU."""

    @abstractmethod
    def _call(self, goal: tuple[Any, ...], rows: int) -> None:
        """Call the kernel."""

    @property
    @abstractmethod
    def _groups(self) -> int:
        """Number of rows of the totals."""

    def run(self, goal: Goal) -> np.ndarray:
        """Values (pixels, rows), or totals (n,)."""
        rows = len(goal.chain)
        out = np.empty((len(self.pixels), rows)) if goal.kind == VALUES else _NO_VALUES
        totals = np.zeros((self._groups, goal.totals))
        columns = np.nonzero(goal.chain)
        chain = (*(c.astype(np.int64) for c in columns), np.ascontiguousarray(goal.chain[columns]))
        gathered = [_NONE if image is None else self.gather(image) for image in (goal.weights, goal.rights)]
        self._call((goal.kind, *gathered, out, totals, *chain), rows)
        return out if goal.kind == VALUES else totals.sum(axis=0)


def threads() -> int:
    """Most threads that a kernel can have."""
    number: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return number


class PixelPass(CpuPass):
    """Every flag: pixel by pixel, all terms."""

    def _find_pixels(self) -> np.ndarray:
        return np.argwhere(self.mask).astype(np.int32)

    @property
    def _groups(self) -> int:
        return -(-len(self.pixels) // GROUP)

    def _call(self, goal: tuple[Any, ...], rows: int) -> None:
        x, crystal = self.inputs, self.inputs.crystal
        tables = (self.sources, x.cells, self.F2, self._spins, *make_scratch(threads(), rows), x.Fhkl)
        round_, smooth = 1 if crystal.shape == ROUND else None, 1 if x.cell.interpolate else None
        derive_pixels(goal, self.pixels, *self.blocks, tables, self.ends, round_, smooth, self._spinning)


class SpotPass(CpuPass):
    """Compact spots, footprint by footprint."""

    def _find_pixels(self) -> np.ndarray:
        from nbnumba.kernels.cpu.paint import BAND
        from nbnumba.kernels.cpu.spot_derivatives import list_pixels, mark_pixels
        from nbnumba.kernels.cpu.spots import list_footprints

        x, panel = self.inputs, self.inputs.panel
        self._lists = list_footprints(panel, x.crystal, x.cell, x.sources, x.cells, self.F2, x.coupling)
        wanted = self.mask[panel.s0 : panel.s1, panel.f0 : panel.f1]
        self._slots = np.where(wanted, np.int32(1 if x.beam.I_bg != 0.0 else 0), np.int32(-1))
        counts = np.zeros(-(-len(wanted) // BAND), np.int64)
        mark_pixels(self._slots, counts, *self._lists, panel)
        self._firsts = np.concatenate([[0], np.cumsum(counts)])
        pixels = np.empty((int(self._firsts[-1]), 2), np.int32)
        list_pixels(pixels, self._slots, self._firsts, panel)
        return pixels

    @property
    def _groups(self) -> int:
        return len(self._firsts) - 1

    def _call(self, goal: tuple[Any, ...], rows: int) -> None:
        from nbnumba.kernels.cpu.spot_derivatives import derive_spots

        x, most = self.inputs, int(np.diff(self._firsts).max(initial=0))
        scratch = (
            *make_scratch(threads(), rows),
            np.empty((threads(), most * SUMS)),
            np.empty((threads(), 32), np.int64),
        )
        lists = (*self._lists, self._slots, self._firsts, self.pixels)
        tables = (self.sources, x.cells, self.F2, self._spins, *scratch)
        derive_spots(goal, lists, *self.blocks, tables, (self.ends[0], SPOT_END), self._spinning)


def has_footprints(inputs: KernelInputs) -> bool:
    """Whether derivatives of a panel are computed footprint by footprint."""
    return inputs.crystal.shape == GAUSS and not inputs.cell.interpolate and is_for(inputs)


def make_pass(inputs: KernelInputs, spins: np.ndarray | None, mask: np.ndarray) -> PanelPass:
    """The fastest way to the derivatives of a panel on the CPU."""
    return (SpotPass if has_footprints(inputs) else PixelPass)(inputs, spins, mask)
