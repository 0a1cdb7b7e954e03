"""The image as a function of a vector: changes one after the other, and derivatives of the whole."""

from __future__ import annotations

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.derive.derivatives import derivatives
from nbnumba.derive.model import ParameterModel, compose
from tests.derive.composed import draw, experiment, names_of, two_panels

#: Of a typical change of a parameter: errors are then its fourth power, and that of rounding over it.
STEP = 4e-3


def errors_of(model: ParameterModel, x: np.ndarray, kept: float = 1.0) -> dict[str, float]:
    """Relative L2 norm of the difference from central differences, by Richardson's extrapolation.

    ``kept``: share of pixels with the smallest differences. Where the nearest reflection of a ray changes by a step, images
    of crystals with wide spots jump.
    """

    def image(vector: np.ndarray) -> np.ndarray:
        return np.concatenate([image.ravel() for image in model.images(vector)])

    _, jacobian = model.value_and_jacobian(x)
    found = {}
    for i, name in enumerate(model.names):
        step = np.zeros(len(x))
        step[i] = STEP * abs(draw([name], seed=0)[0])
        wide = (image(x + step) - image(x - step)) / (2 * step[i])
        narrow = (image(x + step / 2) - image(x - step / 2)) / step[i]
        off = np.sort(np.abs((4 * narrow - wide) / 3 - jacobian[:, i]))[: int(kept * len(jacobian))]
        found[name] = float(np.linalg.norm(off) / np.linalg.norm(jacobian[:, i]))
    return found


@pytest.mark.parametrize(("physics", "seed"), [("correct", 1), ("reference", 2)])
def test_derivatives_of_the_whole_at_any_vector(physics, seed):
    names = names_of("gauss", physics)
    model = ParameterModel(experiment("gauss", physics), names)
    worst = errors_of(model, draw(names, seed))
    assert max(worst.values()) < 1e-6, worst


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "physics"), [("square", "correct"), ("square", "reference"), ("round", "correct")])
def test_derivatives_of_wide_spots(shape, physics):
    names = names_of(shape, physics)
    model = ParameterModel(experiment(shape, physics), names)
    worst = errors_of(model, draw(names, seed=3), kept=0.98)
    assert max(worst.values()) < 1e-6, worst


def test_panels_that_move_one_after_the_other():
    names = [
        "distance_mm",
        "panel_turn_fast_deg[1]",
        "panel_turn_normal_deg",
        "panel_fast_mm[low]",
        "panel_normal_mm[1]",
    ]
    names += ["panel_turn_slow_deg[0]", "beam_tilt_x_mrad", "misset_y_deg"]
    model = ParameterModel(two_panels(), names)
    assert model.shapes == ((24, 20), (24, 20))
    worst = errors_of(model, 5 * draw(names, seed=4))
    assert max(worst.values()) < 1e-6, worst


def test_reverse_mode_is_the_product_with_the_jacobian():
    names = names_of("gauss", "correct")
    model = ParameterModel(experiment(), names)
    x = draw(names, seed=5)
    weights = np.random.default_rng(6).normal(size=model.shapes[0])
    values, jacobian = model.value_and_jacobian(x)
    assert np.array_equal(values, model.image(x).ravel())
    expected = weights.ravel() @ jacobian
    scale = np.abs(weights.ravel()) @ np.abs(jacobian)  # of the terms that the sum has
    assert np.abs(model.gradient(x, weights) - expected).max() < 1e-13 * scale.max()
    assert (np.abs(model.gradient(x, weights) - expected) < 1e-12 * scale).all()


def test_no_change_is_the_simulation_itself():
    names = names_of("gauss", "correct")
    model, direct = ParameterModel(experiment(), names), derivatives(experiment(), names)
    zero = np.zeros(len(names))
    model.image(zero + 1e-9)  # not kept
    assert np.array_equal(model.image(zero), direct.image)
    off = np.linalg.norm(model.value_and_jacobian(zero)[1] - direct.jacobian(), axis=0)
    assert (off <= 1e-13 * np.linalg.norm(direct.jacobian(), axis=0)).all()


@pytest.mark.parametrize(
    ("name", "change", "changed"),
    [
        ("scale", 0.5, {"fluence": 1.5e24}),
        ("kahn_factor", 0.4, {"kahn_factor": 0.4}),
        ("water_um", 0.1, {"water_um": 0.15}),
        ("fudge", -0.3, {"fudge": 0.7}),
        ("Nb", 3.0, {"Nb": 12}),
        ("phi_deg", 0.25, {"phi_deg": 0.25}),
        ("osc_deg", 0.3, {"osc_deg": 0.7}),
    ],
)
def test_a_change_is_that_of_the_simulation(name, change, changed):
    """To the accuracy of a float32 image."""
    model = ParameterModel(experiment(), [name])
    expected = nb.simulate(experiment().changed(**changed), device="cpu", precision="double").image
    assert np.abs(model.image([change]) - expected).max() < 1e-6 * expected.max()
    assert np.abs(model.image([0.0]) - expected).max() > 1e-4 * expected.max()


