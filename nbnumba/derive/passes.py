"""Choice of the device that computes derivatives, and the CPU in place of a GPU that fails."""

from __future__ import annotations

import logging

import numpy as np

from nbnumba.derive.engine import VALUES, Goal, PanelPass, has_footprints, make_pass
from nbnumba.errors import DeviceError
from nbnumba.render.devices import choose_devices
from nbnumba.render.dispatch import choose_device
from nbnumba.render.gpu.failures import guarded
from nbnumba.render.inputs import KernelInputs

log = logging.getLogger("nbnumba")


def make_device_pass(
    inputs: KernelInputs, spins: np.ndarray | None, mask: np.ndarray, device: str = "cpu"
) -> PanelPass:
    """The fastest way to the derivatives of a panel on a device; of several GPUs the first one is used.

    Raises
    ------
    ConfigError
        No such device name.
    DeviceError
        The device was requested by name, and is unavailable or fails.
    """
    name, _ = choose_device(device)
    if name == "cpu":
        return make_pass(inputs, spins, mask)
    if device == "auto":
        return AutoPass(inputs, spins, mask, name)
    return _on_gpu(inputs, spins, mask, name)


def _on_gpu(inputs: KernelInputs, spins: np.ndarray | None, mask: np.ndarray, name: str) -> PanelPass:
    found = choose_devices(name)[0]
    with guarded(found):
        from nbnumba.derive.gpu_engine import CudaPass  # imports the CUDA package
        from nbnumba.derive.gpu_spots import CudaSpotPass

        return (CudaSpotPass if has_footprints(inputs) else CudaPass)(inputs, spins, mask, found)


class AutoPass(PanelPass):
    """A panel on a GPU that nobody asked for: where it fails, the CPU takes its place."""

    def __init__(self, inputs: KernelInputs, spins: np.ndarray | None, mask: np.ndarray, name: str) -> None:
        self._name = name
        super().__init__(inputs, spins, mask)

    def _find_pixels(self) -> np.ndarray:
        spins = self._spins if self._spinning else None
        try:
            self._pass = _on_gpu(self.inputs, spins, self.mask, self._name)
        except DeviceError as error:
            self._pass = self._instead(error)
        self.device = self._pass.device
        return self._pass.pixels

    def _instead(self, error: DeviceError) -> PanelPass:
        log.warning("derivatives are computed by the CPU: %s", error)
        return make_pass(self.inputs, self._spins if self._spinning else None, self.mask)

    def run(self, goal: Goal) -> np.ndarray:
        """Values (pixels, rows), or totals (n,)."""
        try:
            found = self._pass.run(goal)
        except DeviceError as error:
            self._pass = self._instead(error)
            self.device = self._pass.device
            found = self._pass.run(goal)
        return self._placed(found) if goal.kind == VALUES and self._pass.pixels is not self.pixels else found

    def _placed(self, values: np.ndarray) -> np.ndarray:
        """Values of the pixels of the first device, of those of the one in its place, which may know some to be 0."""
        rows = np.full(self.mask.shape, -1)
        rows[self._pass.pixels[:, 0], self._pass.pixels[:, 1]] = np.arange(len(values))
        at = rows[self.pixels[:, 0], self.pixels[:, 1]]
        out = np.zeros((len(self.pixels), values.shape[1]))
        out[at >= 0] = values[at[at >= 0]]
        return out
