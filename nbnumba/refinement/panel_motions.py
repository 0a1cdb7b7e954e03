"""Motions of panels, each as a whole and relative to all of them, from shared parameters of which several may move a panel.

A common motion of all panels is hardly known where orientations of crystals and the direction of the beam are refined as well;
what panels do beside it is. It is taken away as the rigid motion that fits the displacements of all corners best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbnumba.derive.catalog import find
from nbnumba.derive.setting import DEGREE, setting_of
from nbnumba.derive.state import STEP, State
from nbnumba.model.experiment import Experiment
from nbnumba.refinement.free import PANEL_MOTIONS

#: One row for each panel: motions from the start and their standard errors; the same without the common motion of all panels.
PANEL = np.dtype(
    [
        ("panel", np.int32),
        *((f"{name}{end}", np.float64) for name in PANEL_MOTIONS for end in ("", "_error")),
        *((f"relative_{name}{end}", np.float64) for name in PANEL_MOTIONS for end in ("", "_error")),
    ]
)


def panel_table(
    experiment: Experiment, names: Sequence[str], changes: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Motions of all panels.

    Parameters
    ----------
    experiment : Experiment
        Of the start.
    names : sequence of str
        Parameters; those that move no panel are not looked at.
    changes : (k,) float64
        Their changes, made one after the other.
    covariance : (k, k) float64

    Returns
    -------
    (panels,) of :data:`PANEL`
    """
    moving = [i for i, name in enumerate(names) if name.startswith("panel_") or name == "distance_mm"]
    changes, covariance = changes[moving], covariance[np.ix_(moving, moving)]
    motions, slopes = _motions(experiment, [names[i] for i in moving], changes)
    relative = np.eye(motions.size) - _common(experiment)
    table = np.zeros(len(motions), PANEL)
    table["panel"] = np.arange(len(motions))
    for before, part in (("", np.eye(motions.size)), ("relative_", relative)):
        values = (part @ motions.ravel()).reshape(motions.shape)
        spread = part @ slopes
        errors = np.sqrt(np.einsum("ij,jk,ik->i", spread, covariance, spread)).reshape(motions.shape)
        for column, name in enumerate(PANEL_MOTIONS):
            table[f"{before}{name}"] = values[:, column]
            table[f"{before}{name}_error"] = errors[:, column]
    return table


def _motions(experiment: Experiment, names: Sequence[str], changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Motions of the panels (panels, 6), and their derivatives by the changes (6 panels, k)."""
    start = setting_of(experiment).state
    parameters = [find(name, experiment) for name in names]
    slopes = np.zeros((6 * len(start.turns), len(names)))
    for number in range(len(names)):
        state = start
        for i, (parameter, change) in enumerate(zip(parameters, changes.tolist(), strict=True)):
            state = parameter.applied(state, complex(change, STEP) if i == number else change)
        slopes[:, number] = _of_state(experiment, state).imag.ravel() / STEP
    state = start
    for parameter, change in zip(parameters, changes.tolist(), strict=True):
        state = parameter.applied(state, change)
    return _of_state(experiment, state).real, slopes


def _of_state(experiment: Experiment, state: State) -> np.ndarray:
    """Motions of the panels, (panels, 6) complex128; turns are small."""
    found = np.zeros((len(state.turns), 6), complex)
    for row, turn, shift, frame, middle in zip(found, state.turns, state.shifts, *_frames(experiment), strict=True):
        row[:3] = frame @ (turn @ middle + shift - middle) * 1e3
        # the vector of a rotation from the part of its matrix that is not symmetric
        twice = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        sine = np.sqrt((twice @ twice) / 4)
        row[3:] = frame @ twice / 2 * (np.arcsin(sine) / sine if sine != 0 else 1.0) / DEGREE
    return found


def _frames(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Axes of every panel (panels, 3, 3), fast, slow and normal as rows, and their middles (panels, 3), m."""
    frames, middles = [], []
    for panel in experiment.detector.panels:
        axes = np.array([panel.fdet, panel.sdet, panel.odet])
        frames.append(axes / np.linalg.norm(axes, axis=1)[:, None])
        middles.append(panel.pix0 + panel.pixel_size * (panel.fpixels * panel.fdet + panel.spixels * panel.sdet) / 2)
    return np.array(frames), np.array(middles)


def _common(experiment: Experiment) -> np.ndarray:
    """The part of motions (6 panels,) that is a motion of all panels as one rigid body, a matrix."""
    frames, middles = _frames(experiment)
    count, centre = len(middles), middles.mean(axis=0)
    corners = np.zeros((count, 4, 3, 6))  # displacements (mm) of corners by motions of the panel
    rigid = np.zeros(
        (count, 6, 6)
    )  # motions of the panel by those of the whole: mm along, and degrees about, x, y and z
    for i, (panel, frame, middle) in enumerate(zip(experiment.detector.panels, frames, middles, strict=True)):
        sides = panel.pixel_size * np.array([panel.fpixels * panel.fdet, panel.spixels * panel.sdet]) * 1e3
        for corner, (f, s) in enumerate(((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))):
            corners[i, corner, :, :3] = frame.T
            corners[i, corner, :, 3:] = (DEGREE * np.cross(frame, f * sides[0] + s * sides[1])).T
        rigid[i, :3, :3] = frame
        rigid[i, :3, 3:] = frame @ (DEGREE * np.cross(np.eye(3), (middle - centre) * 1e3)).T
        rigid[i, 3:, 3:] = frame
    moved = np.einsum("icxm,imr->icxr", corners, rigid).reshape(-1, 6)
    whole = np.zeros((12 * count, 6 * count))
    for i in range(count):
        whole[12 * i : 12 * i + 12, 6 * i : 6 * i + 6] = corners[i].reshape(12, 6)
    fitted: np.ndarray = rigid.reshape(-1, 6) @ np.linalg.lstsq(moved, whole, rcond=1e-10)[0]
    return fitted
