"""From the derivative of a state to factors of the kernel's sums."""

from __future__ import annotations

import numpy as np

from nbnumba.derive.setting import ELEMENTS, Setting, axis_of, metric_of
from nbnumba.derive.state import State, axis_of_slope
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import SQUARE
from nbnumba.kernels.formulas.lattice import size_matrix, spot_metric
from nbnumba.kernels.formulas.sums import (
    BRAGG,
    DEBYE,
    FORM,
    GROUND,
    KAHN,
    MOVED,
    SHIFTED,
    SPINS,
    SPUN,
    SUMS,
    SWUNG,
    TILTED,
    TURNED,
)


def metric_change(change: np.ndarray) -> np.ndarray:
    """Change of the numbers of a MetricBlock, (6,), by that of the symmetric matrix."""
    return np.array([change[i, j] * (1.0 if i == j else 2.0) for i, j in ELEMENTS])


def chain_of(at: Setting, slope: State) -> np.ndarray:
    """Derivative of the image as a sum over the kernel's sums, by that of the state: their factors, (panels, SUMS) float64.

    Raises
    ------
    ConfigError
        The image has no such derivative.
    """
    found = np.zeros((len(at.start), SUMS))
    D = slope.direct @ at.back  # A becomes (1 + D) A in every orientation
    stretch = slope.stretch / at.state.stretch  # h is proportional to 1 / wavelength
    found[:, TURNED : TURNED + 9] = (D - stretch * np.eye(3)).ravel()
    found[:, SHIFTED] = slope.shift - stretch * at.state.shift
    found[:, SPUN : SPUN + SPINS] = slope.spins
    found[:, [BRAGG, GROUND]] = slope.scale / at.state.scale
    found[:, KAHN] = slope.kahn_factor
    if at.state.water_um > 0:
        found[:, GROUND] += 3 * slope.water_um / at.state.water_um
    # most parameters change one thing
    if slope.tilt.any():
        found[:, TILTED : TILTED + 3] = axis_of_slope(slope.tilt, at.state.tilt)
    found[:, DEBYE] = _debye(at, slope)
    _add_form(found, at, slope, D)
    if slope.turns.any() or slope.shifts.any():
        _add_motion(found, at, slope)
    return found


def _debye(at: Setting, slope: State) -> float:
    if slope.B_factor and not np.array_equal(at.metric, metric_of(at.start[0].crystal)):
        raise ConfigError(
            "B_factor refers to the first cell, and cannot be changed together with the cell where that decides the size of "
            "spots: take correct physics"
        )
    return -slope.B_factor / 2


def _add_form(found: np.ndarray, at: Setting, slope: State, D: np.ndarray) -> None:
    """Size and sharpness of spots."""
    crystal, form = at.first.crystal, slice(FORM, FORM + 6)
    if slope.size.any():
        larger, found[:, form] = size_slope(at, slope.size)
        found[:, BRAGG] += larger
    if crystal.shape == SQUARE:
        return
    if slope.fudge:
        found[:, form] += slope.fudge / at.state.fudge * np.array(spot_metric(crystal, at.first.coupling)[:6])
    if at.has_product_form:
        found[:, form] -= metric_change(D.T @ at.product_form + at.product_form @ D)


def size_slope(at: Setting, change: np.ndarray) -> tuple[float, np.ndarray]:
    """Derivatives with respect to the matrix N: relative one of the squared peak, and those of the numbers of a MetricBlock, (6,).

    Of a square crystal 0, and those of Na, Nb and Nc.
    """
    crystal = at.first.crystal
    N = size_matrix(crystal, at.first.coupling)
    if crystal.shape == SQUARE:
        return 0.0, np.array([*np.diag(change), 0.0, 0.0, 0.0])
    larger = 2 * float(np.trace(np.linalg.solve(N, change)))
    if at.has_product_form:
        return larger, larger * np.array(spot_metric(crystal)[:6])
    return larger, metric_change(crystal.fudge * (change @ N + N @ change))


def _add_motion(found: np.ndarray, at: Setting, slope: State) -> None:
    """Motion of panels; the solid angle is proportional to the distance of a panel's plane."""
    turns = axis_of_slope(slope.turns, at.state.turns)
    for row, turn, shift, place, inputs in zip(found, turns, slope.shifts, at.state.shifts, at.panels, strict=True):
        away = shift - np.cross(turn, place)
        row[MOVED : MOVED + 3], row[SWUNG : SWUNG + 3] = away, turn
        if not inputs.panel.point_pixel:
            row[[BRAGG, GROUND]] += (away @ axis_of(inputs.panel, "odet")) / inputs.panel.close_distance
