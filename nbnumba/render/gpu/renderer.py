"""Rendering on GPUs: one launch for an image where memory allows, bands of rows where not, and several GPUs at one image.

The tables of a device are in :mod:`nbnumba.render.gpu.state`; streams, bands and images come from
:mod:`nbnumba.render.gpu.memory`. Images of :meth:`GpuRenderer.new_image` are pinned, and bands are copied directly into them;
rows of others are copied through a buffer. Structure factors stay on the device as long as the array from which they were
copied exists; it must not be changed meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError, DeviceError
from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.backend import OnRows, PanelRenderer, Plan, Progress
from nbnumba.render.devices import Device
from nbnumba.render.gpu.case import TILE
from nbnumba.render.gpu.failures import guarded
from nbnumba.render.gpu.launchers import LAUNCHERS, NEVER, Window
from nbnumba.render.gpu.memory import give_up_if_lost, pinned_images
from nbnumba.render.gpu.state import DeviceState, Done, Finished
from nbnumba.render.gpu.targets import HostTarget, Target, as_device_array, check_device_image
from nbnumba.render.inputs import KernelInputs

#: Fraction of the free memory of a device that is used.
SHARE = 0.8


@contextmanager
def on_device(device: Device) -> Iterator[None]:
    """Convert errors of a device in the block into a DeviceError; after the loss of the device free nothing on it."""
    try:
        with guarded(device):
            yield
    except DeviceError:
        give_up_if_lost(device.index)
        raise


def table_bytes(inputs: KernelInputs) -> int:
    """Upper bound of the memory (bytes) of the tables on a device."""
    entries = (inputs.cell.h_range + 1) * (inputs.cell.k_range + 1) * (inputs.cell.l_range + 1)
    return entries * 8 + inputs.cells.nbytes + inputs.sources.nbytes * 3


class GpuRenderer(PanelRenderer):
    """Renders one panel on one or more GPUs; the constructor copies the tables and compiles the kernels.

    Raises
    ------
    DeviceError
        A device fails or has too little memory.
    """

    def __init__(self, inputs: KernelInputs, plan: Plan, devices: tuple[Device, ...]) -> None:
        self.inputs, self.plan, self.devices = inputs, plan, devices
        self._lock = threading.Lock()
        self.states = []
        self.limit = NEVER  # pixels of a band
        for device in devices:
            with on_device(device):
                self.states.append(DeviceState(device, inputs, plan.kernel))
                self.limit = min(self.limit, self._room(device))

    def update(self, inputs: KernelInputs, plan: Plan) -> None:
        """Use other inputs, with the same kernel, shape of the panel and types of arrays."""
        self.inputs, self.plan = inputs, plan
        for state in self.states:
            with on_device(state.device):
                state.update(inputs)

    def _room(self, device: Device) -> int:
        """Largest number of pixels of a band such that two bands and their masks fit into the device's free memory."""
        with cuda.gpus[device.index]:
            free = cuda.current_context().get_memory_info()[0]
        launcher = LAUNCHERS[self.plan.kernel]
        pixels = int(min(max(free * SHARE - launcher.list_bytes, 0) / launcher.pixel_bytes, NEVER / 2))
        if pixels < TILE * self.inputs.panel.fpixels:
            need = table_bytes(self.inputs) / 2**30
            raise DeviceError(f"not enough memory on {device}: {need:.1f} GiB of tables leave no room for an image")
        return pixels

    def new_image(self, shape: tuple[int, int]) -> np.ndarray:
        """A float32 image in pinned memory, if possible; 0 in all pixels that :meth:`render` does not set."""
        panel = self.inputs.panel
        whole = (panel.s0, panel.s1, panel.f0, panel.f1) == (0, shape[0], 0, shape[1])
        index = self.devices[0].index
        with on_device(self.devices[0]), cuda.gpus[index]:
            return pinned_images.lend(index, shape, zero=not whole or self.inputs.mask.size > 0)

    def windows(self, region: Window) -> list[Window]:
        """The region cut into bands of whole tiles: one, unless memory or several devices require more."""
        row0, row1, f0, f1 = region
        rows, n = int(min(self.limit / max(1, f1 - f0), row1 - row0)), len(self.devices)
        if not LAUNCHERS[self.plan.kernel].takes_bands:
            rows = max(1, min(rows, -(-(row1 - row0) // n)))
            return [(start, min(start + rows, row1), f0, f1) for start in range(row0, row1, rows)]
        if n > 1:
            rows = min(rows, -(-(row1 - row0) // (4 * n)))
        if rows >= row1 - row0:
            return [region] if row1 > row0 else []
        rows = max(TILE, rows // TILE * TILE)
        starts = [row0, *range((row0 // TILE * TILE) + rows, row1, rows)]
        return [(start, end, f0, f1) for start, end in zip(starts, [*starts[1:], row1], strict=True) if end > start]

    def render(self, image: Any, progress: Progress | None = None, on_rows: OnRows | None = None) -> bool:
        """Render into ``image`` (spixels, fpixels) float32 of the host; returns whether interpolation ended.

        As in the CPU's renderer, the pixels after the first one in which interpolation ended, in raster order, are rendered
        again without it.

        Raises
        ------
        DeviceError
            A device fails.
        """
        pinned = pinned_images.is_pinned(image)
        return self._render(HostTarget(image, self.inputs.mask, pinned), progress, on_rows)

    def check_device_image(self, image: Any, shape: tuple[int, int]) -> None:
        """Refuse an image that :meth:`render_on_device` cannot render into.

        Raises
        ------
        ConfigError
            The image is no array on a device, or has another shape, type or layout; or several devices share the image.
        """
        if len(self.states) > 1:
            raise ConfigError(f"out is an array on one GPU, but {self.plan.device} share the image: use one of them")
        with on_device(self.states[0].device), cuda.gpus[self.states[0].device.index]:
            check_device_image(image, shape)

    def render_on_device(
        self, image: Any, light: np.ndarray | None, progress: Progress | None = None, on_rows: OnRows | None = None
    ) -> bool:
        """As :meth:`render`, into an image on the device, and add ``light`` (spixels, fpixels) float32.

        Raises
        ------
        DeviceError
            The device fails.
        """
        device = self.states[0].device
        with on_device(device), cuda.gpus[device.index]:
            target = self.states[0].device_target(image, light)
        return self._render(target, progress, on_rows)

    def put(self, image: Any, slow: int, fast: int, value: float) -> None:
        """Set a pixel of an image that is rendered into, in memory of the host or of the device."""
        if isinstance(image, np.ndarray):
            super().put(image, slow, fast, value)
            return
        device = self.states[0].device
        with on_device(device), cuda.gpus[device.index]:
            pixel = as_device_array(image)[slow : slow + 1, fast : fast + 1]
            pixel.copy_to_device(np.array([[value]], np.float32))

    def _render(self, target: Target, progress: Progress | None, on_rows: OnRows | None) -> bool:
        panel, cell = self.inputs.panel, self.inputs.cell
        region = (panel.s0, panel.s1, panel.f0, panel.f1)
        if not cell.interpolate:
            self._render_region(target, cell, [region], progress, on_rows)
            return False
        # rows are final when it is known whether interpolation ended in an earlier one
        self._render_region(target, cell, [region], progress, None)
        first = NEVER
        for state in self.states:
            with on_device(state.device):
                first = min(first, state.first_fallen())
        if first != NEVER and not cell.fallback_each:
            s, f = divmod(first, panel.fpixels)
            regions = [(s, s + 1, f + 1, panel.f1), (s + 1, panel.s1, panel.f0, panel.f1)]
            self._render_region(target, cell._replace(interpolate=0), regions, progress, None)
        if on_rows is not None:
            on_rows(panel.s0, panel.s1)
        return bool(first != NEVER)

    def _render_region(
        self, target: Target, cell: CellBlock, regions: list[Window], progress: Any, on_rows: OnRows | None
    ) -> None:
        windows = [w for region in regions if region[3] > region[2] for w in self.windows(region)]
        if not windows:
            return
        total = sum(w[1] - w[0] for w in windows)
        shares: dict[Window, float] = {}

        def done(window: Window, share: float) -> None:
            shares[window] = share * (window[1] - window[0])
            if progress is not None:
                progress(sum(shares.values()) / total)

        def finished(window: Window) -> None:
            if on_rows is not None:
                on_rows(window[0], window[1])
            done(window, 1.0)

        if len(self.states) == 1:
            with on_device(self.states[0].device):
                self.states[0].work(iter(windows), cell, target, done, finished)
        else:
            self._share(windows, cell, target, done, finished)

    def _share(self, windows: list[Window], cell: CellBlock, target: Target, done: Done, finished: Finished) -> None:
        """Render windows in a thread for each device, which takes the next window when it is ready."""
        queue, errors, stop = iter(windows), [], threading.Event()

        def take() -> Iterator[Window]:
            while not stop.is_set():
                with self._lock:
                    window = next(queue, None)
                if window is None:
                    return
                yield window

        def locked(tell: Callable[..., None], *of: Any) -> None:
            with self._lock:
                tell(*of)
            if stop.is_set():
                raise Stopped

        def run(state: DeviceState) -> None:
            try:
                with on_device(state.device):
                    state.work(take(), cell, target, partial(locked, done), partial(locked, finished))
            except BaseException as error:  # raised again in the caller's thread
                errors.append(error)
                stop.set()

        threads = [threading.Thread(target=run, args=(state,)) for state in self.states]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.05)
        except BaseException:
            stop.set()
            for thread in threads:
                if thread.ident is not None:  # None: it was not started
                    thread.join()
            raise
        for error in errors:
            if not isinstance(error, Stopped):
                raise error


class Stopped(Exception):
    """Ends the rendering of a device after another one failed or the user interrupted."""
