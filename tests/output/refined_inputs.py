"""Made-up refinements whose shoeboxes, steps and values are known."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from nbnumba.refinement.boxes import Boxes
from nbnumba.refinement.minimizer import Step
from nbnumba.refinement.options import RefineOptions
from nbnumba.refinement.refined import Refined
from nbnumba.refinement.spots import SPOT
from nbnumba.refinement.target import Point, Target

#: Photons of background in every pixel, and edge of the cell (Å).
BACKGROUND, EDGE = 10.0, 100.0


def make_boxes(count: int, shape: tuple[int, int] = (7, 9), lattices: int = 1) -> Boxes:
    """Boxes of one shape side by side; box i is reflection i + 1, 0, 0, and its corners are not in it."""
    slow, fast = (axis.ravel() for axis in np.indices(shape))
    corner = np.isin(slow, (0, shape[0] - 1)) & np.isin(fast, (0, shape[1] - 1)) & (min(shape) > 2)
    slow, fast = slow[~corner].astype(np.int32), fast[~corner].astype(np.int32)
    n = len(slow)
    return Boxes(
        masks=(np.ones((shape[0], count * shape[1]), bool),),
        order=np.arange(count * n),
        starts=np.arange(count + 1, dtype=np.int64) * n,
        panel=np.zeros(count * n, np.int32),
        slow=np.tile(slow, count),
        fast=np.concatenate([fast + i * shape[1] for i in range(count)]).astype(np.int32),
        places=np.zeros((count * n, 2)),
        photons=np.zeros(count * n),
        hkl=np.stack([np.arange(1, count + 1), np.zeros(count), np.zeros(count)], axis=1).astype(np.int32),
        lattice=(np.arange(count) % lattices).astype(np.int32),
        bright=np.ones(count * n, bool),
    )


def peaks(boxes: Boxes, heights: np.ndarray) -> np.ndarray:
    """A round spot in the middle of each box."""
    owner = boxes.owner
    away = np.zeros(len(owner))
    for values in (boxes.slow, boxes.fast):
        away += (values - (boxes.sums(values.astype(float)) / np.diff(boxes.starts))[owner]) ** 2
    return heights[owner] * np.exp(-away / 4)


def make_refined(
    count: int = 40,
    *,
    wrong: np.ndarray | None = None,
    heights: np.ndarray | None = None,
    noise: bool = True,
    shape: tuple[int, int] = (7, 9),
    lattices: int = 1,
    steps: tuple[tuple[str, Step], ...] | None = None,
    **changes: Any,
) -> Refined:
    """A refined model that is right; at the start the spots of ``wrong`` (count,) bool boxes were missing."""
    boxes = make_boxes(count, shape, lattices)
    heights = np.full(count, 100.0) if heights is None else heights
    light = peaks(boxes, heights)
    rng = np.random.default_rng(5)
    boxes.photons[:] = rng.poisson(light + BACKGROUND) if noise else light + BACKGROUND
    missing = np.zeros(count, bool) if wrong is None else wrong
    planes = np.tile(np.array([BACKGROUND, 0, 0]), (count, 1))
    points = [
        Point(np.zeros(3), 0.0, np.zeros(3), np.eye(3), photons, planes)
        for photons in (light * ~missing[boxes.owner], light)
    ]
    target = Target.__new__(Target)  # without experiments, which the pictures do not need
    target.boxes, target.noise, target.options = boxes, np.zeros(len(light)), RefineOptions()
    spots = np.zeros(count, SPOT)
    spots["intensity"], spots["sigma"] = boxes.sums(light), np.sqrt(boxes.sums(light + BACKGROUND))
    spots["offset_before_px"], spots["offset_px"] = 1.25, 0.05
    given: dict[str, Any] = {
        "names": ("misset_x_deg", "cell_a", "scale"),
        "start": np.array([0.0, 55.1, 1.0]),
        "values": np.array([-0.15012, 55.00021, 1.25]),
        "errors": np.array([0.00031, 0.00022, 0.004]),
        "correlations": np.eye(3),
        "reason": "",
        "steps": make_steps("1", (4000.0, 300.0, 12.0, 10.0)) if steps is None else steps,
        "evaluations": 5,
        "rejected": 0,
        "seconds": 0.1,
        "settings": (SimpleNamespace(state=SimpleNamespace(direct=EDGE * np.eye(3))),) * lattices,
        "spots": spots,
        "first": points[0],
        "last": points[1],
        "target": target,
    }
    return Refined(**given | changes)


def make_steps(stage: str, values: tuple[float, ...], expected: float = 1e-4) -> tuple[tuple[str, Step], ...]:
    """Steps through these values, the first being the start; a step needs one evaluation, the second two."""
    pairs = list(pairwise(values))
    return tuple(
        (stage, Step(i + 1, after, before - after, expected, 1e-3, i + 1 + (i > 0)))
        for i, (before, after) in enumerate(pairs)
    )
