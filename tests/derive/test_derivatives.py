"""Derivatives of random experiments against central differences, and what the public functions promise."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest

import nbnumba as nb
from nbnumba.derive.check import check
from nbnumba.derive.engine import SpotPass, make_pass
from nbnumba.render.inputs import build_inputs
from tests.derive.random_experiments import random_experiment, some_reflections

#: Seed of an experiment of Gaussian spots in reference physics; the slow tests have all kinds.
SAMPLE = (6,)


def still(shape: str = "gauss", **changes: object) -> nb.Simulation:
    """A small still with compact spots."""
    simulation = nb.Simulation(
        crystal=nb.Crystal(
            cell=(60, 70, 80),
            misset_deg=(10, 20, 30),
            Na=20,
            Nb=18,
            Nc=16,
            shape=shape,
            mosaic_spread_deg=0.3,
            mosaic_domains=6,
        ),
        detector=nb.Detector(distance_mm=100, pixel_mm=0.2, fpixels=101, spixels=93),
        beam=nb.Beam(fluence=1e24, kahn_factor=0.5),
        structure_factors=nb.StructureFactors(hkl=some_reflections(np.random.default_rng(5))),
        physics="correct",
        sampling=nb.Sampling(oversample=1),
    )
    return simulation.changed(**changes)


NAMES = ("misset_x_deg", "cell_a", "Na", "mosaic_spread_deg", "distance_mm", "kahn_factor", "scale", "F[1, -2, 1]")


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] * (n not in SAMPLE)) for n in (*SAMPLE, 0, 1, 5, 16, 20)]
)
def test_central_differences(seed):
    simulation, names = random_experiment(seed)
    found = nb.derivatives(simulation, names, device="cpu")
    rows = [row for row in check(found) if not row.note]
    assert len(rows) > len(names) / 2 or simulation.crystal.shape == "gauss"
    worst = max(rows, key=lambda row: row.relative)
    assert worst.relative < 1e-6, (seed, worst)
    assert np.median([row.relative for row in rows]) < 1e-8


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] * (n not in SAMPLE)) for n in (*SAMPLE, 1, 5, 20)]
)
def test_the_image_is_the_rendered_one(seed):
    simulation, _ = random_experiment(seed)
    image = nb.simulate(simulation, device="cpu", precision="double").image
    found = nb.derivatives(simulation, "scale", device="cpu")
    assert np.abs(found.image - image).max() < 2e-7 * image.max()
    np.testing.assert_array_equal(found["scale"], found.image)


@pytest.mark.parametrize("name", ["misset_y_deg", "cell_beta", "panel_turn_slow_deg", "wavelength_stretch"])
def test_error_is_linear_in_the_step(name):
    """As diffBragg's own tests have it: one-sided differences for steps of 0.0005 to 0.004 of a typical change."""
    simulation = still()
    found = nb.derivatives(simulation, name, device="cpu")
    parameter, image, slope = found.parameters[0], found.image, found[name]
    typical = np.linalg.norm(image) / np.linalg.norm(slope)
    steps = typical * np.array([0.0005, 0.001, 0.002, 0.003, 0.004])
    errors = []
    for step in steps:
        after = parameter.moved(found.setting, step)
        one = make_pass(after.first, None, found.masks[0])
        moved = nb.derivatives(simulation, "scale", device="cpu")
        moved.passes = (one,)
        errors.append(np.abs((moved.image - image) / step - slope).mean())
    assert np.corrcoef(steps, errors)[0, 1] > 0.9999


