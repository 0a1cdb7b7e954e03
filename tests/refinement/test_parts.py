"""Parts of a refinement: likelihood and its derivatives, planes, boxes, parameters, steps, images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbnumba as nb
from nbnumba.derive.setting import setting_of
from nbnumba.errors import ConfigError
from nbnumba.kernels.cpu.shoeboxes import GROUP, sum_boxes
from nbnumba.kernels.formulas.likelihood import GAUSSIAN, LEAST, POISSON, photon_terms
from nbnumba.kernels.jit.cpu import plain
from nbnumba.model.experiment import resolve
from nbnumba.refinement.boxes import find_boxes, grown
from nbnumba.refinement.free import cell_system_of, free_parameters, stages_of
from nbnumba.refinement.measured import good_pixels, take_image
from nbnumba.refinement.minimizer import minimize
from nbnumba.refinement.options import RefineOptions, split_names, split_stages
from nbnumba.refinement.planes import first_planes
from nbnumba.refinement.refine import Refinement
from nbnumba.refinement.simulation import simulation_of
from nbnumba.refinement.target import Point

SMALL = nb.Simulation(
    crystal=nb.Crystal(cell=(50, 60, 70, 90, 90, 90), misset_deg=(10, 20, 30), Na=10, Nb=9, Nc=8, shape="gauss"),
    detector=nb.Detector(distance_mm=60, pixel_mm=0.3, fpixels=120, spixels=100),
    beam=nb.Beam(wavelength_A=1.3, fluence=2e27),
    structure_factors=nb.StructureFactors(default_F=100),
    sampling=nb.Sampling(oversample=1),
    physics="correct",
)


def image_of(simulation: nb.Simulation, seed: int = 0, background: float = 5.0) -> np.ndarray:
    expected = nb.simulate(simulation, device="cpu").images[0].astype(np.float64)
    return np.random.default_rng(seed).poisson(expected + background).astype(np.float64)


@given(
    st.sampled_from([GAUSSIAN, POISSON]),
    st.floats(0, 1e4),
    st.floats(-100.0, 1e4).filter(lambda m: abs(m - LEAST) > 1e-4 * max(abs(m), LEAST)),
    st.floats(0, 50),
)
def test_slope_is_the_derivative_of_the_value(kind, data, model, noise):
    """Whatever the model is: also where it expects less than no photon."""
    terms, step = plain(photon_terms), 1e-5 * max(abs(model), LEAST)
    value = [terms(kind, data, model + s * step, noise)[0] for s in (-2, -1, 1, 2)]
    _, slope, weight = terms(kind, data, model, noise)
    found = (8 * (value[2] - value[1]) - (value[3] - value[0])) / (12 * step)
    assert found == pytest.approx(-slope, abs=1e-6 * abs(slope) + 1e-9 * max(map(abs, value)) / step + 1e-9)
    assert weight > 0


def make_boxes(seed=3, boxes=20, n=5, kind=POISSON):
    """Pixels of some boxes, in no order, and the arguments of the kernel."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(12, 40, boxes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    total = starts[-1]
    values = np.column_stack([rng.exponential(20, total), rng.normal(size=(total, n)) * 5])
    order = rng.permutation(total)
    places = rng.uniform(-1, 1, (total, 2))
    data = rng.poisson(values[order, 0] + 6 + places[:, 0]).astype(float)
    planes = np.zeros((boxes, 3))
    planes[:, 0] = 5.0
    noise = np.full(total, 0.0 if kind == POISSON else 4.0)
    return starts, (data, values, order, places, noise), planes, kind


