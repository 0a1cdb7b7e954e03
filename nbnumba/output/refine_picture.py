"""PNG of a refinement: telling shoeboxes before and after, convergence, residuals, and the refined values."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbnumba.errors import one_line
from nbnumba.output.preview import save_png
from nbnumba.output.shoebox_strips import TITLES, Z_END, Sheet, box_chi2, make_sheet, resolutions, telling_boxes
from nbnumba.refinement.minimizer import ENOUGH
from nbnumba.refinement.refined import Refined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX, HEIGHT_PX, _DPI = 1600, 1000, 100
_INK, _FAINT, _BAD = "#1f2933", "#66727f", "#d62728"
#: Colours of stages.
_STAGES = ("#1f77b4", "#2a9d8f", "#8250a8", "#c77700", "#b5456e")
#: Left, top, width and height of the strips (dots), and height of the text above each.
_STRIPS, _LABEL = (44, 122, 1040, 842), 18
#: Left and width of the three figures on the right, and most rows of the table.
_RIGHT, _RIGHT_WIDTH, _MOST_ROWS = 1204, 366, 14
#: Name of the stage without outliers (:mod:`nbnumba.refinement.refine`).
OUTLIERS = "without outliers"
#: Range of the histogram of Z; what is beyond is counted at its ends.
_Z_RANGE = 6.0


def save_refinement(path: Path, refined: Refined, name: str = "") -> None:
    """Draw the most telling shoeboxes, convergence, histogram of residuals and parameters of a refinement.

    A shoebox is telling if its chi^2 falls much from the start to the end; they are taken from all resolutions
    (:func:`nbnumba.output.shoebox_strips.telling_boxes`). Each is a strip of four images: data, start, refined model, all three on
    one scale of grey, and Z, the residuals in standard deviations.

    Parameters
    ----------
    name : str
        Of the image, for the title.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to load

    figure = Figure(figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI), dpi=_DPI, facecolor="white")
    _write_title(figure, refined, name)
    _draw_strips(figure, refined)
    _draw_convergence(_axes(figure, _RIGHT, 122, _RIGHT_WIDTH, 210), refined)
    _draw_histogram(_axes(figure, _RIGHT, 412, _RIGHT_WIDTH, 190), refined)
    _write_table(figure, refined, 676)
    save_png(path, figure, {"Title": "refinement", "Software": "nbnumba"})


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in dots from the top left."""
    return figure.add_axes((left / WIDTH_PX, 1 - (top + height) / HEIGHT_PX, width / WIDTH_PX, height / HEIGHT_PX))


def _text(figure: Figure, left: float, top: float, text: str, **how: Any) -> None:
    """Text whose top left, or top right, is at a place in dots from the top left of the picture."""
    given: dict[str, Any] = {"va": "top", "color": _INK, "fontsize": 10, "parse_math": False} | how
    figure.text(left / WIDTH_PX, 1 - top / HEIGHT_PX, text, **given)


def _write_title(figure: Figure, refined: Refined, name: str) -> None:
    shown = one_line(name)
    of = f" of {shown if len(shown) <= 60 else '...' + shown[-60:]}" if shown else ""
    state = "converged" if refined.converged else "NOT converged"
    colour = _INK if refined.converged else _BAD
    _text(figure, _STRIPS[0], 20, f"Refinement{of}: {state}", fontsize=17, fontweight="bold", color=colour)
    before, after = refined.offsets_px
    said = [
        _count(len(refined.names), "parameter"),
        f"{_count(refined.pixels, 'pixel')} of {_count(len(refined.boxes), 'spot')}",
        _count(refined.evaluations, "evaluation"),
        f"χ² per degree of freedom {_figure(refined.chi2)}",
    ]
    if np.isfinite(before) and np.isfinite(after):
        said.append(f"spots off by {before:.2f} pixels, now by {after:.2f} (median)")
    if refined.rejected:
        said.append(f"{_count(refined.rejected, 'pixel')} rejected")
    _text(figure, _STRIPS[0], 52, "   ·   ".join(said), fontsize=11, color=_FAINT)
    if not refined.converged:
        _text(figure, _STRIPS[0], 72, textwrap.shorten(refined.reason, 180), fontsize=11, color=_BAD)


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:.4g}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# --- shoeboxes ---------------------------------------------------------------------------------------------------


def _draw_strips(figure: Figure, refined: Refined) -> None:
    numbers = telling_boxes(refined)
    left, top, width, height = _STRIPS
    sheet = make_sheet(refined, numbers, (width, height), _LABEL)
    axes = _axes(figure, left, top, width, height)
    axes.imshow(sheet.dots, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    before, after = (sums / np.diff(refined.boxes.starts) for sums in box_chi2(refined))
    d, several = resolutions(refined), len(refined.settings) > 1
    for number, (x, y) in zip(numbers, sheet.corners, strict=True):
        indices = " ".join(str(i).replace("-", "−") for i in refined.boxes.hkl[number])
        lattice = f"  lattice {refined.boxes.lattice[number] + 1}" if several else ""
        where: dict[str, Any] = {"fontsize": 8.5, "va": "bottom"}
        axes.text(x, y - 2, f"{indices}  {d[number]:.2f} Å{lattice}", color=_INK, **where)
        end = x + 4 * sheet.tile + 18
        said = f"χ² {_short(before[number])} → {_short(after[number])}"
        axes.text(end, y - 2, said, color=_FAINT, ha="right", **where)
    _write_heads(figure, sheet)
    _draw_scale(figure, left + width - 164, top + height + 12)
    note = (
        f"the {len(numbers)} most telling of {len(refined.boxes):,} shoeboxes: χ² (per pixel) falls most, at all resolutions"
        if len(numbers) < len(refined.boxes)
        else "χ² per pixel, at the start and refined"
    )
    _text(figure, left, top + height + 8, note, fontsize=9.5, color=_FAINT)


def _short(value: float) -> str:
    if value >= 1e4:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _write_heads(figure: Figure, sheet: Sheet) -> None:
    left, top = _STRIPS[:2]
    for x in sorted(set(sheet.corners[:, 0].tolist())):
        for place, title in enumerate(TITLES):
            middle = left + x + place * (sheet.tile + 6) + sheet.tile / 2
            _text(figure, middle, top - 20, title, fontsize=11, fontweight="bold", ha="center")


def _draw_scale(figure: Figure, left: float, top: float) -> None:
    """The scale of Z."""
    axes = _axes(figure, left, top, 110, 9)
    axes.imshow(np.linspace(-1, 1, 110)[None], cmap="RdBu_r", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=_FAINT, linewidth=0.6)
    for x, text, align in ((left - 5, f"Z  −{Z_END:g}", "right"), (left + 115, f"+{Z_END:g}", "left")):
        _text(figure, x, top - 3, text, fontsize=9.5, color=_FAINT, ha=align)


# --- convergence and residuals -----------------------------------------------------------------------------------


def stage_curves(refined: Refined) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, evaluations and -log likelihood above the end's of each stage, from its start on.

    The stage after the rejection of outliers has fewer pixels, and so another end than the stages before. The end is where a whole
    step from the last point would lead, so that the last point is not at 0.
    """
    found: list[tuple[str, list[int], list[float]]] = []
    for name, step in refined.steps:
        if not found or found[-1][0] != name:
            found.append((name, [found[-1][1][-1] if found else 0], [step.value + step.gain]))
        found[-1][1].append(found[-1][1][0] + step.evaluations)
        found[-1][2].append(step.value)
    curves = []
    for place, (name, evaluations, values) in enumerate(found):
        same = [one for one in found[place:] if (one[0] == OUTLIERS) == (name == OUTLIERS)]
        last = [step for one, step in refined.steps if one == same[-1][0]][-1]
        end = last.value - max(float(np.nan_to_num(last.expected)), 0.0)
        curves.append((name, np.array(evaluations), np.maximum(np.array(values) - end, 1e-12)))
    return curves


