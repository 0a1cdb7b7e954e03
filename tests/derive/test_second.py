"""Second derivatives: against those of simtbx/diffBragg, central differences of first ones, and high precision."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.derive.catalog import expand, find
from nbnumba.derive.crystal_parameters import Size
from nbnumba.derive.curvatures import second_values
from nbnumba.derive.derivatives import Derivatives, derivatives, take
from nbnumba.derive.engine import PixelPass, SpotPass, make_pass
from nbnumba.derive.parameter import Curvature, Parameter
from nbnumba.derive.setting import Setting
from nbnumba.derive.standard_cell import standard_change, standard_vectors
from nbnumba.kernels.formulas.geometry import ray_to, subpixel_position
from nbnumba.kernels.jit.cpu import plain
from nbnumba.render.inputs import KernelInputs, build_inputs
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
    """To rounding where diffBragg's are analytic; its five-point differences are themselves good to 1e-9 by their step.

    The same differences of our first derivatives agree with these to 2e-12.
    """
    inputs = case_inputs(name)
    parameters = [parameter for other, parameter in GOLDEN if other == name]
    every = PixelPass(inputs, None, np.ones((inputs.panel.s1, inputs.panel.f1), bool))
    found = second_values(every, [case_curvature(name, parameter, inputs) for parameter in parameters])
    for parameter, values in zip(parameters, found.T, strict=True):
        analytic = "analytic derivative" in CASES[name]["arrays"][f"d2_{parameter}"]["source"]
        limit = 1e-10 if analytic else 2e-9
        assert differ(values, DATA[f"{name}.d2_{parameter}"].ravel()) < limit, parameter


#: A step of each parameter that is small beside the width of a spot.
STEPS = {
    **dict.fromkeys(("misset_x_deg", "misset_y_deg", "misset_z_deg"), 3e-3),
    **dict.fromkeys(("cell_a", "cell_b", "cell_c"), 3e-3),
    **dict.fromkeys(("cell_alpha", "cell_beta", "cell_gamma", "phi_deg", "osc_deg", "mosaic_spread_deg"), 3e-3),
    **dict.fromkeys(expand("A_matrix"), 1e-6),
    **dict.fromkeys(("Na", "Nb", "Nc", "N_ab", "N_ac", "N_bc"), 4e-3),
    **dict.fromkeys(("fudge", "scale"), 1e-3),
    **dict.fromkeys(("wavelength_stretch", "wavelength_shift_A"), 5e-5),
}


def simulation(shape: str, physics: str) -> nb.Simulation:
    """A small image with everything that a second derivative goes through: domains, phi, wavelengths, layers, corrections."""
    F = 50 + 100 * np.random.default_rng(1).random(13**3)
    return nb.Simulation(
        crystal=nb.Crystal(
            cell=(38, 45, 52, 85, 100, 110),
            misset_deg=(10, 20, 30),
            Na=6,
            Nb=5,
            Nc=4,
            shape=shape,
            fudge=1.0 if shape == "square" else 1.3,
            mosaic_spread_deg=0.5,
            mosaic_domains=3,
        ),
        beam=nb.Beam(wavelength_A=1.1, dispersion_percent=1.0, dispsteps=2, fluence=1e26, kahn_factor=0.6),
        detector=nb.Detector(
            distance_mm=60, fpixels=32, spixels=24, pixel_mm=1.0, thickness_um=400, attenuation_um=300, thicksteps=2
        ),
        scan=nb.Scan(phi_deg=5, osc_deg=1, phisteps=2),
        structure_factors=nb.StructureFactors(
            hkl=(np.array(list(product(range(-6, 7), repeat=3))), F), default_F=80, interpolate=False, write_dump=False
        ),
        sampling=nb.Sampling(oversample=1),
        physics=physics,
    )


def setting(shape: str, physics: str) -> Setting:
    experiment = nb.resolve(simulation(shape, physics))
    return Setting(experiment, (build_inputs(experiment, 0),))


def reflections(inputs: KernelInputs) -> np.ndarray:
    """The reflection of every term of every pixel, (slow, fast, terms, 3)."""
    panel, position, ray = inputs.panel, plain(subpixel_position), plain(ray_to)
    axes = inputs.cells.reshape(-1, 3, 3)
    found = np.empty((panel.s1, panel.f1, panel.layers, len(inputs.sources), len(axes), 3))
    for s, f, layer in np.ndindex(found.shape[:3]):
        d = np.array(ray(position(panel, s, f, layer, 0, 0))[1])
        q = (d - inputs.sources[:, :3]) / inputs.sources[:, 3:4]
        found[s, f, layer] = np.ceil(np.einsum("mij,sj->smi", axes, q) - 0.5)
    return found.reshape(panel.s1, panel.f1, -1, 3)


def central_difference(at: Setting, parameter: Parameter) -> tuple[np.ndarray, np.ndarray]:
    """Five-point difference of our first derivatives, and the pixels none of whose terms changes its reflection."""
    step, found, seen = STEPS[parameter.name], 0.0, []
    for shift, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
        there = parameter.moved(at, shift * step)
        seen.append(reflections(there.first))
        values = Derivatives(there, [parameter], there.rendered)[parameter.name]
        found = found + weight / step * values
    return np.asarray(found), (np.ptp(seen, axis=0) == 0).all(axis=(2, 3))


NAMES = {
    ("gauss", "correct"): tuple(STEPS),
    ("round", "correct"): tuple(STEPS),
    ("square", "correct"): tuple(n for n in STEPS if not n.startswith("N_") and n != "fudge"),
    ("gauss", "reference"): tuple(n for n in STEPS if not n.startswith("N_")),
    ("round", "reference"): ("misset_x_deg", "cell_alpha", "Na", "N_ab", "fudge", "wavelength_stretch"),
    ("square", "reference"): ("misset_y_deg", "cell_b", "Nb", "mosaic_spread_deg"),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id="-".join(case), marks=[pytest.mark.slow] * (case != ("gauss", "reference")))
        for case in NAMES
    ],
)
def test_central_differences(case):
    at, worst = setting(*case), {}
    d = take(at.experiment, at.panels, NAMES[case])
    for name in NAMES[case]:
        parameter = find(name, at.experiment)
        expected, steady = central_difference(at, parameter)
        assert steady.mean() > 0.7
        (found,) = d.second(name)
        if name == "scale":  # the image is proportional to it
            assert np.abs(expected).max() < 1e-9 * d.image.max()
            assert not found.any()
        else:
            worst[name] = differ(found[steady], expected[steady])
    assert max(worst.values()) < 1e-8, worst  # differences are good to the fourth power of a step over a width


@pytest.mark.slow
def test_nothing_but_footprints_of_compact_spots_is_summed():
    """Spots end at exp(-28) of the peak, where a second derivative is some 1e-10 of its largest value."""
    given = simulation("gauss", "correct")
    given = replace(
        given,
        crystal=replace(given.crystal, Na=40, Nb=30, Nc=20, mosaic_spread_deg=0.2),
        detector=replace(given.detector, fpixels=64, spixels=48, pixel_mm=0.5),
        sampling=nb.Sampling(oversample=2),
    )
    d = derivatives(given, ["misset_x_deg", "Na", "mosaic_spread_deg"])
    one, panel = make_pass(d.setting.first, None, d.masks[0]), d.setting.first.panel
    assert isinstance(one, SpotPass)
    assert len(one.pixels) < panel.s1 * panel.f1
    whole = PixelPass(d.setting.first, None, np.ones((panel.s1, panel.f1), bool))
    every = second_values(whole, [p.curvature(d.setting) for p in d.parameters])
    for name, values in zip(d.names, every.T, strict=True):
        (found,) = d.second(name)
        assert np.abs(found.ravel() - values).max() < 1e-9 * np.abs(values).max()
    assert d.seconds > 0


@pytest.mark.slow
def test_chosen_pixels_of_panels_and_equal_lengths():
    given = simulation("round", "correct")
    panels = tuple(
        nb.Panel(pix0_mm=(-10, y, 60), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0.1), fpixels=20, spixels=10, pixel_mm=1.0)
        for y in (-15, 2)
    )
    given = replace(
        given, detector=replace(given.detector, fpixels=None, spixels=None, panels=panels, convention="CUSTOM")
    )
    boxes = [[(2, 5, 3, 9)], [(0, 10, 0, 20)]]
    free = derivatives(given, ["cell_a", "cell_b", "cell_c"])
    tied = derivatives(given, ["cell_a"], pixels=boxes, cell_system="cubic")
    for mask, found, whole in zip(tied.masks, tied.second("cell_a"), free.second("cell_a"), strict=True):
        assert found.shape == whole.shape == mask.shape
        assert not found[~mask].any()
        assert differ(whole[mask], found[mask]) > 0.01  # all three lengths change


@pytest.mark.parametrize("name", ["misset_x_deg", "cell_alpha", "A_matrix[4]", "phi_deg"])
def test_no_change_is_none(name):
    """Also of the size of spots, which in the reference follows reciprocal vectors that are not those of a triclinic cell."""
    at = setting("gauss", "reference")
    before, crystal = np.array(at.first.crystal), find(name, at.experiment).moved(at, 0.0).first.crystal
    assert np.array(crystal) == pytest.approx(before, rel=1e-12)


def test_cell_vectors():
    cell, change = np.array([38, 45, 52, 1.5, 1.7, 1.9]), np.array([1, 2, -1, 0.1, -0.2, 0.3])
    expected = standard_vectors(cell + 1e-20j * change).imag / 1e-20
    assert standard_change(cell, change) == pytest.approx(expected, rel=1e-13, abs=1e-13)


def test_refusals():
    given = simulation("square", "correct")
    d = derivatives(given, ["distance_mm", "cell_a"])
    with pytest.raises(
        nb.ConfigError, match=r"no second derivative with respect to distance_mm: misset_x_deg .* scale have one"
    ):
        d.second("distance_mm")
    with pytest.raises(nb.ConfigError, match="with respect to cell_b was asked for"):
        d.second("cell_b")
    given = replace(given, structure_factors=replace(given.structure_factors, interpolate=True))
    with pytest.raises(nb.ConfigError, match="structure factors are interpolated: give -nointerpolate"):
        derivatives(given, "cell_a").second("cell_a")
