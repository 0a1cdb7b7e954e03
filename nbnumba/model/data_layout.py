"""How the panels of a detector lie in the arrays of a data file.

The file of the geometry decides which panels are parts of one picture, each at its offset (a slab), and which are arrays of
their own (layers): those whose ``dimN`` or ``data`` of CrystFEL differ, and those that would cover each other in a slab. The
latter is how dxtbx describes detectors whose panels are arrays of their own: their ``raw_image_offset`` is 0 0.

The counts of a file are one array (slow, fast), as all readers of NXmx expect it, DIALS 3.12 among them: a slab is as the
geometry has it, layers lie below one another. Data sets that CrystFEL's geometry arranges otherwise are views of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.model.instrument import DataValue, Panel

#: Pixels of an array that are never too many, and most pixels for each one of a panel.
_FREE_PIXELS, _MOST_EMPTY = 1 << 26, 16
#: Slow and fast pixel of the corner of a panel.
Corner = tuple[int, int]


@dataclass(frozen=True)
class View:
    """A data set of the panels, as a CrystFEL geometry file describes it.

    Attributes
    ----------
    path : str
        Its name; ``%`` stands for the number of an image.
    axes : tuple of str
        ``%`` images, ``ss`` slow, ``fs`` fast, ``#`` an index that the panel has.
    shape : tuple of int
        Its size along the axes; 1 along those of images.
    members : tuple of (int, (slow, fast), tuple of int)
        Number of each of its panels, the place of the panel's pixel (0, 0), and its indices.
    masks : tuple of (str, int, int)
        Masks with the same axes (:class:`nbnumba.model.instrument.DataPlace`).
    """

    path: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    members: tuple[tuple[int, Corner, tuple[int, ...]], ...]
    masks: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Layout:
    """Places of the panels in one array.

    Attributes
    ----------
    shape : (slow, fast)
        Of the array.
    corners : tuple of (slow, fast)
        Place of pixel (0, 0) of every panel.
    sizes : tuple of (spixels, fpixels)
        Of every panel.
    layers : tuple of (int, int)
        First row and number of rows of every layer; one layer: the array is a picture.
    views : tuple of View
        Data sets that the file of the geometry names.
    values : tuple of (int, DataValue)
        Numbers that the file of the geometry gives or takes from these data, each with the number of its panel.
    shared : tuple of str
        Two panels that have pixels in common in that file, so that their data have no place there; else empty.
    """

    shape: tuple[int, int]
    corners: tuple[Corner, ...]
    sizes: tuple[tuple[int, int], ...]
    layers: tuple[tuple[int, int], ...]
    views: tuple[View, ...] = ()
    shared: tuple[str, ...] = ()
    values: tuple[tuple[int, DataValue], ...] = ()

    @classmethod
    def single(cls, spixels: int, fpixels: int) -> Layout:
        """Layout of one panel, whose array is its own."""
        return cls((spixels, fpixels), ((0, 0),), ((spixels, fpixels),), ((0, spixels),))

    @property
    def has_gaps(self) -> bool:
        """Whether pixels of the array are in no panel."""
        return sum(slow * fast for slow, fast in self.sizes) < math.prod(self.shape)

    def part(self, number: int) -> tuple[slice, slice]:
        """Index of a panel's pixels in the array."""
        (slow, fast), (spixels, fpixels) = self.corners[number], self.sizes[number]
        return slice(slow, slow + spixels), slice(fast, fast + fpixels)

    def arrange(self, panels: Sequence[np.ndarray], gap: float = 0) -> np.ndarray:
        """The array of all panels; ``gap`` is the value of pixels that are in none."""
        whole = np.full(self.shape, gap, dtype=panels[0].dtype)
        for number, panel in enumerate(panels):
            whole[self.part(number)] = panel
        return whole

    def picture(self, panels: Sequence[np.ndarray]) -> np.ndarray:
        """One picture (slow, fast) of all panels, layers side by side in rows; 0 in gaps."""
        whole, count = self.arrange(panels), len(self.layers)
        spixels, fpixels = max(rows for _, rows in self.layers), self.shape[1]
        columns = max(1, min(count, round(math.sqrt(count * spixels / fpixels))))
        sheet = np.zeros((-(-count // columns) * spixels, columns * fpixels), whole.dtype)
        for number, (first, rows) in enumerate(self.layers):
            slow, fast = number // columns * spixels, number % columns * fpixels
            sheet[slow : slow + rows, fast : fast + fpixels] = whole[first : first + rows]
        return sheet


def layout_of(panels: Sequence[Panel]) -> Layout:
    """Places of the panels in a data file.

    Raises
    ------
    ConfigError
        The offset of a panel would make an array that is nearly empty and too large.
    """
    shared: tuple[str, ...] = ()
    views: tuple[View, ...] = ()
    if all(panel.place is not None for panel in panels):
        shared = _shared(panels)
        views = () if shared else _views(panels)
    layers, corners = _indexed(panels) if views else _by_offset(panels)
    return _stacked(panels, layers, corners, views, shared)


def _stacked(
    panels: Sequence[Panel],
    layers: Sequence[int],
    corners: Sequence[Corner],
    views: tuple[View, ...],
    shared: tuple[str, ...],
) -> Layout:
    """The array of all panels: their layers below one another. ``corners``: in the panel's own layer."""
    sizes = tuple((panel.spixels, panel.fpixels) for panel in panels)
    starts: list[tuple[int, int]] = []
    width = row = 0
    for layer in range(max(layers) + 1):
        members = [number for number, own in enumerate(layers) if own == layer]
        slow, fast = _extent([corners[number] for number in members], [sizes[number] for number in members])
        starts.append((row, slow))
        row, width = row + slow, max(width, fast)
    placed = tuple((starts[layer][0] + slow, fast) for layer, (slow, fast) in zip(layers, corners, strict=True))
    layout = Layout((row, width), placed, sizes, tuple(starts), views, shared, _values(panels) if views else ())
    return _checked(panels, layout)


def _extent(corners: Sequence[Corner], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    ends = [(s + spixels, f + fpixels) for (s, f), (spixels, fpixels) in zip(corners, sizes, strict=True)]
    return max(slow for slow, _ in ends), max(fast for _, fast in ends)


def _checked(panels: Sequence[Panel], layout: Layout) -> Layout:
    used, whole = sum(slow * fast for slow, fast in layout.sizes), math.prod(layout.shape)
    if whole > max(_FREE_PIXELS, _MOST_EMPTY * used):
        far = max(range(len(panels)), key=lambda number: max(panels[number].offset or (0, 0)))
        raise ConfigError(
            f"panel {panels[far].name or far} is so far out in the data that {' x '.join(map(str, layout.shape))} pixels "
            f"would hold {used}: check its offset {panels[far].offset}"
        )
    return layout


def _key(panel: Panel) -> tuple[str, tuple[int, ...]]:
    """Data set of a panel, and its indices there."""
    assert panel.place is not None
    return panel.place.data, panel.place.indices


def _corner(panel: Panel) -> Corner:
    fast, slow = panel.offset or (0, 0)
    return slow, fast


def _by_offset(panels: Sequence[Panel]) -> tuple[list[int], list[Corner]]:
    """Layer and corner of each panel; a panel that covers one of its layer begins the next.

    Panels without an offset lie below all others.
    """
    below = max((panel.offset[1] + panel.spixels for panel in panels if panel.offset is not None), default=0)
    corners: list[Corner] = []
    layers: list[int] = []
    layer = first = 0
    for number, panel in enumerate(panels):
        fast, slow = panel.offset or (0, below)
        below += 0 if panel.offset is not None else panel.spixels
        if _covers(panel, (slow, fast), panels[first:number], corners[first:]) is not None:
            layer, first = layer + 1, number
        corners.append((slow, fast))
        layers.append(layer)
    if layer:  # arrays of their own begin at their first panel
        for number in range(layer + 1):
            own = [index for index, found in enumerate(layers) if found == number]
            low = [min(corners[index][axis] for index in own) for axis in (0, 1)]
            for index in own:
                corners[index] = corners[index][0] - low[0], corners[index][1] - low[1]
    return layers, corners


def _covers(panel: Panel, corner: tuple[int, int], others: Sequence[Panel], corners: Sequence[Corner]) -> int | None:
    """Which of the other panels has a pixel in common with this one; None if none has."""
    if not others:
        return None
    starts = np.array(corners)
    ends = starts + [(other.spixels, other.fpixels) for other in others]
    apart = (starts >= np.add(corner, (panel.spixels, panel.fpixels))) | (ends <= corner)
    touching = np.flatnonzero(~apart.any(axis=1))
    return int(touching[0]) if touching.size else None


def _shared(panels: Sequence[Panel]) -> tuple[str, ...]:
    """Two panels that have pixels in common in their data set, or contradict each other about its axes; else none."""
    groups: dict[tuple[str, tuple[int, ...]], list[Panel]] = {}
    axes: dict[str, Panel] = {}
    for panel in panels:
        assert panel.place is not None
        first = axes.setdefault(panel.place.data, panel)
        members = groups.setdefault(_key(panel), [])
        hit = _covers(panel, _corner(panel), members, [_corner(other) for other in members])
        if hit is not None or first.place is None or first.place.axes != panel.place.axes:
            return (first if hit is None else members[hit]).name, panel.name
        members.append(panel)
    return ()


def _indexed(panels: Sequence[Panel]) -> tuple[list[int], list[Corner]]:
    """Layer and corner of each panel with a place; layers in the order of data sets and indices."""
    keys = [_key(panel) for panel in panels]
    sets = list(dict.fromkeys(data for data, _ in keys))
    known = sorted(set(keys), key=lambda key: (sets.index(key[0]), key[1]))
    return [known.index(key) for key in keys], [_corner(panel) for panel in panels]


def _values(panels: Sequence[Panel]) -> tuple[tuple[int, DataValue], ...]:
    """Numbers of the file of the geometry, each with the first panel that has it."""
    found: dict[tuple[str, str], tuple[int, DataValue]] = {}
    for number, panel in enumerate(panels):
        for value in panel.place.values if panel.place is not None else ():
            found.setdefault((value.key, value.name), (number, value))
    return tuple(found.values())


def _views(panels: Sequence[Panel]) -> tuple[View, ...]:
    """The data sets that the panels name, each with its panels."""
    members: dict[str, list[int]] = {}
    for number, panel in enumerate(panels):
        members.setdefault(_key(panel)[0], []).append(number)
    views = []
    for path, numbers in members.items():
        held = [panels[number] for number in numbers]
        place = held[0].place
        assert place is not None
        slow, fast = _extent([_corner(panel) for panel in held], [(panel.spixels, panel.fpixels) for panel in held])
        ends = (max(column) + 1 for column in zip(*(_key(panel)[1] for panel in held), strict=True))
        size = {"ss": slow, "fs": fast, "%": 1}
        shape = tuple(next(ends) if axis == "#" else size[axis] for axis in place.axes)
        parts = ((number, _corner(panel), _key(panel)[1]) for number, panel in zip(numbers, held, strict=True))
        views.append(View(path, place.axes, shape, tuple(parts), place.masks))
    return tuple(views)
