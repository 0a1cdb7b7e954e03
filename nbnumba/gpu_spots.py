"""Host side of compact spots on a GPU: batches of pairs, the memory that they need, and what is launched for each.

How many footprints a batch has is not known before they are found: the device counts them, tile by tile, and the host
waits for the counts, once a batch. Where something does not fit, the batch is found again with more room, or with fewer
pairs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from nbnumba.errors import DeviceError
from nbnumba.gpu_launch import Starter
from nbnumba.inputs import KernelInputs
from nbnumba.kernels import gpu_spots
from nbnumba.kernels._cuda import cuda
from nbnumba.kernels.blocks import CellBlock
from nbnumba.kernels.spots_shell import prepare_shell, spot_form, viewing_cone

Window = tuple[int, int, int, int]

#: Rows of the list of footprints in a batch, and numbers of rows in the lists of all tiles together.
SLOTS, ENTRIES = 1 << 21, 1 << 22
#: Lattice points near the sphere that a thread should have, about, and threads that share a pair at most.
POINTS, MOST_PARTS = 16, 32
#: Rows that a thread gets for each footprint that it should find, about.
SPARE = 1.5


def batch_bytes() -> int:
    """Memory (bytes) that the lists of a batch take on a device, about."""
    return SLOTS * (8 + 1) * 4 + ENTRIES * 4


class Lists:
    """Memory of one device that all panels use, one window after the other: lists, and the pixels' sums."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free = cuda.event()
        self._held: dict[str, Any] = {}

    def take(self, name: str, size: int, dtype: type) -> Any:
        """An array of ``size``, at least 1; what it holds is kept as long as it is asked for with this size or less."""
        held, size = self._held.get(name), max(size, 1)
        if held is None or held.size < size:
            self._held.pop(name, None)  # its memory may be needed
            del held
            held = self._held[name] = cuda.device_array(size, dtype)
        return held[:size]

    def found(self, rows: int) -> Any:
        """The list of footprints."""
        return self.take("found", max(rows, 1) * 8, np.int32).reshape(max(rows, 1), 8)


_lists: dict[int, Lists] = {}


