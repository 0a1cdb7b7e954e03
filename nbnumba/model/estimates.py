"""Rough sizes of an experiment for :mod:`nbnumba.model.plausible`: resolution, width of a spot, brightness, F.

Nothing here changes an image. Every function is cheap: what needs an array is sampled, and kept as long as the array lives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.io.values import FTable
from nbnumba.memory import derived
from nbnumba.model.config import Beam
from nbnumba.model.crystal import RTD
from nbnumba.model.editions import edition_of

if TYPE_CHECKING:
    from nbnumba.model.experiment import Experiment

#: Entries of a table, and pixels of an image, that are looked at; shells of resolution, and entries of the smallest.
SAMPLE, SHELLS, FEWEST = 40_000, 8, 60
#: Share of equal entries of a table from which on they are taken for holes.
HOLES = 0.05
#: Most Fourier terms of a spot along an axis; a spot that needs more is far too narrow anyway.
MOST_TERMS = 12
#: Share of a pixel below which the width of a spot no longer matters.
NARROWEST = 1e-9
#: Directions (rad) in which a radius crosses the grid of pixels.
AZIMUTHS = (np.arange(8) + 0.5) * np.pi / 16
#: 2 pi^2 times the variance of a Gaussian spot, in squared reciprocals of the crystal's size: exp(-2 x^2 / 0.63).
GAUSS = 2 * math.pi**2 * 0.63 / 4


@dataclass(frozen=True)
class Reach:
    """Scattering angles 2 theta (rad) of the pixels that are rendered."""

    nearest: float
    farthest: float


def reach(experiment: Experiment) -> Reach:
    """Scattering angles of the regions of all panels, from their corners and the point nearest to the beam."""
    detector, slices = experiment.detector, experiment.sampling.slices
    found: Reach = derived(detector, ("reach", slices), lambda: _reach(experiment))
    return found


def _reach(experiment: Experiment) -> Reach:
    """Angles of the corners of each panel's region, and of the point of the region next to the beam's."""
    beam, low, high = experiment.detector.frame.beam, math.pi, 0.0
    for panel, (s0, s1, f0, f1) in zip(experiment.detector.panels, experiment.sampling.slices, strict=True):
        pixel = panel.pixel_size
        fast = [f0 * pixel, f1 * pixel, min(max(panel.Fbeam, f0 * pixel), f1 * pixel)]
        slow = [s0 * pixel, s1 * pixel, min(max(panel.Sbeam, s0 * pixel), s1 * pixel)]
        places = [(f, s) for f in fast[:2] for s in slow[:2]] + [(fast[2], slow[2])]
        for f, s in places:
            point = panel.pix0 + f * panel.fdet + s * panel.sdet
            angle = math.atan2(float(np.linalg.norm(np.cross(beam, point))), float(beam @ point))
            low, high = min(low, angle), max(high, angle)
    return Reach(low, high)


def spacing(angle: float, wavelength: float) -> float:
    """Lattice spacing d (the unit of the wavelength) that is diffracted by ``angle`` = 2 theta (rad)."""
    return math.inf if angle <= 0 else wavelength / 2 / math.sin(angle / 2)


def lattice_size(experiment: Experiment) -> float:
    """Size (m) whose reciprocal is the width of a spot in reciprocal space, by the rules of the edition."""
    crystal = experiment.crystal
    size = max(edge * n for edge, n in zip(crystal.unit_cell[:3], crystal.N, strict=True)) * 1e-10
    if crystal.shape in ("gauss", "tophat") and edition_of(experiment.simulation.physics).product_of_cells:
        size = math.prod(crystal.N) * 1e-10
    return size if crystal.shape == "square" else size * math.sqrt(crystal.fudge)


def spot_width(experiment: Experiment) -> float:
    """Width (m) on the first panel of a spot that only the size of the crystal widens."""
    size = lattice_size(experiment)
    return math.inf if size <= 0 else experiment.simulation.beam.wavelength_A * 1e-10 * experiment.panel.distance / size


def contributing(experiment: Experiment) -> float:
    """Number of terms, of the sum over domains, phi steps and sources, with which a reflection diffracts, at least 1.

    A ring in the middle of the detector stands for all.
    """
    crystal, sources, scan = experiment.crystal, experiment.sources, experiment.scan
    terms = len(crystal.umats) * scan.phisteps * len(sources.wavelengths)
    if terms == 1:
        return 1.0
    wavelength = experiment.simulation.beam.wavelength_A
    spread = _mosaic_width(experiment) + scan.osc + sources.hdiv.range + sources.vdiv.range
    # a lattice point of the width 1/size is turned through the Ewald sphere, at the distance 1/d from the origin
    turned = spread * 2 * math.sin(_ring(experiment) / 2) / wavelength
    size = lattice_size(experiment) * 1e10
    return terms / max(1.0, size * turned) if size * turned < terms else 1.0


def _mosaic_width(experiment: Experiment) -> float:
    """Width (rad) of evenly spread angles that vary as much as those of the mosaic domains about one axis."""
    # rotation vectors fill a ball with the spread for its radius: the variance along an axis is radius^2 / 5
    return math.sqrt(12 / 5) * experiment.crystal.mosaic_spread_deg / RTD


def _ring(experiment: Experiment) -> float:
    """2 theta (rad) of a ring in the middle of the detector."""
    return min(reach(experiment).farthest / 2, math.pi / 4)


def sampling_error(experiment: Experiment) -> float:
    """Relative r.m.s. error of a spot's photons that comes from the points at which a pixel is sampled.

    The points of a detector, one a sub-pixel, are a grid on which a spot lies anywhere. Their sum has the error

        sum over (m, n) != (0, 0) of |T_m T_n|^2 (D^2 + (1 - D^2) / terms),

    squared, where T is the transform of a spot at multiples of the grid's frequency: 0 for a spot of whole cells that is as wide
    as the grid's spacing. D is the transform of what spreads the terms of the sum over the detector: along the radius divergence
    and wavelengths, across it mosaic domains; of the terms only those that diffract count. D is averaged over the ring. Compared with images of 49
    times as many points, eight experiments have 0.5 to 1.6 times this error.
    """
    crystal, panel = experiment.crystal, experiment.panel
    grid = panel.pixel_size / experiment.sampling.oversample
    width = abs(spot_width(experiment))
    if grid <= width:
        return 0.0
    if width <= grid * NARROWEST:
        return math.inf
    sources, scan, distance = experiment.sources, experiment.scan, abs(panel.distance)
    radius = distance * math.tan(_ring(experiment))
    turned = min(radius * scan.osc, width) if scan.phisteps > 1 else 0.0
    band = float(np.ptp(sources.wavelengths)) * 1e10 / experiment.simulation.beam.wavelength_A
    across = math.hypot(radius * _mosaic_width(experiment), distance * sources.vdiv.range, turned)
    along = math.hypot(radius * band, distance * sources.hdiv.range)
    square = crystal.shape == "square"
    return _sampling_error(grid / width, along / grid, across / grid, contributing(experiment), square)


@lru_cache(maxsize=64)
def _sampling_error(ratio: float, along: float, across: float, terms: float, square: bool) -> float:
    """Error of :func:`sampling_error`; ``ratio``: grid over width of a spot, ``along``, ``across``: spread over grid."""
    number = math.ceil(min(ratio, MOST_TERMS))
    orders = np.arange(-number, number + 1.0)
    if square:
        transform = np.maximum(0.0, 1 - np.abs(orders) / ratio) ** 2
    else:
        transform = np.exp(-2 * GAUSS * (orders / ratio) ** 2)
    fast, slow = (orders[:, None, None], orders[None, :, None])
    radial = fast * np.cos(AZIMUTHS) + slow * np.sin(AZIMUTHS)
    tangential = slow * np.cos(AZIMUTHS) - fast * np.sin(AZIMUTHS)
    damped = ((np.sinc(along * radial) * np.sinc(across * tangential)) ** 2).mean(axis=2)
    parts = np.outer(transform, transform) * (damped + (1 - damped) / terms)
    return math.sqrt(float(parts.sum()) - float(parts[number, number]))


def brightest(experiment: Experiment) -> float:
    """Upper bound of the photons of a pixel: all terms at the brightest reflection, in the pixel nearest to the crystal."""
    panel = min(experiment.detector.panels, key=lambda panel: abs(panel.close_distance))
    cells = math.prod(float(n) for n in experiment.crystal.N)
    # the default fluence is 1 / r_e^2; a power would raise an error where a product is infinite
    amplitude = largest_F(experiment) * cells * (panel.pixel_size / panel.close_distance)
    return experiment.fluence / Beam.fluence * amplitude * amplitude


def largest_F(experiment: Experiment) -> float:
    """Largest \\|F\\| of the table and of ``default_F``."""
    table, default = experiment.structure_factors, abs(experiment.simulation.structure_factors.default_F)
    if table is None:
        return default
    return max(default, derived(table, "largest F", lambda: max(float(table.grid.max()), -float(table.grid.min()))))


def sharpest_spacing(experiment: Experiment) -> float:
    """Smallest d (Å) along a*, b* or c* in the table of F; infinity without a table."""
    table = experiment.structure_factors
    if table is None:
        return math.inf
    found = math.inf
    for axis, low in enumerate((table.h_min, table.k_min, table.l_min)):
        last = max(abs(low), abs(low + table.grid.shape[axis] - 1))
        if last:
            found = min(found, 1 / last / experiment.crystal.recip_cell[axis])
    return found


@dataclass(frozen=True)
class Spread:
    """Distribution of the F of a table within shells of resolution, medians over the shells.

    ``moment`` is <F^2>/<F>^2: 1.27 for acentric and 1.57 for centric amplitudes, 2 and 3 for intensities, 1.08 and 1.18 for
    square roots of amplitudes (Wilson, Acta Cryst. 2, 318, 1949). ``peak``: excess of the fourth moment, -1.2 for equally
    likely values, up to 0.9 for amplitudes, from 6 on for intensities.
    """

    moment: float
    peak: float


def spread_of(table: FTable) -> Spread | None:
    """Distribution of the F of a table; None for one that is too small to tell."""
    found: Spread | None = derived(table, "spread of F", lambda: _spread_of(table))
    return found


def _spread_of(table: FTable) -> Spread | None:
    place = np.arange(0, table.grid.size, max(1, table.grid.size // SAMPLE))
    F = table.grid.ravel()[place]
    values, counts = np.unique(F, return_counts=True)
    # holes of a dump have a value that is not known here
    wanted = (F > 0) & (table.default_F != F) & ((values[counts.argmax()] != F) | (counts.max() < HOLES * len(F)))
    indices = np.array(np.unravel_index(place[wanted], table.grid.shape), dtype=float)
    indices += np.array([[table.h_min], [table.k_min], [table.l_min]])
    F = F[wanted]
    if len(F) < SHELLS * FEWEST:
        return None
    # shells of the box's own ellipsoid: the cell is not known here
    radius = ((indices / np.maximum(np.abs(indices).max(axis=1, keepdims=True), 1)) ** 2).sum(axis=0)
    shells = np.array_split(F[np.argsort(radius, kind="stable")], SHELLS)
    moments, peaks = [], []
    for shell in shells:
        mean, variance = shell.mean(), shell.var()
        moments.append((shell * shell).mean() / mean**2)
        peaks.append(((shell - mean) ** 4).mean() / variance**2 - 3 if variance > 0 else 0.0)
    return Spread(float(np.median(moments)), float(np.median(peaks)))
