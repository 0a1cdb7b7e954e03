"""Rendering on GPUs: memory, bands of rows, streams, and several GPUs at one image.

A device holds the tables, and two bands of the image with a stream each: while one band is computed the other is copied
to the host. Images that :meth:`GpuRenderer.new_image` gives are pinned, and bands are copied straight into them;
others get their rows by way of pinned buffers. Structure factors stay on the device as long as the array that they came
from lives; it must not be changed meanwhile.
"""

from __future__ import annotations

import math
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from nbnumba.devices import Device
from nbnumba.errors import DeviceError
from nbnumba.gpu_inputs import TILE, framed_sources, padded_F2, square_units
from nbnumba.gpu_spots import SpotsPainter, batch_bytes
from nbnumba.inputs import KernelInputs
from nbnumba.kernels._cuda import cuda
from nbnumba.kernels.blocks import CellBlock
from nbnumba.kernels.gpu import find_grid, find_kernel, threads_of

Window = tuple[int, int, int, int]
Tell = Callable[[float], None]
Done = Callable[[Window, float], None]

#: Inner steps per band: some ten milliseconds, so that the progress bar moves and Ctrl-C is heard.
STEPS_PER_BAND = {"fast32": 4e9, "fast64": 4e8, "general": 1e8, "spots": math.inf}
#: Images above this size (bytes) are cut in at least four bands, so that copies run beside kernels.
WORTH_OVERLAP = 4 << 20
#: Share of the free memory of a device that is taken.
SHARE = 0.8
NEVER = np.iinfo(np.int64).max

_resident: dict[tuple[Any, ...], tuple[weakref.ref[np.ndarray], Any]] = {}
_pinned: list[np.ndarray] = []


def resident(device: Device, tag: tuple[Any, ...], source: np.ndarray, build: Callable[[], np.ndarray]) -> Any:
    """The device's copy of what ``build`` makes of ``source``, made once for as long as ``source`` lives."""
    key = (device.index, id(source), *tag)
    held = _resident.get(key)
    if held is None or held[0]() is not source:
        made = cuda.to_device(build())
        held = _resident[key] = (weakref.ref(source, lambda _: _resident.pop(key, None)), made)
    return held[1]


def pinned_image(shape: tuple[int, int], zero: bool = True) -> np.ndarray:
    """A float32 image in pinned memory, of zeros if asked for; memory that no earlier image holds is used again."""
    size = shape[0] * shape[1]
    for buffer in _pinned:
        # held by the list, the loop and the count itself: no image and no view of one is left
        if buffer.size == size and sys.getrefcount(buffer) <= 3:
            break
    else:
        _pinned[:] = [buffer for buffer in _pinned if sys.getrefcount(buffer) > 3]
        buffer = cuda.pinned_array(size, np.float32)
        _pinned.append(buffer)
    if zero:
        buffer[:] = 0
    return buffer.reshape(shape)


def is_pinned(image: np.ndarray) -> bool:
    """Whether an image came from :func:`pinned_image`, whole."""
    return image.flags.c_contiguous and any(image.base is buffer for buffer in _pinned)


def table_bytes(inputs: KernelInputs) -> int:
    """Memory (bytes) that tables take on a device, at most."""
    entries = (inputs.cell.h_range + 1) * (inputs.cell.k_range + 1) * (inputs.cell.l_range + 1)
    return entries * 8 + inputs.cells.nbytes + inputs.sources.nbytes * 3


def explained(error: BaseException, device: Device) -> DeviceError | None:
    """A failure of CUDA as an error for the user; None if it is something else."""
    kinds = [kind.__module__ for kind in type(error).__mro__]
    if not any(kind.startswith(("numba.cuda", "cuda")) for kind in kinds):
        return None
    return DeviceError(f"{device} failed: {type(error).__name__}: {error}".splitlines()[0])


