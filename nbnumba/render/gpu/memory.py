"""Resources of a GPU that renderers reuse: streams with their bands, pinned images, and tables on the device.

Making a stream, an event or pinned memory takes longer than rendering a small image. So a few are kept and reused: a lane
when a rendering has ended, an image when the last array that refers to it is gone, as its finalizer reports. A lane that was
in use when an error occurred is not reused.
"""

from __future__ import annotations

import atexit
import ctypes
import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import numpy as np

from nbnumba.kernels.jit.cuda import cuda
from nbnumba.memory import derived
from nbnumba.render.devices import Device

#: Most unused lanes and pinned images that are kept.
KEPT_LANES, KEPT_IMAGES = 2, 4
#: Pinned memory (bytes) that images may hold at a time; further ones are ordinary arrays.
MOST_PINNED = 2 << 30


class Lane:
    """A stream with an event, a band of the image on the device, and flags shared with the kernel; the device is current.

    Attributes
    ----------
    halt : (1,) int32, on the device
        Not 0: tells the kernel to stop (:meth:`stop`).
    done : (1,) int32
        In host memory that the device can access: the number of a finished block.
    needed : (2,) int64
        Also in such memory, for compact spots: rows and entries that their lists need, ``kernels.gpu.spots_lists.MOST`` and
        ``TOTAL``.
    """

    def __init__(self) -> None:
        self.stream, self.event = cuda.stream(), cuda.event()
        self.halt = cuda.to_device(np.zeros(1, np.int32))
        self.done, self.needed = cuda.mapped_array(1, np.int32), cuda.mapped_array(2, np.int64)
        self._signals: Any = None
        self._band: Any = None
        self._sums: Any = None
        self._staging: np.ndarray | None = None
        self._shaped: tuple[tuple[int, ...], Any] = ((), None)

    def reset(self) -> None:
        """Reset the flags of the last kernel; the lane of a kernel that was stopped is not used again."""
        self.done[0] = 0

    def stop(self) -> None:
        """Tell the lane's kernel to stop, through another stream than the one in which it runs."""
        self._signals = self._signals or cuda.stream()
        self.halt.copy_to_device(np.ones(1, np.int32), stream=self._signals)

    def band(self, shape: tuple[int, ...]) -> Any:
        """A float32 array on the device of at least one pixel; its content is undefined."""
        shape = tuple(max(n, 1) for n in shape)
        if self._shaped[0] != shape:
            size = math.prod(shape)
            if self._band is None or self._band.size < size:
                self._shaped, self._band = ((), None), None  # its memory may be needed
                self._band = cuda.device_array(size, np.float32)
            self._shaped = (shape, self._band[:size].reshape(shape))
        return self._shaped[1]

    def sums(self, shape: tuple[int, int, int]) -> Any:
        """A float64 array on the device for sums of portions (:mod:`nbnumba.render.gpu.split`); its content is undefined."""
        if self._sums is None or self._sums.shape != shape:
            self._sums = None
            self._sums = cuda.device_array(shape, np.float64)
        return self._sums

    def staging(self, shape: tuple[int, ...]) -> np.ndarray:
        """A host array into which a band is copied first; pinned if pinned memory is available."""
        size = math.prod(shape)
        if self._staging is None or self._staging.size < size:
            self._staging = None
            self._staging = _pinned_or_none(size)
            if self._staging is None:
                self._staging = np.empty(size, np.float32)
        return self._staging[:size].reshape(shape)


def _pinned_or_none(size: int) -> Any:
    """Pinned float32 memory, or None if the system has no more of it."""
    try:
        return cuda.pinned_array(size, np.float32)
    except Exception:  # whatever the cause, ordinary memory works too, only slower
        return None


