"""Groups of parameters: what their names stand for, and equations with several right sides."""

from __future__ import annotations

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.derive.catalog import find
from nbnumba.errors import ConfigError
from nbnumba.refinement.free import PANEL_MOTIONS, expand_all, names_of, restraints_of
from nbnumba.refinement.minimizer import solve
from nbnumba.refinement.options import split_names
from nbnumba.refinement.refine import make_options
from tests.series.panel_inputs import panel_truth, panels


@pytest.fixture(scope="module")
def experiment() -> nb.Experiment:
    return nb.resolve(panel_truth(2).changed(panels=panels(2)))


@pytest.mark.parametrize(
    ("group", "members"),
    [
        ("panels[2]", [2]),
        ("panels[0:2]", [0, 1]),
        ("panels[1:]", [1, 2, 3]),
        ("panels[:3]", [0, 1, 2]),
        ("panels[p3]", [3]),
    ],
)
def test_groups_of_panels(experiment, group, members):
    names = names_of(group, experiment, None)
    inside = group.removeprefix("panels")
    assert names == tuple(f"panel_{motion}{inside}" for motion in PANEL_MOTIONS)
    for name in names:
        assert find(name, experiment)._members == members


def test_groups_may_overlap(experiment):
    names = expand_all(split_names("distance,panels[0:2],panels[2:4],panels"), experiment, None)
    assert len(names) == 1 + 6 + 6 + 24
    with pytest.raises(ConfigError, match="named twice"):
        expand_all(("panels", "panels[1]"), experiment, None)
    with pytest.raises(ConfigError, match="no such panel"):
        find(names_of("panels[7]", experiment, None)[0], experiment)


def test_restraints_of_groups(experiment):
    given = {"panels[0:2]": 0.3, "panel_turn_*": 0.1, "cell": 0.2}
    options = make_options("misset, cell, panels[0:2], panels[2]", (), given, {})
    names = expand_all(options.parameters, experiment, None)
    sigmas = restraints_of(options, experiment, names)
    assert sigmas["panel_fast_mm[0:2]"] == 0.3 and sigmas["panel_turn_fast_deg[2]"] == 0.1
    assert sigmas["cell_beta"] == 0.2 and "panel_fast_mm[2]" not in sigmas and "misset_x_deg" not in sigmas
    with pytest.raises(ConfigError, match="it is not refined"):
        restraints_of(make_options("misset", (), {"panels": 1.0}, {}), experiment, ("misset_x_deg",))


@pytest.mark.parametrize("damping", [0.0, 1e-3, 2.0])
def test_several_right_sides(damping):
    random = np.random.default_rng(3)
    half = random.normal(size=(5, 7)) * np.array([1e-4, 1.0, 1e5, 3.0, 10.0])[:, None]
    matrix, right = half @ half.T, random.normal(size=(5, 3))
    found = solve(matrix, right, damping)
    for column in range(3):
        assert found[:, column] == pytest.approx(solve(matrix, right[:, column], damping), rel=1e-12)
    exact = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), right)
    assert found == pytest.approx(exact, rel=1e-6)
    matrix[2], matrix[:, 2], right[2] = 0.0, 0.0, 0.0
    assert (solve(matrix, right, damping)[2] == 0).all()
    assert solve(np.zeros((0, 0)), np.zeros((0, 2)), damping).shape == (0, 2)
