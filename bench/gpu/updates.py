"""Step ``renderer``: one image after another by :class:`nbnumba.Renderer`, into memory of the host and of the device."""

from __future__ import annotations

import shlex
import time
from contextlib import chdir
from typing import Any

import numpy as np

import nbnumba as nb
from bench.gpu.commands import SUBJECTS, deviation, wake
from bench.gpu.package import cuda_module, package_facts
from bench.gpu.setting import Record, Records, Setting
from nbnumba.cli.build import build
from nbnumba.cli.parse import parse

#: Images that are timed in each kind of memory, and their pixels along each axis.
IMAGES, PIXELS = 30, 256
#: Largest max |d| / max of an image that was updated, against the CPU's.
BAR = 2e-6


def measure(case: str, setting: Setting) -> Records:
    """Time of an image after an update, in each kind of memory; bits against a new renderer, values against the CPU."""
    device = f"cuda:{wake(setting).index}"
    subject = SUBJECTS[case]
    with chdir(setting.scratch):
        simulation = build(parse(shlex.split(f"{subject.flags} -detpixels {PIXELS} -pixel 0.4")))[0]
        renderer = nb.Renderer(simulation, device=device, precision=subject.precision, kernel=subject.kernel or case)
        cuda = cuda_module()
        with cuda.gpus[setting.device]:
            memories = {
                "host": np.zeros((PIXELS, PIXELS), np.float32),
                "pinned": renderer.new_image(),
                "device": cuda.to_device(np.zeros((PIXELS, PIXELS), np.float32)),
            }
            for name, out in memories.items():
                yield {"kernel": renderer.plan.kernel, "memory": name, **_timed(renderer, out, cuda), **package_facts()}
            yield _checked(renderer, memories["device"], device)


def _timed(renderer: nb.Renderer, out: Any, cuda: Any) -> Record:
    """Median seconds of an update and of the image after it."""
    updates, images = [], []
    for number in range(IMAGES):
        start = time.perf_counter()
        renderer.update(misset_deg=(10, 20, 30 + 0.1 * number))
        ready = time.perf_counter()
        renderer.render(out)
        cuda.synchronize()
        images.append(time.perf_counter() - ready)
        updates.append(ready - start)
    return {"update_s": float(np.median(updates)), "image_s": float(np.median(images)), "slowest_s": max(images)}


def _checked(renderer: nb.Renderer, there: Any, device: str) -> Record:
    """Compare the image of the updated renderer with those of new ones, on the device and on the CPU."""
    image = renderer.render()
    simulation, plan = renderer.experiment.simulation, renderer.plan
    new = nb.Renderer(simulation, device=device, kernel=plan.kernel).render()
    exact = nb.Renderer(simulation, device="cpu", precision="double").render()
    same = bool(np.array_equal(image, new) and np.array_equal(there.copy_to_host(), image))
    off = deviation(image, exact.astype(float))
    return {"kernel": plan.kernel, "same_bits": same, "deviation": off, "good": same and off is not None and off <= BAR}
