"""Whether a text list of h k l F is what it is taken for: the whole sphere of P1, and amplitudes.

Each check returns a sentence, or none; it needs nothing but the list, and stays silent in doubt.
"""

from __future__ import annotations

import numpy as np

#: Fewest reflections that are judged, and largest part with Friedel mates of half a sphere: those in the plane that cuts it.
FEWEST, FEW_MATES = 4, 0.5
#: Fewest general reflections from which an empty octant is a gap.
FEWEST_GENERAL = 8
#: Symmetry of a list: fewest pairs of mates, part of them that must agree, and how well; largest part without mates.
FEWEST_PAIRS, AGREEING, AGREEMENT, GAPS = 60, 0.95, 1e-3, 0.003
#: Reflections of a long list that are compared, and largest box of numbers, as a multiple of the reflections.
SAMPLE, BOX_MULTIPLE = 20_000, 100
#: Fewest pairs of neighbours that tell amplitudes from intensities.
FEWEST_NEIGHBOURS = 400
#: Mean of ((x1 - x2) / (x1 + x2))^2 over neighbours: up to the first number amplitudes, from the second on intensities.
#: Wilson's statistics: amplitudes 0.142 (acentric) and 0.273 (centric); intensities 1/3 and 1/2.
AMPLITUDES, INTENSITIES = 0.25, 0.305

