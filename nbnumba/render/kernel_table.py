"""The plan table: one row for each kernel, best first, and the choice of a row for a panel.

A row has what the kernel can render, its error bound, and its cost. CPU and CUDA share the rows; properties that depend on the
kind of device, such as the size of a tile, are in a :class:`Case`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas import spots_shell
from nbnumba.kernels.formulas.blocks import ROUND, SQUARE
from nbnumba.render.inputs import KernelInputs

Target = Literal["cpu", "cuda"]
Precision = Literal["auto", "double", "mixed"]

#: float32 phases are used up to this error bound (:attr:`Case.anchored_error`) ...
LARGEST_ERROR = 4e-6
#: ... for pixels with at least this many terms, which blur the zeros of the grating function (measured: the 99th
#: percentile of the relative error is up to 80 errors over the root of the number of terms)
FEWEST_TERMS = 10
#: Halfway between two reflections float32 may use the structure factor of the wrong one. The intensity there is 0 for an even
#: number N of cells, and 1 / N^2 of a peak for an odd one: axes with an odd number below this need float64
FEWEST_ODD = 16
#: Fixed-point phases are used up to this :attr:`Case.fixed_error`. Up to it the errors of 99 of 100 pixels with a single term
#: are below 1e-4 of the pixel, and those of all pixels below 1e-6 of the maximum
LARGEST_FIXED_ERROR = 1.5e-7


class Case(ABC):
    """Properties of a panel that decide which kernel of one kind of device renders it.

    Parameters
    ----------
    inputs : KernelInputs
    """

    target: ClassVar[Target]

    def __init__(self, inputs: KernelInputs) -> None:
        self.inputs = inputs

    @property
    def terms(self) -> int:
        """Terms of a pixel's sum."""
        return self.inputs.steps_per_pixel

    @property
    def is_square(self) -> bool:
        """Whether the lattice transform is that of a parallelepiped."""
        return self.inputs.crystal.shape == SQUARE

    @property
    def is_round(self) -> bool:
        """Whether the lattice transform is that of an ellipsoid."""
        return self.inputs.crystal.shape == ROUND

    @cached_property
    def has_compact_spots(self) -> bool:
        """Whether the panel can be rendered reflection by reflection, and this is faster."""
        return spots_shell.is_for(self.inputs)

    @property
    def has_few_cells(self) -> bool:
        """Whether a wrong choice of the nearest reflection by float32, halfway between two, can be visible."""
        counts = (self.inputs.crystal.Na, self.inputs.crystal.Nb, self.inputs.crystal.Nc)
        return bool(self.inputs.cell.has_hkl) and any(N < FEWEST_ODD and int(N) % 2 for N in counts)

    @property
    @abstractmethod
    def too_large(self) -> str:
        """Reason why the integers of the fast kernels are too small for the panel; empty if they are not."""

    @property
    @abstractmethod
    def has_few_terms(self) -> bool:
        """Whether a pixel has too few terms to blur the zeros of the grating function."""

    @property
    @abstractmethod
    def may_miss_peaks(self) -> bool:
        """Whether the image may have no Bragg peak, relative to which errors of float32 phases would be negligible."""

    @property
    @abstractmethod
    def anchored_error(self) -> float:
        """Bound of the error in N h of float32 phases that are relative to the middle of a tile."""

    @property
    @abstractmethod
    def fixed_error(self) -> float:
        """Bound of the error in N h of phases in fixed point; infinite if no units can represent an index."""

    @abstractmethod
    def tile(self, kernel: Kernel) -> tuple[int, int]:
        """Columns and rows of a tile of a kernel; (0, 0) for kernels without tiles."""


@dataclass(frozen=True)
class Cost:
    """Cost of a kernel.

    Attributes
    ----------
    band : float
        Inner steps of a band of rows on the CPU: few enough for quick reaction to Ctrl-C, enough for the cost of a band to be
        negligible.
    long_call : float
        Inner steps from which a call on the CPU may take a second or more, for pixels with very many sub-pixels.
    long_launch : float
        Inner steps from which a launch on a GPU may take some ten milliseconds; it then reports its progress.
    instructions : mapping
        Instructions of a GPU's inner loop per step and pixel, by CUDA package, as bench.cuda_resources counts them for
        compute capability 9.0.
    """

    band: float = math.inf
    long_call: float = math.inf
    long_launch: float = math.inf
    instructions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Kernel:
    """A row of the plan table.

    Attributes
    ----------
    name : str
    sums : str
        ``double`` where every part of the sum is float64, else ``mixed``.
    targets : tuple of str
        Kinds of device that have it.
    cannot : callable
        Reason why it cannot render a case; None if it can, empty for a reason that is not reported.
    doubt : callable
        Reason why ``auto`` does not choose it because of its error; None or empty as for ``cannot``.
    told : callable
        Reason for its choice, from the case and the first reason against better rows.
    error : callable
        Bound of its error in N h, of square crystals.
    cost : Cost
    """

    name: str
    sums: Literal["double", "mixed"]
    targets: tuple[Target, ...]
    cannot: Callable[[Case], str | None]
    doubt: Callable[[Case], str | None]
    told: Callable[[Case, str], str]
    error: Callable[[Case], float]
    cost: Cost


@dataclass(frozen=True)
class Choice:
    """A kernel for a case, its tile (columns, rows), and the reason in one line."""

    kernel: Kernel
    tile: tuple[int, int]
    reason: str


def _nothing(case: Case) -> None:
    return None


