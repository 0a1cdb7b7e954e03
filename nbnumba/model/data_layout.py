"""How the panels of a detector lie in the arrays of a data file.

Either the panels are parts of one picture (a slab), each at its offset, or they are in the layers of a stack. The file
of the geometry decides: panels whose ``dimN`` of CrystFEL differ are in different layers, and so are panels that would
cover each other in a slab. The latter is how dxtbx describes detectors whose panels are arrays of their own: their
``raw_image_offset`` is 0 0. CrystFEL's data sets may be arranged in further ways; these are views of the slab or stack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.model.instrument import Panel

#: Pixels of an array that are never too many, and most pixels for each one of a panel.
_FREE_PIXELS, _MOST_EMPTY = 1 << 26, 16
#: Most layers that numbers of CrystFEL may leave empty.
_EMPTY_LAYERS = 64
#: Layer, slow and fast pixel of the corner of a panel.
Corner = tuple[int, int, int]


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
    members : tuple of (int, tuple of int)
        Number of each of its panels, and the panel's indices.
    masks : tuple of (str, int, int)
        Masks with the same axes (:class:`nbnumba.model.instrument.DataPlace`).
    """

    path: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    members: tuple[tuple[int, tuple[int, ...]], ...]
    masks: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Layout:
    """Places of the panels in one array.

    Attributes
    ----------
    layers : int or None
        Layers of a stack; None: the array is one picture.
    spixels, fpixels : int
        Size of the picture, or of a layer.
    corners : tuple of (layer, slow, fast)
        Place of pixel (0, 0) of every panel.
    sizes : tuple of (spixels, fpixels)
        Of every panel.
    views : tuple of View
        Data sets that the file of the geometry names.
    shared : tuple of str
        Two panels that have pixels in common in that file, so that their data have no place there; else empty.
    """

    layers: int | None
    spixels: int
    fpixels: int
    corners: tuple[Corner, ...]
    sizes: tuple[tuple[int, int], ...]
    views: tuple[View, ...] = ()
    shared: tuple[str, ...] = ()

    @classmethod
    def single(cls, spixels: int, fpixels: int) -> Layout:
        """Layout of one panel, whose array is its own."""
        return cls(None, spixels, fpixels, ((0, 0, 0),), ((spixels, fpixels),))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array: (slow, fast) or (layer, slow, fast)."""
        return (() if self.layers is None else (self.layers,)) + (self.spixels, self.fpixels)

    @property
    def has_gaps(self) -> bool:
        """Whether pixels of the array are in no panel."""
        return sum(slow * fast for slow, fast in self.sizes) < math.prod(self.shape)

    def part(self, number: int) -> tuple[int | slice, ...]:
        """Index of a panel's pixels in the array."""
        (layer, slow, fast), (spixels, fpixels) = self.corners[number], self.sizes[number]
        picture = slice(slow, slow + spixels), slice(fast, fast + fpixels)
        return picture if self.layers is None else (layer, *picture)

    def arrange(self, panels: Sequence[np.ndarray], gap: float = 0) -> np.ndarray:
        """The array of all panels; ``gap`` is the value of pixels that are in none."""
        whole = np.full(self.shape, gap, dtype=panels[0].dtype)
        for number, panel in enumerate(panels):
            whole[self.part(number)] = panel
        return whole

    def picture(self, panels: Sequence[np.ndarray]) -> np.ndarray:
        """One picture (slow, fast) of all panels, the layers of a stack side by side in rows; 0 in gaps."""
        whole = self.arrange(panels)
        if self.layers is None:
            return whole
        columns = max(1, min(self.layers, round(math.sqrt(self.layers * self.spixels / self.fpixels))))
        rows = -(-self.layers // columns)
        filled = np.zeros((rows * columns, self.spixels, self.fpixels), whole.dtype)
        filled[: self.layers] = whole
        grid = filled.reshape(rows, columns, self.spixels, self.fpixels)
        return grid.swapaxes(1, 2).reshape(rows * self.spixels, columns * self.fpixels)


def layout_of(panels: Sequence[Panel]) -> Layout:
    """Places of the panels in a data file.

    Raises
    ------
    ConfigError
        The offset of a panel would make an array that is nearly empty and too large.
    """
    sizes = tuple((panel.spixels, panel.fpixels) for panel in panels)
    shared: tuple[str, ...] = ()
    if all(panel.place is not None for panel in panels):
        shared = _shared(panels)
        if not shared:
            layers, corners = _indexed(panels)
            return _checked(panels, Layout(layers, *_extent(corners, sizes), corners, sizes, _views(panels)))
    layers, corners = _by_offset(panels)
    return _checked(panels, Layout(layers, *_extent(corners, sizes), corners, sizes, shared=shared))


def _extent(corners: Sequence[Corner], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    ends = [(s + spixels, f + fpixels) for (_, s, f), (spixels, fpixels) in zip(corners, sizes, strict=True)]
    return max(slow for slow, _ in ends), max(fast for _, fast in ends)


def _checked(panels: Sequence[Panel], layout: Layout) -> Layout:
    used, whole = sum(slow * fast for slow, fast in layout.sizes), math.prod(layout.shape)
    if whole > max(_FREE_PIXELS, _MOST_EMPTY * used):
        far = max(range(len(panels)), key=lambda number: sum(layout.corners[number][1:]))
        raise ConfigError(
            f"panel {panels[far].name or far} is so far out in the data that {' x '.join(map(str, layout.shape))} pixels "
            f"would hold {used}: check its offset {panels[far].offset}"
        )
    return layout


def _key(panel: Panel) -> tuple[str, tuple[int, ...]]:
    """Data set of a panel, and its indices there."""
    assert panel.place is not None
    return panel.place.data, panel.place.indices


def _by_offset(panels: Sequence[Panel]) -> tuple[int | None, tuple[Corner, ...]]:
    """Number of layers, and corners; a panel that covers one of its layer begins the next.

    Panels without an offset lie below all others.
    """
    below = max((panel.offset[1] + panel.spixels for panel in panels if panel.offset is not None), default=0)
    corners: list[Corner] = []
    layer, first = 0, 0
    for number, panel in enumerate(panels):
        fast, slow = panel.offset or (0, below)
        below += 0 if panel.offset is not None else panel.spixels
        if _covers(panel, (slow, fast), panels[first:number], corners[first:]) is not None:
            layer, first = layer + 1, number
        corners.append((layer, slow, fast))
    return (layer + 1 if layer else None), tuple(corners)


def _covers(panel: Panel, corner: tuple[int, int], others: Sequence[Panel], corners: Sequence[Corner]) -> int | None:
    """Which of the other panels has a pixel in common with this one; None if none has."""
    if not others:
        return None
    starts = np.array([other[1:] for other in corners])
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
        fast, slow = panel.offset or (0, 0)
        places = [(0, *(other.offset or (0, 0))[::-1]) for other in members]
        hit = _covers(panel, (slow, fast), members, places)
        if hit is not None or first.place is None or first.place.axes != panel.place.axes:
            return (first if hit is None else members[hit]).name, panel.name
        members.append(panel)
    return ()


def _indexed(panels: Sequence[Panel]) -> tuple[int | None, tuple[Corner, ...]]:
    """Number of layers, and corners, of panels with a place."""
    keys = [_key(panel) for panel in panels]
    known = list(dict.fromkeys(keys))
    layer = {key: number for number, key in enumerate(known)}
    single = len({data for data, _ in keys}) == 1
    if single and all(len(indices) == 1 for _, indices in keys):
        most = max(indices[0] for _, indices in keys)
        if most < len(known) + _EMPTY_LAYERS:  # layers keep their numbers, also where a panel is missing
            layer = {key: key[1][0] for key in known}
    corners = tuple((layer[key], *(panel.offset or (0, 0))[::-1]) for key, panel in zip(keys, panels, strict=True))
    slab = single and not keys[0][1]
    return (None if slab else max(layer.values()) + 1), corners


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
        corners = [(0, *(panel.offset or (0, 0))[::-1]) for panel in held]
        slow, fast = _extent(corners, [(panel.spixels, panel.fpixels) for panel in held])
        ends = (max(column) + 1 for column in zip(*(_key(panel)[1] for panel in held), strict=True))
        size = {"ss": slow, "fs": fast, "%": 1}
        shape = tuple(next(ends) if axis == "#" else size[axis] for axis in place.axes)
        indices = tuple((number, _key(panel)[1]) for number, panel in zip(numbers, held, strict=True))
        views.append(View(path, place.axes, shape, indices, place.masks))
    return tuple(views)
