"""Two sources that say different things about one experiment, as sentences with both numbers.

A flag that overrides a file is normal use; these are the cases in which the user may not have meant it: a cell that is
neither that of ``-cell`` nor the one that the matrix was made for, and a distance far from the file's, or without effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nbnumba.io.geometry import FileGeometry
from nbnumba.io.matrix import read_matrix_cell
from nbnumba.model.crystal import is_same_cell
from nbnumba.model.geometry_files import cell_of

#: Relative difference of lengths, and difference of angles (deg), from which on two cells differ: of the numbers of one
#: file, and of those that a user types.
SAME_FILE, TYPED = (2e-3, 0.1), (0.1, 3.0)
#: Relative difference of a distance from the one that it replaces, and from one that overrides it: the latter is a rule
#: of the reference, which people use with two distances of one experiment.
FAR, OVERRIDDEN = 0.1, 0.35


def of_matrix(
    path: Path, matrix: Sequence[float], wavelength_A: float, cell: Sequence[float] | None = None
) -> list[str]:
    """What the cell of a MOSFLM matrix contradicts: its own line 8 at this wavelength, or ``-cell``."""
    columns = np.reshape(matrix, (3, 3))
    sizes = np.abs(columns).max(axis=0)
    # refused later, or no crystal
    if not (sizes.min() > 1e-30 and sizes.max() < 1e30 and 1e-30 < wavelength_A < 1e30):
        return []
    a, b, c = (columns / sizes).T
    if abs(float(a @ np.cross(b, c))) < 1e-9:
        return []
    found = np.array(cell_of(columns / wavelength_A))
    if cell is not None:
        wanted = np.array([*cell[:3], *(cell[0],) * (3 - len(cell[:3])), *cell[3:], *(90.0,) * (3 - len(cell[3:]))])
        if is_same_cell(found, wanted[:6], TYPED):
            return []
        return [
            f"-cell {_shown(wanted)} contradicts -mat {path}, which at {wavelength_A:g} A has the cell {_shown(found)}: "
            "the directions are the matrix's, the lengths those of -cell"
        ]
    said = read_matrix_cell(path)
    if said is None or is_same_cell(found, said, SAME_FILE):
        return []
    ratios = np.array(said[:3]) / found[:3]
    made_for = wavelength_A * float(ratios.mean())
    is_wavelength = np.ptp(ratios) < SAME_FILE[0] and np.abs(found[3:] - said[3:]).max() < SAME_FILE[1]
    hint = f"it was made for a wavelength of {made_for:.5g} A: give -lambda {made_for:.5g}" if is_wavelength else ""
    return [
        f"line 8 of {path} has the cell {_shown(said)}, but its matrix at {wavelength_A:g} A has {_shown(found)}"
        + (f"; {hint}" if hint else ", which is taken")
    ]


def of_distance(
    source: str, found_mm: float | None, given_mm: float | None, close_mm: float | None = None
) -> list[str]:
    """What ``-distance`` contradicts: the distance of a file, or its nearest distance, which overrides the flag."""
    if given_mm is None:
        return []
    if close_mm is not None and abs(close_mm - given_mm) > OVERRIDDEN * abs(given_mm):
        return [
            f"-distance {given_mm:g} mm has no effect: the CLOSE_DISTANCE of {close_mm:g} mm in {source} overrides it; "
            "give -close_distance"
        ]
    if found_mm is None or close_mm is not None or abs(found_mm - given_mm) <= FAR * abs(found_mm):
        return []
    return [f"-distance {given_mm:g} mm replaces the {found_mm:g} mm of {source}"]


def distance_of(found: FileGeometry) -> float | None:
    """Distance (mm) along the beam in a geometry file, before the user's; None of several panels that stand anywhere."""
    if found.distance_taken:
        return found.distance_mm
    if len(found.panels) != 1:
        return None
    (panel,) = found.panels
    normal = np.cross(panel.fast_axis, panel.slow_axis)
    ratio = float(np.array(found.beam) @ normal)
    return abs(float(np.array(panel.pix0_mm) @ normal) / ratio) if abs(ratio) > 1e-9 else None


def _shown(cell: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{value:.6g}" for value in cell)
