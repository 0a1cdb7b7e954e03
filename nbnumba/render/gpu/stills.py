"""Small stills of compact spots, any number of them with one launch of each kernel.

A still of a few hundred pixels a side leaves most of a GPU idle, and the launches and the copy of its image take longer than
its spots. Stills that share everything except their orientations are therefore rendered together: they are the z of the
kernels' grids (:mod:`nbnumba.kernels.gpu.spots`), and one copy transfers all images. No bit of an image depends on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.spots_shell import is_for
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.devices import Device
from nbnumba.render.gpu.memory import pinned_images
from nbnumba.render.gpu.renderer import on_device
from nbnumba.render.gpu.state import DeviceState, stop, wait_for
from nbnumba.render.gpu.targets import fetch
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import SPOTS


def share_all_but_orientations(stills: Sequence[KernelInputs]) -> bool:
    """Whether stills can be rendered together: compact spots, and nothing but the orientations differs.

    Structure factors and masks have to be the same arrays.
    """
    first = stills[0]
    blocks = ("panel", "crystal", "cell", "beam")
    return is_for(first) and all(
        all(getattr(x, name) == getattr(first, name) for name in blocks)
        and x.Fhkl is first.Fhkl
        and (x.mask is first.mask or not (x.mask.size or first.mask.size))
        and x.cells.shape == first.cells.shape
        and not len(x.first_cells)
        and np.array_equal(x.sources, first.sources)
        for x in stills
    )


class StillsRenderer:
    """Renders stills together on one device; the constructor makes the tables and compiles the kernels.

    Parameters
    ----------
    stills : sequence of KernelInputs
    device : Device

    Raises
    ------
    ConfigError
        The stills cannot be rendered together (:func:`share_all_but_orientations`).
    DeviceError
        The device fails, or has too little memory.
    """

    def __init__(self, stills: Sequence[KernelInputs], device: Device) -> None:
        if not stills or not share_all_but_orientations(stills):
            raise ConfigError(
                "stills that are rendered together differ in their orientations only, and have compact spots"
            )
        self.inputs = replace(stills[0], cells=np.concatenate([x.cells for x in stills]))
        self.number, self.device = len(stills), device
        with on_device(device):
            self.state = DeviceState(device, self.inputs, SPOTS.name, self.number)

    def render(self) -> np.ndarray:
        """Photons of all stills, (stills, spixels, fpixels) float32; 0 outside the region and where the mask is.

        Raises
        ------
        DeviceError
            The device fails, or has too little memory.
        """
        panel, mask = self.inputs.panel, self.inputs.mask
        window = (panel.s0, panel.s1, panel.f0, panel.f1)
        spixels = mask.shape[0] if mask.size else panel.s1
        rows, columns, state = slice(panel.s0, panel.s1), slice(panel.f0, panel.f1), self.state
        with on_device(self.device), cuda.gpus[self.device.index], state.lanes.lend() as lane:
            flat = pinned_images.lend(self.device.index, (self.number * spixels, panel.fpixels), zero=True)
            images = flat.reshape(self.number, spixels, panel.fpixels)
            part = np.ascontiguousarray(mask[rows, columns]) if mask.size else None
            shown = state.no_mask if part is None else cuda.to_device(part, stream=lane.stream)
            try:
                band = state.start(state.grid(window), lane, window, self.inputs.cell, shown)
                whole = images[:, rows, columns].shape == images.shape and part is None
                target = images if whole else lane.staging(band.shape)
                fetch(lane, band, target)
                wait_for(lane, 1, None)
                state.settle(lane, lambda: fetch(lane, band, target))
            except BaseException:
                stop(lane, (images, state))
                raise
            if not whole:
                np.copyto(images[:, rows, columns], target, where=True if part is None else part != 0)
        return images
