"""The reference's rules for values that are not given: steps of phi, divergence and dispersion, oversampling, ROI."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.memory import require
from nbnumba.model.config import Sampling, Scan
from nbnumba.model.crystal import RTD, ResolvedCrystal
from nbnumba.model.detector import ResolvedDetector
from nbnumba.model.editions import edition_of

#: Most steps of a sweep; bytes that each phi step takes: its angle, rotation and cell vectors.
MOST_STEPS, BYTES_PER_STEP = 10**9, 200


@dataclass(frozen=True)
class Steps:
    """A sweep in kernel units (rad, or a fraction): full range, spacing, number of steps."""

    range: float
    step: float
    number: int


def count_steps(what: str, full: float, step: float) -> int:
    """Steps of a sweep from its range and spacing.

    Raises
    ------
    ConfigError
        There are more than :data:`MOST_STEPS`.
    """
    ratio = full / step
    if not ratio <= MOST_STEPS:
        raise ConfigError(
            f"{what}: a range of {full:g} in steps of {step:g} makes {ratio:.3g} steps, more than {MOST_STEPS:.0e}: "
            "give larger steps"
        )
    return math.ceil(ratio)


def resolve_sweep(full: float | None, step: float | None, number: int | None) -> Steps:
    """Fill the gaps of a divergence or dispersion sweep.

    The rules and their order are nanoBragg.c's, odd results included: a step and a number without a range give two
    steps, a number alone spans 1 (rad), a range and a step give ceil(range / step) steps from the lower end.
    """
    step = step if step and step > 0 else None
    number = number if number and number > 0 else None
    if number is None:
        if full is None:
            answer = Steps(0.0, 0.0, 1) if step is None else Steps(step, step, 2)
        else:
            answer = (
                Steps(full, full, 2)
                if step is None
                else Steps(full, step, count_steps("divergence or dispersion", full, step))
            )
    elif full is None:
        answer = Steps(1.0, 1.0 / number, number) if step is None else Steps(step, step, 2)
    elif step is None:
        number = max(number, 2)
        answer = Steps(full, full / (number - 1), number)
    else:
        answer = Steps(full, step, number)
    if answer.range <= 0 or answer.step <= 0 or answer.number <= 0:
        return Steps(0.0, 0.0, 1)
    return answer


@dataclass(frozen=True)
class ResolvedScan:
    """Rotation of the crystal: start, range and step (rad), and the angle of each step.

    ``cell_phi``: the angle by which the cell is rotated in each step, which is ``phi`` but for the released program's rule.
    """

    start: float
    osc: float
    step: float
    phi: np.ndarray
    cell_phi: np.ndarray

    @property
    def phisteps(self) -> int:
        """Number of phi steps."""
        return len(self.phi)


def resolve_scan(scan: Scan, physics: str) -> ResolvedScan:
    """Fill the gaps of the phi sweep by nanoBragg.c's rules."""
    edition = edition_of(physics)
    start = scan.phi_deg / RTD
    osc = -1.0 if scan.osc_deg is None else scan.osc_deg / RTD
    step = -1.0 if scan.phistep_deg is None else scan.phistep_deg / RTD
    number = scan.phisteps
    if number is None:
        if osc < 0:
            osc, step, number = (step, step, 2) if step > 0 else (0.0, 0.0, 1)
        elif step <= 0:
            number, step = 2, osc / 2
        else:
            number = count_steps("phi", osc, step)
    else:
        number = number or 1
        if osc < 0:
            if step <= 0:
                osc = 1 / RTD
                step = osc / number
            else:
                osc, number = step, 2
        elif step < 0:
            step = osc / number
    number = max(number, 1)
    require(number * BYTES_PER_STEP, f"{number} phi steps", "give fewer with -phisteps")
    ticks = np.arange(number, dtype=float)
    if not edition.starts_of_slices and number * step > 0:
        ticks += 0.5
    phi = start + step * ticks
    # the C program rotates the cell only where phi is not 0, into variables that keep their values from step to step
    cell_phi = np.where(phi == 0.0, np.roll(phi, 1), phi) if edition.stale_cell else phi
    return ResolvedScan(start=start, osc=osc, step=step, phi=phi, cell_phi=cell_phi)


@dataclass(frozen=True)
class ResolvedSampling:
    """Sub-pixels a side, whether the number was chosen automatically, and the region of each panel.

    ``roi``: the reference's inclusive xmin, xmax, ymin, ymax as it prints them; ``slices``: the half-open s0, s1, f0,
    f1 of every panel.
    """

    oversample: int
    automatic: bool
    roi: tuple[int, int, int, int]
    slices: tuple[tuple[int, int, int, int], ...]


def resolve_sampling(
    sampling: Sampling, detector: ResolvedDetector, crystal: ResolvedCrystal, wavelength: float
) -> ResolvedSampling:
    """Choose the oversampling from the size of a pixel in reciprocal space, and check the region of interest."""
    pixels = [wavelength * panel.distance / panel.pixel_size for panel in detector.panels]
    recommended = max(1, *(math.ceil(3 * crystal.largest_size / abs(pixel)) for pixel in pixels))
    oversample = sampling.oversample or recommended
    fpixels = max(panel.fpixels for panel in detector.panels)
    spixels = max(panel.spixels for panel in detector.panels)
    roi = sampling.roi or (-1, -1, -1, -1)
    xmin, xmax, ymin, ymax = (
        given if given >= 0 else default for given, default in zip(roi, (0, fpixels, 0, spixels), strict=True)
    )
    if xmin > xmax or ymin > ymax or xmin >= fpixels or ymin >= spixels or xmax > fpixels or ymax > spixels:
        raise ConfigError(
            f"-roi {xmin} {xmax} {ymin} {ymax} does not lie in the detector of {fpixels} x {spixels} pixels "
            "(give xmin xmax ymin ymax, x along the fast axis, counted from 0)"
        )
    slices = tuple(
        (min(ymin, p.spixels), min(ymax + 1, p.spixels), min(xmin, p.fpixels), min(xmax + 1, p.fpixels))
        for p in detector.panels
    )
    return ResolvedSampling(
        oversample=oversample,
        automatic=not sampling.oversample,
        roi=(xmin, xmax, ymin, ymax),
        slices=slices,
    )