@pytest.mark.parametrize("shape", ["gauss", "square"])
def test_three_results_agree(shape):
    rng = np.random.default_rng(1)
    found = nb.derivatives(still(shape), NAMES, device="cpu")
    weights, residuals = rng.random(found.image.shape), rng.normal(size=found.image.shape)
    J = found.jacobian()
    assert J.shape == (found.pixels, len(NAMES))
    for column, name in enumerate(NAMES):
        np.testing.assert_array_equal(J[:, column], found[name].ravel())
    close = {"rtol": 1e-10, "atol": 0}
    np.testing.assert_allclose(found.gradient(weights), J.T @ weights.ravel(), **close)
    np.testing.assert_allclose(nb.gradient(still(shape), NAMES, weights, device="cpu"), J.T @ weights.ravel(), **close)
    for names in (NAMES, NAMES[:-1]):  # with a structure factor, whose derivatives are lists, and without
        matrix, right = nb.derivatives(still(shape), names, device="cpu").normal(weights, residuals)
        part, w = J[:, : len(names)], weights.ravel()
        expected = part.T @ (w[:, None] * part)
        np.testing.assert_allclose(matrix, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max(initial=0) * 1e-3)
        np.testing.assert_allclose(right, part.T @ (w * residuals.ravel()), rtol=1e-9)


@pytest.mark.parametrize("shape", ["gauss", "square"])
def test_threads_change_no_bit(shape):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("the machine has one thread")
    weights = np.random.default_rng(2).random((93, 101))
    results = []
    for threads in (1, 2):
        found = nb.derivatives(still(shape), NAMES, device="cpu", threads=threads)
        results.append([found.jacobian(), found.gradient(weights), *found.normal(weights, weights)])
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("shape", ["gauss", "square"])
def test_chosen_pixels(shape):
    rng = np.random.default_rng(3)
    whole = nb.derivatives(still(shape), NAMES, device="cpu")
    mask = rng.random(whole.image.shape) < 0.3
    boxes = np.array([[0, 20, 5, 31], [15, 40, 90, 101]])
    inside = np.zeros_like(mask)
    inside[0:20, 5:31] = inside[15:40, 90:101] = True
    for pixels, chosen in ((mask, mask), (boxes, inside)):
        part = nb.derivatives(still(shape), NAMES, pixels=pixels, device="cpu")
        assert part.pixels == chosen.sum()
        for name in NAMES:
            np.testing.assert_allclose(part[name], np.where(chosen, whole[name], 0), rtol=1e-12)
        np.testing.assert_allclose(whole.jacobian(pixels), part.jacobian(), rtol=1e-12)
    with pytest.raises(nb.ConfigError, match="not chosen"):
        part.jacobian(mask)


def test_masked_pixels_and_those_outside_the_region_are_left_out():
    mask = np.random.default_rng(4).random((93, 101)) < 0.5
    simulation = still(mask=mask, sampling=nb.Sampling(oversample=1, roi=(10, 60, 20, 80)))
    found = nb.derivatives(simulation, "scale", device="cpu")
    expected = nb.simulate(simulation, device="cpu").image
    assert found.pixels == mask[20:81, 10:61].sum()
    assert np.abs(found.image - expected).max() < 2e-7 * expected.max()


def test_spots_are_painted_by_footprints_and_others_are_not():
    """Both ways give the same derivatives, to the end of a spot at 7e-13 of its peak."""
    experiment = nb.resolve(still())
    inputs = build_inputs(experiment, 0)
    assert isinstance(make_pass(inputs, None, np.ones((93, 101), bool)), SpotPass)
    from nbnumba.derive.engine import PixelPass

    found = nb.derivatives(experiment, NAMES[:-1], device="cpu")
    other = nb.derivatives(experiment, NAMES[:-1], device="cpu")
    other.passes = (PixelPass(inputs, other._make_spins(), found.masks[0]),)
    for name in NAMES[:-1]:
        size = np.abs(other[name]).max()
        assert np.abs(found[name] - other[name]).max() < 1e-9 * size, name


