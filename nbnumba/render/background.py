"""Amorphous background: liquid, plastic or glass from a table of structure factors, and air.

As in nonBragg.c, the molecules in the beam scatter independently of one another,

    photons = r_e^2 fluence N F(stol)^2 polar omega,   N = N_A density / molar mass * beamsize^2 * thickness,

where the table's F already includes the order between neighbouring molecules. A negative F subtracts photons, for tables
of differences. Each pixel is evaluated at its middle, each sensor layer with its own absorption, and the sources are
averaged with their weights. Absorption in the sample and Compton scattering are left out. The reference has no such
background, so that ``physics`` has no effect here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import read_text
from nbnumba.io.kept import stamp, value_of
from nbnumba.io.matrix import number
from nbnumba.io.values import StolTable
from nbnumba.model.config import Background
from nbnumba.model.experiment import AVOGADRO, R_E_SQR, Experiment
from nbnumba.render.inputs import KernelInputs

#: Dry air at 20 C and 1 atm (g/cm^3, g/mol), the fractions of its molecules, and their bond lengths (Å).
AIR_DENSITY, AIR_MOLAR_MASS = 1.2041e-3, 28.965
_AIR = (("N", 0.7809, 1.098), ("O", 0.2095, 1.208), ("Ar", 0.0093, None))
_POINTS = 20_001


def stol_table(background: Background) -> StolTable:
    """The material's structure factor; a file is read once.

    Raises
    ------
    FileError
        As in :func:`read_stol`.
    """
    assert background.stol is not None
    return value_of(background.stol, "stol", lambda path: StolTable(*read_stol(path)))


def read_stol(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Table of structure factors: two numbers per line, sin(theta)/lambda (or 4 sin(theta)/lambda, or Q) and F.

    Further columns, blank lines and comments (from ``#`` or ``!`` on) are skipped, and so are lines whose F is ``nan``.

    Returns
    -------
    stol, F : (n,) float64
        In increasing order of ``stol``.

    Raises
    ------
    FileError
        The file cannot be read, holds fewer than two points, one point twice, or a word that is not a number.
    """
    points: dict[float, float] = {}
    for line, text in enumerate(read_text(path, "stol file").split("\n"), 1):
        words = text.replace("!", "#").split("#", 1)[0].split()[:2]
        if not words:
            continue
        if len(words) < 2:
            raise FileError(f"line {line} of the stol file {path} must hold sin(theta)/lambda and F, got {words[0]!r}")
        if words[1].lower() == "nan":
            continue
        stol, F = (number(word, path, line, "stol file") for word in words)
        if stol in points:
            raise FileError(f"line {line} of the stol file {path} gives sin(theta)/lambda = {stol:g} a second time")
        points[stol] = F
    if len(points) < 2:
        raise FileError(f"the stol file {path} must hold at least two points, got {len(points)}")
    order = sorted(points)
    return np.array(order), np.array([points[stol] for stol in order])


