"""The picture of a comparison: both images, their difference, histogram, scatter, and the verdict in words.

Dots of a shrunken image show the *largest* pixel of their block, those of the difference the one farthest from zero, so
that no spot is lost (``nbnumba.output.preview``).
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.errors import one_line
from nbnumba.inspect.compare import Comparison
from nbnumba.output.preview import GreyScale, grey_scale, save_png, shrink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX, HEIGHT_PX, _DPI = 1600, 1080, 100
#: Dots along an image's longest side. A dot takes two pixels of the picture: spots of one dot must be visible.
_DOTS = 200
#: The same of a picture of a single image.
_SINGLE_DOTS = 600
_POINTS = 20_000
_INK, _FAINT, _HIDDEN = "#1f2933", "#66727f", "#dfe5ea"
_A, _B = "#1f77b4", "#d62728"


def save_comparison(
    path: Path | str,
    comparison: Comparison,
    *,
    name_a: str = "A",
    name_b: str = "B",
    unit: str = "value as stored in the file",
) -> None:
    """Write the picture as PNG, 1600 pixels wide.

    Parameters
    ----------
    name_a, name_b : str
        Names of the images in titles.
    unit : str
        Unit of a pixel, for the labels.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI), dpi=_DPI, facecolor="white")
    state = "the same within the limits" if comparison.passed else "NOT the same"
    figure.text(0.035, 0.962, f"Two images compared: {state}", fontsize=17, fontweight="bold", color=_INK)
    names = f"A: {_shorter(name_a)}      B: {_shorter(name_b)}"
    figure.text(0.035, 0.934, names, fontsize=11, color=_FAINT, parse_math=False)
    left, width, gap = 0.042, 0.215, 0.119
    columns = [left + i * (width + gap) for i in range(3)]
    _draw_images(figure, comparison, columns, width, unit)
    _draw_histogram(figure.add_axes((columns[0] + 0.012, 0.075, width + 0.02, 0.325)), comparison, unit)
    _draw_scatter(figure.add_axes((columns[1] + 0.012, 0.075, width + 0.02, 0.325)), comparison, unit)
    _write_summary(figure, columns[2] - 0.008, comparison)
    save_png(path, figure)


def save_single_pictures(folder: Path, comparison: Comparison, unit: str) -> list[Path]:
    """Draw a.png, b.png and difference.png, each image by itself; returns their paths.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    from matplotlib.figure import Figure

    shown, scale, paths = _shrunken(comparison, _SINGLE_DOTS), _common_scale(comparison), []
    for name, dots in zip(("a", "b", "difference"), shown, strict=True):
        figure = Figure(figsize=(8, 8), dpi=_DPI, facecolor="white")
        axes = figure.add_axes((0.1, 0.08, 0.72, 0.84))
        if name == "difference":
            _show_difference(figure, axes, dots, comparison, unit)
        else:
            _show_grey(figure, axes, dots, scale, comparison.a.shape, unit)
            axes.set_title(name.upper(), fontsize=12, color=_INK, loc="left")
        paths.append(folder / f"{name}.png")
        save_png(paths[-1], figure)
    return paths


def _shrunken(comparison: Comparison, dots: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, B and B - A, shrunken to ``dots`` along the longest side; NaN where no pixel counts."""
    a, b, valid = comparison.a, comparison.b, comparison.valid
    factor = _pixels_of_a_dot(comparison, dots)
    hidden = ~shrink(valid, factor)
    one, two = (np.where(hidden, np.nan, shrink(np.where(valid, image, -np.inf), factor)) for image in (a, b))
    return one, two, np.where(hidden, np.nan, _farthest(np.where(valid, b - a, 0.0), factor))


def _pixels_of_a_dot(comparison: Comparison, dots: int) -> int:
    """Pixels along each side of a dot."""
    return max(1, math.ceil(max(comparison.a.shape) / dots))


def _common_scale(comparison: Comparison) -> GreyScale:
    """One scale of grey for both images."""
    valid, step = comparison.valid, max(1, comparison.valid.sum() // 10**6)
    return grey_scale(np.concatenate([image[valid][::step] for image in (comparison.a, comparison.b)]))


def _shorter(name: str, most: int = 70) -> str:
    shown = one_line(name)
    return shown if len(shown) <= most else "..." + shown[-most:]


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:,.0f}"


def _farthest(image: np.ndarray, factor: int) -> np.ndarray:
    """Pixel of each block that is farthest from zero, with its sign."""
    high, low = shrink(image, factor), -shrink(-image, factor)
    return np.where(high >= -low, high, low)


