"""Geometry of an experiment as files give it, and the checks that the readers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.model.config import Panel, Vector

#: Largest number accepted in a geometry file, in any unit.
LARGEST = 1e12
#: Numbers along an axis, or the components of a vector.
Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class FileGeometry:
    """Geometry in the laboratory frame of the file it comes from; None where the file does not say.

    Attributes
    ----------
    beam : (3,) float
        Direction of travel, from source to crystal.
    polar : (3,) float or None
        Direction of the E vector, unit vector.
    kahn_factor : float or None
        Twice the polarized fraction less one.
    spindle : (3,) float or None
        Right-handed rotation axis of the crystal, unit vector.
    panels : tuple of Panel
        At least one, except for files without a detector.
    thickness_um, attenuation_um : float or None
        Thickness and attenuation depth of the sensor.
    reciprocal : (3, 3) float or None
        a*, b*, c* as columns (1/Å), at spindle angle 0, with the fixed rotations of the goniometer in it.
    cell : (6,) float or None
        Unit cell where the orientation is not known.
    phi_deg, osc_deg : float or None
        Spindle at the start of the image, and its width; None: a still.
    images : (2,) int or None
        First and last number of the scan.
    distance_taken : bool
        Whether the panels stand at the distance that the user gave; ``distance_mm`` is the file's then.
    """

    path: Path
    format: str
    beam: Vector
    wavelength_A: float | None = None
    polar: Vector | None = None
    kahn_factor: float | None = None
    spindle: Vector | None = None
    panels: tuple[Panel, ...] = ()
    thickness_um: float | None = None
    attenuation_um: float | None = None
    reciprocal: np.ndarray | None = None
    cell: tuple[float, ...] | None = None
    phi_deg: float | None = None
    osc_deg: float | None = None
    images: tuple[int, int] | None = None
    distance_taken: bool = False
    distance_mm: float | None = None
    notes: tuple[str, ...] = ()


def vector(values: Numbers) -> Vector:
    """Three plain floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z


def polarization(where: str, normal: Numbers, fraction: float, beam: Numbers) -> tuple[Vector, float]:
    """Direction of the E vector and Kahn factor, from the normal of the polarization plane and the polarized fraction.

    Raises
    ------
    FileError
        The normal lies along the beam, or the fraction is not between 0 and 1.
    """
    side = np.cross(normal, beam)
    if np.linalg.norm(side) < 1e-6 * max(float(np.linalg.norm(normal)), 1e-300):
        raise FileError(f"{where}: the normal of the polarization plane lies along the beam")
    if not 0 <= fraction <= 1:
        raise FileError(f"{where}: the polarized fraction must be 0 to 1, got {fraction:g}")
    return vector(side / np.linalg.norm(side)), 2 * fraction - 1


def reciprocal_of(where: str, a: Numbers, b: Numbers, c: Numbers) -> np.ndarray:
    """a*, b*, c* as columns (1/Å) of the direct vectors a, b, c (Å).

    Raises
    ------
    FileError
        The vectors span no volume.
    """
    direct = np.array([a, b, c], dtype=float)
    lengths = np.linalg.norm(direct, axis=1)
    if not lengths.all() or abs(np.linalg.det(direct / lengths[:, None])) < 1e-9:
        raise FileError(f"{where}: the three cell vectors span no volume")
    return np.linalg.inv(direct)


def pixel_sizes(fast_mm: float, slow_mm: float) -> dict[str, float]:
    """Size of a pixel as arguments of a panel: one number, or two where it is not square."""
    if math.isclose(fast_mm, slow_mm, rel_tol=1e-6):
        return {"pixel_mm": float(fast_mm)}
    return {"pixel_mm": float(fast_mm), "slow_pixel_mm": float(slow_mm)}


def make_panel(where: str, **fields: Any) -> Panel:
    """A panel; an error names the place in the file that its numbers come from.

    Raises
    ------
    FileError
        The numbers do not describe a panel.
    """
    try:
        return Panel(**fields)
    except ConfigError as error:
        raise FileError(f"{where}: {error}") from error


def rotation(axis: Numbers, degrees: float) -> np.ndarray:
    """Matrix (3, 3) of a right-handed rotation about a non-zero axis."""
    x, y, z = np.array(axis, dtype=float) / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    return np.eye(3) + math.sin(angle) * K + (1 - math.cos(angle)) * K @ K
