"""Shoeboxes of a refinement as strips of small images: which ones are shown, and their picture in dots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbnumba.refinement.boxes import Boxes
from nbnumba.refinement.refined import Refined

#: Most shoeboxes that are shown, and shells of resolution from which they are taken.
MOST, SHELLS = 24, 6
#: Titles of the images of a strip.
TITLES = ("data", "start", "refined", "Z")
#: End of the scale of Z.
Z_END = 5.0
#: Exponent of the grey scale: below 1, so that the background beside a bright spot is seen.
_GAMMA = 0.6
#: Least height of the grey scale above the background, in standard deviations of its photons.
_LEAST_SIGMAS = 8.0
#: Share of grey of the darkest and of the brightest pixel; the frame around a box, which has white pixels in Z.
_BLACK, _WHITE, _FRAME = 0.04, 0.99, (140, 152, 164)


@dataclass(frozen=True, eq=False)
class Sheet:
    """Strips in columns, top to bottom, then left to right.

    Attributes
    ----------
    dots : (high, wide, 3) uint8
        The picture.
    tile : int
        Side of an image.
    corners : (n, 2) int
        Left and top of each strip's first image.
    columns : int
    """

    dots: np.ndarray
    tile: int
    corners: np.ndarray
    columns: int


def resolutions(refined: Refined) -> np.ndarray:
    """Resolution (Å) of each shoebox, (boxes,), by the refined cell of its lattice; infinite for 0 0 0."""
    boxes = refined.boxes
    found = np.full(len(boxes), np.inf)
    for number, setting in enumerate(refined.settings):
        here = boxes.lattice == number
        q = np.linalg.norm(boxes.hkl[here] @ np.linalg.inv(setting.state.direct).T, axis=1)
        found[here] = np.divide(1.0, q, out=np.full(len(q), np.inf), where=q > 0)
    return found


def box_chi2(refined: Refined) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squared residuals of each shoebox, at the start and in the end, (boxes,)."""
    first, last = refined.target.residuals(refined.first), refined.residuals
    return refined.boxes.sums(first**2), refined.boxes.sums(last**2)


def telling_boxes(refined: Refined, most: int = MOST) -> np.ndarray:
    """Numbers of the most telling shoeboxes, by falling resolution (Å).

    A shoebox is telling if the refinement explains much of it that the start did not: by the fall of its chi^2. As strong spots
    at one resolution would win everywhere, shoeboxes are sorted into shells of as many of them each, and every shell sends as
    many. Where nothing falls, as from a start that is right, the strongest spots by I over sigma are told.
    """
    before, after = box_chi2(refined)
    gain = np.maximum(np.nan_to_num(before - after, posinf=np.finfo(float).max), 0.0)
    strength = np.nan_to_num(refined.spots["intensity"] / np.maximum(refined.spots["sigma"], 1e-300))
    d = resolutions(refined)
    by_resolution = np.lexsort((np.arange(len(d)), -d))
    shells = np.array_split(by_resolution, min(SHELLS, most))
    ranked = [shell[np.lexsort((-strength[shell], -gain[shell]))] for shell in shells]
    # a round takes the next of each shell, so that small shells leave their places to the others
    rounds = [shell[place] for place in range(max(map(len, ranked))) for shell in ranked if place < len(shell)]
    chosen = np.array(rounds[:most], dtype=int)
    order: np.ndarray = np.argsort(-d[chosen], kind="stable")
    return chosen[order]


def pixel_values(refined: Refined) -> np.ndarray:
    """Data, model at the start, refined model and Z of all pixels, (4, pixels), in the order of the boxes."""
    first, last = refined.first, refined.last
    models = [point.light + refined.target.background(point.planes) for point in (first, last)]
    return np.stack([refined.boxes.photons, *models, refined.residuals])


def strip_images(boxes: Boxes, values: np.ndarray, number: int) -> np.ndarray:
    """Images of a shoebox, (4, slow, fast), of the values of all pixels; NaN outside of it."""
    here = slice(int(boxes.starts[number]), int(boxes.starts[number + 1]))
    slow, fast = boxes.slow[here] - boxes.slow[here].min(), boxes.fast[here] - boxes.fast[here].min()
    images = np.full((len(values), slow.max() + 1, fast.max() + 1), np.nan)
    images[:, slow, fast] = values[:, here]
    return images


