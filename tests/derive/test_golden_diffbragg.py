"""Images and derivatives against those of simtbx/diffBragg, to its own accuracy; see docs/parity.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nbnumba.derive.chain import metric_change
from nbnumba.derive.engine import VALUES, Goal, make_pass
from nbnumba.derive.setting import axis_of
from nbnumba.kernels.formulas.lattice import size_matrix
from nbnumba.kernels.formulas.sums import (
    BRAGG,
    FORM,
    GROUND,
    MOVED,
    SHIFTED,
    SPINS,
    SPUN,
    SUMS,
    SWUNG,
    TURNED,
)
from nbnumba.render.inputs import KernelInputs
from tests.derive.diffbragg import CASES, DATA, case_inputs, case_vectors, turned

ONE_RUN = [
    name for name in CASES if "crystals" not in CASES[name] and name != "spectrum_two_F" and "diffuse" not in name
]
STEP = 1e-30j


def sums_of(inputs: KernelInputs, spins: np.ndarray | None = None) -> np.ndarray:
    """All sums of all pixels, (slow, fast, SUMS)."""
    panel = inputs.panel
    one = make_pass(inputs, spins, np.ones((panel.s1, panel.f1), bool))
    values = one.run(Goal(VALUES, np.eye(SUMS)))
    return np.stack([one.scatter(values[:, row]) for row in range(SUMS)], axis=-1)


def image_of(inputs: KernelInputs) -> np.ndarray:
    """Photons, (slow, fast)."""
    return sums_of(inputs)[..., [BRAGG, GROUND]].sum(axis=-1)


def differ(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2 norm of the difference."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", ONE_RUN)
def test_images(name):
    expected = DATA[f"{name}.image"]
    assert np.abs(image_of(case_inputs(name)) - expected).max() < 1e-11 * expected.max()


def test_image_of_two_crystals():
    crystals = CASES["two_crystals"]["crystals"]
    parts = [c["scale"] * image_of(case_inputs("two_crystals", crystal=c)) for c in crystals]
    for part, array in zip(parts, ("image_crystal0", "image_crystal1"), strict=True):
        assert differ(part, DATA[f"two_crystals.{array}"]) < 1e-11
    assert differ(sum(parts), DATA["two_crystals.image"]) < 1e-11


def test_image_of_two_sets_of_structure_factors():
    parts = [image_of(case_inputs("spectrum_two_F", channel=channel)) for channel in (0, 1)]
    for part, array in zip(parts, ("image_channel0", "image_channel1"), strict=True):
        assert differ(part, DATA[f"spectrum_two_F.{array}"]) < 1e-11
    assert differ(sum(parts), DATA["spectrum_two_F.image"]) < 1e-11


def cell_vectors(cell: np.ndarray) -> np.ndarray:
    """a, b, c as rows (Å): a along x, b in the xy plane; cell in Å and rad, also complex."""
    a, b, c, alpha, beta, gamma = cell
    y = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    z = np.sqrt(1 - np.cos(beta) ** 2 - y * y)
    return np.array(
        [[a, 0 * a, 0 * a], [b * np.cos(gamma), b * np.sin(gamma), 0 * a], [c * np.cos(beta), c * y, c * z]]
    )


def deformation(case: dict[str, Any], parameter: str) -> np.ndarray:
    """Derivative of the cell vectors (Å per rad, or per Å) by a complex step."""
    crystal = case["crystal"]
    U, angles = np.array(crystal["U"]), np.array(crystal["rotXYZ_rad"], complex)
    cell = np.array(crystal["cell_A_deg"], complex)
    cell[3:] *= np.pi / 180
    if parameter.startswith("rot"):
        angles["XYZ".index(parameter[-1])] += STEP
    else:
        cell[("a", "b", "c", "alpha", "beta", "gamma").index(parameter.removeprefix("cell_"))] += STEP
    return turned(cell_vectors(cell) @ U.T, angles).imag / STEP.imag


def chain_of(name: str, parameter: str, inputs: KernelInputs) -> np.ndarray:
    """Factors of the sums for a parameter of diffBragg, (SUMS,)."""
    case, found, panel = CASES[name], np.zeros(SUMS), inputs.panel
    normal = axis_of(panel, "odet")
    if parameter.startswith(("rot", "cell")):
        direct = case_vectors(case)
        found[TURNED : TURNED + 9] = (deformation(case, parameter) @ np.linalg.inv(direct)).ravel()
    elif parameter.startswith("N_"):
        i, j = {"a": (0, 0), "b": (1, 1), "c": (2, 2), "d": (0, 1), "e": (1, 2), "f": (0, 2)}[parameter[-1]]
        change, N = np.zeros((3, 3)), size_matrix(inputs.crystal, inputs.coupling)
        change[i, j] = change[j, i] = 1.0
        found[BRAGG] = 2 * np.trace(np.linalg.solve(N, change))
        found[FORM : FORM + 6] = metric_change(change @ N + N @ change)
    elif parameter == "lambda0":
        found[SHIFTED] = 1e-10
    elif parameter == "lambda1":
        found[TURNED : TURNED + 9 : 4] = -1.0
    elif parameter.startswith("origin"):
        axis = np.eye(3)["xyz".index(parameter[-1])]
        found[MOVED : MOVED + 3] = axis
        found[BRAGG] = axis @ normal / panel.close_distance
    else:
        axis = {"o": normal, "f": axis_of(panel, "fdet"), "s": axis_of(panel, "sdet")}[parameter[-1]]
        away = -np.cross(axis, axis_of(panel, "pix0"))
        found[MOVED : MOVED + 3], found[SWUNG : SWUNG + 3] = away, axis
        found[BRAGG] = away @ normal / panel.close_distance
    return found


FIRST = [
    (name, array.removeprefix("d_"))
    for name in ONE_RUN
    for array in CASES[name]["arrays"]
    if array.startswith("d_") and not array.startswith(("d_F", "d_eta"))
]


@pytest.mark.parametrize("name", sorted({name for name, _ in FIRST}))
def test_first_derivatives(name):
    inputs = case_inputs(name)
    sums, worst = sums_of(inputs), {}
    for parameter in (parameter for other, parameter in FIRST if other == name):
        found = sums @ chain_of(name, parameter, inputs)
        worst[parameter] = differ(found, DATA[f"{name}.d_{parameter}"])
    assert max(worst.values()) < 3e-9, worst


@pytest.mark.parametrize(
    "name", [name for name in ONE_RUN if any(a.startswith("d_eta") for a in CASES[name]["arrays"])]
)
def test_mosaic_spread(name):
    """By the rotations of the domains that the file gives, three at most."""
    inputs, umats = case_inputs(name), DATA[CASES[name]["mosaic"]["matrices"]]
    parameters = [a.removeprefix("d_") for a in CASES[name]["arrays"] if a.startswith("d_eta")]
    spins = np.zeros((len(umats), SPINS, 3))
    for place, parameter in enumerate(parameters):
        change = DATA[f"{name}.d_umos_{parameter}"] @ umats.transpose(0, 2, 1)
        spins[:, place] = np.stack([change[:, 2, 1], change[:, 0, 2], change[:, 1, 0]], axis=1)
    sums = sums_of(inputs, spins.reshape(len(umats), -1))
    for place, parameter in enumerate(parameters):
        assert differ(sums[..., SPUN + place], DATA[f"{name}.d_{parameter}"]) < 1e-10, parameter
