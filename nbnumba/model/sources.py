"""The incident beam as a list of sources: divergence, dispersion or a spectrum, or a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.kept import value_of
from nbnumba.io.sourcefile import read_sources
from nbnumba.io.spectrum import Spectrum, read_spectrum
from nbnumba.io.values import SourceTable
from nbnumba.model.config import Beam
from nbnumba.model.detector import Frame
from nbnumba.model.editions import edition_of
from nbnumba.model.sampling import Steps, resolve_sweep
from nbnumba.model.vectors import rotate_axis, unit

#: Nominal distance of a generated source (m); only its direction counts.
SOURCE_DISTANCE = 10.0
#: Sources of a divergence grid with its wavelengths, at most.
MOST_SOURCES = 10**6


@dataclass(frozen=True)
class ResolvedSources:
    """Sources as rows.

    Attributes
    ----------
    positions : (S, 3) float64
        From the crystal to the source, m.
    wavelengths : (S,) float64
        Metres.
    weights : (S,) float64
        As given by a file; those of a spectrum or of generated sources have the sum 1.
    divsteps : int
        Number of directions; -1 when the sources come from a file, as the reference prints it.
    """

    positions: np.ndarray
    wavelengths: np.ndarray
    weights: np.ndarray
    hdiv: Steps
    vdiv: Steps
    dispersion: Steps
    divsteps: int
    notes: tuple[str, ...]

    @property
    def incident(self) -> np.ndarray:
        """Directions of travel, (S, 3) unit vectors."""
        return -self.positions / np.linalg.norm(self.positions, axis=1)[:, None]


def uses_weights(beam: Beam, physics: str) -> bool:
    """Whether sources count by their weights: as configured, else with a spectrum and where the edition says so."""
    if beam.source_weights is not None:
        return beam.source_weights
    return beam.spectrum is not None or not edition_of(physics).equal_sources


def resolve_sources(beam: Beam, frame: Frame, physics: str) -> ResolvedSources:
    """Sources of the beam, by nanoBragg.c's rules.

    Raises
    ------
    ConfigError
        A source lies in the crystal or has a wavelength that is not positive, or there are none or too many sources.
    """

    def radians(value: float | None) -> float | None:
        return None if value is None else value / 1000

    hdiv = resolve_sweep(radians(beam.hdivrange_mrad), radians(beam.hdivstep_mrad), beam.hdivsteps)
    vdiv = resolve_sweep(radians(beam.vdivrange_mrad), radians(beam.vdivstep_mrad), beam.vdivsteps)
    dispersion = resolve_sweep(beam.dispersion_percent / 100, None, beam.dispsteps)
    wavelength = beam.wavelength_A / 1e10
    notes: tuple[str, ...] = ()
    if beam.sourcefile is not None:
        positions, weights, wavelengths = _from_list(beam, frame, wavelength)
        divsteps = -1
    else:
        number = hdiv.number * vdiv.number * dispersion.number
        if number > MOST_SOURCES:
            raise ConfigError(
                f"beam: {hdiv.number} x {vdiv.number} directions of {dispersion.number} wavelengths are more sources than "
                f"can be listed ({MOST_SOURCES:.0e}): give fewer with -hdivsteps, -vdivsteps or -dispsteps"
            )
        directions = _divergence(frame, hdiv, vdiv, beam.round_div)
        divsteps = len(directions)
        spectrum = wavelength * (1 + dispersion.step * np.arange(dispersion.number) - dispersion.range / 2)
        shares = np.full(len(spectrum), 1 / len(spectrum))
        if beam.spectrum is not None:
            found = _spectrum(beam)
            spectrum, shares = found.wavelengths_A * 1e-10, found.weights
            width = float(np.ptp(found.wavelengths_A)) / found.mean_A
            dispersion = Steps(width, width / max(len(spectrum) - 1, 1), len(spectrum))
        positions = np.repeat(directions, len(spectrum), axis=0)
        wavelengths = np.tile(spectrum, divsteps)
        weights = np.tile(shares, divsteps) / max(divsteps, 1)
    if len(positions) == 0:
        raise ConfigError("no source is left: the elliptical cut removes the whole divergence grid; try -square_div")
    if edition_of(physics).last_values and uses_weights(beam, physics) and np.ptp(weights) > 0:
        notes = (
            *notes,
            "sources have different weights: each has its own solid angle, polarization and capture fraction, "
            "where the reference has one for all",
        )
    if not (wavelengths > 0).all():
        raise ConfigError(f"source wavelengths must be > 0, got {wavelengths.min() * 1e10:g} A")
    return ResolvedSources(positions, wavelengths, weights, hdiv, vdiv, dispersion, divsteps, notes)


def _from_list(beam: Beam, frame: Frame, wavelength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, weights and wavelengths of a list of sources, defaults in place of NaN."""
    listed = beam.sourcefile
    assert listed is not None
    table = value_of(listed, "sources", _read_table)
    default = (*(-SOURCE_DISTANCE * frame.beam), 1.0, wavelength)
    rows = np.where(np.isnan(table.rows), default, table.rows)
    positions, weights, wavelengths = rows[:, :3], rows[:, 3], rows[:, 4]
    if not np.linalg.norm(positions, axis=1).all():
        raise ConfigError(f"{listed}: a source lies in the crystal (its X Y Z are all 0)")
    if (weights < 0).any() or not weights.any():
        raise ConfigError(f"{listed}: weights must not be negative and not all zero")
    return positions, weights, wavelengths


def _read_table(path: Path) -> SourceTable:
    rows = [[math.nan if value is None else value for value in row] for row in read_sources(path)]
    return SourceTable(np.array(rows))


def _spectrum(beam: Beam) -> Spectrum:
    """The beam's spectrum, gathered if requested."""
    given = beam.spectrum
    assert given is not None
    found = value_of(given, "spectrum", read_spectrum)
    return found if beam.spectrum_steps is None else found.gathered(beam.spectrum_steps)


def _divergence(frame: Frame, hdiv: Steps, vdiv: Steps, round_div: bool) -> np.ndarray:
    """Source positions (n, 3) of a divergence grid, cut to an ellipse when ``round_div``."""
    vertical = unit(np.cross(frame.beam, frame.polar)) if np.cross(frame.beam, frame.polar).any() else np.zeros(3)

    def beyond(angle: float, steps: Steps) -> float:
        # an even number of steps has none in the middle: the reference moves the edge by half a step
        squared = angle * angle - steps.step * steps.step / 4 * (1 - steps.number % 2)
        return squared / steps.range / steps.range if steps.range else float("nan")

    positions = []
    for i in range(hdiv.number):
        for j in range(vdiv.number):
            h, v = hdiv.step * i - hdiv.range / 2, vdiv.step * j - vdiv.range / 2
            # where a range is 0 one of the two is NaN, and nothing is cut
            if round_div and 4 * (beyond(h, hdiv) + beyond(v, vdiv)) > 1.1:
                continue
            straight = -SOURCE_DISTANCE * frame.beam
            positions.append(rotate_axis(rotate_axis(straight, frame.polar, v), vertical, h))
    return np.array(positions).reshape(-1, 3)
