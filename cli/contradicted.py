"""Sentences about flags and files of one command line that contradict each other, and about numbers that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbnumba.cli.values import Values
from nbnumba.io.geometry import FileGeometry
from nbnumba.model.config import Beam, Detector

#: Keywords without which a header does not describe an experiment: their fields, and the values that are taken then.
NEEDED = {
    "PIXEL_SIZE": ("detector.pixel_mm", f"{Detector.pixel_mm} mm"),
    "DISTANCE": ("detector.distance_mm", f"{Detector.distance_mm:g} mm"),
    "WAVELENGTH": ("beam.wavelength_A", f"{Beam.wavelength_A:g} A"),
}


def contradictions(given: Mapping[str, Any], values: Values, geometry: FileGeometry | None) -> list[str]:
    """What a matrix, a cell and a distance contradict, and which numbers a header lacks.

    Parameters
    ----------
    given : mapping
        Values of the flags by field.
    values : Values
        All values, those of files included.
    """
    from nbnumba.model.contradictions import distance_of, of_distance, of_matrix

    notes: list[str] = []
    if (matrix := given.get("input.matrix")) is not None:
        wavelength = values.get("beam.wavelength_A") or Beam.wavelength_A
        notes += of_matrix(Path(matrix), values.get("crystal.A_matrix"), wavelength, given.get("crystal.cell"))
    distance = None if "detector.close_distance_mm" in given else given.get("detector.distance_mm")
    if geometry is not None:
        notes += of_distance(str(geometry.path), distance_of(geometry), distance)
    for source, (found, close) in values.distances.items():
        notes += of_distance(source, found, distance, close)
    lacking = [key for key, _ in values.missing if values.get(NEEDED[key][0]) is None]
    if lacking:
        defaults = ", ".join(f"{key} ({NEEDED[key][1]})" for key in lacking)
        notes.append(f"{values.missing[0][1]} has no {defaults}: the value in brackets is taken")
    return notes