def interpolate(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic through the four points around each place (Lagrange); the first or last value beyond the ends.

    Parameters
    ----------
    x, y : (n,) float64
        ``x`` increasing. With fewer than four points, and in the first and last interval, the nearest ones.
    at : (m,) float64
    """
    width = min(4, len(x))
    at = np.clip(at, x[0], x[-1])
    first = np.clip(np.searchsorted(x, at, side="right") - 2, 0, len(x) - width)
    total = np.zeros_like(at)
    for i in range(width):
        term = y[first + i].copy()
        for j in range(width):
            if j != i:
                term *= (at - x[first + j]) / (x[first + i] - x[first + j])
        total += term
    return total


def air_F_sqr(stol: np.ndarray) -> np.ndarray:
    """Mean F^2 of a molecule of air (electrons^2) at sin(theta)/lambda (1/Å): Debye's formula."""
    import gemmi

    total = np.zeros_like(stol)
    for element, share, bond in _AIR:
        table = gemmi.Element(element).it92
        f_sqr = np.array([table.calculate_sf(x * x) for x in stol]) ** 2
        # two atoms a bond apart in all directions: 2 f^2 (1 + sin(q r) / (q r)), q = 4 pi stol
        total += share * (f_sqr if bond is None else 2 * f_sqr * (1 + np.sinc(4 * stol * bond)))
    return total


def molecules(background: Background, beamsize_mm: float) -> tuple[float, float]:
    """Number of molecules in the beam: of the amorphous material, and of air."""
    area_cm2 = (beamsize_mm / 10) ** 2
    per_cm = AVOGADRO * background.density_g_cm3 / background.molar_mass_g * area_cm2
    air_per_cm = AVOGADRO * AIR_DENSITY / AIR_MOLAR_MASS * area_cm2
    return per_cm * background.thickness_mm / 10, air_per_cm * background.air_mm / 10


def total_F_sqr(background: Background, beamsize_mm: float, stol: np.ndarray) -> np.ndarray:
    """F^2 of everything amorphous in the beam (electrons^2), (n,), at sin(theta)/lambda (1/Å).

    Raises
    ------
    ConfigError
        No table of the material, or no size of the beam, is given.
    FileError
        The table cannot be read.
    """
    if beamsize_mm == 0:
        raise ConfigError("a background needs the size of the beam: give -beamsize MM")
    n_molecules, n_air = molecules(background, beamsize_mm)
    total = n_air * air_F_sqr(stol) if n_air > 0 else np.zeros_like(stol)
    if n_molecules > 0:
        if background.stol is None:
            raise ConfigError("--background needs the structure factor of the material: give -stol FILE")
        table = stol_table(background)
        values = interpolate(table.stol * background.stol_scale, table.F, stol)
        total += n_molecules * values * np.abs(values)
    return total


def background_images(experiment: Experiment, inputs: Sequence[KernelInputs]) -> tuple[np.ndarray, ...] | None:
    """Amorphous background of every panel in photons, (spixels, fpixels) float32; None where there is none.

    Raises
    ------
    ConfigError, FileError
        As :func:`total_F_sqr`.
    """
    global _kept
    if not experiment.simulation.background.is_amorphous:
        return None
    key, kept = _what_decides(experiment, inputs), _kept
    if kept is None or kept[0] != key:
        # key and images are assigned together, so that another thread never sees the key of other images
        _kept = kept = key, _unit_images(experiment, inputs)
    share = np.float32(experiment.fluence / _UNIT_FLUENCE)
    return tuple(image * share for image in kept[1])


#: Key of the latest images, and the images at :data:`_UNIT_FLUENCE`: shots of a series share them.
_kept: tuple[Any, tuple[np.ndarray, ...]] | None = None
_UNIT_FLUENCE = 1e24


def _what_decides(experiment: Experiment, inputs: Sequence[KernelInputs]) -> Any:
    """Key of everything that the images depend on except the fluence; fast to compare unless there is a mask."""
    background, beam = experiment.simulation.background, inputs[0].beam
    table = stamp(background.stol) if isinstance(background.stol, Path) else id(background.stol)
    return (
        (background, table, experiment.simulation.beam.beamsize_mm),
        (beam.polar_x, beam.polar_y, beam.polar_z, beam.kahn_factor, beam.nopolar),
        tuple(each.panel._replace(oversample=1) for each in inputs),
        tuple(panel.shape for panel in experiment.detector.panels),
        inputs[0].sources.tobytes(),
        tuple(each.mask.tobytes() for each in inputs),
    )


def _unit_images(experiment: Experiment, inputs: Sequence[KernelInputs]) -> tuple[np.ndarray, ...]:
    """Images at :data:`_UNIT_FLUENCE`."""
    from nbnumba.kernels.cpu.background import amorphous_rows

    # sin(theta) is at most 1; the kernel interpolates linearly between these points
    highest = 1e-10 / float(experiment.sources.wavelengths.min())
    stol = np.linspace(0.0, highest, _POINTS)
    F_sqr = total_F_sqr(experiment.simulation.background, experiment.simulation.beam.beamsize_mm, stol)
    per_stol = (_POINTS - 1) / (highest * 1e10)
    images = []
    for each, panel in zip(inputs, experiment.detector.panels, strict=True):
        image = np.zeros(panel.shape, np.float32)
        block = each.panel._replace(oversample=1)
        scale = R_E_SQR * _UNIT_FLUENCE
        amorphous_rows(image, block, each.beam, each.sources, F_sqr, per_stol, scale, each.mask)
        images.append(image)
    return tuple(images)
