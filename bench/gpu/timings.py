"""Step ``timings``: how long kernels, copies, images and preparations take, and how exact the images are."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from bench.gpu.commands import deviation, prepare, renderer_on, shape_of, timed, wake
from bench.gpu.package import package_facts
from bench.gpu.setting import Record, Records, Setting
from bench.workloads import FEW_DOMAINS, FUDGE
from nbnumba.render.devices import Device
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.timing import count_steps, time_images, time_on_device

#: Most steps of the float64 kernel for the check of a result.
CHECKED_STEPS = 2e9
#: Total time (s) of the images that are timed, and their least and greatest number.
WATCHED, FEWEST, MOST = 0.3, 5, 50
#: Number of stills in a batch.
STILLS = 12
#: A small still, for those that share a launch.
SMALL = "-detpixels 512 -pixel 0.2"


def measure(case: str, setting: Setting) -> Records:
    """All figures of a command of :func:`~bench.gpu.commands.timed`, or of a batch of stills."""
    if case.startswith("batch"):
        yield time_stills_together(setting) if case.endswith("one launch") else time_stills(case, setting)
        return
    flags, device = timed()[case], wake(setting)
    start = time.perf_counter()
    inputs = prepare(flags, setting)
    made = time.perf_counter()
    renderer = renderer_on(inputs, device)
    first = time.perf_counter()
    renderer = renderer_on(inputs, device)
    ready = time.perf_counter()
    image = renderer.new_image(shape_of(inputs))
    figures = {"inputs_s": made - start, "first_prepare_s": first - made, "prepare_s": ready - first}
    yield time_command(renderer, inputs, device, image) | figures
    yield {"deviation": deviation_from_float64(inputs, image, device)}


def time_command(renderer: Any, inputs: KernelInputs, device: Device, image: np.ndarray) -> Record:
    """Figures of one command's kernel, copy and image."""
    once = time_images([renderer], [image], 1, 0).median
    repeat = int(min(max(WATCHED / max(once, 1e-9), FEWEST), MOST))
    alone, watched = (time_images([renderer], [image], repeat, 0, watch) for watch in (None, lambda share: None))
    timing = time_on_device(renderer, repeat)
    kernel = renderer.plan.kernel
    counted = count_instructions(kernel, device.capability)
    return {
        "kernel": kernel,
        "steps": count_steps(inputs),
        "pixels": timing.kernel.pixels,
        "repeat": repeat,
        "kernel_s": timing.kernel.median,
        "kernel_fastest_s": timing.kernel.fastest,
        "kernel_spread": timing.kernel.spread,
        "held": timing.held,
        "launch_s": timing.launch.median,
        "copy_s": timing.copy.median,
        "copy_share": timing.copy.median / max(timing.kernel.median + timing.copy.median, 1e-12),
        "image_s": alone.median,
        "image_fastest_s": alone.fastest,
        "image_with_progress_s": watched.median,
        "steps_per_s": timing.kernel.steps_per_second,
        "of_issue_limit": timing.of_issue_limit(counted),
        "instructions_counted": counted,
        "clock_Hz": timing.clock.median,
        "clock": timing.clock.record(),
        "rated_clock_Hz": device.clock,
        **package_facts(),
    }


#: Kernel -> its row of bench.cuda_kernels for square crystals.
SQUARE = {"fast32": "fast square float32", "fixed": "fast square fixed point", "fast64": "fast square float64"}


@cache
def count_instructions(kernel: str, capability: tuple[int, int]) -> float | None:
    """Instructions per step and pixel of a fast kernel's square variant as compiled here; None without the tools."""
    from bench import cuda_resources

    name = SQUARE.get(kernel)
    where = ".".join(map(str, capability))
    if name is None or where not in cuda_resources.CAPABILITIES or cuda_resources.missing_tools():
        return None
    try:
        return cuda_resources.measure(name, where).instructions
    except Exception:  # the tools may be of another version than the compiler: use the table of nbnumba.render.timing
        return None