class DeviceState:
    """One device's tables, bands and streams for one panel.

    Raises
    ------
    DeviceError
        The tables and two bands do not fit into the device's memory.
    """

    def __init__(self, device: Device, inputs: KernelInputs, kernel: str) -> None:
        self.device, self.inputs, self.name = device, inputs, kernel
        beam, panel = inputs.beam, inputs.panel
        separate = int(beam.per_term or beam.dmin > 0)
        self.spots: SpotsPainter | None = None
        with cuda.gpus[device.index]:
            self.cells = cuda.to_device(inputs.cells)
            if kernel == "general":
                self.sources = cuda.to_device(inputs.sources)
                self.table = resident(device, ("F",), inputs.Fhkl, lambda: np.ascontiguousarray(inputs.Fhkl))
                self.last = cuda.to_device(np.array([NEVER]))
            elif kernel == "spots":
                self.sources = cuda.to_device(framed_sources(inputs))
                tag = ("F2 row", inputs.cell.default_F, inputs.cell.has_hkl)
                self.table = resident(device, tag, inputs.Fhkl, inputs.F2_table)
                self.spots = SpotsPainter(inputs, device.index, self.sources, self.cells, self.table)
            else:
                self.sources = cuda.to_device(framed_sources(inputs))
                tag = ("F2", inputs.cell.default_F, inputs.cell.has_hkl)
                self.table = resident(device, tag, inputs.Fhkl, lambda: padded_F2(inputs))
                self.last = square_units(inputs)
            self.streams = [cuda.stream(), cuda.stream()]
            self.events = [cuda.event() for _ in range(2)]
        if self.spots is None:
            self.kernel = find_kernel(kernel, inputs.crystal.shape, panel.curved, separate)
        self.bands: list[Any] = []
        self.staging: list[np.ndarray] = []
        self._compile()

    def _compile(self) -> None:
        """Compile the kernel, or fetch it from the disk, by rendering no row."""
        s0, f0 = self.inputs.panel.s0, self.inputs.panel.f0
        with cuda.gpus[self.device.index]:
            self.no_mask = cuda.to_device(np.zeros((1, 0), np.uint8)[:0])
            image = cuda.device_array((1, 1), np.float32)
            self.start((1, 1), self.streams[0], image, self.inputs.cell, self.no_mask, (s0, s0, f0, f0))
            self.streams[0].synchronize()

    def start(
        self, grid: Any, stream: Any, band: Any, cell: CellBlock, mask: Any, window: Window, tell: Tell | None = None
    ) -> None:
        """Start the kernel on a window of the panel, without waiting for it; ``spots`` waits for all but its end.

        ``tell`` is called with the share that is done, by kernels that know of one.
        """
        if self.spots is not None:
            self.spots.render(grid, stream, band, cell, mask, window, tell)
            return
        row0, row1, f0, f1 = window
        inputs, panel = self.inputs, self.inputs.panel._replace(f0=f0, f1=f1)
        blocks = (band, panel, inputs.crystal, cell, inputs.beam)
        self.kernel[grid, threads_of(self.name), stream](
            *blocks, self.sources, self.cells, self.table, mask, row0, row1, self.last
        )

    def reserve(self, pixels: int) -> None:
        """Make room for two bands of so many pixels, on the device; on the host where they are first copied to."""
        with cuda.gpus[self.device.index]:
            if not self.bands or self.bands[0].size < pixels:
                self.bands = [cuda.device_array(pixels, np.float32) for _ in range(2)]

    def launch(
        self, slot: int, window: Window, cell: CellBlock, image: np.ndarray, direct: bool, tell: Tell
    ) -> np.ndarray:
        """Start rendering a window and copying it; returns the host array in which it will be."""
        row0, row1, f0, f1 = window
        shape = (row1 - row0, f1 - f0)
        size, stream, inputs = shape[0] * shape[1], self.streams[slot], self.inputs
        band = self.bands[slot][:size].reshape(shape)
        mask = self.no_mask
        if inputs.mask.size:
            mask = cuda.to_device(np.ascontiguousarray(inputs.mask[row0:row1, f0:f1]), stream=stream)
        self.start(find_grid(self.name, window), stream, band, cell, mask, window, tell)
        if direct:
            target = image[row0:row1]
        else:
            while len(self.staging) < 2:
                self.staging.append(cuda.pinned_array(self.bands[0].size, np.float32))
            target = self.staging[slot][:size].reshape(shape)
        band.copy_to_host(target, stream=stream)
        self.events[slot].record(stream)
        return target

    def finish(self, slot: int, window: Window, image: np.ndarray, target: np.ndarray) -> None:
        """Wait for a window, and put its pixels into the image."""
        self.events[slot].synchronize()
        row0, row1, f0, f1 = window
        place = image[row0:row1, f0:f1]
        if np.shares_memory(place, target):
            return
        if self.inputs.mask.size:
            np.copyto(place, target, where=self.inputs.mask[row0:row1, f0:f1] != 0)
        else:
            place[:] = target

    def work(
        self,
        windows: Iterator[Window],
        cell: CellBlock,
        image: np.ndarray,
        direct: bool,
        done: Done,
    ) -> None:
        """Render windows until there are no more; ``done`` is called with a window and the share of it that is done."""
        with cuda.gpus[self.device.index]:
            pending: list[tuple[Window, np.ndarray] | None] = [None, None]
            slot = 0
            try:
                for window in windows:
                    self._complete(slot, pending, image, done)
                    pending[slot] = window, self.launch(slot, window, cell, image, direct, partial(done, window))
                    slot = 1 - slot
                for _ in range(2):
                    self._complete(slot, pending, image, done)
                    slot = 1 - slot
            finally:
                for stream in self.streams:  # nothing may be written into the image after an error
                    stream.synchronize()

    def _complete(self, slot: int, pending: list[Any], image: np.ndarray, done: Done) -> None:
        if pending[slot] is not None:
            window, target = pending[slot]
            pending[slot] = None
            self.finish(slot, window, image, target)
            done(window, 1.0)

    def first_fallen(self) -> int:
        """Number of the first pixel in which interpolation ended, :data:`NEVER` if none; forgets it."""
        with cuda.gpus[self.device.index]:
            first = int(self.last.copy_to_host()[0])
            self.last.copy_to_device(np.array([NEVER]))
        return first


