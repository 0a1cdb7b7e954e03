"""``nbnumba series`` at a terminal, on a cluster, stopped and refused."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.errors import ConfigError, FileError, ResourceError
from nbnumba.model.config import Scan
from nbnumba.model.outputs import Outputs
from nbnumba.series.folder import MANIFEST, Folder
from nbnumba.series.run import run_series
from nbnumba.series.shots import NOWHERE
from tests.terminal import shown_on_terminal
from tests.test_series import FLAGS, ROOT, SIMULATION, content, series, wait_until

TOLD = [word for word in FLAGS if word != "--quiet"]


def test_a_bar_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    words = ("series", "--images", "3", "--workers", "1", "--no-contact-sheet", *TOLD)
    assert re.search(r"3/3.* images/s", shown_on_terminal(*words, "--out", "a", cwd=tmp_path))
    assert "images/s" not in shown_on_terminal(*words, "--out", "b", "-noprogress", cwd=tmp_path)
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_stopped_series_says_how_far_it_is(tmp_path: Path) -> None:
    """SIGTERM, with two workers: they end, too, and complete images stay."""
    folder = tmp_path / "s"
    command = [sys.executable, "-m", "nbnumba", "series", "--images", "900", "--out", str(folder), "--workers", "2"]
    process = subprocess.Popen(
        [*command, *TOLD], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(list(folder.glob("image_*.img"))) >= 5, process)  # type: ignore[arg-type]
    process.terminate()
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 143
    found = re.search(r"(\d+) of 900 images are complete: the same command continues", told)
    assert found is not None, told
    left = len(list(folder.glob("image_*.img")))
    assert 1 <= int(found[1]) <= left < 900
    assert f"interrupted; complete files: {folder}" in told


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50) as made:
        yield made


def test_the_same_files_by_a_scheduler_and_by_slurm(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SLURM's place is taken by the local cluster: it is asked for as many jobs as --workers says."""
    asked: list[int] = []
    monkeypatch.setattr(cluster, "scale", lambda jobs: asked.append(jobs))  # taken back before the cluster closes
    slurm = SimpleNamespace(SLURMCluster=lambda: contextlib.nullcontext(cluster))
    monkeypatch.setitem(sys.modules, "dask_jobqueue", slurm)
    words = ["series", "--stills", "3", *TOLD]
    assert main([*words, "--out", str(tmp_path / "a"), "--scheduler", cluster.scheduler_address]) == 0
    assert "by the cluster" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "b"), "--slurm", "--workers", "2"]) == 0
    assert "by the cluster" in capsys.readouterr().err
    assert asked == [2]
    assert main([*words, "--out", str(tmp_path / "c"), "--workers", "1"]) == 0
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")


