"""Rays to a grid of points of a flat panel, for error bounds; kept, because images of a series share panels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nbnumba.kernels.formulas.blocks import PanelBlock

#: Most panels that are kept; points along each axis.
KEPT, POINTS = 64, 9


@lru_cache(maxsize=KEPT)
def grid_of(panel: PanelBlock) -> tuple[np.ndarray, np.ndarray]:
    """Positions (m) of a grid of points of the rendered part of a flat panel, (81, 3), and their distances, (81, 1)."""
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    f, s = np.meshgrid(np.linspace(panel.f0, panel.f1, POINTS), np.linspace(panel.s0, panel.s1, POINTS))
    position = corner + panel.pixel_size * (f[..., None] * along + s[..., None] * across).reshape(-1, 3)
    return position, np.linalg.norm(position, axis=1)[:, None]


@lru_cache(maxsize=KEPT)
def turns_of(panel: PanelBlock) -> tuple[np.ndarray, np.ndarray]:
    """Change of a ray's direction per metre along fdet and sdet of a flat panel, (81, 3) each."""
    position, r = grid_of(panel)
    turns = [
        (axis - position * (position @ axis)[:, None] / r**2) / r for axis in map(np.array, (panel[3:6], panel[6:9]))
    ]
    return turns[0], turns[1]