class SpotsPainter:
    """One device's part in rendering one panel; made, and used, while the device is current.

    Parameters
    ----------
    inputs : KernelInputs
    index : int
        Number of the device.
    sources, cells, table
        On the device: the sources with their frames (S, 11), the cells (M, 9), and ``inputs.F2_table()``.
    stills : int
        Images that share all but the orientations; the cells of the first one come first.
    """

    def __init__(self, inputs: KernelInputs, index: int, sources: Any, cells: Any, table: Any, stills: int = 1) -> None:
        self.orientations, self.domains = np.int32(len(inputs.cells)), np.int32(len(inputs.cells) // stills)
        self.stills = stills
        self.inputs, self.sources, self.cells, self.table = inputs, sources, cells, table
        self.lists = _lists.setdefault(index, Lists())
        self.shell = prepare_shell(inputs.panel, inputs.crystal, inputs.sources, inputs.cells)
        self.stars = cuda.to_device(self.shell.stars)
        squares, products = spot_form(inputs.crystal)
        self.form = (*map(float, squares), *map(float, products))
        single = inputs.panel.layers * inputs.panel.oversample**2 == 1
        self.paint = Starter(gpu_spots.paint_kernel(int(inputs.beam.per_term), int(single)), gpu_spots.PAINTERS)
        self.find = Starter(gpu_spots.find_spots, gpu_spots.FINDERS)
        self.fill = Starter(gpu_spots.fill_lists, gpu_spots.FINDERS)
        self.close = Starter(gpu_spots.close_pixels, gpu_spots.PAINTERS)
        self.n_pairs = len(inputs.sources) * len(inputs.cells)
        self.limit = self.n_pairs  # pairs of a batch, as far as the lists of the tiles are concerned

    def render(
        self,
        grid: tuple[int, ...],
        stream: Any,
        band: Any,
        cell: CellBlock,
        mask: Any,
        window: Window,
        tell: Callable[[float], None] | None = None,
    ) -> None:
        """Render a window of the panel, ``band`` (stills, rows, columns).

        All but the last batch are done when this returns; ``tell`` is called with the share of the pairs that are found.
        """
        row0, row1, f0, f1 = window
        panel = self.inputs.panel._replace(s0=row0, s1=row1, f0=f0, f1=f1)
        n_pairs = self.n_pairs if row1 > row0 and f1 > f0 else 0
        cone = viewing_cone(panel)
        points = self.shell.points * (1 - cone[3]) / (1 - self.shell.cone[3])
        parts = min(MOST_PARTS, 1 << max(0, int(math.log2(points / POINTS + 1e-9))))
        room = max(1, int(SPARE * (points / parts + POINTS)))
        shape = self.stills, max(row1 - row0, 1), max(f1 - f0, 1)
        grid = (*grid, self.stills)
        with self.lists.lock:
            self.lists.free.synchronize()  # an earlier window, perhaps on another stream, needs them no more
            sums = self.lists.take("sums", math.prod(shape), np.float64).reshape(shape)
            first = 0
            while first < n_pairs or first == 0:  # without pairs once: the sums are begun, the kernels compiled
                n = max(min(SLOTS // (parts * room), self.limit, n_pairs - first), 1 if n_pairs else 0)
                lists, most = self._find(grid, stream, panel, cell, cone, (first, n, parts, room))
                if lists is None:
                    room = max(room, most)
                    continue
                blocks = (panel, self.inputs.crystal, cell, self.inputs.beam, self.form)
                self.paint(
                    grid,
                    stream,
                    sums,
                    *lists,
                    parts * room,
                    *blocks,
                    self.sources,
                    self.cells,
                    self.table,
                    mask,
                    int(first == 0),
                )
                first += max(n, 1)
                if tell is not None and first < n_pairs:
                    tell(first / n_pairs)
            self.close(grid, stream, band, sums, panel, self.inputs.beam, self.sources, mask)
            self.lists.free.record(stream)

    def _find(
        self,
        grid: tuple[int, ...],
        stream: Any,
        panel: Any,
        cell: CellBlock,
        cone: Any,
        batch: tuple[int, int, int, int],
    ) -> tuple[Any, int]:
        """Fill the lists of the tiles with a batch (first, pairs, parts, room).

        Returns
        -------
        lists : tuple or None
            What the painting kernel takes: the lists, their ends, the footprints. None: something does not fit, and it
            is to be done again with as much room as the second value says, within :attr:`limit`.
        most : int
            Rows that a thread needs.

        Raises
        ------
        DeviceError
            The lists of a single pair cannot be numbered.
        """
        first, n, parts, room = batch
        n_tiles, n_threads = math.prod(grid), n * parts
        blocks = max(1, -(-n_threads // gpu_spots.FINDERS))
        found, counts = self.lists.found(n_threads * room), self.lists.take("counts", n_threads, np.int32)
        tallies = self.lists.take("tallies", n_tiles + 1, np.int32)
        tallies.copy_to_device(np.zeros(n_tiles + 1, np.int32), stream=stream)
        self.find(
            (blocks,), stream, found, counts, tallies, first, n, parts, room, self.domains, panel, cell, self.sources, self.cells, self.stars,
            tuple(map(float, cone)), float(self.shell.radius), self.table,
        )  # fmt: skip
        host = tallies.copy_to_host(stream=stream)
        stream.synchronize()
        ends = np.cumsum(host[:-1], dtype=np.int64)
        if host[-1] > room:
            return None, int(host[-1])
        if ends[-1] > ENTRIES and n > 1:
            self.limit = max(1, min(n - 1, int(n * ENTRIES / ends[-1])))
            return None, room
        if ends[-1] >= 2**31:
            raise DeviceError("one orientation has too many spots along this panel for a GPU: give --device cpu")
        places = self.lists.take("places", n_tiles, np.int32)
        # batches differ a little in size: room for any of several at once
        size = int(ends[-1]) if n >= self.n_pairs else max(int(ends[-1]), ENTRIES)
        lists = self.lists.take("lists", size, np.int32)
        places.copy_to_device((ends - host[:-1]).astype(np.int32), stream=stream)
        self.fill(
            (blocks,), stream, lists, places, found, counts, n_threads, room, self.orientations, self.domains, panel
        )
        return (lists, places, found), room
