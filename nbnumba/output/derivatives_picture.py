"""PNG: an image and its derivatives side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nbnumba.output.preview import grey_scale, save_png

#: Dots of the longer side of a panel, and panels in a row.
SIDE, ACROSS = 360, 4
#: Share of the pixels that differ from 0 that are within the scale of a panel.
WITHIN = 0.995


def save_derivatives(path: Path, image: np.ndarray, derivatives: Mapping[str, np.ndarray]) -> None:
    """Draw an image, in grey, and its derivatives, blue to red about 0, each with a scale of its own.

    Parameters
    ----------
    image : (slow, fast) float64
        Photons.
    derivatives : mapping of str to (slow, fast) float64
        Photons per unit of the parameter.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to load

    count = 1 + len(derivatives)
    across = min(count, ACROSS)
    down = -(-count // across)
    dots = SIDE / max(image.shape)
    wide, high = image.shape[1] * dots + 40, image.shape[0] * dots + 70
    figure = Figure(figsize=(across * wide / 100, down * high / 100), dpi=100, facecolor="white")
    axes = np.atleast_1d(figure.subplots(down, across)).ravel()
    grey = grey_scale(image.astype(np.float32))
    axes[0].imshow(image, cmap="gray_r", vmin=0, vmax=grey.high, interpolation="nearest")
    axes[0].set_title("image", fontsize=9)
    axes[0].set_xlabel(f"0 to {grey.high:.3g} photons", fontsize=8)
    for one, (name, slopes) in zip(axes[1:], derivatives.items(), strict=False):
        limit = symmetric_limit(slopes)
        one.imshow(slopes, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        one.set_title(name, fontsize=9)
        one.set_xlabel(f"-{limit:.3g} to {limit:.3g} photons per unit", fontsize=8)
    for place, one in enumerate(axes):
        one.set_xticks([])
        one.set_yticks([])
        one.set_visible(place < count)
    figure.tight_layout()
    save_png(path, figure, {"Title": "derivatives", "Software": "nbnumba"})


def symmetric_limit(slopes: np.ndarray) -> float:
    """End of a scale about 0: most of the pixels that are not 0 are within it."""
    sizes = np.abs(slopes[slopes != 0])
    limit = float(np.quantile(sizes, WITHIN)) if sizes.size else 1.0
    return limit if limit > 0 and math.isfinite(limit) else 1.0
