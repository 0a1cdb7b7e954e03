"""The backend of NVIDIA GPUs."""

from __future__ import annotations

from nbnumba.render.backend import Backend, PanelRenderer, Plan
from nbnumba.render.devices import choose_devices
from nbnumba.render.gpu.case import CudaCase
from nbnumba.render.gpu.failures import guarded
from nbnumba.render.inputs import KernelInputs


class CudaBackend(Backend):
    """One GPU, or several that share an image."""

    def case(self, inputs: KernelInputs) -> CudaCase:
        """Properties of a panel for the CUDA kernels."""
        return CudaCase(inputs)

    def make(self, inputs: KernelInputs, plan: Plan) -> PanelRenderer:
        """The renderer of one panel on the plan's devices.

        Raises
        ------
        DeviceError
            A device fails, or has too little memory.
        """
        with guarded(plan.device):
            from nbnumba.render.gpu.renderer import GpuRenderer  # imports the CUDA package

            return GpuRenderer(inputs, plan, choose_devices(plan.device))
