"""What a launch costs on the host: run as a program under the null driver, it prints microseconds.

``empty``: a kernel without a body, with one array, as the package launches it. ``plain``: the float32 kernel with its real
arguments, launched in the same way. ``prepared``: the same as the renderer does it. ``render``: a whole image of 64 x 64
pixels. Medians of batches; only ratios mean anything.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nbnumba.kernels.gpu.table import find_grid, find_kernel, threads_of
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.model.experiment import resolve
from nbnumba.render.dispatch import make_renderer
from nbnumba.render.inputs import build_inputs
from tests.campaigns.null_driver.experiments import simulation

BATCH, BATCHES = 50, 15


def cost(action: Callable[[], object]) -> float:
    """Microseconds of a call: the median of the means of some batches."""
    for _ in range(BATCH):
        action()
    found = []
    for _ in range(BATCHES):
        start = time.perf_counter()
        for _ in range(BATCH):
            action()
        found.append((time.perf_counter() - start) / BATCH)
    return statistics.median(found) * 1e6


def measure() -> dict[str, float]:
    """Microseconds of each way."""
    inputs = build_inputs(resolve(simulation("fast32")))
    panel = inputs.panel
    window = (panel.s0, panel.s1, panel.f0, panel.f1)
    grid, threads = find_grid("fast32", window), threads_of("fast32")
    renderer = make_renderer(inputs, "cuda")
    image = renderer.new_image((64, 64))
    state = renderer.states[0]  # type: ignore[union-attr]
    with cuda.gpus[0], state.lanes.lend() as lane:
        empty = cuda.jit(lambda numbers: None)
        numbers = cuda.to_device(np.zeros(64, np.float32))
        found = {
            "empty": cost(lambda: empty[grid, threads, lane.stream](numbers)),
            "prepared": cost(lambda: state.start(grid, lane, window, inputs.cell, state.no_mask)),
            "render": cost(lambda: renderer.render(image)),
        }
        given: list[tuple[Any, ...]] = []
        state.launcher.starter = lambda *arguments: given.append(arguments)
        state.start(grid, lane, window, inputs.cell, state.no_mask)
        _, stream, *arguments = given[0]
        kernel = find_kernel("fast32", inputs.crystal.shape, panel.curved, 0)
        return found | {"plain": cost(lambda: kernel[grid, threads, stream](*arguments))}


if __name__ == "__main__":
    print(json.dumps({way: round(figure, 1) for way, figure in measure().items()}))