def value_at(change, starts, pixels, planes, kind, fits):
    data, values, order, places, noise = pixels
    n = values.shape[1] - 1
    moved = values.copy()
    moved[:, 0] += values[:, 1:] @ change
    totals = np.zeros((-(-len(planes) // GROUP), 1 + n + n * (n + 1) // 2))
    sum_boxes(totals, planes.copy(), starts, (data, moved, order, places, noise), kind, fits)
    return totals.sum(axis=0)


@pytest.mark.parametrize("kind", [GAUSSIAN, POISSON])
@pytest.mark.parametrize("fits", [0, 1])
def test_gradient_with_the_best_planes(kind, fits):
    """The gradient is that of the value at the best planes of each point."""
    arguments = (*make_boxes(kind=kind), fits)
    n = arguments[1][1].shape[1] - 1
    here = value_at(np.zeros(n), *arguments)
    for j in range(n):
        step = np.eye(n)[j] * 1e-5
        slope = (value_at(step, *arguments)[0] - value_at(-step, *arguments)[0]) / 2e-5
        assert here[1 + j] == pytest.approx(-slope, rel=2e-4, abs=2e-3)


def test_information_is_the_schur_complement():
    starts, pixels, planes, kind = make_boxes()
    data, values, order, places, _ = pixels
    n, fitted = values.shape[1] - 1, planes.copy()
    totals = np.zeros((-(-len(planes) // GROUP), 1 + n + n * (n + 1) // 2))
    sum_boxes(totals, fitted, starts, pixels, kind, 1)
    found = np.zeros((n, n))
    found[np.tril_indices(n)] = totals.sum(axis=0)[1 + n :]
    owner = np.repeat(np.arange(len(planes)), np.diff(starts))
    design = np.zeros((len(data), 3 * len(planes)))
    for axis, column in enumerate((np.ones(len(data)), places[:, 0], places[:, 1])):
        design[np.arange(len(data)), 3 * owner + axis] = column
    model = values[order, 0] + (design * fitted.ravel()).sum(axis=1)
    J, W = values[order, 1:], (model > 1e-3) / model
    A, B, C = J.T @ (W[:, None] * J), J.T @ (W[:, None] * design), design.T @ (W[:, None] * design)
    wanted = A - B @ np.linalg.solve(C, B.T)
    assert np.allclose(found, np.tril(wanted), rtol=1e-6)


def test_same_bits_with_any_number_of_threads():
    import numba

    arguments = (*make_boxes(boxes=100), 1)
    before = numba.get_num_threads()
    try:
        found = []
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(value_at(np.zeros(5), *arguments))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*found)


def test_planes_do_not_see_spots():
    experiment = resolve(SMALL)
    options = RefineOptions()
    s, f = np.indices((100, 120))
    background = 20 + 0.1 * s + 0.05 * f
    expected = nb.simulate(SMALL, device="cpu").images[0].astype(float)
    data = np.random.default_rng(1).poisson(expected + background).astype(float)
    measured = take_image(data, experiment, options)
    boxes = find_boxes([setting_of(experiment)], measured, options)
    planes = first_planes(boxes, 0.0)[boxes.owner]
    found = planes[:, 0] + (planes[:, 1:] * boxes.places).sum(axis=1)
    off = boxes.sums(found - background[boxes.slow, boxes.fast]) / np.diff(boxes.starts)
    assert np.median(np.abs(off)) < 1.0  # of some 28 photons
    assert abs(np.median(off)) < 0.5


def test_boxes_share_no_pixel_and_hold_the_light():
    experiment = resolve(SMALL)
    options = RefineOptions()
    measured = take_image(image_of(SMALL), experiment, options)
    boxes = find_boxes([setting_of(experiment)], measured, options)
    assert len(np.unique(boxes.slow * 1000 + boxes.fast)) == len(boxes.slow)
    assert sum(mask.sum() for mask in boxes.masks) == len(boxes.photons)
    assert len(np.unique(boxes.hkl, axis=0)) == len(boxes)
    assert np.array_equal(boxes.photons, measured.photons[0][boxes.slow, boxes.fast])
    assert boxes.hkl.any(axis=1).all()  # not the direct beam
    light = nb.simulate(SMALL, device="cpu").images[0]
    light[46:54, 56:64] = 0.0
    assert light[boxes.masks[0]].sum() > 0.97 * light.sum()
    # the same pixels in the order of the mask
    assert np.array_equal(measured.photons[0][boxes.masks[0]][boxes.order], boxes.photons)


def test_masked_and_saturated_pixels_are_left_out():
    experiment, data = resolve(SMALL), image_of(SMALL)
    mask = np.ones(data.shape, bool)
    mask[40:60] = False
    measured = take_image(data, experiment, RefineOptions(saturation=float(np.percentile(data, 99.5))), mask)
    boxes = find_boxes([setting_of(experiment)], measured, RefineOptions())
    assert not boxes.masks[0][40:60].any()
    assert boxes.photons.max() < np.percentile(data, 99.5)


def test_grown_labels():
    label = np.full((5, 6), -1)
    label[2, 1], label[2, 4] = 7, 8
    once = grown(label, 1)
    assert once[1, 1] == once[3, 1] == once[2, 0] == once[2, 2] == 7
    assert once[2, 3] == 8
    assert once[0, 0] == -1
    assert (grown(label, 9) >= 0).all()


@pytest.mark.parametrize(
    ("counts", "good"),
    [
        (np.array([0, 5, -1, -2], np.int32), [1, 1, 0, 0]),
        (np.array([0, 65535, 3], np.uint16), [1, 0, 1]),
        (np.array([1.5, np.nan, -2.0, np.inf]), [1, 0, 1, 0]),
    ],
)
def test_good_pixels(counts, good):
    assert good_pixels(counts, None).tolist() == [bool(g) for g in good]
    assert not good_pixels(np.array([4.0, 7.0]), 5.0)[1]


@pytest.mark.parametrize(
    ("cell", "system"),
    [
        ((79, 79, 38, 90, 90, 90), "tetragonal"),
        ((55, 65, 75, 90, 95, 90), "monoclinic"),
        ((55, 65, 75, 90, 90, 90), "orthorhombic"),
        ((78, 78, 37, 90, 90, 120), "hexagonal"),
        ((50, 50, 50, 80, 80, 80), "rhombohedral"),
        ((50, 50, 50, 90, 90, 90), "cubic"),
        ((50, 51, 52, 80, 85, 95), "triclinic"),
        ((79.01, 79.03, 38, 90, 90, 90), "orthorhombic"),
    ],
)
def test_crystal_system_of_a_cell(cell, system):
    assert cell_system_of(cell) == system


def test_names_stages_and_restraints():
    assert split_names("misset, cell,N scale F[1, 2, 3]") == ("misset", "cell", "N", "scale", "F[1, 2, 3]")
    assert split_stages("scale; misset scale ;") == (("scale",), ("misset", "scale"))
    experiment = resolve(SMALL)
    options = RefineOptions(
        parameters=("misset", "cell", "scale", "distance"),
        stages=(("scale",), ("cell", "scale")),
        restraints=(("cell", 0.2), ("misset_*", 0.1)),
    )
    free = free_parameters([experiment, experiment], options)
    names = [one.name for one in free]
    assert names.count("distance_mm") == 1
    assert "lattice1.cell_a" in names and "lattice2.misset_x_deg" in names
    assert {one.sigma for one in free if one.parameter.startswith("cell")} == {0.2}
    assert {one.sigma for one in free if one.parameter.startswith("misset")} == {0.1}
    stages = stages_of(options, experiment, free)
    assert [names[i] for i in stages[0]] == ["lattice1.scale", "lattice2.scale"]
    with pytest.raises(ConfigError, match="--restrain N=1: it is not refined"):
        free_parameters([experiment], replace(options, restraints=(("N", 1.0),)))
    with pytest.raises(ConfigError, match="Na is not refined"):
        stages_of(replace(options, stages=(("N",),)), experiment, free)


def parabola(curvature, middle):
    """A target with a known minimum, as a refinement sees it."""

    def at(x):
        off = np.asarray(x) - middle
        return Point(
            np.asarray(x, float),
            float(0.5 * off @ curvature @ off),
            curvature @ off,
            curvature,
            np.zeros(0),
            np.zeros(0),
        )

    return at


def test_minimizer_and_its_bounds():
    curvature, middle = np.array([[4.0, 1.0], [1.0, 3.0]]) * 1e4, np.array([2.0, -1.0])
    at, wide = parabola(curvature, middle), np.array([[-9.0, 9.0]] * 2)
    found = minimize(at, at(np.zeros(2)), (0, 1), wide, 50)
    assert found.reason == "" and np.allclose(found.point.x, middle, atol=1e-3)
    assert [step.value for step in found.steps] == sorted((step.value for step in found.steps), reverse=True)
    held = minimize(at, at(np.zeros(2)), (0,), wide, 50)
    assert held.point.x[1] == 0.0 and held.point.x[0] == pytest.approx(1.75, abs=1e-3)
    bound = minimize(at, at(np.zeros(2)), (0, 1), np.array([[-9.0, 1.0], [-9.0, 9.0]]), 50)
    assert bound.point.x[0] == 1.0 and bound.point.x[1] == pytest.approx(-2 / 3, abs=1e-3)
    assert minimize(at, at(np.zeros(2)), (0, 1), wide, 0).reason == "it did not converge within 0 iterations"


def test_refined_simulation_renders_the_same_image():
    """A simulation that is made of a refined model has the image of that model."""
    simulation = SMALL.changed(mosaic_spread_deg=0.3, mosaic_domains=5, phi_deg=10, osc_deg=0.2, phisteps=3)
    names = ["misset_x_deg", "cell_b", "scale", "distance_mm", "panel_turn_fast_deg", "mosaic_spread_deg", "osc_deg"]
    names += ["wavelength_stretch", "beam_tilt_x_mrad", "fudge", "kahn_factor"]
    model = nb.ParameterModel(simulation, names, device="cpu")
    x = np.array([0.1, 0.3, 0.5, 0.2, 0.1, 0.05, 0.03, 0.01, 0.4, 0.1, 0.2])
    wanted = model.image(x)
    made = simulation_of(model.at(x).setting)
    found = nb.simulate(made, device="cpu", precision="double").images[0]
    assert np.abs(found - wanted).max() < 1e-6 * wanted.max()
    assert np.abs(model.image(np.zeros(len(x))) - wanted).max() > 0.1 * wanted.max()


def test_refined_simulation_of_a_list_that_a_symmetry_expands(tmp_path):
    """What says how a file is read goes with the file."""
    (tmp_path / "a.hkl").write_text(
        "".join(f"{h} {k} {l} {50 + h + k}\n" for h in range(9) for k in range(9) for l in range(9))
    )
    simulation = SMALL.changed(hkl=tmp_path / "a.hkl", hkl_symmetry="P222", write_dump=False)
    model = nb.ParameterModel(simulation, ["B_factor"], device="cpu")
    wanted = model.image([3.0])
    found = nb.simulate(simulation_of(model.at([3.0]).setting), device="cpu", precision="double").images[0]
    assert np.abs(found - wanted).max() < 1e-6 * wanted.max()


def test_structure_factors_of_a_list_keep_its_symmetry_turn_by_turn(tmp_path):
    """F and all else are refined in turn; symmetry mates are one reflection in the last turn, too."""
    rows = [(h, k, l) for h in range(12) for k in range(12) for l in range(12) if h + k + l]
    text = "".join(f"{h} {k} {l} {60 + (7 * h + 3 * k + 5 * l) % 50}\n" for h, k, l in rows)
    (tmp_path / "a.hkl").write_text(text)
    simulation = SMALL.changed(hkl=tmp_path / "a.hkl", hkl_symmetry="P222", write_dump=False)
    start = simulation.changed(misset_deg=(10.05, 20, 30))
    refined = nb.refine(image_of(simulation), start, "misset, F", device="cpu")
    assert len([stage for stage, _ in refined.steps if stage == "1, F"]) > 0
    keys = np.abs(np.stack([refined.amplitudes[name] for name in "hkl"], axis=1))
    assert len(np.unique(keys, axis=0)) == len(keys)


def test_refined_simulation_of_several_wavelengths():
    simulation = SMALL.changed(spectrum=([1.29, 1.3, 1.32], [1.0, 2.0, 0.5]))
    model = nb.ParameterModel(simulation, ["wavelength_shift_A", "beam_tilt_y_mrad"], device="cpu")
    wanted = model.image([0.01, 0.5])
    found = nb.simulate(simulation_of(model.at([0.01, 0.5]).setting), device="cpu", precision="double").images[0]
    assert np.abs(found - wanted).max() < 1e-6 * wanted.max()


def test_outliers_are_left_out_and_counted():
    data = image_of(SMALL)
    experiment = resolve(SMALL)
    clean = nb.refine(data, experiment, "misset, scale", device="cpu")
    hot = np.argwhere(clean.boxes.masks[0])[::97]
    data[hot[:, 0], hot[:, 1]] += 5000
    refined = nb.refine(data, experiment, "misset, scale", device="cpu")
    assert refined.rejected >= len(hot)
    assert abs(refined["scale"] - clean["scale"]) < 3 * clean.error("scale")
    assert any(stage == "without outliers" for stage, _ in refined.steps)


def test_restraints_hold():
    data, start = image_of(SMALL), SMALL.changed(cell=(50.3, 60, 70))
    free = nb.refine(data, start, "cell, scale", device="cpu")
    held = nb.refine(data, start, "cell, scale", device="cpu", restraints={"cell_a": 1e-5})
    assert abs(held["cell_a"] - 50.3) < 1e-3
    assert abs(free["cell_a"] - 50) < 0.05


def test_a_rescaled_point_is_the_point_itself():
    experiment = resolve(SMALL)
    options = RefineOptions(parameters=("misset", "scale"))
    target = Refinement([experiment], take_image(image_of(SMALL), experiment, options), options, "cpu").target
    x = np.array([0.0, 0.0, 0.0, 0.7])
    quick, slow = target.rescaled(target.at(np.zeros(4)), x), target.at(x)
    assert quick.value == pytest.approx(slow.value, rel=1e-12)
    assert np.allclose(quick.information, slow.information, rtol=1e-9)


def test_parameters_that_change_the_image_alike_are_named():
    refined = nb.refine(image_of(SMALL), SMALL, "scale, fudge, N", device="cpu")
    assert not refined.converged and "change the image alike" in refined.reason
    assert np.isinf(refined.errors).all()


@pytest.mark.parametrize(
    ("image", "start", "arguments", "sentence"),
    [
        (np.ones((100, 121)), SMALL, {}, "the image has 121 x 100 pixels, the detector 120 x 100"),
        (np.full((100, 120), np.nan), SMALL, {}, "no good pixel"),
        (np.ones((100, 120)), SMALL.changed(dmin_A=1000), {}, "no spot is predicted"),
        (np.ones((100, 120)), SMALL, {"gain": 0}, "gain must be > 0"),
        (np.ones((100, 120)), SMALL, {"speed": 1}, "refine has no option speed"),
        (np.full((100, 120), 70000.0), SMALL, {"saturation": 65535}, "no good pixel"),
        (np.ones((100, 120)), SMALL, {"parameters": "misset, Nd"}, "no parameter Nd"),
        (np.ones((100, 120)), SMALL, {"parameters": "spread"}, "needs a mosaic spread"),
        (np.ones((100, 120)), SMALL, {"parameters": "F"}, "give -hkl FILE"),
        (np.ones((100, 120)), SMALL, {"restraints": {"cell": -1}}, "standard deviations > 0"),
        (np.ones((1, 1)), SMALL.changed(fpixels=1, spixels=1), {}, "no predicted spot|no spot is predicted"),
        (np.ones((100, 120)), SMALL, {"cell_system": "cubical"}, "cell_system must be one of"),
    ],
)
def test_bad_input_gets_a_sentence(image, start, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        nb.refine(image, start, device="cpu", **arguments)
