"""Host side of compact spots on a GPU: batches of pairs, the memory that they need, and the launches for each.

The number of footprints is not known before they are found. The host does not wait for it: the lists are allocated
beforehand, with a margin, and a kernel checks whether they are large enough. If not, it writes their required size to memory
that host and device share; the host reads it when the image is finished (:meth:`SpotsPainter.again`), and renders the window
again with larger lists, or with fewer pairs in a batch. With several batches the host waits for each.

Allocating and freeing memory on a device interrupts the kernels that run there. All painters of a device therefore share
their lists, whose sizes grow in powers of two: a series of similar images allocates nothing after the first one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from nbnumba.errors import DeviceError
from nbnumba.kernels.formulas.blocks import CellBlock, PanelBlock
from nbnumba.kernels.formulas.lattice import spot_metric
from nbnumba.kernels.formulas.spots_shell import prepare_shell, viewing_cone
from nbnumba.kernels.gpu.spots import PAINTERS, close_pixels, paint_kernel
from nbnumba.kernels.gpu.spots_lists import FINDERS, MOST, PLACERS, TOTAL, fill_lists, find_spots, place_tiles
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.devices import Device
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.memory import Lane, replaced
from nbnumba.render.inputs import KernelInputs

Window = tuple[int, int, int, int]
Tell = Callable[[float], None]

#: Rows of the list of footprints in a batch, and numbers of rows in the lists of all tiles together.
SLOTS, ENTRIES = 1 << 21, 1 << 22
#: Lattice points near the sphere per thread (about), and most threads that share a pair to reach this number.
POINTS, MOST_PARTS = 16, 32
#: Least threads per multiprocessor, also with few pairs, and most threads that share a pair to reach this number.
THREADS, MOST_SHARED = 300, 512
#: Rows of a thread for each footprint that it is expected to find.
SPARE = 1.5
#: Least size of what is allocated in powers of two.
LEAST = 1 << 14
#: Windows of a panel whose numbers are kept.
KEPT = 64


def batch_bytes() -> int:
    """Memory (bytes) that the lists of a batch take on a device, about."""
    return SLOTS * (8 + 1) * 4 + ENTRIES * 4


def rows_of(points: float, parts: int) -> int:
    """Rows for each of the threads that share a pair of so many lattice points near the sphere."""
    return max(1, int(SPARE * (points / parts + POINTS)))


def parts_of(points: float, n_pairs: int, processors: int) -> int:
    """Threads that share a pair of so many lattice points near the sphere, on a device of so many multiprocessors.

    Enough to keep the device busy, as long as all pairs stay in one batch. No bit of the image depends on it.
    """
    least = min(MOST_PARTS, 1 << max(0, int(math.log2(points / POINTS + 1e-9))))
    if not n_pairs:
        return least
    fitting = (SLOTS / n_pairs / SPARE - points) / POINTS  # for each gets POINTS rows beyond its share
    return max(least, min(THREADS * processors // n_pairs, MOST_SHARED, int(max(fitting, 0))))


class Lists:
    """Memory of one device that all panels use, one window after another: lists, and the pixels' sums.

    Attributes
    ----------
    lock : threading.Lock
        Held while kernels that use the memory are queued.
    free : event
        Behind the last of them.
    compiled : set of tuple of int
        Variants of the kernels that were started.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free = cuda.event()
        self._held: dict[str, Any] = {}
        self._views: dict[str, Any] = {}
        self.compiled: set[tuple[int, int]] = set()
        self._zero = False

    def take(self, name: str, shape: tuple[int, ...], dtype: type, exact: bool = False) -> Any:
        """An array of ``shape`` (no dimension 0); its content is kept until a larger one is requested."""
        view = self._views.get(name)
        if view is None or view.shape != shape:
            size, held = math.prod(shape), self._held.get(name)
            if held is None or held.size < size:
                self._views.pop(name, None)
                self._held.pop(name, None)  # its memory may be needed
                view = held = None
                held = cuda.device_array(size if exact else max(LEAST, 1 << (size - 1).bit_length()), dtype)
                self._held[name] = held
                self._zero = self._zero and name != "tallies"
            view = self._views[name] = held[: math.prod(shape)].reshape(shape)
        return view

    def tallies(self, n_tiles: int, stream: Any) -> Any:
        """The counts of the tiles, all 0; they must be 0 again at the end, see :meth:`are_zero`."""
        tallies = self.take("tallies", (n_tiles + 1,), np.int32)
        if not self._zero:
            whole = self._held["tallies"]
            whole.copy_to_device(np.zeros(whole.size, np.int32), stream=stream)
        self._zero = False
        return tallies

    def are_zero(self) -> None:
        """Record that all queued work leaves the counts 0."""
        self._zero = True