def deviation_from_float64(inputs: KernelInputs, image: np.ndarray, device: Device) -> float | str:
    """Max |d| / max against the float64 kernel; a text where that would take too long, or the image is 0 everywhere."""
    if count_steps(inputs) > CHECKED_STEPS:
        return "not checked: too many steps for the float64 kernel"
    renderer = renderer_on(inputs, device, "double")
    exact = renderer.new_image(image.shape)
    renderer.render(exact)
    found = deviation(image, exact.astype(float))
    return "not checked: the float64 image is 0 everywhere" if found is None else found


def make_stills(inputs: KernelInputs) -> list[KernelInputs]:
    """The same crystal in :data:`STILLS` orientations, always the same ones."""
    rng = np.random.default_rng(12)
    return [replace(inputs, cells=_turned(inputs.cells, rng)) for _ in range(STILLS)]


def time_stills(case: str, setting: Setting) -> Record:
    """Images per second of crystals that differ in orientation, preparation included, as in a series."""
    device = wake(setting)
    flags = f"{FEW_DOMAINS} -gauss_xtal {FUDGE}" if case.endswith("gauss") else FEW_DOMAINS
    inputs = prepare(flags, setting)
    stills = make_stills(inputs)
    renderer_on(inputs, device)
    prepared, whole = [], []
    kernel = ""
    for still in [inputs, *stills]:  # the first one warms up
        start = time.perf_counter()
        renderer = renderer_on(still, device)
        ready = time.perf_counter()
        image = renderer.new_image(shape_of(still))
        renderer.render(image)
        prepared.append(ready - start)
        whole.append(time.perf_counter() - start)
        kernel = renderer.plan.kernel
    seconds = sum(whole[1:]) / STILLS
    return {
        "kernel": kernel,
        "stills": STILLS,
        "steps": count_steps(inputs),
        "prepare_s": float(np.median(prepared[1:])),
        "still_s": seconds,
        "images_per_s": 1 / seconds,
        "deviation": deviation_from_float64(stills[-1], image, device),
        **package_facts(),
    }


def time_stills_together(setting: Setting) -> Record:
    """As :func:`time_stills`, for small stills of compact spots: one by one, and all in one launch."""
    from nbnumba.render.gpu.stills import StillsRenderer  # needs a CUDA package

    device = wake(setting)
    inputs = prepare(f"{FEW_DOMAINS} {SMALL} -gauss_xtal {FUDGE}", setting)
    stills = make_stills(inputs)

    def alone() -> np.ndarray:
        renderers = [renderer_on(still, device) for still in stills]
        images = [renderer.new_image(shape_of(inputs)) for renderer in renderers]
        for renderer, image in zip(renderers, images, strict=True):
            renderer.render(image)
        return np.array(images)

    def together() -> np.ndarray:
        return StillsRenderer(stills, device).render()

    seconds, images = {}, {}
    for name, way in (("alone", alone), ("together", together)):
        way()  # warms up
        each = []
        for _ in range(FEWEST):
            start = time.perf_counter()
            images[name] = way()
            each.append(time.perf_counter() - start)
        seconds[name] = float(np.median(each))
    return {
        "kernel": "spots",
        "stills": STILLS,
        "steps": count_steps(inputs),
        "alone_s": seconds["alone"] / STILLS,
        "still_s": seconds["together"] / STILLS,
        "images_per_s": STILLS / seconds["together"],
        "same_bits": bool(np.array_equal(images["alone"], images["together"])),
        **package_facts(),
    }


def _turned(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All orientations of a crystal after one random rotation."""
    rotation, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    rotation = rotation * np.sign(np.diag(upper))
    if np.linalg.det(rotation) < 0:
        rotation[:, 0] *= -1
    return np.ascontiguousarray((cells.reshape(-1, 3, 3) @ rotation.T).reshape(cells.shape))
