"""Small shots of known crystals for tests of refinement: images on disk, and models to start from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.refinement.self_test import disturbed, make_truth, noisy
from nbnumba.series.shots import random_misset

SIDE = 160


@cache
def truth() -> nb.Simulation:
    """A crystal whose spots cover a small detector."""
    return make_truth(fpixels=SIDE, spixels=SIDE, distance_mm=60, dump=Path("no such dump"))


def turned(number: int, simulation: nb.Simulation) -> nb.Simulation:
    """The simulation with an orientation of its own."""
    misset = random_misset(np.random.default_rng([number, 5]))
    return replace(simulation, crystal=replace(simulation.crystal, misset_deg=misset))


def make_shot(folder: Path, number: int, simulation: nb.Simulation | None = None, noise: int = 0) -> nb.ShotFile:
    """The image of a crystal, written to the folder, and the model that was turned a little."""
    true = turned(number, truth() if simulation is None else simulation)
    image = nb.simulate(true, device="cpu", threads=1).images[0].astype(np.float64)
    path = folder / f"shot{number:02d}.npy"
    np.save(path, noisy(image, 100 * noise + number).astype(np.int32))
    return nb.ShotFile(path.stem, path, disturbed(true, 0.05, (0.0,) * 6))


def alike(a: Any, b: Any) -> bool:
    """Whether two records are the same but for the last digits of numbers.

    Processes may have another number of threads for NumPy's linear algebra, which then adds up in another order.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(alike(*pair) for pair in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-5, abs=1e-6, nan_ok=True)
    return type(a) is type(b) and bool(a == b)