def _draw_convergence(axes: Axes, refined: Refined) -> None:
    from matplotlib.ticker import LogLocator

    _style(axes, "Convergence")
    curves = stage_curves(refined)
    if not curves:
        axes.text(0.5, 0.5, "no step was needed", ha="center", va="center", transform=axes.transAxes, color=_FAINT)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    low = ENOUGH / 10  # what is below is as good as 0
    for place, (name, evaluations, values) in enumerate(curves):
        label = f"stage {name}" if name.isdigit() else name
        shown, colour = np.maximum(values, 2 * low), _STAGES[place % len(_STAGES)]
        axes.plot(evaluations, shown, "o-", color=colour, markersize=4.5, linewidth=1.6, label=label)
    axes.axhline(ENOUGH, color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.minorticks_off()
    high = max(float(values.max()) for _, _, values in curves)
    axes.set_ylim(low, 4 * max(high, 10 * ENOUGH))
    last = float(curves[-1][1][-1])
    axes.set_xlim(-0.03 * max(last, 1), 1.03 * max(last, 1))
    axes.locator_params(axis="x", integer=True)
    axes.text(0.015, ENOUGH, "converged", transform=axes.get_yaxis_transform(), fontsize=8.5, color=_FAINT, va="bottom")
    axes.set_xlabel("evaluation", color=_INK, fontsize=10)
    axes.set_ylabel("−log L above the end's", color=_INK, fontsize=10)
    if len(curves) > 1:
        axes.legend(fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.2))