def grey_range(images: np.ndarray) -> tuple[float, float]:
    """Photons that are white, and black, in data, start and refined model of a shoebox: what data and refined model need.

    A start that is too bright is black. Noise alone is pale: the scale reaches some standard deviations above the background.
    """
    shown = images[[0, 2]][np.isfinite(images[[0, 2]])]
    usual = float(np.median(shown))
    noise = np.sqrt(max(usual, 1.0))
    return float(shown.min()), max(float(shown.max()), usual + _LEAST_SIGMAS * float(noise))


def make_sheet(refined: Refined, numbers: np.ndarray, size: tuple[int, int], label: int, gap: int = 6) -> Sheet:
    """Strips of shoeboxes, as large as ``size`` (wide, high) lets them be.

    Parameters
    ----------
    label : int
        Dots above each strip for its text.
    gap : int
        Dots between the images of a strip.
    """
    wide, high = size
    count = max(1, len(numbers))
    sides = []
    for columns in (1, 2, 3, 4):
        rows = -(-count // columns)
        across = (wide - (columns - 1) * 5 * gap) // columns - 3 * gap
        sides.append((min(across // 4, high // rows - label - gap), -columns))
    tile, columns = max(sides)[0], -max(sides)[1]
    rows = -(-count // columns)
    dots = np.full((high, wide, 3), 255, np.uint8)
    corners = np.zeros((len(numbers), 2), int)
    width = 4 * tile + 3 * gap
    apart = min((wide - width) // max(1, columns - 1), width + 8 * gap) if columns > 1 else 0
    values = pixel_values(refined)
    for place, number in enumerate(numbers):
        column, row = place // rows, place % rows
        left, top = column * apart, row * (tile + label + gap) + label
        corners[place] = left, top
        images = strip_images(refined.boxes, values, int(number))
        ends = grey_range(images)
        for at, image in enumerate(images):
            start = left + at * (tile + gap)
            colours = grey(image, ends) if at < 3 else blue_red(image)
            dots[top : top + tile, start : start + tile] = _enlarged(colours, np.isfinite(image), tile)
    return Sheet(dots, tile, corners, columns)


def grey(image: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Colours, (slow, fast, 3) uint8, of photons between those that are white and black."""
    level = np.clip((np.nan_to_num(image) - ends[0]) / (ends[1] - ends[0]), 0, 1) ** _GAMMA
    shade = _WHITE + (_BLACK - _WHITE) * level
    return np.repeat((255 * shade).astype(np.uint8)[..., None], 3, axis=2)


def blue_red(image: np.ndarray) -> np.ndarray:
    """Colours, (slow, fast, 3) uint8, of Z."""
    from matplotlib import colormaps  # slow to load

    level = np.clip(np.nan_to_num(image) / (2 * Z_END) + 0.5, 0, 1)
    found: np.ndarray = colormaps["RdBu_r"](level, bytes=True)[..., :3]
    return found


def _enlarged(colours: np.ndarray, inside: np.ndarray, tile: int) -> np.ndarray:
    """A square of ``tile`` dots with the image in its middle, white outside of the box, and a line around it."""
    longest = max(inside.shape)
    times = tile // longest if tile >= 2 * longest else tile / longest
    places = [np.minimum((np.arange(max(1, int(n * times))) / times).astype(int), n - 1) for n in inside.shape]
    high, wide = (len(place) for place in places)
    top, left = (tile - high) // 2, (tile - wide) // 2
    found, mask = np.full((tile, tile, 3), 255, np.uint8), np.zeros((tile + 2, tile + 2), bool)
    found[top : top + high, left : left + wide] = colours[np.ix_(*places)]
    mask[top + 1 : top + 1 + high, left + 1 : left + 1 + wide] = inside[np.ix_(*places)]
    middle = mask[1:-1, 1:-1]
    found[~middle] = 255
    all_inside = middle & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    found[middle & ~all_inside] = _FRAME
    return found
