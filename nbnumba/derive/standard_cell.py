"""Cell vectors by lengths and angles, as MOSFLM and the reference place them, with their derivatives."""

from __future__ import annotations

import numpy as np


def standard_vectors(cell: np.ndarray) -> np.ndarray:
    """Cell vectors as rows: c along z, b in the yz plane; so a* is along x and b* in the xy plane. ``cell``: Å and rad."""
    a, b, c, alpha, beta, gamma = cell
    y = (np.cos(gamma) - np.cos(alpha) * np.cos(beta)) / np.sin(alpha)
    x = np.sqrt(1 - np.cos(beta) ** 2 - y * y)
    zero = 0.0 * a
    return np.array([[a * x, a * y, a * np.cos(beta)], [zero, b * np.sin(alpha), b * np.cos(alpha)], [zero, zero, c]])


def standard_change(cell: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Derivative of :func:`standard_vectors` along a change of the lengths and angles (Å and rad), (3, 3).

    ``cell`` may be complex: an imaginary part of 1e-20 times a change carries the second derivative exactly.
    """
    (a, b, _), (alpha, beta, gamma) = cell[:3], cell[3:]
    (da, db, dc), (d_alpha, d_beta, d_gamma) = change[:3], change[3:]
    y = (np.cos(gamma) - np.cos(alpha) * np.cos(beta)) / np.sin(alpha)
    x = np.sqrt(1 - np.cos(beta) ** 2 - y * y)
    dy = np.sin(alpha) * np.cos(beta) * d_alpha + np.cos(alpha) * np.sin(beta) * d_beta - np.sin(gamma) * d_gamma
    dy = (dy - y * np.cos(alpha) * d_alpha) / np.sin(alpha)
    dx = (np.cos(beta) * np.sin(beta) * d_beta - y * dy) / x
    rows = [
        [da * x + a * dx, da * y + a * dy, da * np.cos(beta) - a * np.sin(beta) * d_beta],
        [0.0, db * np.sin(alpha) + b * np.cos(alpha) * d_alpha, db * np.cos(alpha) - b * np.sin(alpha) * d_alpha],
        [0.0, 0.0, dc],
    ]
    return np.array(rows)


def unit_cell_of(direct: np.ndarray) -> np.ndarray:
    """Lengths (Å) and angles (degrees) of cell vectors, (6,)."""
    cell = cell_of(direct)
    return np.concatenate([cell[:3], np.degrees(cell[3:])])


def cell_of(direct: np.ndarray) -> np.ndarray:
    """Lengths (Å) and angles (rad) of cell vectors, also complex."""
    lengths = np.sqrt((direct * direct).sum(axis=1))
    pairs = ((1, 2), (0, 2), (0, 1))
    return np.array([*lengths, *(np.arccos(direct[i] @ direct[j] / lengths[i] / lengths[j]) for i, j in pairs)])
