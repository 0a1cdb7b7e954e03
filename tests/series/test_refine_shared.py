"""Geometry that shots share: the acceptance test, the equations, the crews, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.errors import ConfigError, ResourceError
from nbnumba.refinement.free import PANEL_MOTIONS
from nbnumba.refinement.minimizer import STOPPED
from nbnumba.refinement.panel_motions import _common, panel_table
from nbnumba.refinement.self_test import disturbed
from nbnumba.series.crew import LocalCrew, ProcessCrew, Seats
from nbnumba.series.refine_shared import refine_shared
from tests.series.panel_inputs import corners, disorder, misfit, panel_shot, panel_truth, panels
from tests.series.refine_inputs import alike, make_shot, truth, turned

OWN = "misset, scale"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[nb.Simulation, list[nb.ShotFile]]:
    """Four shots on four panels."""
    folder, true = tmp_path_factory.mktemp("panels"), panel_truth(2)
    return true, [panel_shot(folder, number, true) for number in range(4)]


def run(shots: list[nb.ShotFile], share: str = "panels", own: str = OWN, **more: Any) -> nb.SharedRefined:
    return nb.refine_shared(shots, own, share, **{"device": "cpu", "workers": 1, **more})


@pytest.mark.slow
def test_eight_panels_and_thirty_shots(tmp_path: Path) -> None:
    """diffBragg's test of panels, with limits on what panels are relative to one another."""
    true = panel_truth()
    shots = [panel_shot(tmp_path, number, true) for number in range(30)]
    start = shots[0].starts[0]
    assert min(misfit(corners(start), corners(true))) > 0.1
    refined = run(shots, workers=2, folder=tmp_path / "out")
    assert refined.converged, refined.reason
    distance, angle = misfit(corners(refined.simulations[7][0]), corners(true))
    assert distance < 0.010 and angle < 0.01
    assert all(row["state"] == "refined" and abs(row["chi2"] - 1) < 0.1 for row in refined.rows)
    pulls = pulls_of(refined, start, 4)
    assert np.abs(pulls).max() < 4.5 and 0.6 < pulls.std() < 1.6


def pulls_of(refined: nb.SharedRefined, start: nb.Simulation, rows: int) -> np.ndarray:
    """Differences of the panels' relative motions from the true ones, over their errors."""
    experiment = nb.resolve(start)
    motions = []
    for panel, (shift, turn) in zip(experiment.detector.panels, disorder(rows), strict=True):
        frame = np.array([panel.fdet, panel.sdet, panel.odet])
        motions.append([*(frame @ shift), *(frame @ turn)])
    true = np.ravel(motions)
    true -= _common(experiment) @ true
    found = np.column_stack([refined.panels[f"relative_{name}"] for name in PANEL_MOTIONS]).ravel()
    errors = np.column_stack([refined.panels[f"relative_{name}_error"] for name in PANEL_MOTIONS]).ravel()
    return (found - true) / errors


