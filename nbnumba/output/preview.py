"""Picture of a diffraction image: dark spots on white, resolution rings, scale bar.

Problem: a detector has more pixels than a screen, and a spot has only a few of them; averages of pixels hide spots in
the background, single pixels miss some. Choice: every dot of the picture shows the *largest* pixel of its block, and
grey levels are asinh of the height above the background in units of its scatter: linear where the noise is,
logarithmic for the spots. Misuse: grey levels of a shrunken picture are not those of single pixels; the background looks
higher than it is by about its scatter.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbnumba.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

#: Longest side of the image area, in dots of the picture.
SCREEN_DOTS = 1200
_MIN_DOTS = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 132, 84, 64
_DPI = 100
_INK = "#1f2933"
_FAINT = "#66727f"
_RING = "#1f77b4"
_RINGS_A: tuple[float, ...] = (
    *(100, 60, 40, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1),
    *(1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3),
)
_MAX_RINGS = 5
_BRIGHTEST = 3.4e38  # stands for infinity


@dataclass(frozen=True)
class GreyScale:
    """``asinh((value - background) / scatter)`` between ``low`` (white) and ``high`` (black), in units of the image."""

    background: float
    scatter: float
    low: float
    high: float

    def forward(self, value: Any) -> Any:
        """Height above the background, compressed."""
        return np.arcsinh((np.asarray(value, dtype=float) - self.background) / self.scatter)

    def inverse(self, level: Any) -> Any:
        """Value of a compressed height."""
        return self.background + self.scatter * np.sinh(np.asarray(level, dtype=float))

    def ticks(self) -> list[float]:
        """The background and round numbers up to ``high``, at least an eighth of the bar apart."""
        length = self.forward(self.high) - self.forward(self.low)
        found = [self.low]
        smallest, largest = (int(np.floor(np.log10(max(v, 1e-300)))) for v in (self.scatter, self.high))
        decades = range(smallest, largest + 1)
        for value in (step * 10.0**decade for decade in decades for step in (1, 2, 5)):
            above = self.forward(value) - self.forward(found[-1])
            if value <= self.high and value > self.low and above > length / 8:
                found.append(value)
        return found


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Largest value of each block of ``factor`` x ``factor`` pixels; blocks at the far edges may be smaller."""
    if factor == 1:
        return image
    slow, fast = (-(-n // factor) * factor for n in image.shape)
    padded = np.pad(image, ((0, slow - image.shape[0]), (0, fast - image.shape[1])), mode="edge")
    return padded.reshape(slow // factor, factor, fast // factor, factor).max(axis=(1, 3))


def grey_scale(values: np.ndarray, whole_photons: bool = False) -> GreyScale:
    """A scale that puts the background (median) near white and the typical spot at black.

    Parameters
    ----------
    values : (n,) float
        Pixels without those behind a beam stop. May be empty.
    whole_photons : bool
        The values are counts, so that differences below one have no meaning.
    """
    if values.size == 0 or values.max() <= values.min():
        level = float(values[0]) if values.size else 0.0
        return GreyScale(level, 1.0, level, level + 1.0)
    low, background, above = np.percentile(values, (5, 50, 84.13))
    largest = float(values.max())
    # an image without noise has details far below those visible in an experiment
    least = 0.5 if whole_photons else min(0.5, (largest - float(background)) / 200)
    scatter = max(float(above - background), least, 1e-30)
    spots = values[values > background + 6 * scatter]
    high = float(np.percentile(spots, 80)) if spots.size else largest
    high = max(high, min(largest, background + 12 * scatter))
    return GreyScale(float(background), 1.5 * scatter, float(min(low, background)), high)


def ring_radii_px(rings_A: Any, distance_mm: float, pixel_mm: float, wavelength_A: float) -> np.ndarray:
    """Radius in pixels of each resolution on a flat detector perpendicular to the beam; NaN where none is reached."""
    sine = wavelength_A / (2 * np.asarray(rings_A, dtype=float))
    theta = np.arcsin(np.where(sine < np.sqrt(0.5), sine, np.nan))  # 2 theta reaches 90 degrees at sqrt(1/2)
    return distance_mm / pixel_mm * np.tan(2 * theta)


def choose_rings(positions: np.ndarray, reach: float) -> list[float]:
    """A few of the usual resolutions, well apart.

    Parameters
    ----------
    positions : (n,) float
        Where each of the usual resolutions lies, ascending, in any unit; NaN: nowhere.
    reach : float
        Where the image ends, in the same unit.
    """
    chosen: list[float] = []
    last = 1.02 * reach
    for d, position in reversed(list(zip(_RINGS_A, positions, strict=True))):
        if position <= last and position > 0.12 * reach and len(chosen) < _MAX_RINGS:
            chosen.append(d)
            last = position - 0.17 * reach
    return chosen


def save_preview(
    path: str | Path,
    image: np.ndarray,
    *,
    title: str = "",
    beam_center_px: tuple[float, float] | None = None,
    distance_mm: float | None = None,
    pixel_mm: float | None = None,
    wavelength_A: float | None = None,
    beamstop_mm: float | None = None,
    rings_A: tuple[float, ...] | None = None,
    resolution_A: np.ndarray | None = None,
    pedestal: float = 0.0,
    label: str = "photons / pixel",
) -> None:
    """Write a picture of ``image`` as PNG: pixel (0, 0) at the upper left, fast axis to the right, slow axis down.

    Parameters
    ----------
    path : path
        The file; written completely or not at all.
    image : (slow, fast) array
        Photons or counts.
    title : str
        Headline.
    beam_center_px : (2,) float or None
        Direct beam (fast, slow) in pixels from the corner of pixel (0, 0). None: no rings, no beam stop.
    distance_mm, pixel_mm, wavelength_A : float or None
        Geometry of the rings, and a line under the title.
    beamstop_mm : float or None
        Radius of the beam stop's shadow on the detector; pixels inside do not affect the grey levels.
    rings_A : tuple of float or None
        Resolutions to mark; None: chosen; empty: none.
    resolution_A : (slow, fast) array or None
        Resolution of every pixel: contours of it replace the circles, for a detector that is tilted or curved.
    pedestal : float
        Subtracted from ``image`` first.
    label : str
        Quantity and unit of the scale bar.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    from matplotlib.colors import FuncNorm

    image = np.asarray(image)
    spixels, fpixels = image.shape
    factor = max(-(-max(spixels, fpixels) // SCREEN_DOTS), 1)
    dots = np.nan_to_num(shrink(image, factor).astype(np.float64) - pedestal, posinf=_BRIGHTEST)
    stop_px = beamstop_mm / pixel_mm if beamstop_mm and pixel_mm and beam_center_px else 0.0
    scale = grey_scale(dots[_outside(dots.shape, factor, beam_center_px, stop_px)], image.dtype.kind in "biu")

    figure, axes, bar_axes = _frame(dots.shape, enlarge=factor == 1)
    picture = axes.imshow(
        dots,
        cmap="Greys",
        norm=FuncNorm((scale.forward, scale.inverse), vmin=scale.low, vmax=scale.high),
        extent=(0, dots.shape[1] * factor, dots.shape[0] * factor, 0),
        interpolation="nearest",
        aspect="auto",
    )
    axes.set_xlim(0, fpixels)
    axes.set_ylim(spixels, 0)

    if resolution_A is not None:
        _draw_contours(axes, np.asarray(resolution_A, dtype=float), rings_A, factor)
    elif beam_center_px and distance_mm and pixel_mm and wavelength_A:
        _draw_circles(axes, image.shape, beam_center_px, (distance_mm, pixel_mm, wavelength_A), rings_A)
    if beam_center_px:
        _draw_beam(axes, beam_center_px, stop_px)

    bar = figure.colorbar(picture, cax=bar_axes, extend="max" if dots.max() > scale.high else "neither")
    _label_bar(bar, scale, label)
    _label_axes(axes, bar_axes, title, _geometry_line(distance_mm, pixel_mm, wavelength_A, image.shape))

    save_png(path, figure, {"Title": title, "Software": "nbnumba"})


def save_png(path: Path | str, figure: Figure, metadata: dict[str, str | None] | None = None) -> None:
    """Write a figure; a letter that the font lacks is drawn as a box, without a warning.

    Raises
    ------
    FileError
        It cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to load

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")
        FigureCanvasAgg(figure).print_png(content, metadata=metadata)
    with atomic_write(path) as file:
        file.write(content.getvalue())


def _frame(shape: tuple[int, ...], enlarge: bool) -> tuple[Figure, Axes, Axes]:
    """Figure, image area and scale bar; the image area has one dot for each of ``shape``, or a whole number of them."""
    from matplotlib.figure import Figure

    times = max(SCREEN_DOTS // max(shape), 1) if enlarge else 1
    height, width = (max(n * times, _MIN_DOTS) for n in shape)
    across, down = _LEFT + width + _RIGHT, _TOP + height + _BOTTOM
    figure = Figure(figsize=(across / _DPI, down / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((_LEFT / across, _BOTTOM / down, width / across, height / down))
    bar_axes = figure.add_axes(((_LEFT + width + 20) / across, _BOTTOM / down, 16 / across, height / down))
    return figure, axes, bar_axes


def _outside(shape: tuple[int, ...], factor: int, center: tuple[float, float] | None, radius: float) -> np.ndarray:
    """Which dots lie outside the beam stop; (slow, fast) bool."""
    if not center or not radius:
        return np.ones(shape, dtype=bool)
    slow = (np.arange(shape[0]) + 0.5) * factor - center[1]
    fast = (np.arange(shape[1]) + 0.5) * factor - center[0]
    return np.hypot(slow[:, None], fast[None, :]) > radius + factor


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="white")]


def _draw_circles(
    axes: Axes,
    shape: tuple[int, ...],
    center: tuple[float, float],
    geometry: tuple[float, float, float],
    rings_A: tuple[float, ...] | None,
) -> None:
    from matplotlib.patches import Circle

    spixels, fpixels = shape
    corners = np.array([[f, s] for f in (0.0, fpixels) for s in (0.0, spixels)]) - center
    farthest = corners[np.hypot(*corners.T).argmax()]
    if rings_A is None:
        rings_A = tuple(choose_rings(ring_radii_px(_RINGS_A, *geometry), 0.93 * float(np.hypot(*farthest))))
    for d, radius in zip(rings_A, ring_radii_px(rings_A, *geometry), strict=True):
        if not np.isfinite(radius):
            continue
        axes.add_patch(Circle(center, radius, fill=False, edgecolor=_RING, linewidth=0.9, alpha=0.55))
        f, s = np.array(center) + farthest / np.hypot(*farthest) * radius
        if 0 <= f <= fpixels and 0 <= s <= spixels:
            text = axes.text(f, s, f"{d:g} Å", color=_RING, fontsize=9, ha="center", va="center", clip_on=True)
            text.set_path_effects(_halo())


def _draw_contours(axes: Axes, resolution_A: np.ndarray, rings_A: tuple[float, ...] | None, factor: int) -> None:
    step = max(factor, min(resolution_A.shape) // 200, 1)
    slow = np.arange(0, resolution_A.shape[0], step)
    fast = np.arange(0, resolution_A.shape[1], step)
    if len(slow) < 2 or len(fast) < 2:
        return
    # 1/d grows evenly across the detector and is 0 in the beam, where d is infinite
    inverse = 1 / np.maximum(resolution_A[np.ix_(slow, fast)], 1e-6)
    if rings_A is None:
        rings_A = tuple(choose_rings(1 / np.array(_RINGS_A), 0.93 * float(np.nanmax(inverse))))
    levels = {1 / d: f"{d:g} Å" for d in rings_A if np.nanmin(inverse) < 1 / d < np.nanmax(inverse)}
    if not levels:
        return
    lines = axes.contour(
        fast + 0.5, slow + 0.5, inverse, levels=sorted(levels), colors=_RING, linewidths=0.9, alpha=0.55
    )
    for text in axes.clabel(lines, fmt=levels, fontsize=9):
        text.set_alpha(1.0)
        text.set_path_effects(_halo())


def _draw_beam(axes: Axes, center: tuple[float, float], stop_px: float) -> None:
    from matplotlib.patches import Circle

    if stop_px:
        axes.add_patch(Circle(center, stop_px, facecolor="#c9d1d9", edgecolor=_FAINT, linewidth=1.0))
    axes.plot(*center, marker="+", markersize=9, markeredgewidth=1.1, color=_RING, scalex=False, scaley=False)


def _geometry_line(
    distance_mm: float | None, pixel_mm: float | None, wavelength_A: float | None, shape: tuple[int, ...]
) -> str:
    parts = [f"{shape[1]} × {shape[0]} pixels" + (f" of {pixel_mm:g} mm" if pixel_mm else "")]
    if distance_mm:
        parts.append(f"distance {distance_mm:g} mm")
    if wavelength_A:
        parts.append(f"wavelength {wavelength_A:g} Å")
    return "   ·   ".join(parts)


def _label_bar(bar: Colorbar, scale: GreyScale, label: str) -> None:
    ticks = scale.ticks()
    bar.set_ticks(ticks, labels=[f"{tick:.3g}" if tick < 1000 else f"{tick:,.0f}" for tick in ticks])
    bar.minorticks_off()
    bar.set_label(label, color=_INK)


def _label_axes(axes: Axes, bar_axes: Axes, title: str, below_title: str) -> None:
    """Texts, ticks and frames."""
    axes.set_xlabel("fast axis / pixels", color=_INK)
    axes.set_ylabel("slow axis / pixels", color=_INK)
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(
        title, (0, 1), (0, 27), parse_math=False, color=_INK, fontsize=13, fontweight="bold", va="bottom", **above
    )
    axes.annotate(below_title, (0, 1), (0, 10), color=_FAINT, fontsize=9.5, va="bottom", **above)
    for part in (axes, bar_axes):
        part.tick_params(colors=_INK, labelsize=9, width=0.8, direction="out")
        for spine in part.spines.values():
            spine.set(color=_FAINT, linewidth=0.8)
