"""``nbnumba series`` at a terminal, on a cluster, stopped and refused."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbnumba.cli.main import main
from tests.series.inputs import FLAGS, ROOT, content, wait_until
from tests.terminal import shown_on_terminal

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