def test_panels(few: tuple[nb.Simulation, list[nb.ShotFile]], tmp_path: Path) -> None:
    true, shots = few
    refined = run(shots, folder=tmp_path)
    assert refined.converged, refined.reason
    for models in refined.simulations:
        assert misfit(corners(models[0]), corners(true))[0] < 0.02
        assert models[0].structure_factors == shots[0].starts[0].structure_factors
    before = misfit(corners(shots[0].starts[0]), corners(true))
    assert before[0] > 0.2
    pulls = pulls_of(refined, shots[0].starts[0], 2)
    assert np.abs(pulls).max() < 4.5 and pulls.std() < 1.8
    written = json.loads((tmp_path / "geometry.json").read_text())
    assert written["converged"] and written["shots"] == 4
    assert written["parameters"]["panel_slow_mm[3]"]["value"] == refined["panel_slow_mm[3]"]
    assert written["detector"][3]["pix0_mm"] == list(refined.simulations[0][0].detector.panels[3].pix0_mm)
    lines = (tmp_path / "geometry.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[0].startswith("panel,fast_mm,fast_mm_error")
    assert {p.name for p in tmp_path.iterdir()} == {
        *(f"shot0{n}.{end}" for n in range(4) for end in ("json", "csv", "expt")),
        *("geometry.json", "geometry.csv", "shots.csv", "shots.json", "refinement.json"),
    }
    record = json.loads((tmp_path / "shot02.json").read_text())
    shared = record["parameters"]["panel_normal_mm[1]"]
    assert shared["value"] == refined["panel_normal_mm[1]"]
    assert shared["error"] == pytest.approx(refined.error("panel_normal_mm[1]"), rel=1e-4)


GROUPS = "distance, panels[0:2], panels"


def test_crews_agree(few: tuple[nb.Simulation, list[nb.ShotFile]], tmp_path: Path) -> None:
    """In this process and in others, but for threads of linear algebra; with a shot that cannot be refined."""
    shots = list(few[1][:3])
    shots.insert(1, replace(shots[0], name="bad", image=tmp_path / "missing.npy"))
    here = run(shots, GROUPS, threads=1)
    assert here.converged, here.reason
    assert here.rows[1]["state"] == "failed" and "missing.npy" in here.rows[1]["reason"]
    assert here.simulations[1] == ()
    assert here.names[:3] == ("distance_mm", "panel_fast_mm[0:2]", "panel_slow_mm[0:2]") and len(here.names) == 31
    apart = run(shots, GROUPS, threads=1, workers=2)
    assert apart.values == pytest.approx(here.values, rel=1e-6, abs=1e-9)
    assert apart.errors == pytest.approx(here.errors, rel=1e-4)
    assert np.allclose(here.correlations, apart.correlations, atol=1e-4)
    assert alike([one.get("misset_x_deg") for one in here.rows], [one.get("misset_x_deg") for one in apart.rows])


def test_on_a_dask_cluster(few: tuple[nb.Simulation, list[nb.ShotFile]], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        with pytest.raises(ConfigError, match="on a cluster give a folder"):
            run(few[1][:3], client=client)
        there = run(few[1][:3], client=client, folder=tmp_path)
    here = run(few[1][:3], threads=1)
    # the linear algebra of NumPy may have another number of threads there
    assert there.values == pytest.approx(here.values, rel=1e-6, abs=1e-9)
    assert {path.name for path in tmp_path.glob("shot0*.expt")} == {f"shot0{n}.expt" for n in range(3)}


def seats_of(shots: list[nb.ShotFile], share: str, tmp_path: Path, **more: Any) -> Any:
    """The shots of a joint refinement, stopped after an iteration, and the shared parameters."""
    from nbnumba.series import refine_shared as module

    kept: dict[str, Any] = {}

    class Kept(LocalCrew):
        def close(self, failed: bool = False) -> None:
            kept["seats"] = self._seats._seats

    def stop(stage: str, step: Any) -> None:
        if stage == "1":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LocalCrew", Kept)
        refined = run(shots, share, on_step=stop, reject=0.0, **more)
    assert refined.reason == STOPPED
    return kept["seats"], refined


def test_equations_are_those_of_all_parameters_together(
    few: tuple[nb.Simulation, list[nb.ShotFile]], tmp_path: Path
) -> None:
    """Step, gain and errors, from one dense matrix of all shots."""
    from nbnumba.refinement.shared import WHOLE, Total

    seats, refined = seats_of(few[1][:3], "panels[0], distance", tmp_path, restraints={"panels[0]": 0.3})
    k, own = len(refined.names), [len(seat.free) - len(seat.shared) for seat in seats]
    n = k + sum(own)
    matrix, right = np.zeros((n, n)), np.zeros(n)
    first = k
    for seat, count in zip(seats, own, strict=True):
        numbers = [i for i in range(len(seat.free)) if i not in seat.shared]
        place = np.empty(len(seat.free), int)
        place[seat.shared], place[numbers] = np.arange(k), first + np.arange(count)
        matrix[np.ix_(place, place)] += seat.point.information
        right[place] -= seat.point.gradient
        first += count
    held = np.array([1 / 0.3**2 if name.startswith("panel_") else 0.0 for name in refined.names])
    free = [
        replace(one, sigma=0.3 if one.parameter.startswith("panel_") else np.inf) for one in seats[0].facts()["free"]
    ]
    x = seats[0].where()
    matrix[np.arange(k), np.arange(k)] += held
    right[:k] -= held * x
    dense = np.linalg.solve(matrix, right)
    total = Total.of([seat.part(0, WHOLE) for seat in seats], free, x, WHOLE)
    step = total.step(np.arange(k))
    assert step == pytest.approx(dense[:k], rel=1e-5, abs=1e-9)
    assert 0.5 * step @ total.right + total.gain == pytest.approx(0.5 * dense @ right, rel=1e-6)
    seats[1].tried(0, x + step, WHOLE)
    moved = seats[1]._trial.x - seats[1].point.x
    numbers = [i for i in range(len(seats[1].free)) if i not in seats[1].shared]
    assert moved[numbers] == pytest.approx(dense[k + own[0] : k + own[0] + own[1]], rel=1e-5, abs=1e-9)
    covariance = np.linalg.inv(matrix)
    assert refined.errors == pytest.approx(np.sqrt(np.diag(covariance))[:k], rel=1e-5)
    outcome = seats[1].outcome(Total.of([s.part(0, WHOLE) for s in seats], free, x, 0.0).matrix, "", [])
    errors = np.sqrt(np.diag(covariance))[k + own[0] : k + own[0] + 3]
    assert [outcome.error(f"misset_{axis}_deg") for axis in "xyz"] == pytest.approx(errors, rel=1e-4)
    alone = np.sqrt(np.diag(np.linalg.inv(seats[1].point.information[np.ix_(numbers, numbers)])))[:3]
    assert (errors > 1.02 * alone).any(), "errors of the shared parameters count"


def test_a_cell_can_be_shared(tmp_path: Path) -> None:
    base = truth()
    shots = []
    for number in range(5):
        shot = make_shot(tmp_path, number)
        shots.append(replace(shot, start=disturbed(turned(number, base), 0.05, (0.1, -0.05, 0.1, 0, 0.05, 0))))
    refined = run(shots, "cell", "misset, N, scale")
    assert refined.converged, refined.reason
    assert refined.names == ("cell_a", "cell_b", "cell_c", "cell_beta") and not len(refined.panels)
    pulls = (refined.values - [55, 65, 75, 95]) / refined.errors
    assert np.abs(pulls).max() < 4
    single = nb.refine(shots[0].image, shots[0].start, "misset, N, scale, cell", device="cpu")
    assert all(refined.error(name) < 0.8 * single.error(name) for name in refined.names)
    assert len({round(row["cell_a"], 9) for row in refined.rows}) == 1


def test_ctrl_c_keeps_the_last_good_state(few: tuple[nb.Simulation, list[nb.ShotFile]], tmp_path: Path) -> None:
    def stop(stage: str, step: Any) -> None:
        raise KeyboardInterrupt

    refined = run(few[1], folder=tmp_path, workers=2, on_step=stop)
    assert refined.reason == STOPPED and not refined.converged
    assert misfit(corners(refined.simulations[0][0]), corners(few[0]))[0] < 0.1
    assert json.loads((tmp_path / "shot01.json").read_text())["reason"] == STOPPED
    assert not multiprocessing.active_children()


def test_a_killed_worker_ends_the_refinement(few: tuple[nb.Simulation, list[nb.ShotFile]]) -> None:
    def kill(stage: str, step: Any) -> None:
        for child in multiprocessing.active_children()[:1]:
            os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(ResourceError, match=r"a worker process died.*--workers 1"):
        run(few[1], workers=2, on_step=kill)
    assert not multiprocessing.active_children()


class Recipe:
    """Seats that are the words of their tasks; ``no`` is refused."""

    threads: int | None = 1

    def maker(self) -> Recipe:
        return self

    def seat(self, task: str) -> str:
        if task == "no":
            raise ConfigError("refused")
        return task


def test_answers_are_in_the_order_of_the_tasks() -> None:
    crew = LocalCrew(Recipe(), ["a", "no", "b"])
    with crew:
        assert crew.begin() == ["", "refused", ""]
        assert crew.numbers == [0, 2] and crew.ask("upper") == ["A", "B"]
        with pytest.raises(AttributeError):
            crew.ask("nonsense")
    seats = Seats(Recipe(), ["x"])
    seats.begin()
    assert seats.ask("zfill", 3) == ["00x"]
    for workers in (1, 2, 3, 5):
        crew = Groups(workers, 5)
        assert crew.ask("any") == list(range(5))


class Groups(LocalCrew):
    """Groups that answer with the numbers of their tasks."""

    def __init__(self, groups: int, tasks: int) -> None:
        super(LocalCrew, self).__init__(groups, tasks)

    def _all(self, method: str, *arguments: Any) -> list[list[Any]]:
        return [list(members) for members in self._members]


def test_errors_in_processes_are_raised_here(few: tuple[nb.Simulation, list[nb.ShotFile]]) -> None:
    with pytest.raises(ConfigError, match="no shot can be refined; shot00: "):
        run([replace(few[1][0], image=Path("missing.npy")), replace(few[1][1], image=Path("missing.npy"))], workers=2)
    assert issubclass(ProcessCrew, LocalCrew.__mro__[1])


@pytest.mark.parametrize(
    ("share", "own", "message"),
    [
        ("", OWN, "needs the names of parameters"),
        ("F", OWN, "structure factors cannot be refined with --share"),
        ("distance", "misset, F", "structure factors cannot be refined with --share"),
        ("panels[0], panels[0]", OWN, "named twice"),
        ("panels[9]", OWN, "no such panel"),
        ("wavelenth_shift_A", OWN, "no parameter wavelenth_shift_A"),
        ("misset", "scale", "starts with"),
    ],
)
def test_what_cannot_be_shared(
    few: tuple[nb.Simulation, list[nb.ShotFile]], share: str, own: str, message: str
) -> None:
    if message == "starts with":  # other cells to begin with
        shots = [few[1][0], replace(few[1][1], start=disturbed(few[1][1].starts[0], 0.0, (0.1, 0, 0, 0, 0, 0)))]
        shots = [replace(s, start=replace(s.starts[0], detector=few[1][0].starts[0].detector)) for s in shots]
        share = "cell"
    else:
        shots = few[1][:2]
    with pytest.raises(ConfigError, match=message):
        run(shots, share, own)


def test_shots_need_one_geometry(few: tuple[nb.Simulation, list[nb.ShotFile]]) -> None:
    shots = list(few[1][:2])
    start = shots[1].starts[0]
    other = (*start.detector.panels[:-1], replace(start.detector.panels[-1], pix0_mm=(1.0, -0.4, 151.0)))
    shots[1] = replace(shots[1], start=replace(start, detector=replace(start.detector, panels=other)))
    with pytest.raises(ConfigError, match="shot01 starts with another geometry of the detector than shot00"):
        run(shots)


def test_a_crystal_of_several_is_not_shared(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, 1)
    two = replace(shot, start=[shot.starts[0], turned(2, truth())])
    with pytest.raises(ConfigError, match="--share cell_a: a shot of several lattices has one of each"):
        run([two], "cell_a", OWN)


def test_motions_of_panels() -> None:
    """Known ones come out; the same motion of all is a common one."""
    experiment = nb.resolve(panel_truth(2).changed(panels=panels(2)))
    names = [f"panel_{name}[{panel}]" for panel in range(4) for name in PANEL_MOTIONS]
    random = np.random.default_rng(2)
    changes = random.normal(size=24) * np.tile([0.2, 0.2, 0.2, 0.05, 0.05, 0.05], 4)
    covariance = np.diag(np.tile([1e-4] * 3 + [1e-6] * 3, 4))
    table = panel_table(experiment, names, changes, covariance)
    for column, name in enumerate(PANEL_MOTIONS):
        assert table[name] == pytest.approx(changes.reshape(4, 6)[:, column], abs=2e-4)
        assert table[f"{name}_error"] == pytest.approx(1e-2 if column < 3 else 1e-3, rel=1e-2)
    common = _common(experiment)
    assert common @ common == pytest.approx(common, abs=1e-9) and np.trace(common) == pytest.approx(6.0)
    whole = panel_table(experiment, [f"panel_{name}" for name in PANEL_MOTIONS], changes[:6] / 10, np.eye(6) * 1e-6)
    for name in PANEL_MOTIONS:
        assert np.abs(whole[f"relative_{name}"]).max() < 2e-5
        assert np.abs(whole[f"relative_{name}_error"]).max() < 1e-6
    assert whole["fast_mm"].std() > 1e-4, "a turn of all of them shifts each"
    both = panel_table(experiment, ["distance_mm", "panel_normal_mm[1]"], np.array([0.1, 0.05]), np.eye(2) * 1e-6)
    assert np.abs(both["normal_mm"]) == pytest.approx([0.1, 0.15, 0.1, 0.1], abs=1e-9)
    assert both["normal_mm_error"] == pytest.approx([1e-3, 1e-3 * 2**0.5, 1e-3, 1e-3])


def test_restraints_of_panels_by_default_and_given(few: tuple[nb.Simulation, list[nb.ShotFile]]) -> None:
    """A common turn about the beam, as the crystals can do, is known by restraints alone; the others are twice as tight."""
    loose = run(few[1][:2])
    tight = run(few[1][:2], restraints={"panels": 0.25})
    errors = [one.panels["turn_normal_deg_error"].mean() for one in (loose, tight)]
    assert 0.05 < errors[0] < 0.5 and errors[1] == pytest.approx(errors[0] / 2, rel=0.1)
    ratio = tight.panels["relative_fast_mm_error"] / loose.panels["relative_fast_mm_error"]
    assert (ratio > 0.6).all() and (ratio < 1.05).all()


def test_the_public_function_is_this_one() -> None:
    assert nb.refine_shared is refine_shared
