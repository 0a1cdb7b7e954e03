"""Many shots: in processes, resumed after a kill, with failures and outliers, on a cluster."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.errors import ConfigError, FileError
from nbnumba.refinement.minimizer import STOPPED
from nbnumba.refinement.self_test import misset_between
from nbnumba.series.refine_shots import ShotRefiner
from nbnumba.series.shot_table import CLEAR, flag_outliers, robust_z
from tests.series.inputs import ROOT, wait_until
from tests.series.refine_inputs import SIDE, alike, make_shot, truth, turned

NAMES = "misset, scale"


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> list[nb.ShotFile]:
    """Twelve of them; the image of the fifth is empty, that of the eighth no image, and the ninth has another size."""
    folder = tmp_path_factory.mktemp("shots")
    found = [make_shot(folder, number) for number in range(12)]
    np.save(found[4].image, np.full((SIDE, SIDE), -1, np.int32))
    Path(found[7].image).write_bytes(b"no image")
    np.save(found[8].image, np.zeros((SIDE, SIDE // 2), np.int32))
    return found


def run(shots: list[nb.ShotFile], folder: Path, names: str = NAMES, **more: Any) -> nb.ShotsReport:
    return nb.refine_shots(shots, folder, names, **{"device": "cpu", "workers": 1, **more})


def figures(folder: Path) -> dict[str, Any]:
    """All records without times."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        rows = content.get("shots") if isinstance(content.get("shots"), list) else [content]
        for row in rows:
            row.pop("seconds", None)
        found[path.name] = content
    return found


