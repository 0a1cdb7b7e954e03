"""Three-vectors of the model: rotations and unit vectors, as NumPy arrays of shape (3,)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def unit(vector: Sequence[float] | Array) -> Array:
    """Direction of a non-zero vector."""
    v = np.asarray(vector, dtype=float)
    return v / np.sqrt(v @ v)


def rotate_xyz(v: Array, angles: Sequence[float] | Array) -> Array:
    """Rotate about x, then y, then z, right-handed, by three angles (rad); ``v`` (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(v, dtype=float), -1, 0)
    ax, ay, az = angles
    if ax:
        y, z = y * np.cos(ax) - z * np.sin(ax), y * np.sin(ax) + z * np.cos(ax)
    if ay:
        x, z = x * np.cos(ay) + z * np.sin(ay), z * np.cos(ay) - x * np.sin(ay)
    if az:
        x, y = x * np.cos(az) - y * np.sin(az), x * np.sin(az) + y * np.cos(az)
    return np.stack([x, y, z], axis=-1)


def rotate_axis(v: Array, axis: Array, angle: float) -> Array:
    """Rotate ``v`` (..., 3) about a unit vector, right-handed, by ``angle`` (rad): Rodrigues' formula."""
    c, s = np.cos(angle), np.sin(angle)
    return v * c + np.cross(axis, v) * s + np.multiply.outer(v @ axis, axis) * (1 - c)
