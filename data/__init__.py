"""The crystal of the demo: invented structure factors in the cell of tetragonal lysozyme (``make_lysozyme.py``)."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

#: a, b, c in Å, alpha, beta, gamma in degrees; space group P 43 21 2.
LYSOZYME_CELL = (79.1, 79.1, 37.9, 90.0, 90.0, 90.0)

_TABLE = Path(__file__).with_name("lysozyme_asu.hkl")


def lysozyme() -> tuple[np.ndarray, np.ndarray]:
    """Structure factors of the whole sphere to 2 Å, Friedel mates and absent reflections (0) included.

    Returns
    -------
    indices : (n, 3) int32
        h, k, l, in ascending order.
    F : (n,) float64
        Amplitudes in electrons.
    """
    table = np.array(_TABLE.read_text().split(), dtype=np.float64).reshape(-1, 4)
    hkl, F = table[:, :3].astype(np.int64), table[:, 3]
    # Laue group 4/mmm: every sign, and h and k exchanged
    images = [hkl[:, order] * signs for order in ((0, 1, 2), (1, 0, 2)) for signs in product((1, -1), repeat=3)]
    everything = np.concatenate(images)
    base = 2 * int(np.abs(hkl).max()) + 1
    keys = (everything[:, 0] * base + everything[:, 1]) * base + everything[:, 2]
    _, first = np.unique(keys, return_index=True)
    return everything[first].astype(np.int32), F[first % len(F)]


def lysozyme_text() -> str:
    """The structure factors of :func:`lysozyme` as the text of an ``-hkl`` file: ``h k l F`` per line."""
    indices, F = lysozyme()
    return "".join(f"{h} {k} {l} {f:.2f}\n" for (h, k, l), f in zip(indices.tolist(), F.tolist(), strict=True))
