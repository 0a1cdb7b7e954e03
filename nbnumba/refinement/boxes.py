"""Shoeboxes: the pixels around each predicted reflection.

The image is predicted with wider spots: as wide as those of the model become if the crystal is turned by ``reach_deg``. Pixels
that are bright in it, and a frame of ``rim_px`` around them, belong to the reflection whose lattice point is nearest; so
neighbours share no pixel, though each pixel's light may come from several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nbnumba.derive.setting import Setting, axis_of
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.refinement.measured import Measured
from nbnumba.refinement.options import RefineOptions
from nbnumba.render.dispatch import make_renderer
from nbnumba.render.inputs import KernelInputs

#: Fewest good pixels of a box, and their smallest share.
LEAST_PIXELS, LEAST_GOOD = 10, 0.5
#: Most orientations, and most sources, with which boxes are predicted.
MOST = 24
#: Share of the brightest pixel of a predicted spot below which pixels are tails.
TAIL = 0.01
#: Narrowest spots, in cells along an axis, that a prediction has.
FEWEST_CELLS = 2.0


@dataclass(frozen=True, eq=False)
class Boxes:
    """Pixels of all shoeboxes, box by box.

    Attributes
    ----------
    masks : tuple of (spixels, fpixels) bool
        The pixels of every panel.
    order : (n,) int64
        From the order of panels, rows and columns to that of the boxes.
    starts : (boxes + 1,) int64
        First pixel of each box.
    panel, slow, fast : (n,) int32
    places : (n, 2) float64
        Slow and fast distance from the middle of the box, over its largest.
    photons : (n,) float64
        Measured.
    hkl : (boxes, 3) int32
    lattice : (boxes,) int32
    bright : (n,) bool
        Pixels where spots are expected, and not background alone.
    """

    masks: tuple[np.ndarray, ...]
    order: np.ndarray
    starts: np.ndarray
    panel: np.ndarray
    slow: np.ndarray
    fast: np.ndarray
    places: np.ndarray
    photons: np.ndarray
    hkl: np.ndarray
    lattice: np.ndarray
    bright: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def owner(self) -> np.ndarray:
        """Number of the box of each pixel, (n,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of values (n,) over each box."""
        found: np.ndarray = np.add.reduceat(values, self.starts[:-1])
        return found

    def kept(self, good: np.ndarray, measured: Measured) -> Boxes:
        """The boxes without pixels that are not ``good``, (n,) bool."""
        labels = []
        for panel, mask in enumerate(self.masks):
            label, here = np.full(mask.shape, -1, np.int32), good & (self.panel == panel)
            label[self.slow[here], self.fast[here]] = self.owner[here]
            labels.append(label)
        bright = [np.zeros(mask.shape, bool) for mask in self.masks]
        for panel, image in enumerate(bright):
            here = self.bright & (self.panel == panel)
            image[self.slow[here], self.fast[here]] = True
        return gather(labels, bright, self.hkl, self.lattice, measured)


def find_boxes(
    settings: Sequence[Setting],
    measured: Measured,
    options: RefineOptions,
    reflections: Sequence[np.ndarray] | None = None,
) -> Boxes:
    """Shoeboxes of all lattices; ``reflections``: h, k, l (n, 3) of those of each lattice that are taken; None: all.

    Raises
    ------
    ConfigError
        No reflection is predicted on good pixels, or the detector is curved.
    """
    if settings[0].first.panel.curved:
        raise ConfigError("refinement needs flat panels: leave out -curved_det")
    wide = [[widened(x, options.reach_deg) for x in setting.panels] for setting in settings]
    masks = [mask & good for mask, good in zip(settings[0].rendered, measured.good, strict=True)]
    lights = [[rendered(x, mask.shape) for x, mask in zip(one, masks, strict=True)] for one in wide]
    lit = np.concatenate([light[light > 0] for one in lights for light in one])
    if not len(lit):
        raise ConfigError("no spot is predicted on the image: check cell, orientation, structure factors and geometry")
    limit = options.least_share * float(np.percentile(lit, 90))
    labels, brights, keys = [], [], [np.zeros((0, 4), np.int64)]
    for panel, mask in enumerate(masks):
        image = lights[0][panel] if len(lights) == 1 else np.max([one[panel] for one in lights], axis=0)
        bright = image > limit
        slow, fast = np.nonzero(bright)
        lattice = np.argmax([one[panel][slow, fast] for one in lights], axis=0)
        owners = np.zeros((len(slow), 4), np.int64)
        owners[:, 0] = lattice
        for number, one in enumerate(wide):
            here = lattice == number
            owners[here, 1:] = nearest_reflections(one[panel], slow[here], fast[here])
        found, which = unique_rows(owners)
        # the far tails of strong spots tell nothing
        strongest = np.zeros(len(found))
        np.maximum.at(strongest, which, image[bright])
        near = image[bright] > TAIL * strongest[which]
        slow, fast, which = slow[near], fast[near], which[near]
        bright = np.zeros_like(bright)
        bright[slow, fast] = True
        label = np.full(mask.shape, -1, np.int32)
        label[slow, fast] = which + sum(map(len, keys))
        keys.append(found)
        label = grown(label, options.rim_px)
        label = _listed(label, found, sum(map(len, keys[:-1])), reflections)
        labels.append(_mostly_good(label, mask))
        brights.append(bright)
    known = np.concatenate(keys)
    return gather(labels, brights, known[:, 1:].astype(np.int32), known[:, 0].astype(np.int32), measured)


def unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of whole numbers (n, k), and which of them each row is; ``np.unique`` sorts whole rows, slowly."""
    if not len(rows):
        return rows, np.zeros(0, np.int64)
    low = rows.min(axis=0)
    key = np.ravel_multi_index(tuple((rows - low).T), tuple(rows.max(axis=0) - low + 1))
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return rows[first], which.ravel()


def _listed(label: np.ndarray, found: np.ndarray, first: int, reflections: Sequence[np.ndarray] | None) -> np.ndarray:
    """Labels, from ``first`` on, of those lattices and reflections (n, 4) that are listed; never of 0 0 0, the direct beam."""
    keep = np.zeros(first + len(found) + 1, bool)  # the last one is -1: none
    if reflections is None:
        keep[first : first + len(found)] = found[:, 1:].any(axis=1)
    for lattice, listed in enumerate(reflections or ()):
        _, number = unique_rows(np.concatenate([np.asarray(listed, np.int64), found[:, 1:]]))
        known = np.isin(number[len(listed) :], number[: len(listed)])
        keep[first : first + len(found)] |= known & (found[:, 0] == lattice)
    return np.where(keep[label], label, -1)


def _mostly_good(label: np.ndarray, good: np.ndarray) -> np.ndarray:
    """The labels of good pixels, without those of boxes of which too many pixels are not."""
    inside = label >= 0
    count = np.bincount(label[inside])
    fine = np.bincount(label[inside & good], minlength=len(count))
    keep = inside & good
    keep[keep] = (fine >= LEAST_GOOD * count)[label[keep]]
    return np.where(keep, label, -1).astype(np.int32)


def widened(inputs: KernelInputs, reach_deg: float) -> KernelInputs:
    """Kernel arguments of spots that are as wide as the present ones and those of a crystal turned by ``reach_deg``."""
    crystal, cells = inputs.crystal, inputs.cells.reshape(-1, 3, 3)
    lengths = np.linalg.norm(cells[0], axis=1)
    away = np.radians(reach_deg) * lengths / typical_spacing(inputs)  # in h, k, l
    N = np.array([crystal.Na, crystal.Nb, crystal.Nc])
    wide = np.maximum(1 / np.sqrt(1 / N**2 + away**2), np.minimum(N, FEWEST_CELLS))
    block = crystal._replace(
        shape=GAUSS, Na=float(wide[0]), Nb=float(wide[1]), Nc=float(wide[2]), fudge=1.0, per_axis=1
    )
    few = np.unique(np.linspace(0, len(cells) - 1, MOST).astype(int))
    sources = np.unique(np.linspace(0, len(inputs.sources) - 1, MOST).astype(int))
    return replace(
        inputs,
        crystal=block,
        coupling=(0.0, 0.0, 0.0),
        cells=np.ascontiguousarray(inputs.cells[few]),
        sources=np.ascontiguousarray(inputs.sources[sources]),
        cell=inputs.cell._replace(interpolate=0),
        beam=inputs.beam._replace(I_bg=0.0, has_water=0),
        panel=inputs.panel._replace(oversample=1),
    )


def rendered(inputs: KernelInputs, shape: tuple[int, int]) -> np.ndarray:
    """Image of a panel, float32, by the fastest kernel of the CPU."""
    renderer = make_renderer(inputs, "cpu")
    image = renderer.new_image(shape)
    renderer.render(image)
    return image


def typical_spacing(inputs: KernelInputs) -> float:
    """Resolution (m) half-way from the beam to the farthest corner of a panel, or the limit of resolution."""
    panel, beam = inputs.panel, inputs.sources[0]
    pixel = panel.pixel_size
    origin, fast, slow = (axis_of(panel, name) for name in ("pix0", "fdet", "sdet"))
    corners = [origin + pixel * (f * fast + s * slow) for f in (panel.f0, panel.f1) for s in (panel.s0, panel.s1)]
    cosines = [corner @ beam[:3] / np.linalg.norm(corner) for corner in corners]
    half = np.arccos(np.clip(min(cosines), -1.0, 1.0)) / 2
    finest = float(beam[3] / (2 * np.sin(half))) if half > 0 else np.inf
    return 1.5 * max(finest, inputs.beam.dmin)


def nearest_reflections(inputs: KernelInputs, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
    """h, k, l of the lattice point nearest to each pixel's middle, of all orientations and sources, (n, 3)."""
    panel, pixel = inputs.panel, inputs.panel.pixel_size
    origin, fdet, sdet = (axis_of(panel, name) for name in ("pix0", "fdet", "sdet"))
    place = origin + np.outer((fast + 0.5) * pixel, fdet) + np.outer((slow + 0.5) * pixel, sdet)
    d = place / np.linalg.norm(place, axis=1)[:, None]
    N = np.array([inputs.crystal.Na, inputs.crystal.Nb, inputs.crystal.Nc])
    least, hkl = np.full(len(d), np.inf), np.zeros((len(d), 3), np.int64)
    for source in inputs.sources:
        q = (d - source[:3]) / source[3]
        for cell in inputs.cells.reshape(-1, 3, 3):
            indices = q @ cell.T
            whole = np.rint(indices)
            distance = np.square((indices - whole) * N).sum(axis=1)
            closer = distance < least
            least[closer], hkl[closer] = distance[closer], whole[closer]
    return hkl


def grown(label: np.ndarray, rounds: int) -> np.ndarray:
    """Labels, each with a frame of so many pixels, of which a frame that is there first stays; -1: none."""
    label = label.copy()
    sides = ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None)))
    every = slice(None)
    for _ in range(rounds):
        before = label.copy()
        for to, of in sides:
            for here, there in (((to, every), (of, every)), ((every, to), (every, of))):
                view = label[here]
                np.copyto(view, before[there], where=view < 0)
    return label


