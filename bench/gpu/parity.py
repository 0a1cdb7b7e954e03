"""Step ``parity``: compare the reference program's golden images with those of the device."""

from __future__ import annotations

import json
import shlex
import time
from functools import cache
from typing import Any

import numpy as np

from bench.gpu.commands import cut, deviation, find_device, prepare, renderer_on
from bench.gpu.setting import GOLDEN, Records, Setting

#: Largest max |d| / max that passes, for the float64 kernel and for the one of ``--precision auto``.
BARS = {"double": 1e-6, "auto": 2e-6}


@cache
def _golden() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    cases = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())}
    with np.load(GOLDEN / "images.npz") as images:
        return cases, {name: images[name] for name in images.files}


def check(case: str, setting: Setting) -> Records:
    """Compare the device's image of a golden case, such as ``shape_tophat, double``, with the reference's."""
    name, precision = case.rsplit(", ", 1)
    cases, images = _golden()
    row, wanted = cases[name], images[name].astype(float)
    start = time.perf_counter()
    whole = prepare(shlex.join(row["args"]), Setting(), GOLDEN)
    middle = tuple(int(i) for i in np.unravel_index(wanted.argmax(), wanted.shape))
    inputs = cut(whole, (middle[0], middle[1])) if setting.tiny else whole
    renderer = renderer_on(inputs, find_device(setting.device), precision)
    image = renderer.new_image(tuple(row["shape"]))
    renderer.render(image)
    panel = inputs.panel
    region = np.s_[panel.s0 : panel.s1, panel.f0 : panel.f1]
    if setting.tiny:
        image, wanted = image[region], wanted[region]
    off, lit = np.abs(image.astype(float) - wanted), wanted > 0
    found = deviation(image, wanted)
    bar = BARS[precision]
    yield {
        "kernel": renderer.plan.kernel,
        "deviation": found,
        "percentile_99": float(np.percentile(off[lit] / wanted[lit], 99)) if lit.any() else None,
        "dark_pixels_lit": int(np.count_nonzero(image[~lit])),
        "bar": bar,
        "good": found is not None and found <= bar,
        "seconds": time.perf_counter() - start,
    }
