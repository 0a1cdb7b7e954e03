"""Series: shots by themselves and together, folders that are continued, and the command line."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.raw import read_float_image
from nbnumba.model.vectors import rotate_xyz
from nbnumba.render.simulate import simulate
from nbnumba.series.run import run_series
from nbnumba.series.shots import derived_seed, random_misset, series_outputs
from nbnumba.series.truth import read_truth
from tests.series.inputs import DISTRIBUTIONS, FLAGS, ROOT, SIMULATION, content, series, wait_until


def test_a_rotation_series_is_its_single_images(tmp_path: Path) -> None:
    outputs = series_outputs(floatfile=Path("float.bin"), noisefile=Path("lysozyme.img"))
    run_series(series(images=3, outputs=outputs), tmp_path / "all", workers=1)
    for number in (1, 2, 3):
        alone = replace(SIMULATION, scan=replace(SIMULATION.scan, phi_deg=5.0 + (number - 1)))
        image = read_float_image(tmp_path / "all" / f"float_{number:04d}.bin", (48, 64))
        assert np.array_equal(image, simulate(alone, device="cpu").image)
        assert (tmp_path / "all" / f"lysozyme_{number:04d}.img").is_file()
    assert {p.name for p in (tmp_path / "all").iterdir()} == {
        *(f"{name}_{n:04d}.{end}" for n in (1, 2, 3) for name, end in (("float", "bin"), ("lysozyme", "img"))),
        *("series.json", "lysozyme_truth.h5", "lysozyme.expt", "lysozyme.png"),
    }


def test_shots_differ_and_come_again() -> None:
    recipe = series(kind="stills", images=50)
    shots = [recipe.shot(number) for number in range(1, 51)]
    assert shots == [recipe.shot(number) for number in range(1, 51)]
    for value in ("misset_deg", "mosaic_seed"):
        assert len({getattr(shot.simulation.crystal, value) for shot in shots}) == 50
    assert len({shot.outputs.seed for shot in shots}) == 50
    assert shots[0].simulation.crystal != series(kind="stills", seed=2).shot(1).simulation.crystal
    fixed = series(kind="stills", orientations="fixed")
    assert fixed.shot(2).simulation.crystal.misset_deg == (10.0, 20.0, 30.0)
    with pytest.raises(ConfigError, match="shots 1 to 50, got 51"):
        recipe.shot(51)


def test_a_random_crystal_stays_the_same_while_it_turns() -> None:
    crystal = replace(SIMULATION.crystal, misset_deg="random")
    turning = series(simulation=replace(SIMULATION, crystal=crystal))
    assert len({turning.shot(number).simulation.crystal for number in range(1, 6)}) == 1
    assert turning.shot(1).simulation.crystal.misset_seed is not None


def test_orientations_are_uniform() -> None:
    n = 3000
    random = np.random.default_rng(1)
    turned = np.array([rotate_xyz(np.eye(3), np.radians(random_misset(random))) for _ in range(n)])
    # elements of a uniform rotation have mean 0 and variance 1/3: five standard errors
    assert np.abs(turned.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / n)
    assert np.abs(np.square(turned).mean(axis=0) - 1 / 3).max() < 5 * 0.3 / np.sqrt(n)
    # the angle has the density (1 - cos w) / pi: its mean cosine, (trace - 1) / 2, is -1/2 with variance 1/4
    trace = np.trace(turned, axis1=1, axis2=2)
    assert abs(((trace - 1) / 2).mean() + 0.5) < 5 * 0.5 / np.sqrt(n)


def test_seeds_fit_the_generator() -> None:
    seeds = {derived_seed(1, number, "noise") for number in range(2000)}
    assert len(seeds) == 2000 and min(seeds) >= 1 and max(seeds) <= 2**31 - 2


def test_a_folder_belongs_to_its_series(tmp_path: Path) -> None:
    run_series(series(images=2), tmp_path, workers=1)
    before = content(tmp_path)
    assert run_series(series(images=2), tmp_path, workers=1).made == 0
    assert content(tmp_path) == before
    farther = replace(SIMULATION, detector=replace(SIMULATION.detector, distance_mm=61.0))
    with pytest.raises(ConfigError, match=r"detector.distance_mm was 60.0 and now is 61.0\. Give the same flags"):
        run_series(series(images=2, simulation=farther), tmp_path, workers=1)
    with pytest.raises(ConfigError, match="images was 2 and now is 3; seed was 1 and now is 9"):
        run_series(series(images=3, seed=9), tmp_path, workers=1)
    assert content(tmp_path) == before


def test_input_files_count_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.hkl").write_text("1 0 0 50\n0 1 0 60\n2 3 1 70\n")
    factors = replace(SIMULATION.structure_factors, hkl=tmp_path / "a.hkl")
    recipe = series(images=1, simulation=replace(SIMULATION, structure_factors=factors))
    run_series(recipe, tmp_path / "out", workers=1, contact_sheet=False)
    (tmp_path / "b.hkl").write_bytes((tmp_path / "a.hkl").read_bytes())
    moved = replace(SIMULATION, structure_factors=replace(factors, hkl=tmp_path / "b.hkl"))
    assert run_series(series(images=1, simulation=moved), tmp_path / "out", contact_sheet=False).made == 0
    (tmp_path / "a.hkl").write_text("1 0 0 51\n")
    with pytest.raises(ConfigError, match=r"structure_factors\.hkl was"):
        run_series(recipe, tmp_path / "out", contact_sheet=False)


def test_a_list_with_options_is_read_once_for_all(tmp_path: Path) -> None:
    """How a file is read, as the symmetry that expands it, is of no concern to processes that get its table."""
    (tmp_path / "a.hkl").write_text("1 0 0 50\n0 1 0 60\n2 3 1 70\n2 3 1 72\n")
    factors = replace(SIMULATION.structure_factors, hkl=tmp_path / "a.hkl", hkl_symmetry="P 1 2 1", hkl_average=True)
    outputs = series_outputs(floatfile=Path("float.bin"))
    recipe = series(images=1, simulation=replace(SIMULATION, structure_factors=factors), outputs=outputs)
    run_series(recipe, tmp_path / "out", workers=1, contact_sheet=False)
    image = read_float_image(tmp_path / "out" / "float_0001.bin", (48, 64))
    assert np.array_equal(image, simulate(recipe.shot(1).simulation, device="cpu").image)


def test_what_was_removed_is_made_again(tmp_path: Path) -> None:
    run_series(series(images=3), tmp_path, workers=1)
    before = content(tmp_path)
    (tmp_path / "image_0002.img").unlink()
    (tmp_path / "image.png").unlink()
    (tmp_path / ".nbnumba-0123456789abcdef.tmp").touch()
    assert run_series(series(images=3), tmp_path, workers=1).made == 1
    assert content(tmp_path) == before


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="no file locks on this system")
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(FileError, match="another run is writing this series"):
        run_series(series(images=1), tmp_path, workers=1)
    os.close(other)
    assert run_series(series(images=1), tmp_path, workers=1).made == 1


def start(folder: Path, images: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nbnumba", "series", "--images", str(images), "--out", str(folder), *FLAGS, *more]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Three kills on the way, then to the end: the files are those of an undisturbed run, and nothing else is there."""
    images, folder = 150, tmp_path / "killed"
    assert start(tmp_path / "whole", images, "--workers", "1").wait(120) == 0
    random = np.random.default_rng(5)
    for kill, workers in enumerate(("1", "2", "2"), start=1):
        process = start(folder, images, "--workers", workers)
        enough = kill * images // 6
        wait_until(lambda enough=enough: len(list(folder.glob("image_*.img"))) >= enough, process)  # type: ignore[misc]
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.wait()
    left = len(list(folder.glob("image_*.img")))
    assert images // 3 < left < images, "the last kill came too late to prove anything"
    assert start(folder, images, "--workers", "2").wait(120) == 0
    assert content(folder) == content(tmp_path / "whole")