def gather(
    labels: Sequence[np.ndarray],
    bright: Sequence[np.ndarray],
    hkl: np.ndarray,
    lattice: np.ndarray,
    measured: Measured,
) -> Boxes:
    """Boxes of labelled pixels (number of the box; -1: none); those with too few good pixels are left out.

    Raises
    ------
    ConfigError
        No box is left.
    """
    count = len(hkl)
    inside = [label >= 0 for label in labels]
    pixels = np.bincount(
        np.concatenate([label[here] for label, here in zip(labels, inside, strict=True)]), minlength=count
    )
    keep = pixels >= LEAST_PIXELS
    if not keep.any():
        raise ConfigError(
            "no predicted spot has enough good pixels: they are masked, saturated or off the detector; check the start model"
        )
    masks = [here & keep[label] for label, here in zip(labels, inside, strict=True)]
    places = [np.nonzero(mask) for mask in masks]
    panel = np.concatenate([np.full(len(s), i, np.int32) for i, (s, _) in enumerate(places)])
    slow, fast = (np.concatenate([place[axis] for place in places]).astype(np.int32) for axis in (0, 1))
    owner = np.concatenate([label[mask] for label, mask in zip(labels, masks, strict=True)])
    order = np.argsort(owner, kind="stable")
    owner = owner[order]
    numbers = np.flatnonzero(keep)
    starts = np.concatenate([np.searchsorted(owner, numbers), [len(owner)]]).astype(np.int64)
    slow, fast, panel = slow[order], fast[order], panel[order]
    return Boxes(
        masks=tuple(masks),
        order=order,
        starts=starts,
        panel=panel,
        slow=slow,
        fast=fast,
        places=_places(slow, fast, starts),
        photons=np.concatenate([image[mask] for image, mask in zip(measured.photons, masks, strict=True)])[order],
        hkl=hkl[keep],
        lattice=lattice[keep],
        bright=np.concatenate([image[mask] for image, mask in zip(bright, masks, strict=True)])[order],
    )


def _places(slow: np.ndarray, fast: np.ndarray, starts: np.ndarray) -> np.ndarray:
    sizes = np.diff(starts)
    found = np.stack([slow, fast], axis=1).astype(np.float64)
    found -= np.repeat(np.add.reduceat(found, starts[:-1]) / sizes[:, None], sizes, axis=0)
    largest = np.maximum.reduceat(np.abs(found), starts[:-1]).max(axis=1)
    found /= np.repeat(np.maximum(largest, 1.0), sizes)[:, None]
    return found