def test_a_series_without_noise_is_the_integer_image(tmp_path: Path) -> None:
    words = ["series", "--images", "1", "-nonoise", "--name", "x", "--no-contact-sheet", "--out", str(tmp_path)]
    assert main([*words, *FLAGS]) == 0
    assert sorted(p.name for p in tmp_path.glob("*.img")) == ["x_0001.img"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--images", "2", "-noisefile", "x/a.img"], 1, "give a name without a folder, got x/a.img"),
        (["--images", "2", "--workers", "0"], 2, "--workers needs a whole number above 0, got '0'"),
        (["--stills", "2", "--orientations", "some"], 2, "--orientations needs random or fixed, got 'some'"),
        (["--stills", "2", "--name", "a/b"], 2, "--name must be a name without a folder, got 'a/b'"),
        (["--stills", "2", "--name"], 2, "--name needs a value, but the command line ends there"),
    ],
)
def test_words_that_cannot_be(
    tmp_path: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["series", *FLAGS, "--out", str(tmp_path / "s"), *words]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.img"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "series.images must be at least 1, got 0"),
        ({"kind": "movie"}, "series.kind must be rotation or stills, got 'movie'"),
        ({"orientations": "some"}, "series.orientations must be random or fixed, got 'some'"),
        ({"seed": -1}, "series.seed must be >= 0, got -1"),
        ({"simulation": replace(SIMULATION, scan=Scan())}, r"needs the width of an image: give -osc DEG"),
        (
            {"outputs": Outputs(floatfile=NOWHERE, intfile=NOWHERE, pgmfile=None, noisefile=None)},
            "the series writes no image: name one",
        ),
    ],
)
def test_what_is_no_series(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        series(**changes)


def test_no_workers_make_no_series(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--workers must be at least 1, got 0"):
        run_series(series(), tmp_path, workers=0)


def test_a_fixed_random_crystal_is_one_for_all_stills() -> None:
    crystal = replace(SIMULATION.crystal, misset_deg="random")
    recipe = replace(SIMULATION, crystal=crystal)
    stills = series(kind="stills", orientations="fixed", simulation=recipe, seed=4)
    seeds = {stills.shot(number).simulation.crystal.misset_seed for number in range(1, 6)}
    assert len(seeds) == 1 and None not in seeds
    other = series(kind="stills", orientations="fixed", simulation=recipe, seed=5)
    assert other.shot(1).simulation.crystal.misset_seed not in seeds


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("no folder")
    with pytest.raises(FileError, match=r"cannot make the folder .*file: "), Folder(taken, series()).claimed():
        pass
    with pytest.raises(FileError, match=r"cannot make the folder .*file: "):
        Folder(taken, series()).prepare()
    assert taken.read_text() == "no folder"


def test_a_manifest_that_is_none(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("[1, 2]")
    with pytest.raises(FileError, match="is no record of a series; remove the folder to begin anew"):
        run_series(series(), tmp_path, workers=1)


def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="no file locks on this system")

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert run_series(series(images=1), tmp_path, workers=1, contact_sheet=False).made == 1


def test_masks_and_panels_belong_to_the_recipe(tmp_path: Path) -> None:
    """A mask counts by its pixels, a panel by its fields."""
    mask = np.ones((48, 64), bool)
    recipe = series(images=1, simulation=replace(SIMULATION, mask=mask))
    run_series(recipe, tmp_path / "m", workers=1, contact_sheet=False)
    assert run_series(recipe, tmp_path / "m", workers=1, contact_sheet=False).made == 0
    other = mask.copy()
    other[3, 4] = False
    with pytest.raises(ConfigError, match="holds another series: mask was "):
        run_series(series(images=1, simulation=replace(SIMULATION, mask=other)), tmp_path / "m", workers=1)


def test_an_input_file_that_cannot_be_read(tmp_path: Path) -> None:
    factors = replace(SIMULATION.structure_factors, hkl=tmp_path)
    recipe = series(images=1, simulation=replace(SIMULATION, structure_factors=factors))
    with pytest.raises(FileError, match=f"cannot read {re.escape(str(tmp_path))}: "):
        run_series(recipe, tmp_path / "out", workers=1)


def test_a_cluster_that_gives_up_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dask's own error, after as many dead workers as it allows; what was asked of it is taken back."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    error = pytest.importorskip("distributed.scheduler").KilledWorker("make", SimpleNamespace(address="tcp://x"), 3)
    cancelled: list[Any] = []

    def refuse(futures: Any) -> Iterator[Any]:
        raise error
        yield

    monkeypatch.setattr(distributed, "as_completed", refuse)
    client = SimpleNamespace(
        submit=lambda *_, **__: None,
        nthreads=lambda: {"tcp://x": 1},
        map=lambda function, batches, **_: list(batches),
        cancel=cancelled.extend,
    )
    with pytest.raises(ResourceError, match="Dask gave up: workers died while they made an image"):
        run_series(series(images=3), tmp_path, client=client)
    assert sorted(number for batch in cancelled for number in batch) == [1, 2, 3]


def test_a_part_of_the_truth_that_lacks_columns(tmp_path: Path) -> None:
    """Parts are made again when they are removed, which is what the message says."""
    images = 2
    run_series(series(images=images), tmp_path / "whole", workers=1)
    folder = Folder(tmp_path / "s", series(images=images))

    def stop(complete: int, total: int) -> None:
        if complete == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_series(series(images=images), folder.path, workers=1, progress=stop)
    assert folder.part(1).exists()
    np.savez(folder.part(1), photons=np.zeros(3))
    with pytest.raises(FileError, match=r"000001\.npz lacks spot\..*: remove it and run the series again"):
        run_series(series(images=images), folder.path, workers=1)
    folder.part(1).unlink()
    run_series(series(images=images), folder.path, workers=1)
    assert content(folder.path) == content(tmp_path / "whole")
