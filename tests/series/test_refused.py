"""Series, folders and clusters that cannot be, and what is no reason to refuse one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nbnumba.errors import ConfigError, FileError, ResourceError
from nbnumba.model.config import Scan
from nbnumba.model.outputs import Outputs
from nbnumba.series.folder import MANIFEST, Folder, claimed
from nbnumba.series.run import run_series
from nbnumba.series.shots import NOWHERE
from tests.series.inputs import SIMULATION, content, series


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
    with pytest.raises(FileError, match=r"cannot make the folder .*file: "), claimed(taken):
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
    assert sorted(number for batch in cancelled for _, number in batch) == [1, 2, 3]


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
