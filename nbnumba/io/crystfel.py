"""CrystFEL's ``.geom`` files: a detector of panels, and the wavelength.

CrystFEL's frame: z along the beam, y up, x completing the right-handed system. A panel's corner lies at
(corner_x, corner_y) pixels and at clen + coffset along z. ``fs`` and ``ss`` are the edges of a pixel in units of 1/res
metres, of any length. A value without a panel's name holds for the panels that are first named after it; where two lines
say the same, the last one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median_low

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.crystfel_data import data_place
from nbnumba.io.geom_content import Content, PanelSettings, read_geom_text
from nbnumba.io.geometry import FileGeometry, make_panel, pixel_sizes, vector
from nbnumba.model.config import Panel

#: Largest movement of a corner (pixels) by which ``fs`` and ``ss`` count as unit vectors that were rounded.
_ROUNDING = 1e-3


def read_geom(path: Path | str, *, distance_mm: float | None = None, wavelength_A: float | None = None) -> FileGeometry:
    """Beam and panels of a CrystFEL geometry file; panels with ``no_index = 1`` are kept, bad regions are not read.

    Parameters
    ----------
    distance_mm : float, optional
        Distance of the detector instead of the file's ``clen``, which may be a path inside an HDF5 file. ``coffset``
        then only counts relative to that of the other panels, because it may turn an encoder's reading into a distance.
    wavelength_A : float, optional
        Wavelength instead of the file's, for the same reason.

    Raises
    ------
    FileError
        The file cannot be read, a panel is incomplete, or a required value is missing or only in the data file.
    """
    return geometry_of(Content(read_geom_text(path)), distance_mm=distance_mm, wavelength_A=wavelength_A)


def geometry_of(
    content: Content, *, distance_mm: float | None = None, wavelength_A: float | None = None
) -> FileGeometry:
    """Geometry that the text of a geometry file gives, as :func:`read_geom` does.

    Raises
    ------
    FileError
        As there, but for the file.
    """
    shift = content.shifts()
    away = None
    if distance_mm is not None:
        away = distance_mm - median_low([1000 * content.number(panel, "coffset") for panel in content.panels])
    panels = tuple(panel_of(content, panel, away, shift) for panel in content.panels)
    wavelength = content.wavelength() if wavelength_A is None else wavelength_A
    return FileGeometry(
        path=content.text.path,
        format="crystfel",
        beam=(0.0, 0.0, 1.0),
        wavelength_A=wavelength,
        # horizontal, as at nearly all sources of X-rays
        polar=(1.0, 0.0, 0.0),
        panels=panels,
        distance_taken=distance_mm is not None,
        distance_mm=None if distance_mm is None else content.distance(),
        notes=content.all_notes(away),
    )


def panel_of(content: Content, panel: PanelSettings, away: float | None, shift: Sequence[float]) -> Panel:
    """A panel that stands at its ``coffset`` from ``away`` (mm), or from the file's ``clen``, moved by ``shift`` (mm).

    Raises
    ------
    FileError
        It is not complete, or its distance is needed and not known.
    """

    def get(key: str) -> float:
        return content.number(panel, key)

    where = f"{content.at(panel.line)}: panel {panel.name}"
    if (res := get("res")) <= 0:
        raise FileError(f"{where}: res must be > 0 pixels per metre, got {res:g}")
    pixel = 1000 / res
    z = (1000 * get("clen") if away is None else away) + 1000 * get("coffset")
    edges = [content.direction(panel, key, default) for key, default in (("fs", "x"), ("ss", "y"))]
    corner = [get("min_fs"), get("min_ss")]
    counts = [int(get(f"max_{key}")) - int(low) + 1 for key, low in zip(("fs", "ss"), corner, strict=True)]
    lengths = [float(np.linalg.norm(edge)) for edge in edges]
    if all(abs(length - 1) * count < _ROUNDING for length, count in zip(lengths, counts, strict=True)):
        lengths = [1.0, 1.0]
    return make_panel(
        where,
        pix0_mm=vector([get("corner_x") * pixel + shift[0], get("corner_y") * pixel + shift[1], z]),
        fast_axis=vector(edges[0]),
        slow_axis=vector(edges[1]),
        fpixels=counts[0],
        spixels=counts[1],
        **pixel_sizes(lengths[0] * pixel, lengths[1] * pixel),
        name=panel.name,
        offset=(int(corner[0]), int(corner[1])),
        place=data_place(panel.values, content.numbers(panel)),
    )
