"""Step ``derivatives``: how long image and derivatives take, by what is wanted of them, and how exact they are."""

from __future__ import annotations

import time

import numpy as np

from bench.gpu.commands import prepare, wake
from bench.gpu.package import package_facts
from bench.gpu.setting import Records, Setting
from bench.workloads import FUDGE, MEGAPIXEL

_MANY = f"{MEGAPIXEL} -N 20 -oversample 1 -mosaic 0.5 -mosaic_domains 20"
#: Case -> its command.
SHAPES = {
    "square": _MANY,
    "round": f"{_MANY} -round_xtal",
    "gauss": f"{_MANY} -gauss_xtal {FUDGE}",
}
#: Parameters, times each result is made, and pixels that are compared with the CPU's.
PARAMETERS, TIMES, COMPARED = 10, 5, 64
#: Largest distance from the CPU's values over their norm.
BAR = 1e-9


def measure(case: str, setting: Setting) -> Records:
    """Seconds of each result, copies included; distance of some pixels' values from the CPU's."""
    from nbnumba.derive.engine import GRADIENT, NORMAL, VALUES, Goal, PixelPass
    from nbnumba.derive.gpu_engine import CudaPass
    from nbnumba.kernels.formulas.sums import SUMS

    device, rng = wake(setting), np.random.default_rng(17)
    inputs = prepare(SHAPES[case], setting)
    panel = inputs.panel
    mask = np.zeros((panel.s1, panel.fpixels), bool)
    mask[panel.s0 : panel.s1, panel.f0 : panel.f1] = True
    chain, weights = rng.normal(size=(1 + PARAMETERS, SUMS)), rng.normal(size=mask.shape)
    start = time.perf_counter()
    one = CudaPass(inputs, None, mask, device)
    goals = {
        "images": Goal(VALUES, chain),
        "gradient": Goal(GRADIENT, chain, weights),
        "normal": Goal(NORMAL, chain, weights, weights),
    }
    terms = len(one.pixels) * inputs.steps_per_pixel
    for name, goal in goals.items():
        values = one.run(goal)  # warms up
        first, seconds = time.perf_counter() - start, []
        for _ in range(1 if setting.tiny else TIMES):  # the simulator takes seconds for each
            start = time.perf_counter()
            again = one.run(goal)
            seconds.append(time.perf_counter() - start)
        median = float(np.median(seconds))
        yield {
            "kernel": "derivatives",
            "result": name,
            "pixels": len(one.pixels),
            "steps": terms,
            "first_s": first,
            "seconds": median,
            "steps_per_s": terms / median,
            "same_bits": bool(np.array_equal(values, again)),
            **package_facts(),
        }
        start = time.perf_counter()
    values = one.run(goals["images"])
    some = np.argsort(-np.abs(values[:, 0]))[:COMPARED]
    part = np.zeros(mask.shape, bool)
    part[one.pixels[some, 0], one.pixels[some, 1]] = True
    expected, found = PixelPass(inputs, None, part).run(goals["images"]), values[np.sort(some)]
    norm = float(np.linalg.norm(expected))
    off = float(np.linalg.norm(found - expected)) / norm if norm else None
    yield {"kernel": "derivatives", "deviation": off, "good": off is not None and off <= BAR}
