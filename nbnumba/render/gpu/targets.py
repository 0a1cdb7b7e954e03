"""Targets of finished bands: an image of the host, or an image on the device.

For each window :meth:`Target.fetch` queues the copy after the kernel; :meth:`Target.finish` is called when the lane's event is
reached, and completes the image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.kernels.gpu.table import find_grid
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.launchers import Window
from nbnumba.render.gpu.memory import Lane
from nbnumba.render.kernel_table import GENERAL


class Target(ABC):
    """An image that bands are copied to."""

    @abstractmethod
    def fetch(self, lane: Lane, band: Any, window: Window, mask: Any) -> Any:
        """Queue the copy of a band on its lane, and record the lane's event; returns the first argument of ``finish``."""

    @abstractmethod
    def finish(self, fetched: Any, window: Window) -> None:
        """Put the pixels of a copied band into the image."""


class HostTarget(Target):
    """An image of the host.

    Parameters
    ----------
    image : (spixels, fpixels) float32
    mask : (spixels, fpixels) or (0, 0) uint8
        Pixels that are 0 here keep their values.
    pinned : bool
        The image is in pinned memory: bands of whole rows are copied directly into it.
    """

    def __init__(self, image: np.ndarray, mask: np.ndarray, pinned: bool) -> None:
        self.image, self.mask, self.pinned = image, mask, pinned

    def fetch(self, lane: Lane, band: Any, window: Window, mask: Any) -> Any:
        """Queue the copy to the image, or to a buffer of the lane."""
        row0, row1, f0, f1 = window
        direct = self.pinned and not self.mask.size and f1 - f0 == self.image.shape[1]
        target = self.image[row0:row1] if direct else lane.staging((row1 - row0, f1 - f0))
        fetch(lane, band, target)
        return target

    def finish(self, fetched: Any, window: Window) -> None:
        """Put the pixels into the image, unless they were copied directly."""
        row0, row1, f0, f1 = window
        part = self.image[row0:row1, f0:f1]
        if np.may_share_memory(part, fetched):
            return
        if self.mask.size:
            np.copyto(part, fetched, where=self.mask[row0:row1, f0:f1] != 0)
        else:
            part[:] = fetched


class DeviceTarget(Target):
    """An image on the device that renders it.

    Parameters
    ----------
    image
        (spixels, fpixels) float32, C-contiguous, of any package that has ``__cuda_array_interface__``.
    light
        (spixels, fpixels) or (0, 0) float32 on the device: amorphous background, which is added.
    place : Starter
        Starter of ``kernels.gpu.place.place_band``.
    """

    def __init__(self, image: Any, light: Any, place: Starter) -> None:
        self.image, self.light, self._place = as_device_array(image), light, place

    def fetch(self, lane: Lane, band: Any, window: Window, mask: Any) -> Any:
        """Queue the copy on the device."""
        grid = find_grid(GENERAL.name, window)
        rows = band.reshape((window[1] - window[0], window[3] - window[2]))  # of spots (1, rows, columns)
        self._place(grid, lane.stream, self.image, rows, self.light, window, mask)
        lane.event.record(lane.stream)

    def finish(self, fetched: Any, window: Window) -> None:
        """Nothing is left to do: the pixels are in the image."""


def as_device_array(value: Any) -> Any:
    """An array on a device in the form that kernels accept; arrays of the simulator are returned unchanged."""
    return cuda.as_cuda_array(value) if hasattr(cuda, "as_cuda_array") else value


def check_device_image(value: Any, shape: tuple[int, int]) -> None:
    """Refuse a value into which an image cannot be rendered.

    Raises
    ------
    ConfigError
        The value is no array on a device, or has another shape, type or layout.
    """
    try:
        array = as_device_array(value)
        _ = array.shape, array.dtype
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"out must be an array of NumPy or of a GPU, got {type(value).__name__}") from error
    if array.shape != shape or array.dtype != np.float32 or not _is_contiguous(array):
        raise ConfigError(
            f"out must be float32, C-contiguous and of the panel's shape {shape}, got {array.dtype} {tuple(array.shape)}"
        )


def _is_contiguous(array: Any) -> bool:
    return bool(array.is_c_contiguous()) if hasattr(array, "is_c_contiguous") else bool(array.flags.c_contiguous)


def fetch(lane: Lane, band: Any, target: np.ndarray) -> None:
    """Queue the copy of a band to the host on its lane, and record the lane's event."""
    band.copy_to_host(target.reshape(band.shape), stream=lane.stream)
    lane.event.record(lane.stream)
