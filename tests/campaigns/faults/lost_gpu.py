# put in front of the command: a GPU is found, and is lost while it renders (LOST_GPU: start, middle, end)
import os
import sys
import types

import numpy as np

import nbnumba.render.dispatch as dispatch
import nbnumba.render.gpu.backend as gpu_backend
from nbnumba.errors import DeviceError
from nbnumba.render.devices import Device, Survey

GPU = Device(0, "a GPU that gets lost", (9, 0), 80 << 30, 132, 1.7e9)
WHEN = os.environ["LOST_GPU"]


class LostGpu:
    def __init__(self, inputs, plan, devices):
        self.inputs, self.plan = inputs, plan
        if WHEN == "start":
            self.fail()

    def new_image(self, shape):
        return np.zeros(shape, np.float32)

    def fail(self):
        raise DeviceError(f"{GPU} failed: CudaAPIError: [700] CUDA_ERROR_ILLEGAL_ADDRESS while copying")

    def render(self, image, progress=None, on_rows=None):
        image[: image.shape[0] // (2 if WHEN == "middle" else 1)] = 1e30
        if progress is not None:
            progress(0.5)
        self.fail()


fake = types.ModuleType("nbnumba.render.gpu.renderer")
fake.GpuRenderer = LostGpu
sys.modules["nbnumba.render.gpu.renderer"] = fake
dispatch.survey = lambda: Survey((GPU,))
dispatch.choose_devices = gpu_backend.choose_devices = lambda name: (GPU,)