def _exact(case: Case) -> float:
    return 0.0


def _slow_flags(case: Case) -> str | None:
    """Reason why only the general kernel can render a case; None if others can."""
    beam = case.inputs.beam
    if case.inputs.cell.interpolate:
        return "interpolation needs the general kernel"
    if beam.oversample_thick or beam.oversample_polar or beam.oversample_omega:
        return "-oversample_* needs the general kernel"
    return case.too_large or None


def _not_compact(case: Case) -> str | None:
    return _slow_flags(case) or (None if case.has_compact_spots else "")


def _not_square(case: Case) -> str | None:
    if case.is_square:
        return _slow_flags(case)
    shape = "a round crystal" if case.is_round else "wide spots without tails"
    return _slow_flags(case) or shape


def _float32_doubt(case: Case) -> str | None:
    if case.has_few_terms:
        return "few terms"
    if case.has_few_cells:
        return "an axis with few cells is bright between reflections"
    if case.may_miss_peaks:
        return "the image may have no Bragg peak"
    if len(case.inputs.first_cells):
        return "an orientation that occurs twice doubles its error"
    if (error := FAST32.error(case)) > LARGEST_ERROR:
        return f"float32 would be wrong by up to {error:.1e} in N h"
    return None


def _fixed_doubt(case: Case) -> str | None:
    return None if FIXED.error(case) <= LARGEST_FIXED_ERROR else ""


def _float32_told(case: Case, note: str) -> str:
    width, height = case.tile(FAST32)
    bound = f"wrong by less than {FAST32.error(case):.1e} in N h"
    return f"float32 phases relative to tiles of {width} x {height} pixels, {bound}"


SPOTS = Kernel(
    name="spots",
    sums="mixed",
    targets=("cpu", "cuda"),
    cannot=_not_compact,
    doubt=_nothing,
    told=lambda case, note: "spots without tails: reflection by reflection",
    error=_exact,
    cost=Cost(long_call=1e11),
)
FAST32 = Kernel(
    name="fast32",
    sums="mixed",
    targets=("cpu", "cuda"),
    cannot=_not_square,
    doubt=_float32_doubt,
    told=_float32_told,
    error=lambda case: case.anchored_error,
    cost=Cost(1e8, 2e9, 4e9, {"numba-cuda": 81.8, "numba-cuda-mlir": 81.0}),
)
FIXED = Kernel(
    name="fixed",
    sums="mixed",
    targets=("cuda",),
    cannot=_not_square,
    doubt=_fixed_doubt,
    told=lambda case, note: f"phases in fixed point: {note}",
    error=lambda case: case.fixed_error,
    cost=Cost(long_launch=3e9, instructions={"numba-cuda": 107.2, "numba-cuda-mlir": 107.0}),
)
FAST64 = Kernel(
    name="fast64",
    sums="mixed",
    targets=("cpu", "cuda"),
    cannot=_slow_flags,
    doubt=_nothing,
    told=lambda case, note: f"float64 phases: {note}",
    error=_exact,
    cost=Cost(4e7, 8e8, 4e8, {"numba-cuda": 101.5, "numba-cuda-mlir": 101.5}),
)
GENERAL = Kernel(
    name="general",
    sums="double",
    targets=("cpu", "cuda"),
    cannot=_nothing,
    doubt=_nothing,
    told=lambda case, note: note,
    error=_exact,
    cost=Cost(2e6, 4e7, 1e8),
)
#: Best first: the first row that can render a case within its error bound is chosen.
TABLE: dict[str, Kernel] = {kernel.name: kernel for kernel in (SPOTS, FAST32, FIXED, FAST64, GENERAL)}
PRECISIONS = ("auto", "double", "mixed")


def choose(case: Case, precision: str = "auto", kernel: str | None = None) -> Choice:
    """Choose the row of the table for a case.

    Parameters
    ----------
    case : Case
    precision : str
        ``auto``: the first row whose error bound holds (99 of 100 pixels within 1e-4 of their own value, all within 2e-6 of
        the maximum, within 1e-6 for ordinary crystals); ``mixed``: whatever the bound; ``double``: float64 sums only.
    kernel : str, optional
        Name of the row to use.

    Raises
    ------
    ConfigError
        No such precision or kernel, or a kernel that cannot render the case.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision must be auto, double or mixed, got {precision}")
    if kernel is not None:
        return _forced(case, kernel)
    first = ""
    for row in TABLE.values():
        if case.target not in row.targets:
            continue
        against = row.cannot(case)
        if against is None and precision == "double" and row.sums != "double":
            against = "double precision"
        if against is None and precision == "auto":
            against = row.doubt(case)
        if against is None:
            requested = precision == "mixed" and row.doubt is not _nothing
            reason = "float32 phases requested" if requested else row.told(case, first)
            return Choice(row, case.tile(row), reason)
        first = first or against
    raise AssertionError("the general kernel renders everything")


def _forced(case: Case, name: str) -> Choice:
    """The row called ``name``."""
    rows = [row.name for row in TABLE.values() if case.target in row.targets]
    if name not in rows:
        raise ConfigError(f"--kernel must be one of {', '.join(rows)} on this device, got {name}")
    row = TABLE[name]
    against = row.cannot(case)
    if against is not None:
        why = against or "the crystal's spots are not compact"
        raise ConfigError(f"--kernel {name} cannot render this: {why}; without --kernel a suitable one is chosen")
    return Choice(row, case.tile(row), "the kernel was requested")