def _draw_images(figure: Figure, comparison: Comparison, columns: list[float], width: float, unit: str) -> None:
    *images, difference = _shrunken(comparison, _DOTS)
    factor, scale = _pixels_of_a_dot(comparison, _DOTS), _common_scale(comparison)
    note = f" (each dot: the largest of {factor} x {factor} pixels)" if factor > 1 else ""
    for left, shown, title in zip(columns, images, ("A", "B"), strict=False):
        axes = figure.add_axes((left, 0.475, width, 0.405))
        _show_grey(figure, axes, shown, scale, comparison.a.shape, unit)
        axes.set_title(f"{title}{note}", fontsize=12, color=_INK, loc="left")
    _show_difference(figure, figure.add_axes((columns[2], 0.475, width, 0.405)), difference, comparison, unit)


def _place_bar(figure: Figure, axes: Axes) -> Axes:
    """Axes for a colour bar beside the image, as high as the image is drawn."""
    axes.apply_aspect()
    box = axes.get_position()
    return figure.add_axes((box.x1 + 0.006, box.y0, 0.009, box.height))


def _frame(axes: Axes) -> None:
    axes.set_xlabel("fast axis / pixels", color=_INK)
    axes.set_ylabel("slow axis / pixels", color=_INK)
    axes.tick_params(colors=_INK, labelsize=9)


def _show_grey(
    figure: Figure, axes: Axes, shown: np.ndarray, scale: GreyScale, shape: tuple[int, ...], unit: str
) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import FuncNorm

    norm = FuncNorm((scale.forward, scale.inverse), vmin=scale.low, vmax=scale.high)
    cmap = colormaps["gray_r"].with_extremes(bad=_HIDDEN)
    picture = axes.imshow(
        np.clip(shown, scale.low, scale.high), cmap=cmap, norm=norm, extent=_extent(shape), interpolation="nearest"
    )
    _frame(axes)
    brighter = bool(np.nanmax(shown, initial=scale.high) > scale.high)
    bar = figure.colorbar(picture, cax=_place_bar(figure, axes), extend="max" if brighter else "neither")
    ticks = scale.ticks()
    bar.set_ticks(ticks, labels=[_number(tick if tick > 1e-6 * scale.high else 0.0) for tick in ticks])
    bar.minorticks_off()
    bar.set_label(unit, color=_INK, fontsize=9)
    bar.ax.tick_params(labelsize=8.5)