def test_several_panels():
    """Each panel moves alone, or all together; the sum of the parts is the whole."""
    places = {"p0": (90.0, 4.0, -8.5), "p1": (91.0, 4.5, 0.5)}
    panels = tuple(
        nb.Panel(
            name=name,
            pix0_mm=place,
            fast_axis=(0.02, 0, 1),
            slow_axis=(0, -1, 0.01),
            spixels=40,
            fpixels=40,
            pixel_mm=0.2,
        )
        for name, place in places.items()
    )
    simulation = still(detector=replace(still().detector, panels=panels))
    names = ("panel_normal_mm", "panel_normal_mm[0]", "panel_normal_mm[1:2]", "panel_normal_mm[p1]")
    found = nb.derivatives(simulation, names[:3], device="cpu")
    together, first, second = (found.of(name) for name in names[:3])
    for panel in range(2):
        np.testing.assert_allclose(together[panel], first[panel] + second[panel], rtol=1e-12)
    assert not first[1].any() and not second[0].any() and first[0].any() and second[1].any()
    named = nb.derivatives(simulation, names[3], device="cpu").of(names[3])
    np.testing.assert_array_equal(named[1], second[1])
    for row in check(found):
        assert row.relative < 1e-6
    with pytest.raises(nb.ConfigError, match="one array for each of the 2 panels"):
        found.gradient(np.zeros((40, 40)))


def test_a_parameter_is_what_its_flag_changes():
    """One-sided differences of renderings with another value of the field."""
    simulation = still(crystal=replace(still().crystal, mosaic_spread_deg=0.3, mosaic_domains=6))
    crystal, detector, beam = simulation.crystal, simulation.detector, simulation.beam
    found = nb.derivatives(
        simulation,
        ["cell_b", "mosaic_spread_deg", "distance_mm", "kahn_factor", "phi_deg", "wavelength_stretch"],
        device="cpu",
    )
    step = 1e-4
    after = {
        "cell_b": {"crystal": replace(crystal, cell=(60, 70 + step, 80))},
        "mosaic_spread_deg": {"crystal": replace(crystal, mosaic_spread_deg=0.3 + step)},
        "distance_mm": {"detector": replace(detector, distance_mm=100 + step)},
        "kahn_factor": {"beam": replace(beam, kahn_factor=0.5 + step)},
        "phi_deg": {"scan": nb.Scan(phi_deg=step)},
        "wavelength_stretch": {"beam": replace(beam, wavelength_A=1 + step)},
    }
    for name, changes in after.items():
        moved = nb.derivatives(simulation.changed(**changes), "scale", device="cpu").image
        slope = (moved - found.image) / step
        assert np.linalg.norm(slope - found[name]) < 0.02 * np.linalg.norm(found[name]), name


def test_structure_factors_are_a_sparse_jacobian():
    """F times its derivative, summed over the reflections of a pixel, is twice the Bragg part."""
    simulation = still()
    found = nb.derivatives(simulation, "scale", device="cpu")
    lists = found.structure_factors()
    F = {
        tuple(hkl): F
        for hkl, F in zip(*(simulation.structure_factors.hkl.indices, simulation.structure_factors.hkl.F), strict=True)
    }
    total = np.zeros(found.image.shape)
    for (slow, fast), hkl, value in zip(lists.pixels, lists.hkl, lists.values, strict=True):
        total[slow, fast] += value * F[tuple(hkl)]
    assert np.abs(total - 2 * found.image).max() < 1e-11 * total.max()
    one = tuple(int(i) for i in lists.hkl[np.argmax(lists.values)])
    name = f"F[{one[0]}, {one[1]}, {one[2]}]"
    dense = nb.derivatives(simulation, name, device="cpu")[name]
    here = (lists.hkl == one).all(axis=1)
    np.testing.assert_allclose(dense[tuple(lists.pixels[here].T)], lists.values[here], rtol=1e-12)


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        ("misset", {}, "no parameter misset: do you mean misset_._deg"),
        ([], {}, "give the name of a parameter"),
        ("scale,scale", {}, "named twice"),
        ("F[99, 0, 0]", {}, "outside the list"),
        ("N_ab", {"physics": "reference"}, "N_ab"),
        ("osc_deg", {}, "range of phi"),
        ("panel_fast_mm[7]", {}, "no such panel"),
        ("misset_x_deg", {"crystal": nb.Crystal(cell=(50,), Na=5, Nb=5, Nc=5, shape="tophat")}, "have edges"),
        ("mosaic_spread_deg", {"crystal": nb.Crystal(cell=(50,), Na=5, Nb=5, Nc=5)}, "needs a mosaic spread"),
        ("fudge", {"crystal": nb.Crystal(cell=(50,), Na=5, Nb=5, Nc=5)}, "square"),
        ("kahn_factor", {"beam": nb.Beam(nopolar=True)}, "polarization"),
        (
            "scale",
            {"physics": "reference", "sampling": nb.Sampling(oversample=1, oversample_omega=True)},
            "oversample_omega",
        ),
        ("scale", {"physics": "released", "scan": nb.Scan(osc_deg=1.0, phisteps=3)}, "released"),
    ],
)
def test_refused(names, changes, message):
    with pytest.raises(nb.ConfigError, match=message):
        nb.derivatives(still(**changes), names, device="cpu")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.ones((3, 3), bool), "mask of 93 x 101"),
        (np.array([[0, 200, 0, 5]]), "not within"),
        (np.array([[0.0, 1.0, 2.0, 3.0]]), "whole numbers"),
    ],
)
def test_refused_pixels(pixels, message):
    with pytest.raises(nb.ConfigError, match=message):
        nb.derivatives(still(), "scale", pixels=pixels, device="cpu")


