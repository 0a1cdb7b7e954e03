"""Three-vectors of the model: rotations and unit vectors, as NumPy arrays of shape (3,).

Sums are written out and sines are the C library's, so that the last bit is the reference's: it decides how many cells
fit into a crystal whose size is a multiple of the cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def unit(vector: Sequence[float] | Array) -> Array:
    """Direction of a non-zero vector."""
    v = np.asarray(vector, dtype=float)
    return v / length(v)


def length(v: Array) -> float:
    """Length of a vector."""
    return math.sqrt(dot(v, v))


def dot(u: Array, v: Array) -> float:
    """Inner product of two vectors."""
    return float(u[0] * v[0] + u[1] * v[1] + u[2] * v[2])


def cross(u: Array, v: Array) -> Array:
    """Vector product of two vectors; ``np.cross`` takes ten times as long for one pair."""
    (a, b, c), (x, y, z) = u, v
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def rotate_xyz(v: Array, angles: Sequence[float] | Array) -> Array:
    """Rotate about x, then y, then z, right-handed, by three angles (rad); ``v`` (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(v, dtype=float), -1, 0)
    ax, ay, az = angles
    if ax:
        y, z = y * math.cos(ax) - z * math.sin(ax), y * math.sin(ax) + z * math.cos(ax)
    if ay:
        x, z = x * math.cos(ay) + z * math.sin(ay), z * math.cos(ay) - x * math.sin(ay)
    if az:
        x, y = x * math.cos(az) - y * math.sin(az), x * math.sin(az) + y * math.cos(az)
    return np.stack([x, y, z], axis=-1)


def rotate_axis(v: Array, axis: Array, angle: float) -> Array:
    """Rotate ``v`` (..., 3) about a unit vector, right-handed, by ``angle`` (rad): Rodrigues' formula."""
    c, s = math.cos(angle), math.sin(angle)
    return v * c + np.cross(axis, v) * s + np.multiply.outer(v @ axis, axis) * (1 - c)
