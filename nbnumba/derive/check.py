"""Derivatives against central differences of the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nbnumba.derive.derivatives import Derivatives
from nbnumba.derive.engine import PanelPass, make_pass
from nbnumba.derive.parameter import Parameter
from nbnumba.derive.setting import Setting
from nbnumba.errors import ConfigError
from nbnumba.render.threads import thread_safe

#: Relative change of the image by a step: errors of rounding are 1e-16 over that, those of the formula its fourth power.
CHANGE = 3e-4
#: Relative change of the whole image that rounding hides.
SMALLEST = 1e-9


@dataclass(frozen=True)
class Checked:
    """A derivative beside central differences.

    Attributes
    ----------
    name : str
    step : float
        Of the parameter, in its unit.
    norm, error : float
        L2 norm of the derivative over the pixels that are compared, and of its difference.
    jumps : int
        Pixels that are left out: by such a step a ray passes from one reflection, or from one side of the resolution limit,
        to another, and the image jumps.
    pixels : int
        Pixels in all.
    note : str
        Why there is no comparison, or empty.
    """

    name: str
    step: float = 0.0
    norm: float = 0.0
    error: float = 0.0
    jumps: int = 0
    pixels: int = 0
    note: str = ""

    @property
    def relative(self) -> float:
        """Relative L2 norm of the difference."""
        return self.error / self.norm if self.norm else self.error


def find_jumps(before: PanelPass, after: PanelPass) -> np.ndarray:
    """Pixels between whose images, before and after a change, lies a jump, (spixels, fpixels) bool."""
    from nbnumba.kernels.cpu.borders import mark_jumps

    x, pixels = before.inputs, np.argwhere(before.mask).astype(np.int32)
    found = np.zeros(len(pixels), np.uint8)
    pairs = [(getattr(x, name), getattr(after.inputs, name)) for name in ("panel", "sources", "cells")]
    mark_jumps(found, pixels, *(one for pair in pairs for one in pair), x.cell, x.beam.dmin)
    # where an evaluation out of range ends interpolation, it may be another one
    first, last = sorted(one.ends[2] for one in (before, after))
    numbers = pixels[:, 0].astype(np.int64) * x.panel.fpixels + pixels[:, 1]
    jumps = np.zeros(before.mask.shape, bool)
    jumps[before.mask] = (found != 0) | ((numbers >= first) & (numbers <= last))
    return jumps


@thread_safe
def check(derivatives: Derivatives) -> list[Checked]:
    """Compare each derivative with central differences, by Richardson's extrapolation from two steps.

    The step is such that spots change by about :data:`CHANGE`.
    """
    at = derivatives.setting
    start = tuple(replace(x, beam=x.beam._replace(I_bg=0.0)) for x in at.start)
    dark = Setting(at.experiment, start, at.state)
    alone = Derivatives(dark, derivatives.parameters, derivatives.masks)
    steps = [_step(alone, name) or _step(derivatives, name) for name in derivatives.names]
    return [_check(derivatives, p, step) for p, step in zip(derivatives.parameters, steps, strict=True)]


def _step(alone: Derivatives, name: str) -> float:
    """Step that changes the pixels with most of the derivative by :data:`CHANGE`; others may be far brighter. 0: no slope."""
    slopes = alone.of(name)
    most = max((float(np.abs(slope).max(initial=0.0)) for slope in slopes), default=0.0)
    ratios = [
        image[np.abs(slope) > most / 100] / np.abs(slope[np.abs(slope) > most / 100])
        for image, slope in zip(alone.images, slopes, strict=True)
    ]
    typical = float(np.median(np.concatenate(ratios))) if most else 0.0
    return CHANGE * typical


def _check(derivatives: Derivatives, parameter: Parameter, step: float) -> Checked:
    at, masks = derivatives.setting, derivatives.masks
    slopes = derivatives.of(parameter.name)
    pixels = derivatives.pixels
    step = min(step, parameter.reach(at))
    if _norm(slopes) * step <= SMALLEST * _norm(derivatives.images):
        return Checked(parameter.name, pixels=pixels, note="the image hardly depends on it")
    try:
        panels = {factor: parameter.moved(at, factor * step).panels for factor in (-1, -0.5, 0.5, 1)}
    except ConfigError as refused:
        return Checked(parameter.name, pixels=pixels, note=str(refused))
    sides = {f: [make_pass(x, None, m) for x, m in zip(p, masks, strict=True)] for f, p in panels.items()}
    images = {factor: [one.image() for one in passes] for factor, passes in sides.items()}
    error = norm = 0.0
    left_out = 0
    for i, here in enumerate(derivatives.passes):
        jumps = find_jumps(here, sides[-1][i]) | find_jumps(here, sides[1][i])
        wide = (images[1][i] - images[-1][i]) / (2 * step)
        narrow = (images[0.5][i] - images[-0.5][i]) / step
        off = np.where(jumps, 0.0, (4 * narrow - wide) / 3 - slopes[i])
        error += float((off**2).sum())
        norm += float((np.where(jumps, 0.0, slopes[i]) ** 2).sum())
        left_out += int(jumps.sum())
    if left_out > pixels / 2:
        return Checked(
            parameter.name, step, pixels=pixels, note="the derivative is too small: the image jumps elsewhere"
        )
    return Checked(parameter.name, step, norm**0.5, error**0.5, left_out, pixels)


def _norm(images: Sequence[np.ndarray]) -> float:
    return float(sum((image**2).sum() for image in images)) ** 0.5