class Layout(NamedTuple):
    """Numbers of a window: its panel block, the cone that holds it, pairs, lattice points and threads of each."""

    panel: PanelBlock
    cone: tuple[float, ...]
    n_pairs: int
    points: float
    parts: int
    shape: tuple[int, int, int]


class Batch(NamedTuple):
    """What was queued last on a lane: the window and other arguments of ``render``; pairs, rows of a thread, capacity."""

    window: Window
    arguments: tuple[Any, ...]
    n: int
    room: int
    capacity: int


_lists: dict[int, Lists] = {}


class SpotsPainter:
    """Renders the spots of one panel on one device; must be made and used while the device is current.

    Parameters
    ----------
    inputs : KernelInputs
    device : Device
    sources, cells, table
        On the device: the sources with their frames (S, 11), the cells (M, 9), and ``inputs.F2_table()``.
    stills : int
        Images that share all but the orientations; the cells of the first one come first.
    """

    def __init__(
        self, inputs: KernelInputs, device: Device, sources: Any, cells: Any, table: Any, stills: int = 1
    ) -> None:
        self.stills, self.device = stills, device
        self.lists = _lists.get(device.index) or _lists.setdefault(device.index, Lists())
        self.reciprocal: Any = None
        self._layouts: dict[Window, Layout] = {}
        self._last: WeakKeyDictionary[Lane, Batch] = WeakKeyDictionary()
        self.update(inputs, sources, cells, table)
        self.variant = (int(inputs.beam.per_term), int(inputs.panel.layers * inputs.panel.oversample**2 == 1))
        self.paint: Any = Starter(paint_kernel(*self.variant), PAINTERS)
        self.find = Starter(find_spots, FINDERS)
        self.place = Starter(place_tiles, PLACERS)
        self.fill = Starter(fill_lists, FINDERS)
        self.close: Any = Starter(close_pixels, PAINTERS)

    def update(self, inputs: KernelInputs, sources: Any, cells: Any, table: Any) -> None:
        """Use other inputs that the same compiled kernels render; arguments as those of the class."""
        self.orientations, self.domains = np.int32(len(inputs.cells)), np.int32(len(inputs.cells) // self.stills)
        self.inputs, self.sources, self.cells, self.table = inputs, sources, cells, table
        self.shell = prepare_shell(inputs.panel, inputs.crystal, inputs.sources, inputs.cells, inputs.coupling)
        self.radius = float(self.shell.radius)
        self.reciprocal = replaced(self.reciprocal, self.shell.reciprocal)
        self.metric = spot_metric(inputs.crystal, inputs.coupling)
        self.n_pairs = len(inputs.sources) * len(inputs.cells)
        # pairs of a batch, as far as the lists of the tiles are concerned; numbers in these; rows of a thread, by parts
        self.limit, self.capacity, self.rooms = self.n_pairs, 0, dict[int, int]()
        self._layouts.clear()
        self._last.clear()

    def is_compiled(self) -> bool:
        """Whether the kernels were compiled for an earlier image of this process."""
        return self.variant in self.lists.compiled

    def layout(self, window: Window) -> Layout:
        """The numbers of a window."""
        found = self._layouts.get(window)
        if found is None:
            row0, row1, f0, f1 = window
            panel = self.inputs.panel._replace(s0=row0, s1=row1, f0=f0, f1=f1)
            n_pairs = self.n_pairs if row1 > row0 and f1 > f0 else 0
            cone = viewing_cone(panel)
            points = self.shell.points * (1 - cone[3]) / (1 - self.shell.cone[3])
            shape = self.stills, max(row1 - row0, 1), max(f1 - f0, 1)
            numbers = (n_pairs, points, parts_of(points, n_pairs, self.device.processors), shape)
            found = Layout(panel, tuple(map(float, cone)), *numbers)
            if len(self._layouts) >= KEPT:
                self._layouts.clear()
            self._layouts[window] = found
        return found

    def render(
        self,
        grid: tuple[int, ...],
        lane: Lane,
        band: Any,
        cell: CellBlock,
        mask: Any,
        window: Window,
        tell: Tell | None = None,
    ) -> None:
        """Start rendering a window of the panel, ``band`` (stills, rows, columns).

        With several batches all are finished when this returns, and ``tell`` was called with the fraction of the pairs that
        are found. The image is complete if :meth:`again` returns False afterwards.
        """
        arguments, grid = (grid, band, cell, mask), (*grid, self.stills)
        stream, layout = lane.stream, self.layout(window)
        self._last.pop(lane, None)
        with self.lists.lock:
            self.lists.free.wait(stream)  # an earlier window, perhaps on another stream, needs them till then
            try:
                sums = self.lists.take("sums", layout.shape, np.float64, exact=True)
                first = 0
                while first < layout.n_pairs or first == 0:  # without pairs once: sums are begun, kernels compiled
                    queued = self._queue(grid, lane, cell, mask, layout, sums, first)
                    batch = Batch(window, arguments, *queued)
                    if batch.n >= layout.n_pairs:
                        self._last[lane] = batch
                        break
                    stream.synchronize()
                    if not self._fits(lane, batch):
                        continue
                    first += batch.n
                    if tell is not None and first < layout.n_pairs:
                        tell(first / layout.n_pairs)
                self.close(grid, stream, band, sums, layout.panel, self.inputs.beam, self.sources, mask)
                self.lists.compiled.add(self.variant)
            finally:
                with suppress(Exception):  # of what went wrong before
                    self.lists.free.record(stream)

    def _queue(
        self, grid: tuple[int, ...], lane: Lane, cell: CellBlock, mask: Any, layout: Layout, sums: Any, first: int
    ) -> tuple[int, int, int]:
        """Start a batch of pairs from ``first`` on; returns pairs, rows of a thread, and capacity of the lists."""
        panel, cone, n_pairs, points, parts, _ = layout
        room = max(rows_of(points, parts), self.rooms.get(parts, 0))
        n = max(min(SLOTS // (parts * room), self.limit, n_pairs - first), 1 if n_pairs else 0)
        capacity = max(ENTRIES, self.capacity)
        stream, lists, n_tiles, n_threads = lane.stream, self.lists, math.prod(grid), n * parts
        blocks = (max(1, -(-n_threads // FINDERS)),)
        rows = max(LEAST, 1 << (max(n_threads * room, 1) - 1).bit_length())
        found, counts = lists.take("found", (rows, 8), np.int32), lists.take("counts", (rows,), np.int32)
        places, numbers = lists.take("places", (n_tiles + 1,), np.int32), lists.take("lists", (capacity,), np.int32)
        tallies = lists.tallies(n_tiles, stream)
        self.find(
            blocks, stream, found, counts, tallies, first, n, parts, room, self.domains, panel, cell, self.sources,
            self.cells, self.reciprocal, cone, self.radius, self.table,
        )  # fmt: skip
        self.place((1,), stream, places, tallies, lane.needed, room, capacity)
        lists.are_zero()
        self.fill(
            blocks, stream, numbers, places, found, counts, n_threads, room, self.orientations, self.domains, panel
        )
        self.paint(
            grid, stream, sums, numbers, places, found, parts * room, panel, self.inputs.crystal, cell, self.inputs.beam,
            self.metric, self.sources, self.cells, self.table, mask, int(first == 0),
        )  # fmt: skip
        return n, room, capacity

    def _fits(self, lane: Lane, batch: Batch) -> bool:
        """Whether the lists of a finished batch were large enough; if not, the next ones are larger, or the batch smaller.

        Raises
        ------
        DeviceError
            The lists of a single pair are too long.
        """
        most, total = int(lane.needed[MOST]), int(lane.needed[TOTAL])
        if most > batch.room:
            parts = self.layout(batch.window).parts
            self.rooms[parts] = max(self.rooms.get(parts, 0), most)
        elif total <= batch.capacity:
            return True
        elif batch.n > 1:
            self.limit = max(1, min(batch.n - 1, int(batch.n * batch.capacity / total)))
        elif total >= 2**31:
            raise DeviceError("one orientation has too many spots along this panel for a GPU: give --device cpu")
        else:
            self.capacity = total
        return False

    def again(self, lane: Lane, tell: Tell | None = None) -> bool:
        """Whether the lists of a finished window were too small; the window is then rendered again.

        The caller has waited for the window, and must copy it and wait again if this returns True.
        """
        batch = self._last.pop(lane, None)
        if batch is None or self._fits(lane, batch):
            return False
        grid, band, cell, mask = batch.arguments
        self.render(grid, lane, band, cell, mask, batch.window, tell)
        return True
