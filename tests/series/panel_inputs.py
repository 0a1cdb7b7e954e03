"""Shots on a detector of several panels that are not where the start has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import nbnumba as nb
from nbnumba.derive.setting import DEGREE
from nbnumba.derive.state import rotations
from nbnumba.model.experiment import resolve
from nbnumba.refinement.self_test import disturbed, make_truth, noisy
from nbnumba.series.shots import random_misset

#: Pixels (fast, slow) and size (mm) of a panel, and distance.
FAST, SLOW, PIXEL_MM, DISTANCE_MM = 256, 128, 0.177, 150.0


def panels(rows: int = 4) -> tuple[nb.Panel, ...]:
    """Two columns of panels around the beam, which is along z."""
    found = []
    for number in range(2 * rows):
        column, row = divmod(number, rows)
        across = (column - 1) * (FAST + 4) * PIXEL_MM + 0.4
        corner = (across, (rows / 2 - row) * (SLOW + 4) * PIXEL_MM - 0.4, DISTANCE_MM)
        found.append(
            nb.Panel(
                pix0_mm=corner,
                fast_axis=(1, 0, 0),
                slow_axis=(0, -1, 0),
                fpixels=FAST,
                spixels=SLOW,
                pixel_mm=PIXEL_MM,
                name=f"p{number}",
                offset=(column * FAST, row * SLOW),
            )
        )
    return tuple(found)


def moved(panel: nb.Panel, shift_mm: np.ndarray, turn_deg: np.ndarray) -> nb.Panel:
    """The panel after a turn about its middle, and a shift."""
    turn = rotations(turn_deg * DEGREE)
    corner, fast, slow = (np.array(v) for v in (panel.pix0_mm, panel.fast_axis, panel.slow_axis))
    middle = corner + PIXEL_MM * (panel.fpixels * fast + panel.spixels * slow) / 2
    return replace(
        panel,
        pix0_mm=tuple((turn @ (corner - middle) + middle + shift_mm).tolist()),
        fast_axis=tuple((turn @ fast).tolist()),
        slow_axis=tuple((turn @ slow).tolist()),
    )


def disorder(rows: int = 4, seed: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shift of each panel, up to 0.3 mm along each axis, and turn by 0.1 degrees about some axis."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(2 * rows):
        axis = random.normal(size=3)
        found.append((random.uniform(-0.3, 0.3, 3), 0.1 * axis / np.linalg.norm(axis)))
    return found


def disordered(rows: int = 4) -> tuple[nb.Panel, ...]:
    """The panels where they are."""
    return tuple(moved(panel, *motion) for panel, motion in zip(panels(rows), disorder(rows), strict=True))


def panel_truth(rows: int = 4, **changes: object) -> nb.Simulation:
    """A crystal before the disordered panels."""
    return make_truth(
        convention="CUSTOM",
        panels=disordered(rows),
        beam_vector=(0, 0, 1),
        polar_vector=(0, 1, 0),
        spindle_axis=(1, 0, 0),
        dump=Path("no such dump"),
        **changes,
    )


def panel_shot(folder: Path, number: int, truth: nb.Simulation) -> nb.ShotFile:
    """Image of a crystal with an orientation of its own; the start has ordered panels, and is turned by 0.05 degrees."""
    misset = random_misset(np.random.default_rng([number, 8]))
    true = replace(truth, crystal=replace(truth.crystal, misset_deg=misset))
    images = nb.simulate(true, device="cpu", threads=1).images
    rows = len(images) // 2
    whole = np.zeros((rows * SLOW, 2 * FAST))
    for panel, image in zip(true.detector.panels, images, strict=True):
        fast, slow = panel.offset
        whole[slow : slow + SLOW, fast : fast + FAST] = image
    path = folder / f"shot{number:02d}.npy"
    np.save(path, noisy(whole, number).astype(np.int32))
    axis = tuple(np.random.default_rng([number, 9]).normal(size=3).tolist())
    start = disturbed(true, 0.05, (0.0,) * 6, axis)
    return nb.ShotFile(path.stem, path, replace(start, detector=replace(start.detector, panels=panels(rows))))


def corners(simulation: nb.Simulation) -> np.ndarray:
    """Corners of all panels, (panels, 4, 3) mm."""
    found = []
    for panel in resolve(simulation).detector.panels:
        sides = panel.pixel_size * np.array([panel.fpixels * panel.fdet, panel.spixels * panel.sdet])
        found.append([1000 * (panel.pix0 + f * sides[0] + s * sides[1]) for f in (0, 1) for s in (0, 1)])
    return np.array(found)


def misfit(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Largest distance (mm) of corners, and largest angle (deg) between panels, after the best common rigid motion."""
    moved_a, turn = _fitted(a.reshape(-1, 3), b.reshape(-1, 3))
    distance = float(np.linalg.norm(moved_a - b.reshape(-1, 3), axis=1).max())
    angles = []
    for one, other in zip(a, b, strict=True):
        _, own = _fitted(one, other)
        rest = own @ turn.T
        angles.append(np.degrees(np.arcsin(min(1.0, float(np.linalg.norm(rest - rest.T)) / np.sqrt(8)))))
    return distance, float(max(angles))


def _fitted(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points ``a`` after the rotation and shift that bring them nearest to ``b``, and the rotation."""
    middle_a, middle_b = a.mean(axis=0), b.mean(axis=0)
    U, _, V = np.linalg.svd((b - middle_b).T @ (a - middle_a))
    turn = U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ V))]) @ V
    return (a - middle_a) @ turn.T + middle_b, turn
