"""Step ``variants``: the same command with kernels compiled with other settings.

A variant is a row of :data:`VARIANTS`: it changes constants of the kernels' modules before a renderer is made, in a
separate process with a separate folder for compiled kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.gpu.commands import find_device, prepare, renderer_on, shape_of, timed
from bench.gpu.setting import Records, Setting
from nbnumba.render.timing import time_images, time_on_device

EVERY_FLAG, FEW_CELLS, MANY = (
    "1 Mpixel, every -oversample_* flag",
    "1 Mpixel, N 5, 1000 domains",
    "1 Mpixel, 2000 orientations",
)


@dataclass(frozen=True)
class Variant:
    """A command of :func:`~bench.gpu.commands.timed`, and the function that changes settings before it is rendered."""

    command: str
    change: Callable[[], None]


def general_blocks(number: int) -> None:
    """Set the blocks of the general kernel on a multiprocessor: fewer leave each thread more registers."""
    from nbnumba.kernels.gpu import general as gpu_general

    gpu_general.BLOCKS = number


def fast_blocks(kind: str, number: int) -> None:
    """The same for a fast kernel of square crystals: ``SQUARE32``, ``SQUARE64`` or ``FIXED``."""
    from nbnumba.kernels.gpu import fast as gpu_fast

    gpu_fast.BLOCKS[getattr(gpu_fast, kind)] = number


def without_fixed_point() -> None:
    """Use float64 phases where the plan would use fixed point."""
    from nbnumba.render import kernel_table

    kernel_table.LARGEST_FIXED_ERROR = 0.0


#: Name of the case -> its variant.
VARIANTS = {
    **{f"general, {n} blocks": Variant(EVERY_FLAG, partial(general_blocks, n)) for n in (2, 3, 4)},
    "fixed": Variant(FEW_CELLS, lambda: None),
    "fixed, as float64": Variant(FEW_CELLS, without_fixed_point),
    **{f"fast32, {n} blocks": Variant(MANY, partial(fast_blocks, "SQUARE32", n)) for n in (6, 7)},
    **{f"fixed, {n} blocks": Variant(FEW_CELLS, partial(fast_blocks, "FIXED", n)) for n in (5, 6)},
}


def measure(case: str, setting: Setting) -> Records:
    """Time a variant's kernel."""
    variant = VARIANTS[case]
    variant.change()
    inputs = prepare(timed()[variant.command], setting)
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