def test_changes_are_made_in_the_order_of_the_names():
    names = ["misset_x_deg", "misset_y_deg", "cell_alpha"]
    model, x = ParameterModel(experiment(), names), np.array([3.0, 4.0, 1.0])
    at = derivatives(experiment(), names).setting
    for parameter, change in zip(derivatives(experiment(), names).parameters, x, strict=True):
        at = parameter.moved(at, change)
    assert np.array_equal(model.at(x).setting.first.cells, at.first.cells)
    other = ParameterModel(experiment(), names[1::-1])
    cells = other.at(x[1::-1]).setting.first.cells
    assert (
        np.abs(cells - ParameterModel(experiment(), names[:2]).at(x[:2]).setting.first.cells).max() > 1e-3 * cells.max()
    )


def test_a_change_made_twice_is_that_made_at_once():
    at = derivatives(experiment(), names_of("gauss", "correct")).setting
    for parameter in derivatives(experiment(), names_of("gauss", "correct")).parameters:
        once = parameter.moved(at, 0.003)
        twice = parameter.moved(parameter.moved(at, 0.001), 0.002)
        for one, other in zip(once.state, twice.state, strict=True):
            assert np.abs(np.subtract(one, other)).max(initial=0) <= 1e-10 * np.abs(one).max(initial=0), parameter.name


def test_chosen_pixels():
    whole = ParameterModel(experiment(), ["misset_x_deg", "scale"])
    box = ParameterModel(experiment(), ["misset_x_deg", "scale"], pixels=np.array([[10, 14, 20, 25]]))
    x = np.array([0.01, 0.2])
    chosen = np.zeros(whole.shapes[0], bool)
    chosen[10:14, 20:25] = True
    assert box.pixels == 20
    assert np.array_equal(box.image(x), np.where(chosen, whole.image(x), 0.0))
    values, jacobian = box.value_and_jacobian(x)
    assert np.array_equal(values, whole.image(x)[chosen])
    assert jacobian.shape == (20, 2)
    assert np.abs(box.gradient(x, chosen) - whole.gradient(x, chosen)).max() < 1e-12 * np.abs(jacobian).sum(0).max()


def test_equal_lengths_change_together():
    tetragonal = experiment(crystal=nb.Crystal(cell=(40, 40, 60, 90, 90, 90), Na=8, Nb=8, Nc=8, shape="gauss"))
    model = ParameterModel(tetragonal, ["cell_a", "misset_z_deg"], cell_system="tetragonal")
    a, b, c = np.linalg.norm(model.at([1.5, 10.0]).setting.state.direct, axis=1)
    assert np.abs(np.array([a, b, c]) - [41.5, 41.5, 60]).max() < 1e-9


@pytest.mark.parametrize("x", [[0.0], [0.0, np.nan], [[0.0, 0.0]], 0.0])
def test_vectors_that_are_refused(x):
    model = ParameterModel(experiment(), "scale, cell_a")
    with pytest.raises(nb.ConfigError, match=r"^give a finite change for each of scale, cell_a, got "):
        model.image(x)


def test_changes_that_have_no_image():
    without = experiment(background=nb.Background(), structure_factors=nb.StructureFactors(default_F=100))
    model = ParameterModel(without, ["B_factor", "water_um"])
    with pytest.raises(nb.ConfigError, match="B_factor cannot be changed where all reflections have the same F"):
        model.image([1.0, 0.0])
    with pytest.raises(nb.ConfigError, match="0 without water"):
        model.image([0.0, 1.0])
    model = ParameterModel(experiment("gauss", "reference"), ["cell_a", "B_factor"])
    assert model.gradient([0.0, 1.0], np.ones(model.shapes[0])).shape == (2,)
    with pytest.raises(nb.ConfigError, match="B_factor refers to the first cell"):
        model.gradient([0.1, 1.0], np.ones(model.shapes[0]))


def test_one_line_for_notebooks():
    assert repr(ParameterModel(experiment(), "scale")) == "<ParameterModel of 1920 pixels by changes of scale>"


def test_motions_of_other_panels_need_not_be_looked_at():
    """A motion is followed by those of its own panels alone, and derivatives are those of the whole."""
    names = [
        f"panel_{motion}[{panel}]" for motion in ("turn_fast_deg", "slow_mm", "turn_normal_deg") for panel in (0, 1)
    ]
    names += ["panel_turn_slow_deg", "misset_x_deg"]
    model = ParameterModel(two_panels(), names)
    worst = errors_of(model, 5 * draw(names, seed=6))
    assert max(worst.values()) < 1e-6, worst
    _, followed = compose(model._start.setting, model._start.parameters, 5 * draw(names, seed=6))
    later = [[parameter.name for parameter, _ in getattr(one, "_later", ())] for one in followed]
    assert later[1] == [names[3], names[5], names[6], "misset_x_deg"]
    assert later[4] == [names[6], "misset_x_deg"]


def test_what_is_forgotten_is_computed_again():
    model = ParameterModel(two_panels(), ["distance_mm", "misset_y_deg"])
    for x in ([0.0, 0.0], [0.05, 0.02]):
        image, jacobian = (value.copy() for value in model.value_and_jacobian(x))
        model.forget()
        assert "_values" not in vars(model._start)
        again = model.value_and_jacobian(x)
        assert np.array_equal(again[0], image) and np.array_equal(again[1], jacobian)
    assert not np.array_equal(image, model.value_and_jacobian([0.0, 0.0])[0])