def _draw_histogram(axes: Axes, refined: Refined) -> None:
    _style(axes, "Residuals")
    z = refined.residuals[np.isfinite(refined.residuals)]
    bins = int(np.clip(2 * np.cbrt(max(len(z), 1)), 12, 60))
    counts, edges = np.histogram(np.clip(z, -_Z_RANGE, _Z_RANGE), bins=bins, range=(-_Z_RANGE, _Z_RANGE))
    density = counts / max(len(z), 1) / np.diff(edges)
    axes.stairs(density, edges, fill=True, color="#9db4c8", label="pixels")
    x = np.linspace(-_Z_RANGE, _Z_RANGE, 301)
    axes.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=_BAD, linewidth=1.6, label="unit normal")
    axes.set_xlim(-_Z_RANGE, _Z_RANGE)
    axes.set_ylim(0, 1.18 * max(float(density.max()), 0.4))
    axes.set_yticks([])
    axes.set_xlabel("Z = (data − model) / standard deviation", color=_INK, fontsize=10)
    axes.legend(fontsize=9, frameon=False, loc="upper right", handlelength=1.4)
    mean = f"{round(z.mean(), 3) + 0.0:.3f}".replace("-", "−") if len(z) else "none"
    for place, text in enumerate((f"σ = {_figure(refined.sigma_Z)}", f"mean {mean}")):
        size, colour = ((13, _INK), (9.5, _FAINT))[place]
        axes.text(0.025, 0.93 - 0.14 * place, text, transform=axes.transAxes, fontsize=size, color=colour, va="top")


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=12, color=_INK, loc="left", fontweight="bold")
    axes.tick_params(colors=_INK, labelsize=9, width=0.8)
    for name, spine in axes.spines.items():
        spine.set(color=_FAINT, linewidth=0.8, visible=name in ("left", "bottom"))


# --- table -------------------------------------------------------------------------------------------------------


def table_rows(refined: Refined, most: int = _MOST_ROWS) -> tuple[list[tuple[str, str, str, str]], int]:
    """Parameter, start, refined value and error, as text, and the number of parameters that are left out.

    Where there are too many, those that changed by most standard errors are shown, in their order.
    """
    changes = np.abs(refined.values - refined.start) / np.where(refined.errors > 0, refined.errors, np.inf)
    order = np.argsort(-np.nan_to_num(changes), kind="stable")
    shown = np.sort(order[: most if len(order) <= most else most - 1])
    rows = []
    for i in shown:
        error = float(refined.errors[i])
        known = np.isfinite(error) and error > 0
        digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 9)) if known else 5
        texts = [f"{value:.{digits}f}" for value in (refined.start[i], refined.values[i])]
        if max(map(len, texts)) > 14:
            texts = [f"{value:.6g}" for value in (refined.start[i], refined.values[i])]
        told = f"{error:.{digits}f}" if known else "–"
        rows.append((refined.names[i], *(text.replace("-", "−") for text in texts), told))
    return rows, len(order) - len(shown)


def _write_table(figure: Figure, refined: Refined, top: float) -> None:
    left, right = _RIGHT - 44, _RIGHT + _RIGHT_WIDTH
    rows, others = table_rows(refined)
    ends = (left + 236, left + 332, right)
    heads = ("parameter", "start", "refined", "error")
    for head, x, align in zip(heads, (left, *ends), ("left", "right", "right", "right"), strict=True):
        _text(figure, x, top, head, fontsize=10.5, fontweight="bold", ha=align)
    for place, (name, *numbers) in enumerate(rows, 1):
        y = top + 4 + 20 * place
        _text(figure, left, y, textwrap.shorten(name, 24, placeholder="..."), fontsize=9.5)
        for number, x, colour in zip(numbers, ends, (_FAINT, _INK, _FAINT), strict=True):
            _text(figure, x, y, number, fontsize=9.5, ha="right", color=colour)
    if others:
        _text(figure, left, top + 4 + 20 * (len(rows) + 1), f"and {others:,} more", fontsize=9.5, color=_FAINT)