def test_every_shot_is_refined_as_by_itself(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    report = run(shots, tmp_path / "out", workers=2)
    assert report.workers == 2 and report.made == 12
    assert [row["shot"] for row in report.rows] == [shot.name for shot in shots]
    assert [row["state"] for row in report.rows] == [
        "failed" if number in (4, 7, 8) else "refined" for number in range(12)
    ]
    for number, words in ((4, "no good pixel"), (7, "shot07.npy"), (8, f"{SIDE // 2} x {SIDE} pixels")):
        assert words in report.rows[number]["reason"]
    alone = nb.refine(shots[2].image, shots[2].start, NAMES, device="cpu", threads=1)
    for name in alone.names:
        assert report.rows[2][name] == pytest.approx(alone[name], rel=1e-6)
        assert report.rows[2][f"{name}_error"] == pytest.approx(alone.error(name), rel=1e-6)
    model = nb.resolve(alone.simulation).crystal.direct
    assert misset_between(model, nb.resolve(turned(2, truth())).crystal.direct) < 0.005
    files = {path.name for path in (tmp_path / "out").iterdir()}
    done = [shot.name for number, shot in enumerate(shots) if number not in (4, 7, 8)]
    ends = {f"{name}.{end}" for name in done for end in ("json", "csv", "expt")}
    assert files == ends | {"refinement.json", "shots.csv", "shots.json"}
    run(shots, tmp_path / "one")
    assert alike(figures(tmp_path / "one"), figures(tmp_path / "out"))
    table = list(csv.DictReader((tmp_path / "out" / "shots.csv").read_text().splitlines()))
    assert [row["shot"] for row in table] == [shot.name for shot in shots]
    assert float(table[2]["misset_x_deg"]) == pytest.approx(alone["misset_x_deg"], rel=1e-6)
    assert table[4]["chi2"] == "" and table[4]["reason"] == report.rows[4]["reason"]


def test_what_is_done_is_not_done_again(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    few = shots[:3]
    first = run(few, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shot0*")}
    again = run(few, tmp_path)
    assert again.made == 0 and [row["chi2"] for row in again.rows] == [row["chi2"] for row in first.rows]
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.glob("shot0*")}
    (tmp_path / "shot01.json").unlink()
    assert run([*few, shots[3]], tmp_path).made == 2
    # failures are tried again: their images may have been mended
    assert run([*few, shots[7]], tmp_path).made == 1
    assert run([*few, shots[7]], tmp_path).made == 1


def test_a_folder_belongs_to_its_refinement(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    few = [shots[0], shots[1]]
    run(few, tmp_path / "out")
    before = figures(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"another refinement: options\.parameters was .* Give the same flags"):
        run(few, tmp_path / "out", "misset, cell, scale")
    with pytest.raises(ConfigError, match=r"options\.reject was 6\.0 and now is 5\.0"):
        run(few, tmp_path / "out", reject=5.0)
    other = replace(few[1], start=few[1].start.changed(Na=13))
    with pytest.raises(ConfigError, match=r"shot01\.json was made with another start model"):
        run([few[0], other], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"shot01\.json was made with another start model"):
        run([few[0], replace(few[1], options={"rim_px": 3})], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"shot01\.json was made with another image"):
        run([few[0], replace(few[1], image=shots[2].image)], tmp_path / "out")
    assert alike(figures(tmp_path / "out"), before)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "shot01.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds shot01\.json, which no refinement of many shots has made"):
        run(few, tmp_path / "other")
    (tmp_path / "out" / "shot01.json").write_text("{")
    with pytest.raises(FileError, match=r"cannot read .*shot01\.json.* remove it"):
        run(few, tmp_path / "out")


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "shots", "geometry", "refinement", "shot00"])
def test_names_that_cannot_be(shots: list[nb.ShotFile], tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        run([shots[0], nb.ShotFile(name, shots[1].image, shots[1].start)], tmp_path)


def test_no_shot_and_unknown_options(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no shot"):
        run([], tmp_path)
    with pytest.raises(ConfigError, match="no option gian"):
        nb.ShotFile("a", "a.cbf", shots[0].start, {"gian": 2.0})
    with pytest.raises(ConfigError, match="needs a model"):
        nb.ShotFile("a", "a.cbf", ())


def test_structure_factors_are_no_part_of_a_task(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    """They are in one file, whatever shots and lattices have them, and so is a mask."""
    from multiprocessing.reduction import ForkingPickler

    from nbnumba.series.parcels import Packer, Unpacker

    mask = np.ones((SIDE, SIDE), np.uint8)
    starts = [shot.start.changed(mask=mask.copy()) for shot in shots[:3]]
    packer = Packer(tmp_path)
    parcels = [packer.pack(nb.ShotFile(f"s{i}", shots[0].image, [one, starts[0]])) for i, one in enumerate(starts)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["F0.npy", "mask0.npy"]
    assert max(len(ForkingPickler.dumps(parcel)) for parcel in parcels) < 20_000
    for parcel, start in zip(parcels, starts, strict=True):
        found = nb.resolve(Unpacker(packer.stock).starts(parcel)[0])
        expected = nb.resolve(start)
        assert np.array_equal(found.structure_factors.grid, expected.structure_factors.grid)
        assert np.array_equal(found.simulation.mask, mask)
        assert np.array_equal(found.crystal.direct, expected.crystal.direct)
    assert len({parcel.inputs for parcel in parcels}) == 3


def test_lists_with_symmetry_keep_it(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    from nbnumba.series.parcels import Packer, Unpacker

    (tmp_path / "few.hkl").write_text("1 2 3 40\n2 0 0 90\n0 3 1 55\n")
    start = shots[0].start.changed(hkl=tmp_path / "few.hkl", hkl_symmetry="P 1 2 1")
    for told, expected in ((True, "P 1 2 1"), (False, None)):
        packer = Packer(tmp_path, told)
        parcel = packer.pack(nb.ShotFile("a", shots[0].image, start))
        assert parcel.shot.options.get("symmetry") == expected
        grid = nb.resolve(Unpacker(packer.stock).starts(parcel)[0]).structure_factors.grid
        assert np.array_equal(grid, nb.resolve(start).structure_factors.grid)


SCRIPT = """
import sys
from pathlib import Path
from tests.series.refine_inputs import make_shot
import nbnumba as nb
if __name__ == "__main__":
    images, out, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    shots = [make_shot(images, number) for number in range(12)]
    nb.refine_shots(shots, out, "misset, scale", device="cpu", workers=workers)
"""


@pytest.mark.slow
def test_killed_and_resumed(tmp_path: Path) -> None:
    """The files are those of an undisturbed run, and nothing else is there; no process is left."""
    images, out = tmp_path / "images", tmp_path / "killed"
    images.mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, str(tmp_path / "script.py"), str(images)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*words, str(folder), str(workers)], cwd=ROOT, env=environment)

    process = start(out, 2)
    wait_until(lambda: len(list(out.glob("shot*.json"))) >= 3, process, 120)
    process.kill()
    process.wait()
    left = len(list(out.glob("shot*.json")))
    assert 3 <= left < 12, "the kill came too late to prove anything"
    time.sleep(0.5)  # the workers end with their parent
    assert len(list(out.glob("shot*.json"))) <= left + 2
    assert start(out, 2).wait(120) == 0
    assert start(tmp_path / "whole", 1).wait(120) == 0
    assert alike(figures(out), figures(tmp_path / "whole"))
    assert {p.name for p in out.iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}


@pytest.mark.slow
def test_a_killed_worker_is_replaced(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(complete: int, total: int) -> None:
        if complete >= 2 and not killed:
            killed.append(multiprocessing.active_children()[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    few = [shot for number, shot in enumerate(shots) if number not in (4, 7, 8)]
    run(few, tmp_path / "pool", workers=2, progress=kill_one)
    assert killed
    run(few, tmp_path / "alone")
    assert alike(figures(tmp_path / "pool"), figures(tmp_path / "alone"))


def test_progress_may_stop_a_run(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    def stop(complete: int, total: int) -> None:
        if complete == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shots[:3], tmp_path, progress=stop)
    assert (tmp_path / "shot00.json").is_file() and not (tmp_path / "shots.csv").exists()
    assert run(shots[:3], tmp_path).made == 2


def test_a_shot_that_was_interrupted_is_no_result(
    shots: list[nb.ShotFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends a minimization at its best point: a run of many shots must not take that for the shot's outcome."""
    from nbnumba.series import refine_shots as module

    refine_shot = module.refine_shot
    monkeypatch.setattr(module, "refine_shot", lambda *a: replace(refine_shot(*a), reason=STOPPED))
    with pytest.raises(KeyboardInterrupt):
        run(shots[:2], tmp_path)
    assert not list(tmp_path.glob("shot0*"))


def test_an_outlier_is_flagged(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    """A crystal with another cell, and one with another size; the others differ by noise alone."""
    few = [make_shot(tmp_path, number) for number in range(20, 28)]
    base = truth()
    odd = base.changed(cell=(55.4, 65, 75, 90, 95, 90))
    small = base.changed(Na=9)
    few[2] = replace(make_shot(tmp_path, 22, odd), start=few[2].start)
    few[5] = replace(make_shot(tmp_path, 25, small), start=few[5].start)
    report = run(few, tmp_path / "out", "misset, cell, N, scale")
    assert report.count("refined") == 8
    assert "cell_a" in report.rows[2]["outlier"] and "Na" in report.rows[5]["outlier"]
    quiet = [row for number, row in enumerate(report.rows) if number not in (2, 5)]
    assert sum(len(row["outlier"]) for row in quiet) <= 2, [row["outlier"] for row in quiet]
    table = list(csv.DictReader((tmp_path / "out" / "shots.csv").read_text().splitlines()))
    assert "cell_a:+" in table[2]["outlier"] and "Na:-" in table[5]["outlier"]


def test_robust_scores() -> None:
    random = np.random.default_rng(1)
    values = random.normal(10.0, 0.1, 2001)
    assert robust_z(values).std() == pytest.approx(1.0, abs=0.06)
    values[:600] += 50.0  # a third of them off does not change what is usual
    assert np.abs(robust_z(values)[600:]).max() < 2 * CLEAR
    assert np.abs(robust_z(values)[:600]).min() > 100
    alike = np.array([79.1, 79.1, 79.1 + 1e-12, 79.1, 79.1 - 1e-12, 79.1])
    assert np.abs(robust_z(alike)).max() < CLEAR
    assert np.abs(robust_z(np.append(alike, 79.2)))[-1] > CLEAR
    rows: list[dict[str, Any]] = [{"chi2": 1.0 + 0.01 * n, "misset_x_deg": 0.1 * n**4} for n in range(7)]
    rows += [{"chi2": 9.0}, {"chi2": None}, {"chi2": float("nan")}, {}]
    flag_outliers(rows)
    assert [bool(row["outlier"]) for row in rows] == [False] * 7 + [True] + [False] * 3
    few: list[dict[str, Any]] = [{"chi2": 1.0}, {"chi2": 1.0}, {"chi2": 1.0}, {"chi2": 9.0}]
    flag_outliers(few)
    assert not any(row["outlier"] for row in few)


def test_several_lattices_have_their_columns(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    first, second = turned(1, truth()), turned(2, truth())
    image = sum(nb.simulate(one, device="cpu").images[0].astype(float) for one in (first, second)) + 5.0
    np.save(tmp_path / "two.npy", np.random.default_rng(3).poisson(image).astype(np.int32))
    shot = nb.ShotFile("two", tmp_path / "two.npy", [shots[1].start, shots[2].start])
    row = run([shot], tmp_path / "out").rows[0]
    assert row["state"] == "refined"
    assert row["lattice1.cell_a"] == pytest.approx(55.0) and row["lattice2.scale_error"] > 0
    assert json.loads((tmp_path / "out" / "two.json").read_text())["lattices"][1]["N"] == pytest.approx([12, 12, 11])


def test_images_of_one_file_and_listed_reflections(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    import h5py

    stack = np.stack([np.load(shots[number].image) for number in (1, 2)])
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["entry/data/data"] = stack
    numbered = [nb.ShotFile(f"n{n}", tmp_path / "stack.h5", shots[n].start, number=n) for n in (1, 2)]
    listed = np.array([[h, k, l] for h in range(-9, 1) for k in range(-20, 21) for l in range(-20, 21)])
    part = nb.ShotFile("part", shots[1].image, shots[1].start, reflections=listed)
    rows = run([*numbered, part], tmp_path / "out").rows
    for row, number in zip(rows, (1, 2, 1), strict=True):
        assert row["state"] == "refined", row["reason"]
        alone = nb.refine(shots[number].image, shots[number].start, NAMES, device="cpu", threads=1)
        assert row["misset_x_deg"] == pytest.approx(alone["misset_x_deg"], abs=1e-9 if row is not rows[2] else 5e-3)
    assert rows[2]["spots"] < 0.8 * rows[0]["spots"]
    sets = json.loads((tmp_path / "out" / "n2.expt").read_text())["imageset"]
    assert [one["single_file_indices"] for one in sets] == [[1]] and Path(sets[0]["images"][0]) == tmp_path / "stack.h5"
    assert run([*numbered, part], tmp_path / "out").made == 0
    with pytest.raises(ConfigError, match=r"n2\.json was made with another start model or options"):
        run([numbered[0], replace(numbered[1], number=1), part], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"part\.json was made with another start model or options"):
        run([*numbered, replace(part, reflections=listed[:-1])], tmp_path / "out")
    assert run([nb.ShotFile("n", tmp_path / "stack.h5", shots[1].start, number=3)], tmp_path / "x").count("failed") == 1


def test_structure_factors_of_a_shot(shots: list[nb.ShotFile], tmp_path: Path) -> None:
    report = run([shots[1]], tmp_path, "misset, scale, F", restraints={"F": 0.1})
    assert report.rows[0]["state"] == "refined", report.rows[0]["reason"]
    table = np.loadtxt(tmp_path / "shot01.hkl")
    assert len(table) > 100 and table.shape[1] == 5 and (table[:, 3] > 0).all()
    assert run([shots[1]], tmp_path, "misset, scale, F", restraints={"F": 0.1}).made == 0


def test_a_maker_reads_structure_factors_once(
    shots: list[nb.ShotFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbnumba.series.tables import TableFile

    loads: list[Path] = []
    load = TableFile.load
    monkeypatch.setattr(TableFile, "load", lambda self: loads.append(self.path) or load(self))
    makers: list[ShotRefiner] = []
    init = ShotRefiner.__init__
    monkeypatch.setattr(ShotRefiner, "__init__", lambda self, recipe: makers.append(self) or init(self, recipe))
    assert run(shots[:4], tmp_path).count("refined") == 4
    assert len(loads) == 1 and len(makers) == 1


def test_on_a_dask_cluster(shots: list[nb.ShotFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    monkeypatch.chdir(Path(shots[0].image).parent)  # names that are relative to the working folder of the user
    few = [replace(shot, image=Path(shot.image).name) for shot in shots[:4]]
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        report = run(few, tmp_path / "cluster", client=client)
    assert report.workers == 0 and report.count("refined") == 4
    run(few, tmp_path / "alone")
    assert alike(figures(tmp_path / "cluster"), figures(tmp_path / "alone"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", 3), ("start", 3), ("start", [3]), ("options", [1]), ("number", "first"), ("number", 1.5), ("name", None)],
)
def test_wrong_fields_of_a_shot_are_refused_by_name(name, value):
    given = {"name": "a", "image": "a.cbf", "start": truth(), name: value}
    with pytest.raises(ConfigError, match=rf"shot_file\.{name} must be"):
        nb.ShotFile(**given)