def test_refused_weights():
    found = nb.derivatives(still(), "scale", device="cpu")
    for weights, message in (
        (np.ones((2, 2)), "shape of the panel"),
        (np.full((93, 101), np.nan), "finite"),
        (None, "needed"),
    ):
        with pytest.raises(nb.ConfigError, match=message):
            found.gradient(weights)
    with pytest.raises(nb.ConfigError, match="no derivative with respect to cell_a"):
        found["cell_a"]


def test_a_renderer_gives_the_derivatives_of_its_present_experiment():
    renderer = nb.Renderer(still(), device="cpu")
    renderer.update(misset_deg=(10.02, 20.0, 30.0))
    moved = still(crystal=replace(still().crystal, misset_deg=(10.02, 20.0, 30.0)))
    expected = nb.derivatives(moved, NAMES, device="cpu")
    np.testing.assert_array_equal(renderer.derivatives(NAMES).jacobian(), expected.jacobian())
    weights = np.ones(expected.image.shape)
    np.testing.assert_array_equal(renderer.gradient(NAMES, weights), expected.gradient(weights))


def test_cell_systems():
    """Tied lengths and angles: the sum of the free derivatives."""
    simulation = still(crystal=replace(still().crystal, cell=(60, 60, 80)))
    free = nb.derivatives(simulation, "cell_a,cell_b", device="cpu")
    tied = nb.derivatives(simulation, "cell_a", cell_system="tetragonal", device="cpu")
    np.testing.assert_allclose(
        tied["cell_a"], free["cell_a"] + free["cell_b"], rtol=1e-9, atol=1e-9 * np.abs(tied["cell_a"]).max()
    )
    with pytest.raises(nb.ConfigError, match="not free in a tetragonal cell: cell_a, cell_c are"):
        nb.derivatives(simulation, "cell_b", cell_system="tetragonal", device="cpu")


def test_information_tells_the_scatter_of_refinements():
    """Gauss-Newton from photon noise: the scatter of the parameters over many noisy images is the one foretold."""
    simulation = still(beam=nb.Beam(fluence=3e25, kahn_factor=0.5), background=nb.Background(water_um=1.0))
    names = ("misset_x_deg", "cell_a", "scale")
    found = nb.derivatives(simulation, names, device="cpu")
    told = nb.information(found)
    assert told.photons == pytest.approx(found.image.sum())
    rng, weights = (
        np.random.default_rng(7),
        np.divide(1.0, found.image, out=np.zeros_like(found.image), where=found.image > 0),
    )
    matrix, _ = found.normal(weights)
    steps = []
    for _ in range(300):
        noisy = rng.poisson(found.image)
        steps.append(np.linalg.solve(matrix, found.normal(weights, noisy - found.image)[1]))
    np.testing.assert_allclose(np.std(steps, axis=0), told.errors, rtol=0.15)
    assert (told.errors_alone <= told.errors * (1 + 1e-12)).all()
    with pytest.raises(nb.ConfigError, match="change the image alike"):
        _ = nb.information(nb.derivatives(simulation, "panel_fast_mm,panel_fast_mm[0]", device="cpu")).errors