class GpuRenderer:
    """Renders one panel on one or more GPUs: tables are on the devices, and kernels compiled, when this is made.

    Raises
    ------
    DeviceError
        A device fails or has too little memory.
    """

    def __init__(self, inputs: KernelInputs, plan: Any, devices: tuple[Device, ...]) -> None:
        self.inputs, self.plan, self.devices = inputs, plan, devices
        self._lock = threading.Lock()
        self.states = []
        self.limit = NEVER  # pixels of a band
        for device in devices:
            try:
                self.states.append(DeviceState(device, inputs, plan.kernel))
                self.limit = min(self.limit, self._room(device))
            except Exception as error:
                raise explained(error, device) or error from error

    def _room(self, device: Device) -> int:
        """Pixels of a band that two of fit into the device's free memory, masks included."""
        with cuda.gpus[device.index]:
            free = cuda.current_context().get_memory_info()[0]
        # two bands and their masks; a sum for each pixel, and the lists of a batch
        per_pixel = 18 if self.plan.kernel == "spots" else 10
        lists = batch_bytes() if self.plan.kernel == "spots" else 0
        pixels = int(min(max(free * SHARE - lists, 0) / per_pixel, NEVER / 2))
        if pixels < TILE * self.inputs.panel.fpixels:
            need = table_bytes(self.inputs) / 2**30
            raise DeviceError(f"not enough memory on {device}: {need:.1f} GiB of tables leave no room for an image")
        return pixels

    def new_image(self, shape: tuple[int, int]) -> np.ndarray:
        """A float32 image that is fast to copy to; zeros wherever :meth:`render` leaves pixels as they are."""
        panel = self.inputs.panel
        whole = (panel.s0, panel.s1, panel.f0, panel.f1) == (0, shape[0], 0, shape[1])
        with cuda.gpus[self.devices[0].index]:
            return pinned_image(shape, zero=not whole or self.inputs.mask.size > 0)

    def windows(self, region: Window) -> list[Window]:
        """The region cut into bands of whole tiles."""
        row0, row1, f0, f1 = region
        width = f1 - f0
        per_row = max(1, width * self.inputs.steps_per_pixel)
        rows = int(min(STEPS_PER_BAND[self.plan.kernel] / per_row, self.limit / max(1, width), row1 - row0))
        n = len(self.devices)
        if self.plan.kernel == "spots":  # which looks through all orientations for every band
            rows = max(1, min(rows, -(-(row1 - row0) // n)))
            return [(start, min(start + rows, row1), f0, f1) for start in range(row0, row1, rows)]
        if n > 1 or (row1 - row0) * width * 4 > WORTH_OVERLAP:
            rows = min(rows, -(-(row1 - row0) // (4 * n)))
        rows = max(TILE, -(-rows // TILE) * TILE)
        starts = [row0, *range((row0 // TILE * TILE) + rows, row1, rows)]
        return [(start, end, f0, f1) for start, end in zip(starts, [*starts[1:], row1], strict=True) if end > start]

    def render(self, image: np.ndarray, progress: Callable[[float], None] | None = None) -> bool:
        """Render into ``image`` (spixels, fpixels) float32; returns whether interpolation ended on the way.

        As the CPU's renderer: what comes, in raster order, after the first pixel in which interpolation ended is rendered
        again without it.
        """
        panel, cell = self.inputs.panel, self.inputs.cell
        self._render_region(image, cell, [(panel.s0, panel.s1, panel.f0, panel.f1)], progress)
        if self.plan.kernel != "general" or not cell.interpolate:
            return False
        first = min(state.first_fallen() for state in self.states)
        if first == NEVER:
            return False
        if not cell.fallback_each:
            s, f = divmod(first, panel.fpixels)
            regions = [(s, s + 1, f + 1, panel.f1), (s + 1, panel.s1, panel.f0, panel.f1)]
            self._render_region(image, cell._replace(interpolate=0), regions, progress)
        return True

    def _render_region(self, image: np.ndarray, cell: CellBlock, regions: list[Window], progress: Any) -> None:
        windows = [w for region in regions if region[3] > region[2] for w in self.windows(region)]
        if not windows:
            return
        largest = max((w[1] - w[0]) * (w[3] - w[2]) for w in windows)
        total = sum(w[1] - w[0] for w in windows)
        whole = image.shape[1] == windows[0][3] - windows[0][2] and len({w[2:] for w in windows}) == 1
        direct = bool(whole and not self.inputs.mask.size and is_pinned(image))
        shares: dict[Window, float] = {}

        def done(window: Window, share: float) -> None:
            shares[window] = share * (window[1] - window[0])
            if progress is not None:
                progress(sum(shares.values()) / total)

        for state in self.states:
            self._guarded(state, partial(state.reserve, largest))
        if len(self.states) == 1:
            self._guarded(self.states[0], lambda: self.states[0].work(iter(windows), cell, image, direct, done))
        else:
            self._share(windows, cell, image, direct, done)

    def _guarded(self, state: DeviceState, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            raise explained(error, state.device) or error from error

    def _share(self, windows: list[Window], cell: CellBlock, image: np.ndarray, direct: bool, done: Any) -> None:
        """A thread for each device; each takes the next window when it is ready for one."""
        queue, errors, stop = iter(windows), [], threading.Event()

        def take() -> Iterator[Window]:
            while not stop.is_set():
                with self._lock:
                    window = next(queue, None)
                if window is None:
                    return
                yield window

        def locked(window: Window, share: float) -> None:
            with self._lock:
                done(window, share)

        def run(state: DeviceState) -> None:
            try:
                self._guarded(state, lambda: state.work(take(), cell, image, direct, locked))
            except BaseException as error:  # raised again in the caller's thread
                errors.append(error)
                stop.set()

        threads = [threading.Thread(target=run, args=(state,)) for state in self.states]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)
        except BaseException:
            stop.set()
            for thread in threads:
                if thread.ident is not None:  # else it was not started, or finds that it is to stop
                    thread.join()
            raise
        if errors:
            raise errors[0]
