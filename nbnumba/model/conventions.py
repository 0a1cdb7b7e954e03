"""Axes and beam centre of each program's convention, as one table.

Axes are in the program's own laboratory frame. The beam centre rules turn the ``Xbeam``, ``Ybeam`` that a user of that
program reads off the screen into distances along the fast and the slow axis from the corner of pixel (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nbnumba.model.config import Pivot, Vector


@dataclass(frozen=True)
class Axes:
    """Directions of a convention, before the detector is rotated; unit vectors."""

    beam: Vector
    fdet: Vector
    sdet: Vector
    odet: Vector
    twotheta: Vector
    polar: Vector
    spindle: Vector


@dataclass(frozen=True)
class ConventionRule:
    """Axes, pivot and beam centre of a convention.

    Attributes
    ----------
    pivot : Pivot or None
        What stays in place when the detector turns; None: the user's choice.
    default_center : callable (detsize_f, detsize_s, pixel) -> (Xbeam, Ybeam) or None
        Beam centre where none is given (m); None: the near point.
    beam_on_axes : callable (Xbeam, Ybeam, detsize_s, pixel) -> (Fbeam, Sbeam)
        Beam centre along the fast and the slow axis (m).
    """

    axes: Axes
    pivot: Pivot | None
    default_center: Callable[[float, float, float], tuple[float, float]] | None
    beam_on_axes: Callable[[float, float, float, float], tuple[float, float]]


X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
MINUS_X, MINUS_Y, MINUS_Z = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)

_MOSFLM_AXES = Axes(beam=X, fdet=Z, sdet=MINUS_Y, odet=X, twotheta=MINUS_Z, polar=Z, spindle=Z)


def _middle_of_pixel(detsize_f: float, detsize_s: float, pixel: float) -> tuple[float, float]:
    # MOSFLM and DENZO call the slow coordinate X
    return (detsize_s + pixel) / 2, (detsize_f + pixel) / 2


CONVENTIONS: dict[str, ConventionRule] = {
    "MOSFLM": ConventionRule(
        _MOSFLM_AXES,
        "BEAM",
        _middle_of_pixel,
        lambda x, y, _size, pixel: (y + 0.5 * pixel, x + 0.5 * pixel),
    ),
    "DENZO": ConventionRule(_MOSFLM_AXES, "BEAM", _middle_of_pixel, lambda x, y, _size, _pixel: (y, x)),
    "ADXV": ConventionRule(
        Axes(beam=Z, fdet=X, sdet=MINUS_Y, odet=Z, twotheta=MINUS_X, polar=X, spindle=X),
        "BEAM",
        lambda f, s, pixel: ((f + pixel) / 2, (s - pixel) / 2),
        lambda x, y, size, _pixel: (x, size - y),
    ),
    "XDS": ConventionRule(
        Axes(beam=Z, fdet=X, sdet=Y, odet=Z, twotheta=X, polar=X, spindle=X),
        "SAMPLE",
        None,
        lambda x, y, _size, _pixel: (x, y),
    ),
    "DIALS": ConventionRule(
        Axes(beam=Z, fdet=X, sdet=Y, odet=Z, twotheta=Y, polar=Y, spindle=Y),
        "SAMPLE",
        None,
        lambda x, y, _size, _pixel: (x, y),
    ),
    # the reference's initial vectors, each of which the user may replace
    "CUSTOM": ConventionRule(
        Axes(beam=X, fdet=Z, sdet=MINUS_Y, odet=X, twotheta=Y, polar=Z, spindle=Z),
        None,
        None,
        lambda x, y, _size, _pixel: (x, y),
    ),
}
