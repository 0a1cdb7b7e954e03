"""Contact sheet of a series: thumbnails of its shots side by side, on one grey scale."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nbnumba.errors import one_line
from nbnumba.output.preview import save_png


def save_contact_sheet(path: Path, pictures: np.ndarray, numbers: np.ndarray, title: str) -> None:
    """Write a PNG.

    Parameters
    ----------
    pictures : (n, slow, fast) float32
        Thumbnails, in photons.
    numbers : (n,) int
        Numbers of the shots, written above the thumbnails.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to load

    columns = min(len(pictures), max(1, math.ceil(math.sqrt(len(pictures) * 1.5))))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(1.4 * columns + 0.2, 1.55 * rows + 0.4), dpi=110, layout="constrained")
    figure.suptitle(one_line(title), fontsize=9, parse_math=False)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    # square roots make weak spots visible beside strong ones, which may saturate
    brightness = np.sqrt(np.maximum(pictures, 0.0))
    positive = brightness[brightness > 0]
    limit = float(np.quantile(positive, 0.95)) if positive.size else 1.0
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, number in zip(axes, brightness, numbers, strict=False):
        axis.set_axis_on()
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(color="0.8", linewidth=0.5)
        axis.imshow(picture, cmap="gray_r", vmin=0.0, vmax=limit, interpolation="antialiased")
        axis.set_title(str(number), fontsize=7, pad=2)
    save_png(path, figure, {"Software": None})