def _extent(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    return (0.0, float(shape[1]), float(shape[0]), 0.0)


def _show_difference(figure: Figure, axes: Axes, shown: np.ndarray, comparison: Comparison, unit: str) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import AsinhNorm

    metrics, worst = comparison.metrics, comparison.metrics.worst
    limit = metrics.max_abs or 1.0
    norm = AsinhNorm(linear_width=limit / 50, vmin=-limit, vmax=limit)
    cmap = colormaps["RdBu_r"].with_extremes(bad=_HIDDEN)
    picture = axes.imshow(shown, cmap=cmap, norm=norm, extent=_extent(comparison.a.shape), interpolation="nearest")
    _frame(axes)
    axes.set_title("Difference, B minus A", fontsize=12, color=_INK, loc="left")
    if worst is not None:
        axes.plot(worst.fast + 0.5, worst.slow + 0.5, "o", ms=13, mfc="none", mec=_INK, mew=1.2)
        axes.set_xlabel("fast axis / pixels        (circle: the largest difference)", color=_INK)
    bar = figure.colorbar(picture, cax=_place_bar(figure, axes))
    ticks = [-limit, -limit / 10, -limit / 50, 0.0, limit / 50, limit / 10, limit]
    bar.set_ticks(ticks, labels=[_number(tick) for tick in ticks])
    bar.minorticks_off()
    bar.set_label(f"B - A, {unit}", color=_INK, fontsize=9)
    bar.ax.tick_params(labelsize=8.5)


def _positive_range(x: np.ndarray, y: np.ndarray) -> tuple[float, float] | None:
    """Limits of a logarithmic axis that hold nearly all positive values; None where there are none."""
    positive = np.concatenate([x[x > 0], y[y > 0]])
    if positive.size == 0:
        return None
    low, high = float(np.percentile(positive, 0.05)), float(positive.max())
    return max(low, high * 1e-12) / 1.5, high * 1.5


def _draw_histogram(axes: Axes, comparison: Comparison, unit: str) -> None:
    x, y = comparison.a[comparison.valid], comparison.b[comparison.valid]
    limits = _positive_range(x, y)
    axes.set_title("How many pixels have which value", fontsize=12, color=_INK, loc="left")
    if limits is None:
        axes.text(0.5, 0.5, "no pixel is above 0", ha="center", va="center", transform=axes.transAxes, color=_INK)
        axes.set_axis_off()
        return
    edges = np.geomspace(*limits, 80)
    for values, colour, name, style in ((x, _A, "A", "-"), (y, _B, "B", "--")):
        counts, _ = np.histogram(values, edges)
        rest = int((values <= 0).sum())
        label = f"{name} ({rest} pixels are 0 or below)" if rest else name
        axes.stairs(counts, edges, color=colour, linewidth=1.6, linestyle=style, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    # room for the legend above the tallest bin
    axes.set_ylim(0.7, 8 * axes.get_ylim()[1])
    axes.set_xlabel(f"pixel: {unit}", color=_INK)
    axes.set_ylabel("number of pixels", color=_INK)
    axes.legend(fontsize=9.5, frameon=False, loc="upper right")
    axes.tick_params(labelsize=9)


def _draw_scatter(axes: Axes, comparison: Comparison, unit: str) -> None:
    x, y = comparison.a[comparison.valid], comparison.b[comparison.valid]
    axes.set_title("Pixel by pixel", fontsize=12, color=_INK, loc="left")
    limits = _positive_range(x, y)
    both = np.flatnonzero((x > 0) & (y > 0))
    if limits is None or both.size == 0:
        axes.text(0.5, 0.5, "no pixel is above 0 in both", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    label = "each pixel above 0"
    if both.size > _POINTS:
        # the brightest pixels and those that differ most are always shown, the others are sampled at random
        rng = np.random.default_rng(0)
        special = [both[np.argsort(key[both])[-_POINTS // 4 :]] for key in (x, np.abs(y - x))]
        both = np.unique(np.concatenate([*special, rng.choice(both, _POINTS // 2, replace=False)]))
        label = f"{both.size} of the pixels above 0"
    axes.plot(x[both], y[both], ".", markersize=3, color="#4b5b6b", alpha=0.5, rasterized=True, label=label)
    axes.plot(limits, limits, color=_B, linewidth=1.2, label="A = B")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_xlabel(f"A: {unit}", color=_INK)
    axes.set_ylabel(f"B: {unit}", color=_INK)
    axes.legend(fontsize=9.5, frameon=False, loc="upper left")
    axes.tick_params(labelsize=9)


def summary_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """The metrics as label and text."""
    m = comparison.metrics
    rows = [
        ("pixels compared", f"{m.pixels} of {comparison.a.size}"),
        ("correlation", f"{m.correlation:.9g}"),
        ("root mean square of B - A", f"{m.rmse:.6g}"),
        ("largest |B - A|", f"{m.max_abs:.6g} ({m.max_rel:.3g} of the maximum)"),
    ]
    if m.worst is not None:
        rows.append(("  at slow, fast", f"{m.worst.slow}, {m.worst.fast} (A {m.worst.a:.6g}, B {m.worst.b:.6g})"))
    rows += [
        ("|B - A| / pixel, 99 % below", f"{m.p99_rel:.3g}"),
        ("sum of A, of B", f"{m.sum_a:.9g}, {m.sum_b:.9g}"),
        ("sum(B) / sum(A)", f"{m.sum_ratio:.9g}"),
        (f"equal within {m.rtol:g}" + (f" or {m.atol:g}" if m.atol else ""), f"{100 * m.within:.4g} % of the pixels"),
        ("peaks in A, B, matched", f"{m.peaks.n_a}, {m.peaks.n_b}, {m.peaks.n_matched}"),
    ]
    if not math.isnan(m.mean_ratio):
        rows.insert(-2, ("B / A: mean, median", f"{m.mean_ratio:.6g}, {m.median_ratio:.6g}"))
    if m.peaks.n_matched:
        rows.append(("  distance: mean, largest", f"{m.peaks.mean_distance:.4g}, {m.peaks.max_distance:.4g} pixels"))
    if comparison.index_shift is not None:
        rows.append(("  |dh|, |dk|, |dl|: mean", ", ".join(f"{x:.3g}" for x in comparison.index_shift)))
    if m.scale != 1:
        rows.insert(1, ("B was divided by", f"{m.scale:.9g}"))
    return rows


def _write_summary(figure: Figure, left: float, comparison: Comparison) -> None:
    top = 0.405
    for line in textwrap.wrap(comparison.explanation, 48)[:5]:
        figure.text(left, top, line, fontsize=11.5, fontweight="bold", color=_INK, va="top")
        top -= 0.022
    top -= 0.012
    for label, text in summary_rows(comparison):
        figure.text(left, top, label, fontsize=10, color=_FAINT, va="top")
        figure.text(left + 0.125, top, text, fontsize=10, color=_INK, va="top")
        top -= 0.0205
    for failure in comparison.failures:
        figure.text(left, top - 0.008, f"fails: {failure}", fontsize=10, color=_B, va="top")
        top -= 0.0205
