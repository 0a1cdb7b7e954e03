"""Values that no simulation can use are refused in one sentence that names field, value and cure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.errors import ConfigError
from nbnumba.model.config import Beam, Crystal, Detector, Panel, Sampling, Simulation, StructureFactors
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.geometry_files import whole_image
from nbnumba.model.outputs import Outputs
from nbnumba.render.dispatch import make_plan
from nbnumba.render.inputs import build_inputs
from nbnumba.series.variation import make_variations, vary

GOOD = Simulation(
    crystal=Crystal(cell=(40.0, 50.0, 60.0)),
    detector=Detector(fpixels=12, spixels=10),
    structure_factors=StructureFactors(default_F=10.0),
    sampling=Sampling(oversample=1),
)


def changed(**parts: Any) -> Experiment:
    """The good simulation with other parts, or with other fields of its parts, resolved."""
    whole = {k: replace(getattr(GOOD, k), **v) if isinstance(v, dict) else v for k, v in parts.items()}
    return resolve(replace(GOOD, **whole))


def sources(folder: Path, *lines: str) -> Experiment:
    (folder / "sources.txt").write_text("\n".join(lines))
    return changed(beam={"sourcefile": folder / "sources.txt"})


def panel(**more: Any) -> Panel:
    axes = {"fast_axis": (1.0, 0.0, 0.0), "slow_axis": (0.0, -1.0, 0.0)}
    return Panel(**{"pix0_mm": (-1.0, 1.0, 50.0), **axes, "pixel_mm": 0.2, "fpixels": 12, "spixels": 10, **more})


def test_the_good_one_is_good() -> None:
    assert changed().panel.fpixels == 12
    assert changed(detector=Detector(panels=(panel(),)), physics="correct").detector.panels[0].spixels == 10


REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("beam.beamsize_mm must be > 0 when a flux is given, got 0", lambda: Beam(flux=1e10, beamsize_mm=0)),
    (r"crystal.A_matrix must hold 9 numbers, got 8", lambda: Crystal(A_matrix=(1.0,) * 8)),
    ("reciprocal vectors span no volume", lambda: changed(crystal=Crystal(A_matrix=(0.01, 0.0, 0.0) * 3))),
    (r"panel.slow_axis must not be parallel to fast_axis", lambda: panel(fast_axis=(1, 0, 0), slow_axis=(-2, 0, 0))),
    ("curved cannot be used with a list of panels", lambda: changed(detector=Detector(panels=(panel(),), curved=True))),
    (
        r"no pixel along its \w+ axis: 0.1 mm of 0.3 mm pixels",
        lambda: changed(detector=Detector(detsize_f_mm=0.1, detsize_s_mm=0.1, pixel_mm=0.3)),
    ),
    (
        "-fdet_vector and -sdet_vector are parallel",
        lambda: changed(
            detector=Detector(convention="CUSTOM", fdet_vector=(1, 0, 0), sdet_vector=(2, 0, 0), odet_vector=(0, 0, 2))
        ),
    ),
    (
        "its plane goes through the crystal",
        lambda: changed(
            detector=Detector(panels=(panel(pix0_mm=(0.0, 1.0, 2.0), fast_axis=(0, 1, 0), slow_axis=(0, 0, 1)),))
        ),
    ),
    ("--precision must be auto, double or mixed, got half", lambda: make_plan(build_inputs(changed()), "cpu", "half")),
    (
        "simulation.physics must be released or reference or upstream or correct, got 'wrong'",
        lambda: changed(physics="wrong"),
    ),
    (r"mask.* 3 x 4", lambda: changed(mask=np.ones((4, 3), bool))),
    (
        "a mask can be used with one panel only",
        lambda: changed(
            detector=Detector(panels=(panel(), panel(pix0_mm=(9.0, 1.0, 50.0)))),
            mask=np.ones((10, 12), bool),
            physics="correct",
        ),
    ),
    ("1 panels cannot hold 2 images", lambda: whole_image([panel()], [np.zeros((10, 12))] * 2)),
    ("outputs.smv must be reference or adsc, got 'mar'", lambda: Outputs(smv="mar")),
    ("outputs.rng must be reference or philox, got 'dice'", lambda: Outputs(rng="dice")),
]


@pytest.mark.parametrize(("message", "make"), REFUSED, ids=[row[0][:40] for row in REFUSED])
def test_refused(message: str, make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0 0 1 1e-10", "a source lies in the crystal"),
        ("0 0 -1 -1 1e-10", "weights must not be negative and not all zero"),
        ("0 0 -1 0 1e-10", "weights must not be negative and not all zero"),
        ("0 0 -1 1 -1e-10", "source wavelengths must be > 0, got -1 A"),
    ],
)
def test_sources_that_cannot_be(tmp_path: Path, line: str, message: str) -> None:
    good = "0 0 -1 1 1e-10"
    assert len(sources(tmp_path, good).sources.weights) == 1
    with pytest.raises(ConfigError, match=message):
        sources(tmp_path, *([good, line] if "-1 0" not in line else [line]))


def test_what_has_no_effect_is_said() -> None:
    notes = changed(crystal={"mosaic_domains": 9}).warnings
    assert any("no mosaic spread is given: one domain instead of 9; give -mosaic DEG" in note for note in notes)


def test_a_corner_beside_a_beam_centre_is_said_to_be_ignored() -> None:
    """As in the reference, which says nothing; the image is that of the beam centre alone."""
    centre = {"Xbeam_mm": 1.0, "Ybeam_mm": 1.0}
    plain = changed(detector=centre)
    corner = tuple(1000 * (plain.panel.pix0 + np.array([0.0, 0.3, 0.4])))
    both = changed(detector={**centre, "pix0_vector_mm": corner})
    np.testing.assert_array_equal(both.panel.pix0, plain.panel.pix0)
    assert "-pix0_vector is ignored because -Xbeam and -Ybeam place the detector (500 mm away from it)" in both.warnings


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, r"^beam must be a table: write \[beam\]"),
        ({"flux": {"distribution": "normal", "mean": 1, "sigma": 1, "times": 1}}, "flux: times must be true or false$"),
        ({"flux": {"distribution": "normal", "mean": 1, "sigma": -1}}, "flux: sigma must be >= 0, got -1"),
        ({"flux": {"distribution": "lognormal", "median": 0, "sigma": 1}}, "flux: median must be > 0, got 0"),
        (
            {"flux": {"distribution": "normal", "mean": math.inf, "sigma": 1}},
            "flux: mean must be a finite number, got inf",
        ),
        ({"flux": {"distribution": "choice", "values": []}}, "flux: values must be a list of at least one value"),
        (
            {"flux": {"distribution": "choice", "values": [1, 2], "weights": [1]}},
            "a choice needs one weight for each of its values",
        ),
        ({"flux": {"distribution": "choice", "values": [1, 2], "weights": [0, 0]}}, "none negative and not all 0"),
    ],
)
def test_distributions_that_cannot_be(entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_variations({"beam": entry})


def test_a_cell_is_only_multiplied() -> None:
    rule = {"distribution": "normal", "mean": 1, "sigma": 0.1, "times": False}
    with pytest.raises(ConfigError, match="times must be true or false, and true for the cell"):
        make_variations({"crystal": {"cell": rule}})


def test_nothing_to_multiply_names_the_shot() -> None:
    rule = {"distribution": "normal", "mean": 1, "sigma": 0.1, "times": True}
    twice = make_variations({"scan": {"osc_deg": rule}})
    with pytest.raises(ConfigError, match=r"scan.osc_deg has times = true, .* no value to multiply \(shot 7\)"):
        vary(GOOD, twice, 1, 7)


def test_a_cell_that_varies_takes_its_matrix_along() -> None:
    """A cell longer by some factor has reciprocal vectors shorter by it, in the same directions."""
    matrix = tuple(np.diag([1 / 40, 1 / 50, 1 / 60]).ravel())
    rule = {"cell": {"distribution": "uniform", "low": 1.1, "high": 1.3}}
    base = replace(GOOD, crystal=Crystal(A_matrix=matrix))
    varied = resolve(vary(base, make_variations({"crystal": rule}), 1, 2)).crystal
    factor = varied.unit_cell[0] / 40
    assert 1.1 <= factor <= 1.3
    np.testing.assert_allclose(varied.unit_cell, (40 * factor, 50 * factor, 60 * factor, 90, 90, 90), rtol=1e-12)
