"""Commands that are timed and profiled, and the renderers made of them."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.package import cuda_module
from bench.gpu.setting import Setting
from bench.workloads import FUDGE, MEGAPIXEL, workloads
from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import DeviceError
from nbnumba.model.experiment import resolve
from nbnumba.render.devices import Device, survey
from nbnumba.render.dispatch import make_plan, renderer_of
from nbnumba.render.inputs import KernelInputs, build_inputs

#: Rows and columns of the pixels that ``--tiny`` leaves of an image.
TINY = (2, 3)


def timed() -> dict[str, str]:
    """Flags of the commands that are timed, the most important first."""
    known = {name: row.flags for name, row in workloads().items()}
    return {
        "real command, 10 phi steps": known["W1"],
        "real command, 1000 phi steps": f"{known['W1']} -phisteps 1000",
        "1 Mpixel, 2000 orientations": known["W2L"],
        "64 x 64 pixels": known["W9"],
        "1 Mpixel, gauss, 2000 orientations": known["W4L"],
        "1 Mpixel, N 5, 1000 domains": f"{MEGAPIXEL} -N 5 -oversample 1 -mosaic 0.5 -mosaic_domains 1000",
        "1 Mpixel, every -oversample_* flag": known["W8"],
        "64 x 64 pixels, 100000 phi steps": f"{known['W9']} -osc 1 -phisteps 100000",
        "1 Mpixel, 45 sources, oversample 2": known["W3"],
        "1 Mpixel, 5 layers, oversample 3": known["W6"],
        "1 Mpixel, interpolation": known["W7"],
        "1 Mpixel, 40 orientations": known["W2"],
        "1 Mpixel, gauss, 40 orientations": known["W4"],
        "1 Mpixel, tophat, 40 orientations": known["W5"],
        "16 Mpixel, one orientation": known["W10"],
    }


@dataclass(frozen=True)
class Subject:
    """A command that uses a given kernel.

    ``kernel``: the kernel, if the subject has another name than it; ``launches``: kernel launches for an image; ``long``:
    flags that make it take some ten seconds, without large tables.
    """

    flags: str
    precision: str
    launches: int = 1
    kernel: str = ""
    long: str = "-oversample 60 -detector_thick 450 -detector_abs 260 -detector_thicksteps 20"


_FEW = f"{MEGAPIXEL} -N 30 -oversample 1 -phi 5 -osc 1 -phisteps 2 -mosaic 0.5 -mosaic_domains 20"
#: Kernel, or a variant of one that is compiled apart -> a command that uses it.
SUBJECTS = {
    "fast32": Subject(_FEW, "mixed"),
    "fixed": Subject(f"{_FEW} -N 5", "auto"),
    "fast64": Subject(f"{_FEW} -round_xtal", "auto"),
    # this kernel stops only between two pixels: many pixels, of some 6000 terms each
    "general": Subject(_FEW, "double", long="-detpixels 4096 -oversample 12"),
    "spots": Subject(f"{_FEW} -gauss_xtal {FUDGE}", "auto", 5),
    "fast32 by source": Subject(f"{_FEW} -dmin 2", "mixed", kernel="fast32"),
    "fast32 curved": Subject(f"{_FEW} -curved_det", "mixed", kernel="fast32"),
    "spots by term": Subject(f"{_FEW} -gauss_xtal -oversample 2 --physics correct", "auto", 5, kernel="spots"),
}
#: One for each kernel.
KERNELS = tuple(name for name, subject in SUBJECTS.items() if not subject.kernel)
#: Makes a command small, with pixels so large that there are spots on the detector.
SMALL = "-detpixels 48 -pixel 2"


def find_device(index: int) -> Device:
    """The device with this number.

    Raises
    ------
    DeviceError
        The device is missing.
    """
    found = survey()
    for device in found.devices:
        if device.index == index:
            return device
    raise DeviceError(f"cuda:{index} is missing: {found.problem or 'no such number'}; {found.cure}")


def wake(setting: Setting) -> Device:
    """The device, with the costs of the first use done: the CUDA package is imported, a context made.

    Raises
    ------
    DeviceError
        The device is missing.
    """
    import nbnumba.render.gpu.renderer  # noqa: F401

    device = find_device(setting.device)
    cuda = cuda_module()
    with cuda.gpus[device.index]:
        cuda.to_device(np.zeros(1, np.float32)).copy_to_host()
    return device


def prepare(flags: str, setting: Setting, folder: Path | None = None) -> KernelInputs:
    """Kernel arguments of a command whose files are in ``folder``, by default the scratch folder."""
    before = os.getcwd()
    os.chdir(folder or setting.scratch)
    try:
        inputs = build_inputs(resolve(build(parse(shlex.split(flags)))[0]))
    finally:
        os.chdir(before)
    return cut(inputs) if setting.tiny else inputs


def cut(inputs: KernelInputs, around: tuple[int, int] | None = None) -> KernelInputs:
    """The inputs with a region of a few pixels around one, by default that in the middle."""
    panel = inputs.panel
    s, f = around or ((panel.s0 + panel.s1) // 2, (panel.f0 + panel.f1) // 2)
    s0 = max(panel.s0, min(s - TINY[0] // 2, panel.s1 - TINY[0]))
    f0 = max(panel.f0, min(f - TINY[1] // 2, panel.f1 - TINY[1]))
    window = dict(s0=s0, s1=min(s0 + TINY[0], panel.s1), f0=f0, f1=min(f0 + TINY[1], panel.f1))
    return replace(inputs, panel=panel._replace(**window))


def renderer_on(inputs: KernelInputs, device: Device, precision: str = "auto") -> Any:
    """A renderer on one device."""
    return renderer_of(inputs, make_plan(inputs, f"cuda:{device.index}", precision))


def subject_renderer(kernel: str, setting: Setting, more: str = "") -> tuple[Any, KernelInputs]:
    """A renderer of a subject, and its inputs; ``more`` is appended to the command.

    Raises
    ------
    RuntimeError
        The command uses another kernel.
    """
    subject = SUBJECTS[kernel]
    inputs = prepare(f"{subject.flags} {more}", setting)
    renderer = renderer_on(inputs, find_device(setting.device), subject.precision)
    if renderer.plan.kernel != (subject.kernel or kernel):
        raise RuntimeError(f"{renderer.plan.kernel} was taken for {kernel}: {renderer.plan.reason}")
    return renderer, inputs


def shape_of(inputs: KernelInputs) -> tuple[int, int]:
    """Rows and columns of an image that holds the region of a panel."""
    return inputs.panel.s1, inputs.panel.fpixels


def deviation(image: np.ndarray, wanted: np.ndarray) -> float | None:
    """Max |d| / max; None if ``wanted`` is 0 everywhere."""
    most = float(np.abs(wanted).max())
    return float(np.abs(image.astype(float) - wanted).max()) / most if most else None