_MATES = {
    "the Friedel mate": ((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "the mate by a 2-fold axis along a": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "the mate by a 2-fold axis along b": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "the mate by a 2-fold axis along c": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "the mate by a 4-fold axis along c": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "the mate by a 3-fold axis along c": ((0, 1, 0), (-1, -1, 0), (0, 0, 1)),
    "the mate by a 3-fold axis along a+b+c": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
}
_CURE = "-hkl takes h k l F of the whole sphere; --symmetry GROUP expands the list of an asymmetric unit"


def incomplete(indices: np.ndarray, F: np.ndarray) -> str | None:
    """What a list lacks of the whole sphere of P1; None if it seems complete, or is too short to tell.

    Gaps of a measured list are not among it: only those that contradict a symmetry which its F obey exactly.

    Parameters
    ----------
    indices : (n, 3) int
    F : (n,) float
    """
    rows = np.asarray(indices, dtype=np.int64)
    F = np.asarray(F, dtype=np.float64)
    other = rows.any(axis=1)
    rows, F = rows[other], F[other]
    if len(rows) < FEWEST:
        return None
    listed = _Lookup(rows)
    if listed.n_different < FEWEST:
        return None
    mates = listed.find(-rows) >= 0
    n = int(mates.sum())
    if n == 0 or (n < FEW_MATES * len(rows) and _is_half(rows, n)):
        share = "none of its" if n == 0 else f"only {n} of its"
        return f"{share} {len(rows)} reflections {'have' if n else 'has'} the Friedel mate: {_CURE}"
    return _empty_octants(rows) or _gaps(rows, F, listed)


def _is_half(rows: np.ndarray, mates: int) -> bool:
    """Whether an index has one sign, and most reflections of the plane where it is 0 have mates.

    In a sparse sample of reflections, few of that plane have one.
    """
    one_sided = (rows >= 0).all(axis=0) | (rows <= 0).all(axis=0)
    return any(mates >= 0.5 * np.count_nonzero(rows[:, axis] == 0) for axis in np.flatnonzero(one_sided))


class _Lookup:
    """Rows of a list by their index: in a box of their numbers where that is small, else by sorted keys."""

    def __init__(self, rows: np.ndarray) -> None:
        self._limit = 2 * int(np.abs(rows).max()) + 1  # of mates about a 3-fold axis, too
        self._box: np.ndarray | None = None
        if (2 * self._limit + 1) ** 3 <= BOX_MULTIPLE * len(rows):
            self._box = np.full((2 * self._limit + 1) ** 3, -1, dtype=np.int32)
            self._box[self._keys(rows)] = np.arange(len(rows), dtype=np.int32)
            self.n_different = int(np.count_nonzero(self._box >= 0))
            return
        keys = self._keys(rows)
        self._order = np.argsort(keys)
        self._keys_in_order = keys[self._order]
        self.n_different = 1 + int(np.count_nonzero(np.diff(self._keys_in_order)))

    def _keys(self, rows: np.ndarray) -> np.ndarray:
        return index_keys(rows, self._limit)

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Position of each row in the list, -1 where it is not in it."""
        keys = self._keys(rows)
        if self._box is not None:
            return self._box[keys]
        at = np.minimum(np.searchsorted(self._keys_in_order, keys), len(self._order) - 1)
        return np.where(self._keys_in_order[at] == keys, self._order[at], -1)


def index_keys(rows: np.ndarray, limit: int) -> np.ndarray:
    """One number for each index h, k, l of at most this size; exact as long as it fits an integer of 64 bits."""
    width = 2 * limit + 1
    kind = np.int64 if width**3 < 2**62 else np.float64
    h, k, l = (rows + limit).astype(kind).T
    keys: np.ndarray = (h * kind(width) + k) * kind(width) + l
    return keys


def _empty_octants(rows: np.ndarray) -> str | None:
    """Friedel pairs of octants that have no reflection at all."""
    general = rows[(rows != 0).all(axis=1)]
    if len(general) < FEWEST_GENERAL:
        return None
    signs = np.sign(general) * np.sign(general[:, :1])  # of the two mates that with h > 0
    filled = len(np.unique(2 * signs[:, 1] + signs[:, 2]))
    if filled == 4:
        return None
    return f"only {2 * filled} of the 8 octants of h k l have reflections: {_CURE}"


def _gaps(rows: np.ndarray, F: np.ndarray, listed: _Lookup) -> str | None:
    """Reflections without a mate that a symmetry asks for which all others have, with the same F."""
    least, worst = GAPS * len(rows), None
    step = -(-len(rows) // SAMPLE)
    some, F_some = rows[::step], F[::step]
    constant = (F_some == F_some[0]).mean() > 0.5
    for name, turn in () if constant else _MATES.items():
        turned = some @ np.array(turn)
        at = listed.find(turned)
        there = (at >= 0) & (turned != some).any(axis=1) & (F_some != 0)
        if there.sum() < FEWEST_PAIRS or there.mean() < 0.5:
            continue
        one, two = F_some[there], F[at[there]]
        agree = np.abs(one - two) <= AGREEMENT * np.maximum(np.abs(one), np.abs(two))
        if agree.mean() < AGREEING:
            continue
        missing = int(np.count_nonzero(listed.find(rows @ np.array(turn)) < 0))
        if missing > least:
            least, worst = missing, f"{missing} of its {len(rows)} reflections lack {name}, which all others have"
    return None if worst is None else f"{worst}: {_CURE}"


def looks_like_intensities(indices: np.ndarray, values: np.ndarray) -> bool | None:
    """Whether numbers have the distribution of intensities (True) or amplitudes (False); None: they do not tell.

    Reflections are compared with their neighbours, of which neither scale nor resolution differ much.
    """
    found = contrast(indices, values)
    if found is None or AMPLITUDES < found < INTENSITIES:
        return None
    return found >= INTENSITIES


def contrast(indices: np.ndarray, values: np.ndarray) -> float | None:
    """Mean of ((x1 - x2) / (x1 + x2))^2 over pairs of neighbours with positive numbers; None for too few."""
    values = np.asarray(values, dtype=np.float64)
    rows = np.asarray(indices, dtype=np.int64)[values > 0]
    x = values[values > 0]
    if len(x) < FEWEST_NEIGHBOURS // 3:
        return None
    listed, step = _Lookup(rows), -(-len(x) // SAMPLE)
    squares = []
    for axis in np.eye(3, dtype=np.int64):
        at = listed.find(rows[::step] + axis)
        one, two = x[::step][at >= 0], x[at[at >= 0]]
        with np.errstate(over="ignore"):  # an infinite quotient is as good as a large one
            squares.append((1 - 2 / (1 + one / two)) ** 2)
    every = np.concatenate(squares)
    return float(every.mean()) if len(every) >= FEWEST_NEIGHBOURS else None