class Lanes:
    """The lanes of one device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Lane] = []

    @contextmanager
    def lend(self) -> Iterator[Lane]:
        """A lane for the block; the device is current. It is not reused if the block ends with an exception."""
        with self._lock:
            lane = self._free.pop() if self._free else None
        lane = lane or Lane()
        lane.reset()
        yield lane
        with self._lock:
            if len(self._free) < KEPT_LANES:
                self._free.append(lane)


class PinnedImages:
    """Images in pinned memory, for whichever device is current when they are requested."""

    def __init__(self) -> None:
        self._free: deque[np.ndarray] = deque()
        self._lent: dict[int, int] = {}  # address -> bytes

    def lend(self, index: int, shape: tuple[int, int], zero: bool) -> np.ndarray:
        """A float32 image, of zeros if requested; device ``index`` is current.

        An ordinary array if the system, or :data:`MOST_PINNED`, allows no more pinned memory.
        """
        size = shape[0] * shape[1]
        buffer = self._find(size)
        if buffer is None:
            return np.zeros(shape, np.float32)
        address = buffer.ctypes.data
        # every view of an image keeps this object, which owns the memory, alive
        carrier = (ctypes.c_float * size).from_buffer(buffer)
        self._lent[address] = buffer.nbytes
        weakref.finalize(carrier, self._take_back, buffer, address, index).atexit = False
        image: np.ndarray = np.frombuffer(memoryview(carrier), np.float32).reshape(shape)
        if zero:
            image[:] = 0
        return image

    def is_pinned(self, image: np.ndarray) -> bool:
        """Whether an image came from :meth:`lend`, whole and pinned."""
        return image.flags.c_contiguous and self._lent.get(image.ctypes.data) == image.nbytes

    def _find(self, size: int) -> Any:
        if size == 0 or sum(tuple(self._lent.values())) + 4 * size > MOST_PINNED:
            return None
        with suppress(IndexError):  # another thread took the last one
            for _ in range(len(self._free)):
                buffer = self._free.popleft()
                if buffer.size == size:
                    return buffer
                self._free.append(buffer)
        return _pinned_or_none(size)

    def _take_back(self, buffer: np.ndarray, address: int, index: int) -> None:
        # runs whenever the collector does, perhaps inside one of the methods above: no lock
        self._lent.pop(address, None)
        self._free.append(buffer)
        del buffer
        if len(self._free) > KEPT_IMAGES:
            with suppress(IndexError):
                while len(self._free) > KEPT_IMAGES:
                    self._free.popleft()
            release(index)


def stay_current(index: int) -> None:
    """Make a device current in this thread if none is, and at the end of the program.

    Numba frees memory in whichever thread the last array is deleted, and the driver refuses that without a current device.
    """
    global _last_used
    if _last_used is None:
        # the functions that free the remaining memory at exit are registered already, and therefore run after this one
        atexit.register(lambda: stay_current(_last_used))
    _last_used = index
    with suppress(Exception):  # errors at exit are of no interest
        if cuda.gpus.current is None:
            cuda.select_device(index)


def release(index: int, held: dict[str, Any] | list[Any] | None = None) -> None:
    """Free the memory of a device that is no longer used, and that of ``held``.

    Numba defers freeing, and finally does it in any thread; the driver refuses that if the device is not current there.
    """
    with suppress(Exception), cuda.gpus[index]:  # nothing can be freed on a device that was lost
        if held is not None:
            held.clear()
        context = cuda.current_context()  # numba keeps streams and events in one list, memory in another
        for holder in (context, getattr(context, "memory_manager", None)):
            getattr(holder, "deallocations").clear()  # noqa: B009 - the simulator has none


def give_up_if_lost(index: int) -> None:
    """Free nothing more on a device that was lost: numba would print each of the driver's errors."""
    try:
        with cuda.gpus[index]:
            cuda.synchronize()
    except Exception:  # the class of the error of a lost device varies
        with suppress(Exception):
            kept = cuda.gpus[index].get_primary_context().defer_cleanup()
            kept.__enter__()
            _given_up.append(kept)  # kept alive, as its finalizer would free everything


@cache
def lanes_of(index: int) -> Lanes:
    """The lanes of a device."""
    return Lanes()


_last_used: Any = None
_given_up: list[Any] = []
#: of all devices together
pinned_images = PinnedImages()


def resident(device: Device, tag: tuple[Any, ...], source: np.ndarray, build: Callable[[], np.ndarray]) -> Any:
    """Copy on the device of the array that ``build`` makes from ``source``; made once and kept as long as ``source`` exists."""
    return derived(source, (device.index, *tag), lambda: cuda.to_device(build()), partial(release, device.index))


def replaced(held: Any, rows: np.ndarray) -> Any:
    """The array on the device with other rows; its memory is reused if there is one of the same shape."""
    if held is None or held.shape != rows.shape:
        return cuda.to_device(rows)
    held.copy_to_device(rows)
    return held
