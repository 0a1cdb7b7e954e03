"""Pixels and images that callers give: checked, and one for each panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbnumba.derive.setting import Setting
from nbnumba.errors import ConfigError


def _split(value: Any, panels: int, name: str) -> list[np.ndarray]:
    """One array for each panel; of a single panel it may be given alone."""
    if panels == 1 and not (isinstance(value, list | tuple) and len(value) == 1 and np.ndim(value[0]) == 2):
        return [np.asarray(value)]
    if not isinstance(value, Sequence | np.ndarray) or len(value) != panels:
        raise ConfigError(f"{name}: give one array for each of the {panels} panels")
    return [np.asarray(one) for one in value]


def choose(pixels: Any, at: Setting) -> list[np.ndarray]:
    """Masks of the pixels of every panel, (spixels, fpixels) bool; pixels that are not rendered are left out.

    Raises
    ------
    ConfigError
        Neither masks of the panels' sizes nor boxes within them.
    """
    every = at.rendered
    if pixels is None:
        return every
    given = _split(pixels, len(every), "pixels")
    return [_choose(one, mask) & mask for one, mask in zip(given, every, strict=True)]


def _choose(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mask of the pixels of one panel, from a mask or boxes."""
    slow, fast = mask.shape
    if pixels.dtype == bool and pixels.shape == mask.shape:
        return pixels
    if pixels.dtype != bool and pixels.ndim == 2 and pixels.shape[1] == 4:
        if not np.issubdtype(pixels.dtype, np.integer):
            raise ConfigError(f"pixels: boxes must be whole numbers, got {pixels.dtype}")
        found = np.zeros(mask.shape, bool)
        for s0, s1, f0, f1 in pixels:
            if not (0 <= s0 <= s1 <= slow and 0 <= f0 <= f1 <= fast):
                raise ConfigError(
                    f"pixels: box ({s0}, {s1}, {f0}, {f1}) is not within {slow} x {fast} pixels (slow x fast; first, end)"
                )
            found[s0:s1, f0:f1] = True
        return found
    raise ConfigError(
        f"pixels must be a mask of {slow} x {fast} bool or boxes (n, 4) of first and end of slow and fast index, "
        f"got {pixels.dtype} {pixels.shape}"
    )


def per_panel(value: Any, at: Setting, name: str) -> list[np.ndarray] | None:
    """Images of every panel, float64.

    Raises
    ------
    ConfigError
        They have other sizes than the panels.
    """
    if value is None:
        return None
    shapes = [panel.shape for panel in at.experiment.detector.panels]
    found = _split(value, len(shapes), name)
    for image, shape in zip(found, shapes, strict=True):
        if image.shape != shape:
            raise ConfigError(
                f"{name} must have the shape of the panel, {shape[0]} x {shape[1]} (slow x fast), got {image.shape}"
            )
        if not np.isfinite(image).all():
            raise ConfigError(f"{name} must be finite: set those of bad pixels to 0")
    return [image.astype(np.float64, copy=False) for image in found]
