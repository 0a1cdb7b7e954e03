"""A refinement whose outcome is known: an image is simulated, its model disturbed, and refined again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nbnumba.derive.catalog import CELL
from nbnumba.derive.setting import DEGREE
from nbnumba.derive.standard_cell import cell_of, standard_vectors, unit_cell_of
from nbnumba.derive.state import rotations
from nbnumba.io.values import Reflections
from nbnumba.model.config import Beam, Crystal, Detector, Sampling, Simulation, StructureFactors
from nbnumba.model.experiment import resolve
from nbnumba.refinement.refined import Refined
from nbnumba.render.simulate import simulate

#: Photons of the 99th percentile of pixels that are lit; photons of background far from the beam, and more of it near.
BRIGHT, FAR, NEAR, WIDTH_PX = 3000.0, 3.0, 20.0, 120.0
#: By how much the model is disturbed: turn (deg) about an axis, cell (Å, deg).
TURN_DEG, AXIS = 0.15, (0.6, -0.64, 0.48)
CELL_CHANGE = (0.1, 0.2, -0.1, 0.0, -0.1, 0.0)


@dataclass(frozen=True, eq=False)
class Trial:
    """An image and what is known about it.

    Attributes
    ----------
    image : (slow, fast) float64
        Photons, with their noise.
    truth, start : Simulation
        What it was made of, and the disturbed model.
    """

    image: np.ndarray
    truth: Simulation
    start: Simulation


def structure_factors(most: tuple[int, int, int] = (24, 28, 32)) -> Reflections:
    """Structure factors that differ from one reflection to the next."""
    ranges = [np.arange(-n, n + 1) for n in most]
    h, k, l = (v.ravel() for v in np.meshgrid(*ranges, indexing="ij"))
    F = 60.0 + 300.0 * np.abs(np.sin(1.7 * h * h + 0.9 * k * k + 2.3 * l * l + 0.61 * h * l))
    return Reflections(np.stack([h, k, l], axis=1), F)


def make_truth(**changes: Any) -> Simulation:
    """A monoclinic nanocrystal on a small detector, of such a size that its brightest spots have some thousands of photons."""
    truth = Simulation(
        crystal=Crystal(cell=(55, 65, 75, 90, 95, 90), misset_deg=(31, -22, 57), Na=12, Nb=12, Nc=11, shape="gauss"),
        detector=Detector(distance_mm=150, pixel_mm=0.177, fpixels=513, spixels=513),
        beam=Beam(wavelength_A=1.3, fluence=1e24),
        structure_factors=StructureFactors(hkl=structure_factors()),
        sampling=Sampling(oversample=1),
        physics="correct",
    )
    truth = truth.changed(**changes)
    light = np.concatenate([image[image > 1e-9 * image.max()] for image in simulate(truth, device="cpu").images])
    factor = BRIGHT / float(np.percentile(light, 99))
    return truth.changed(fluence=truth.beam.fluence * factor)


def disturbed(
    truth: Simulation,
    turn_deg: float = TURN_DEG,
    cell: tuple[float, ...] = CELL_CHANGE,
    axis: tuple[float, ...] = AXIS,
) -> Simulation:
    """The simulation with its crystal turned about an axis of the laboratory, and another cell."""
    experiment = resolve(truth)
    changed = tuple(np.add(experiment.crystal.unit_cell, cell).tolist())
    crystal = replace(truth.crystal, cell=changed, A_matrix=None, misset_deg=experiment.crystal.misset_deg)
    direct = resolve(replace(truth, crystal=crystal)).crystal.direct
    turned = direct @ rotations(turn_deg * DEGREE * np.array(axis) / np.linalg.norm(axis)).T
    A = np.linalg.inv(turned) * truth.beam.wavelength_A
    return replace(truth, crystal=replace(crystal, cell=None, misset_deg=None, A_matrix=tuple(A.ravel().tolist())))


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    """Photons of an image on a background that falls off from its middle, drawn."""
    slow, fast = (np.arange(n) - n / 2 for n in image.shape)
    radius = np.add.outer(slow**2, fast**2)
    background = FAR + NEAR * np.exp(-radius / (2 * WIDTH_PX**2))
    return np.random.default_rng(seed).poisson(image + background).astype(np.float64)


def make_trial(seed: int = 0) -> Trial:
    """The image of the self-test."""
    truth = make_truth()
    return Trial(noisy(simulate(truth, device="cpu").images[0].astype(np.float64), seed), truth, disturbed(truth))


def misset_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle (deg) of the rotation that brings cell vectors ``a`` (rows) nearest to ``b``."""
    U, _, V = np.linalg.svd(a.T @ b)
    turn = U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ V))]) @ V
    return float(np.degrees(np.arcsin(min(1.0, np.linalg.norm(turn - turn.T) / np.sqrt(8)))))


def turns_between(start: np.ndarray, end: np.ndarray) -> dict[str, float]:
    """Turns (deg) about x, then y, then z that bring the orientation of cell vectors ``start`` (rows) to that of ``end``."""
    from scipy.spatial.transform import Rotation

    a, b = (np.linalg.solve(standard_vectors(cell_of(direct)), direct) for direct in (start, end))
    angles = Rotation.from_matrix((np.linalg.inv(a) @ b).T).as_euler("xyz", degrees=True)
    return dict(zip(("misset_x_deg", "misset_y_deg", "misset_z_deg"), angles.tolist(), strict=True))


@dataclass(frozen=True)
class Verdict:
    """How far a refined model is from the truth.

    Attributes
    ----------
    misset_deg : float
    cell_A, cell_deg : float
        Sums of the differences of lengths and of angles.
    N : float
        Largest difference of a number of cells.
    pulls : dict
        Difference of each parameter whose truth is known over its standard error.
    """

    misset_deg: float
    cell_A: float
    cell_deg: float
    N: float
    pulls: dict[str, float]


def judge(refined: Refined, truth: Simulation) -> Verdict:
    """Compare a refined model with the truth."""
    true, crystal = resolve(truth).crystal, refined.settings[0].state
    off = np.abs(unit_cell_of(crystal.direct) - true.unit_cell)
    known = dict(zip(("Na", "Nb", "Nc"), true.N, strict=True)) | dict(zip(CELL, true.unit_cell, strict=True))
    known |= turns_between(refined.settings[0].experiment.crystal.direct, true.direct)
    pulls = {}
    for name, value, error in zip(refined.names, refined.values, refined.errors, strict=True):
        if name in known and np.isfinite(error):
            pulls[name] = float((value - known[name]) / error)
    return Verdict(
        misset_deg=misset_between(crystal.direct, true.direct),
        cell_A=float(off[:3].sum()),
        cell_deg=float(off[3:].sum()),
        N=float(np.abs(np.diag(crystal.size) - true.N).max()),
        pulls=pulls,
    )
