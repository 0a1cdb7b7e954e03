"""Step ``variants``: the same command with kernels that are compiled in another way.

A variant is a row of :data:`VARIANTS`: it changes what the kernels' modules hold before a renderer is made, in a process
and with a folder for compiled kernels of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.gpu.commands import find_device, prepare, renderer_on, shape_of, timed
from bench.gpu.setting import Records, Setting
from nbnumba.timing import time_images, time_on_device

COMMAND = "1 Mpixel, every -oversample_* flag"


def general_blocks(number: int) -> None:
    """Have a multiprocessor hold ``number`` blocks of the general kernel: fewer leave each thread more registers."""
    from nbnumba.kernels import gpu_general

    gpu_general.BLOCKS = number


#: Name of the case -> what makes the variant.
VARIANTS: dict[str, Callable[[], None]] = {f"general, {n} blocks": partial(general_blocks, n) for n in (2, 3, 4)}


def measure(case: str, setting: Setting) -> Records:
    """Time a variant's kernel."""
    VARIANTS[case]()
    inputs = prepare(timed()[COMMAND], setting)
    renderer = renderer_on(inputs, find_device(setting.device))
    image = renderer.new_image(shape_of(inputs))
    whole = time_images([renderer], [image], 5, 0)
    timing = time_on_device(renderer, 10)
    yield {
        "kernel": renderer.plan.kernel,
        "kernel_s": timing.kernel.median,
        "steps_per_s": timing.kernel.steps_per_second,
        "image_s": whole.median,
        "clock_Hz": timing.clock.median,
    }
