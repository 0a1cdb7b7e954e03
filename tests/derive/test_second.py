"""Second derivatives: against those of simtbx/diffBragg, central differences of first ones, and high precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nbnumba.derive.crystal_parameters import Size
from nbnumba.derive.curvatures import second_values
from nbnumba.derive.parameter import Curvature, Setting
from nbnumba.render.inputs import KernelInputs
from tests.derive.diffbragg import CASES, DATA, case_inputs, case_vectors, turned
from tests.derive.test_golden_diffbragg import cell_vectors, differ

GOLDEN = [
    (name, array.removeprefix("d2_"))
    for name in CASES
    for array in CASES[name]["arrays"]
    if array.startswith("d2_") and array != "d2_F"
]
#: The elements of N in the order of diffBragg's names.
PLACES = {"a": (0, 0), "b": (1, 1), "c": (2, 2), "d": (0, 1), "e": (1, 2), "f": (0, 2)}


def contour(function: Any, parameter: str) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of cell vectors by Cauchy's integral on a circle: errors of some 1e-13."""
    points = 0.2 * np.exp(2j * np.pi * np.arange(32) / 32)
    values = np.array([function(parameter, point) for point in points])
    first = (values / points[:, None, None]).mean(axis=0).real
    return first, 2 * (values / points[:, None, None] ** 2).mean(axis=0).real


def case_curvature(name: str, parameter: str, inputs: KernelInputs) -> Curvature:
    """What a parameter of diffBragg changes."""
    case = CASES[name]
    crystal, direct = case["crystal"], case_vectors(case)
    if parameter.startswith("N_"):
        at: Any = Setting(None, (inputs,))  # type: ignore[arg-type]
        return Size(parameter, *PLACES[parameter[-1]]).curvature(at)
    if parameter == "lambda0":
        return Curvature(-1e-10 * np.eye(3)[None], 2e-20 * np.eye(3)[None], per_wavelength=True)
    if parameter.startswith("eta"):
        umats, changes = DATA[case["mosaic"]["matrices"]], (f"{name}.d_umos_{parameter}", f"{name}.d2_umos_{parameter}")
        inverse = np.linalg.inv(direct @ umats.transpose(0, 2, 1))
        return Curvature(*(direct @ DATA[change].transpose(0, 2, 1) @ inverse for change in changes))

    def vectors(parameter: str, change: complex) -> np.ndarray:
        angles, cell = np.array(crystal["rotXYZ_rad"], complex), np.array(crystal["cell_A_deg"], complex)
        cell[3:] *= np.pi / 180
        if parameter.startswith("rot"):
            angles["XYZ".index(parameter[-1])] += change
        else:
            cell[("a", "b", "c", "alpha", "beta", "gamma").index(parameter.removeprefix("cell_"))] += change
        return turned(cell_vectors(cell) @ np.array(crystal["U"]).T, angles)

    first, second = contour(vectors, parameter)
    return Curvature((first @ np.linalg.inv(direct))[None], (second @ np.linalg.inv(direct))[None])


@pytest.mark.parametrize("name", sorted({name for name, _ in GOLDEN}))
def test_golden(name):
    """To what docs/parity.md gives as the accuracy of diffBragg's own, 4e-10 at worst."""
    inputs = case_inputs(name)
    parameters = [parameter for other, parameter in GOLDEN if other == name]
    pixels = np.indices((inputs.panel.s1, inputs.panel.f1), np.int32).reshape(2, -1).T.copy()
    found = second_values(inputs, pixels, [case_curvature(name, parameter, inputs) for parameter in parameters])
    worst = {
        parameter: differ(values, DATA[f"{name}.d2_{parameter}"].ravel())
        for parameter, values in zip(parameters, found.T, strict=True)
    }
    print(name, {k: float(f"{v:.1e}") for k, v in worst.items()})
    assert max(worst.values()) < 2e-9, worst
