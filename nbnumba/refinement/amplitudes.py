"""Refinement of structure factors: thousands of parameters, each of which only few pixels know.

The expected photons are linear in F^2, so that each unknown is the ratio of F^2 to that of the start, which all symmetry mates
have in common. The equations of all ratios and all planes of background are sparse, and are solved as such.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.symmetry import Group, same_reflection
from nbnumba.io.values import FTable
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.refinement.target import Target

#: Rounds of scoring, smallest ratio, and change of all ratios relative to their errors below which scoring ends.
ROUNDS, SMALLEST, ENOUGH = 30, 1e-4, 0.02
#: Relative standard deviation that structure factors have at the start where nothing is said: those that no pixel knows stay.
HELD = 0.5
#: Columns of the refined structure factors: indices in the asymmetric unit, F before and after, its standard error, and
#: number of reflections of the image that know it.
AMPLITUDE = np.dtype(
    [
        *((name, np.int32) for name in ("h", "k", "l")),
        *((name, np.float64) for name in ("F_start", "F", "sigma")),
        ("reflections", np.int32),
    ]
)


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Refined structure factors.

    Attributes
    ----------
    rows : (unique,) of :data:`AMPLITUDE`
    hkl : (n, 3) int64
        Reflections that contribute to the pixels.
    group : (n,) int64
        Their rows.
    """

    rows: np.ndarray
    hkl: np.ndarray
    group: np.ndarray

    def table(self, before: FTable, group: Group) -> FTable:
        """The structure factors with the refined ones in their place, symmetry mates that no pixel knows included."""
        low = np.array([before.h_min, before.k_min, before.l_min])
        every = np.indices(before.grid.shape).reshape(3, -1).T + low
        number, count = same_reflection(np.concatenate([self.hkl, every]), group, friedel=True)
        ratios = np.ones(count)
        ratios[number[: len(self.hkl)]] = (self.rows["F"] / self.rows["F_start"])[self.group]
        grid = before.grid * ratios[number[len(self.hkl) :]].reshape(before.grid.shape)
        return replace(before, grid=np.ascontiguousarray(grid))


def refine_amplitudes(target: Target, x: np.ndarray, table: FTable, group: Group, sigma: float) -> Amplitudes:
    """The structure factors that explain the pixels best, everything else being as it is at ``x``.

    Parameters
    ----------
    table : FTable
        The present ones.
    group : Group
        Structure factors of its equivalent reflections, and of Friedel mates, are equal.
    sigma : float
        Relative standard deviation of the structure factors at the start.

    Raises
    ------
    ConfigError
        No reflection of a list contributes to the pixels.
    """
    from scipy import sparse

    pixels, hkl, slopes, rest = _contributions(target, x, table)
    known, reflection = np.unique(hkl, axis=0, return_inverse=True)
    number, count = same_reflection(known, group, friedel=True)
    n = len(target.boxes.photons)
    matrix = sparse.csr_matrix((slopes, (pixels, number[reflection.ravel()])), (n, count))
    ratio, errors = _score(target, matrix, rest, sigma)
    rows = np.zeros(count, AMPLITUDE)
    for axis, name in enumerate("hkl"):
        rows[name][number[::-1]] = known[::-1, axis]
    rows["F_start"][number] = amplitudes_of(table, known)
    rows["F"] = rows["F_start"] * np.sqrt(ratio)
    rows["sigma"] = 0.5 * rows["F"] * errors / ratio
    rows["reflections"] = np.bincount(number, minlength=count)
    return Amplitudes(rows, known, number)


def amplitudes_of(table: FTable, hkl: np.ndarray) -> np.ndarray:
    """F of reflections (n, 3) within the box of a table, (n,)."""
    found: np.ndarray = table.grid[tuple((hkl - [table.h_min, table.k_min, table.l_min]).T)]
    return found


def _contributions(target: Target, x: np.ndarray, table: FTable) -> tuple[np.ndarray, ...]:
    """Pixels in the order of the boxes, their reflections, derivatives by the ratio of F^2, and light of no such reflection."""
    boxes = target.boxes
    place = np.empty(len(boxes.order), np.int64)
    place[boxes.order] = np.arange(len(boxes.order))
    numbers, first = [], 0
    for mask in boxes.masks:
        image = np.full(mask.shape, -1)
        count = int(np.count_nonzero(mask))
        image[mask] = place[first : first + count]
        numbers.append(image)
        first += count
    pixels, hkl, slopes, light = [], [], [], np.zeros(len(place))
    for found in target.derivatives(x):
        light += found.table()[boxes.order, 0]
        for panel, image in enumerate(numbers):
            part = found.structure_factors(panel)
            pixels.append(image[part.pixels[:, 0], part.pixels[:, 1]])
            hkl.append(part.hkl)
            slopes.append(part.values * amplitudes_of(table, part.hkl) / 2)
    at, indices, ratios = np.concatenate(pixels), np.concatenate(hkl), np.concatenate(slopes)
    inside = at >= 0
    at, indices, ratios = at[inside], indices[inside], ratios[inside]
    if not len(at):
        raise ConfigError("no reflection of the list contributes to the pixels: check -hkl and the start model")
    return at, indices, ratios, light - np.bincount(at, ratios, minlength=len(light))


def _score(target: Target, matrix: Any, rest: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Ratios of F^2 and their standard errors, by Fisher's scoring with the planes of background."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    from nbnumba.kernels.cpu.shoeboxes import score_pixels

    boxes, n = target.boxes, matrix.shape[1]
    columns = np.column_stack([np.ones(len(rest)), boxes.places])
    rows = np.repeat(np.arange(len(rest)), 3)
    where = (3 * boxes.owner[:, None] + np.arange(3)).ravel()
    planes = sparse.csr_matrix((columns.ravel(), (rows, where)), (len(rest), 3 * len(boxes)))
    fits = target.options.background == "refined"
    whole = sparse.hstack([matrix, planes]).tocsr() if fits else matrix
    unknown = np.concatenate([np.ones(n), target.planes.ravel()]) if fits else np.ones(n)
    fixed = rest if fits else rest + planes @ target.planes.ravel()
    held = np.zeros(len(unknown))
    held[:n] = 1 / (2 * sigma) ** 2
    terms = np.empty((len(rest), 3))
    for _ in range(ROUNDS):
        score_pixels(terms, boxes.photons, fixed + whole @ unknown, target.noise, target.kind)
        slope, weight = terms[:, 1], terms[:, 2]
        normal = (whole.T @ whole.multiply(weight[:, None])).tocsc()
        diagonal = normal.diagonal()
        normal += sparse.diags(held + 1e-9 * np.maximum(diagonal, diagonal.max() * 1e-9))
        factors = splu(normal.tocsc())
        start = np.concatenate([np.ones(n), np.zeros(len(unknown) - n)])
        step = factors.solve(whole.T @ slope - held * (unknown - start))
        unknown = unknown + step
        unknown[:n] = np.maximum(unknown[:n], SMALLEST)
        if np.max(np.abs(step[:n]) * np.sqrt(diagonal[:n] + held[:n])) < ENOUGH:
            break
    errors = 1 / np.sqrt(np.maximum(diagonal[:n] + held[:n], 1e-300))
    return unknown[:n], errors


def with_amplitudes(experiment: Experiment, found: Amplitudes, group: Group) -> Experiment:
    """The experiment with refined structure factors."""
    assert experiment.structure_factors is not None
    simulation = experiment.simulation
    given = simulation.structure_factors.with_table(found.table(experiment.structure_factors, group))
    return resolve(replace(simulation, structure_factors=given), experiment)
