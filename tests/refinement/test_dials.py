"""DIALS reads a refined model, and what DIALS itself predicts from it is nearer to the spots than from the start."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.model.experiment import resolve
from nbnumba.output.expt import file_axes, write_expt
from nbnumba.refinement.self_test import make_trial
from tests.io.test_dials import dials_python, run

#: Run by the Python that has DIALS: fast and slow pixel of the reflections of a file, as its predictor for stills has them.
PROBE = """
import json, sys
from dials.algorithms.spot_prediction import StillsReflectionPredictor
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentListFactory
experiment = ExperimentListFactory.from_json_file(sys.argv[1], check_format=False)[0]
hkl = json.load(open("hkl.json"))
table = flex.reflection_table()
table["miller_index"] = flex.miller_index([tuple(one) for one in hkl])
table["id"] = flex.int(len(hkl), 0)
table["panel"] = flex.size_t(len(hkl), 0)
table["entering"] = flex.bool(len(hkl), False)
table["flags"] = flex.size_t(len(hkl), 0)
table["s1"] = flex.vec3_double(len(hkl))
table["xyzcal.mm"] = flex.vec3_double(len(hkl))
table["xyzcal.px"] = flex.vec3_double(len(hkl))
table["delpsical.rad"] = flex.double(len(hkl))
StillsReflectionPredictor(experiment).for_reflection_table(table, experiment.crystal.get_A())
print("FOUND" + json.dumps([list(one)[:2] for one in table["xyzcal.px"]]))
"""


@pytest.mark.skipif(dials_python() is None, reason="DIALS is not installed (Debian: apt install dials)")
def test_predictions_of_dials_come_nearer(tmp_path: Path) -> None:
    trial = make_trial(4)
    refined = nb.refine(trial.image, trial.start, device="cpu")
    spots = refined.spots[np.isfinite(refined.spots["offset_px"])]
    (tmp_path / "hkl.json").write_text(json.dumps([[int(spot[x]) for x in "hkl"] for spot in spots]))
    start, end = resolve(trial.start), resolve(refined.simulation)
    for name, experiment in (("start", start), ("refined", end)):
        write_expt(tmp_path / f"{name}.expt", [experiment], ["a.cbf"], turn=file_axes(start))
    away = {}
    for name in ("start", "refined"):
        text = run(str(dials_python()), "-c", PROBE, f"{name}.expt", cwd=tmp_path).split("FOUND", 1)[1]
        predicted = np.array(json.loads(text))
        away[name] = np.hypot(*(predicted - np.stack([spots["fast_px"], spots["slow_px"]], axis=1)).T)
    assert len(spots) > 100
    assert np.median(away["refined"]) < 0.5 * np.median(away["start"])