def test_a_killed_worker_process_is_replaced(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(complete: int, total: int) -> None:
        if complete >= 3 and not killed:
            killed.append(multiprocessing.active_children()[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    assert run_series(series(images=24), tmp_path / "pool", workers=2, progress=kill_one).workers == 2
    assert killed
    run_series(series(images=24), tmp_path / "alone", workers=1)
    assert content(tmp_path / "pool") == content(tmp_path / "alone")


def test_a_killed_dask_worker_loses_no_image(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
        )
        client = stack.enter_context(distributed.Client(cluster))
        victim = client.submit(os.getpid, pure=False).result()
        killed: list[int] = []

        def kill_one(complete: int, total: int) -> None:
            if complete >= 5 and not killed:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        run_series(series(images=40), tmp_path / "cluster", client=client, progress=kill_one)
    assert killed
    run_series(series(images=40), tmp_path / "alone", workers=1)
    assert content(tmp_path / "cluster") == content(tmp_path / "alone")


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vary.toml").write_text(DISTRIBUTIONS)
    stills = ["series", "--stills", "3", "--vary", "vary.toml", "--out", "s", "--name", "xtal", *FLAGS]
    assert main(stills) == 0
    assert b"BEAMLINE=fake" not in (tmp_path / "s" / "xtal_0001.img").read_bytes(), "DIALS would misplace it"
    assert (tmp_path / "s" / "xtal_0003.img").is_file() and (tmp_path / "s" / "xtal.png").is_file()
    assert len({*read_truth(tmp_path / "s" / "xtal_truth.h5")["shots"]["wavelength_A"]}) == 3
    without_seed = [word for word in stills if word not in ("-seed", "7")]
    assert main(without_seed) == 0, "the seed of the folder is taken"
    assert main([*stills, "-distance", "70"]) == 1
    assert "detector.distance_mm was 60.0 and now is 70.0" in capsys.readouterr().err
    assert main(["series", "--images", "2", "--out", "c", "--cbf", "a.cbf", "--no-contact-sheet", *FLAGS]) == 0
    assert {p.name for p in (tmp_path / "c").iterdir()} == {
        *("a_0001.cbf", "a_0002.cbf", "a.expt", "a_truth.h5", "series.json")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "either --images N"),
        (["--images", "2", "--stills", "2"], "either --images N"),
        (["--images", "0"], "--images needs a whole number above 0"),
        (["--images", "2", "--orientations", "random"], "--orientations is for --stills"),
        (["--stills", "2", "--json", "a.json"], "--json belongs to a single run"),
        (["--stills", "2", "--scheduler", "tcp://x:1", "--slurm"], "name two clusters"),
        (["--stills", "2", "--nonsense"], "unknown option --nonsense"),
    ],
)
def test_command_lines_that_cannot_be(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["series", *words, "-cell", "40", "-default_F", "1"]) == 2
    assert message in capsys.readouterr().err


def test_problems_with_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    words = ["series", "--stills", "2", "--out", str(tmp_path / "s"), *FLAGS]
    assert main([*words, "--scheduler", "nonsense://here"]) == 1
    assert "no Dask scheduler answers at nonsense://here" in capsys.readouterr().err
    try:
        import dask_jobqueue  # noqa: F401
    except ImportError:
        assert main([*words, "--slurm"]) == 1
        assert "--slurm needs dask-jobqueue" in capsys.readouterr().err
