"""A series: every shot follows from the recipe, and a folder ends the same whatever happened on the way."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.cli.main import main
from nbnumba.cli.series_flags import SERIES_FLAGS
from nbnumba.config import Background, Beam, Crystal, Detector, Panel, Sampling, Scan, Simulation, StructureFactors
from nbnumba.distributions import Variation, make_variations, read_variations, vary
from nbnumba.errors import ConfigError, FileError
from nbnumba.experiment import resolve
from nbnumba.geometry import rotate_xyz
from nbnumba.imgcif import to_imgcif
from nbnumba.io.expt import read_expt
from nbnumba.io.raw import read_float_image
from nbnumba.series import NOWHERE, Series, derived_seed, random_misset, series_outputs
from nbnumba.series_run import run_series
from nbnumba.series_truth import LEAST_PHOTONS, read_truth, spot_table
from nbnumba.simulate import simulate
from nbnumba.truth import find_truth

ROOT = Path(__file__).resolve().parent.parent
SIMULATION = Simulation(
    crystal=Crystal(cell=(40.0, 50.0, 60.0), misset_deg=(10.0, 20.0, 30.0), Na=8, Nb=8, Nc=8, shape="gauss"),
    beam=Beam(wavelength_A=1.0, fluence=1e26),
    detector=Detector(distance_mm=60, fpixels=64, spixels=48, pixel_mm=0.4, convention="XDS"),
    scan=Scan(phi_deg=5.0, osc_deg=1.0, phisteps=2),
    structure_factors=StructureFactors(default_F=100.0, dump=Path("no such dump")),
    sampling=Sampling(oversample=1),
    physics="correct",
)
FLAGS = """-cell 40 50 60 -misset 10 20 30 -N 8 -default_F 100 -distance 60 -detpixels 48 -pixel 0.4 -fluence 1e26 -lambda 1
-osc 1 -phisteps 2 -oversample 1 -seed 7 --device cpu --quiet""".split()


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def series(**changes: Any) -> Series:
    return Series(**{"simulation": SIMULATION, "images": 5, "device": "cpu", **changes})


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


DISTRIBUTIONS = """
[beam]
wavelength_A = { distribution = "normal", mean = 1.0, sigma = 0.01, min = 0.98, max = 1.02 }
fluence = { distribution = "lognormal", median = 1.0, sigma = 0.5, times = true }
[crystal]
mosaic_spread_deg = { distribution = "uniform", low = 0.1, high = 0.4 }
mosaic_domains = 3
N = { distribution = "choice", values = [4, 6, 9], weights = [1, 1, 2] }
cell = { distribution = "normal", mean = 1.0, sigma = 0.01 }
"""


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40), number=st.integers(1, 10**6))
def test_drawn_values_stay_in_bounds(seed: int, number: int) -> None:
    import tomllib

    variations = make_variations(tomllib.loads(DISTRIBUTIONS))
    drawn = vary(SIMULATION, variations, seed, number)
    assert 0.98 <= drawn.beam.wavelength_A <= 1.02
    assert 0.1 <= (drawn.crystal.mosaic_spread_deg or 0) <= 0.4 and drawn.crystal.mosaic_domains == 3
    assert drawn.crystal.Na in (4, 6, 9) and drawn.crystal.Na == drawn.crystal.Nb == drawn.crystal.Nc
    assert drawn.crystal.cell is not None
    assert drawn.crystal.cell[1] / drawn.crystal.cell[0] == pytest.approx(50 / 40, rel=1e-12)
    # a line less changes nothing else
    fewer = vary(SIMULATION, variations[1:], seed, number)
    assert replace(fewer.beam, wavelength_A=drawn.beam.wavelength_A) == drawn.beam and fewer.crystal == drawn.crystal


def test_draws_follow_their_distributions() -> None:
    def drawn(**parameters: Any) -> np.ndarray:
        kind = parameters.pop("distribution")
        variation = Variation("beam", "fluence", kind, tuple(parameters.items()))
        return np.array([variation.draw(np.random.default_rng(n)) for n in range(2000)])

    # four standard errors: sigma / sqrt(2000) is 0.022 sigma
    assert drawn(distribution="normal", mean=3.0, sigma=2.0).mean() == pytest.approx(3.0, abs=0.09 * 2)
    assert np.log(drawn(distribution="lognormal", median=5.0, sigma=0.3)).mean() == pytest.approx(np.log(5), abs=0.03)
    assert drawn(distribution="uniform", low=-1.0, high=3.0).mean() == pytest.approx(1.0, abs=0.11)
    assert (drawn(distribution="choice", values=(1.0, 2.0), weights=(1, 3)) == 2).mean() == pytest.approx(
        0.75, abs=0.04
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[beem]", r"\[beem\] is no part of a simulation; did you mean beam\?"),
        ("[beam]\nwavelenght_A = 1", "did you mean wavelength_A"),
        ('[beam]\nflux = {distribution="normal", mean=1}', "beam.flux: normal needs sigma"),
        ('[beam]\nflux = {distribution="gauss", mean=1}', "must be one of normal, lognormal, uniform, choice"),
        ('[beam]\nflux = {distribution="uniform", low=2, high=1}', "low must not be above high"),
        ('[beam]\nflux = {distribution="normal", mean=1, sgima=1}', "did you mean sigma"),
        ('[crystal]\nshape = {distribution="normal", mean=1, sigma=1}', "crystal.shape is not a number"),
        ("[beam]\nnopolar = 3", "3 is not a value of this field"),
        ("[beam\n", r"is not TOML.*line 1"),
    ],
)
def test_a_file_of_distributions_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vary.toml").write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        read_variations(tmp_path / "vary.toml")
    assert "vary.toml" in str(caught.value)


def test_files_are_chosen_by_their_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    choice = make_variations({"beam": {"sourcefile": {"distribution": "choice", "values": ["a.txt"]}}})
    assert vary(SIMULATION, choice, 1, 1).beam.sourcefile == tmp_path / "a.txt"


def test_the_page_about_series(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "series.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^```toml\n(.*?)^```$", page)
    assert len(blocks) == 1
    (tmp_path / "vary.toml").write_text(blocks[0])
    assert len(read_variations(tmp_path / "vary.toml")) == 6
    known = {word for row in SERIES_FLAGS for word in row.spellings}
    used = set(re.findall(r"(?<=[`\s])--?[a-zA-Z][\w-]*", page))
    assert len(used) > 15 and used <= known, used - known


def test_values_that_no_simulation_can_use_name_the_shot() -> None:
    negative = make_variations({"beam": {"wavelength_A": {"distribution": "normal", "mean": -1.0, "sigma": 0.0}}})
    with pytest.raises(ConfigError, match=r"beam.wavelength_A must be > 0, got -1.0 \(drawn for shot 3"):
        vary(SIMULATION, negative, 1, 3)
    never = make_variations({"beam": {"flux": {"distribution": "normal", "mean": 0.0, "sigma": 1.0, "min": 99.0}}})
    with pytest.raises(ConfigError, match="none of 1000 draws"):
        vary(SIMULATION, never, 1, 3)


def test_truth_adds_up_to_the_image() -> None:
    result = simulate(SIMULATION, device="cpu")
    spots = spot_table(result.experiment, result.images)
    counted = result.image[result.image >= LEAST_PHOTONS].sum(dtype=float)
    assert len(spots["hkl"]) > 3
    # float32 columns: 6e-8 each
    assert spots["photons"].sum(dtype=float) == pytest.approx(counted, rel=1e-6)
    # each spot lies where Bragg's law has its reflection: within half an index along the shortest edge, 40 A
    panel = result.experiment.panel
    place = panel.pix0 + np.outer(spots["slow"], panel.sdet * panel.pixel_size)
    place += np.outer(spots["fast"], panel.fdet * panel.pixel_size)
    d = place / np.linalg.norm(place, axis=1)[:, None] - result.experiment.detector.frame.beam
    assert np.abs(np.linalg.norm(d, axis=1) - 1 / spots["d_A"]).max() < 0.5 / 40
    bright = np.argmax(spots["peak"])
    s, f = np.unravel_index(np.argmax(result.image), result.image.shape)
    assert spots["peak"][bright] == result.image.max()
    assert abs(spots["slow"][bright] - s - 0.5) < 1.5 and abs(spots["fast"][bright] - f - 0.5) < 1.5
    assert (spots["F"] == 100).all()


def test_truth_agrees_with_the_strongest_term_of_every_pixel() -> None:
    """The list of one image looks at every term of the sum, the series' table at the nearest index only."""
    result = simulate(replace(SIMULATION, scan=Scan(osc_deg=3.0, phisteps=6)), device="cpu")
    table = spot_table(result.experiment, result.images)
    ours = {tuple(hkl): photons for hkl, photons in zip(table["hkl"].tolist(), table["photons"].tolist(), strict=True)}
    spots = find_truth(result)[0].spots
    strong = spots[spots["photons"] > spots["photons"].max() / 100]
    assert len(strong) > 20
    for spot in strong:  # they part where two spots touch, in tails
        assert ours[(spot["h"], spot["k"], spot["l"])] == pytest.approx(spot["photons"], rel=0.02)


def test_truth_knows_bragg_from_background(tmp_path: Path) -> None:
    wet = replace(SIMULATION, background=Background(water_um=5.0))
    for name, simulation in (("dry", SIMULATION), ("wet", wet)):
        run_series(series(simulation=simulation, images=1), tmp_path / name, workers=1, contact_sheet=False)
    dry, wet_truth = (read_truth(tmp_path / name / "image_truth.h5") for name in ("dry", "wet"))
    assert wet_truth["shots"]["photons"][0] > 1.01 * dry["shots"]["photons"][0]
    for key, values in dry["spots"].items():
        assert np.array_equal(values, wet_truth["spots"][key]), key


def test_truth_of_a_pink_still_takes_the_right_wavelength() -> None:
    pink = replace(
        SIMULATION,
        beam=replace(SIMULATION.beam, dispersion_percent=10.0, dispsteps=20),
        scan=Scan(),
        crystal=replace(SIMULATION.crystal, Na=30, Nb=30, Nc=30),
    )
    result = simulate(pink, device="cpu")
    spots = spot_table(result.experiment, result.images)
    # Laue: the wavelength of a spot is 2 d sin(theta) of its reflection, known to the 0.5 % between two wavelengths
    s, f = spots["slow"] * 0.4e-3, spots["fast"] * 0.4e-3
    panel = result.experiment.panel
    place = panel.pix0 + np.outer(s, panel.sdet) + np.outer(f, panel.fdet)
    along = place @ result.experiment.detector.frame.beam / np.linalg.norm(place, axis=1)
    bright = spots["photons"] > spots["photons"].max() / 100
    found = (2 * spots["d_A"] * np.sqrt((1 - along) / 2))[bright]
    assert bright.sum() > 3
    # a pixel of 0.4 mm at 60 mm covers up to 3 % of 2 theta near the beam, 1 % farther out
    assert np.abs(found / spots["wavelength_A"][bright] - 1).max() < 0.03


def test_truth_of_a_series(tmp_path: Path) -> None:
    variations = make_variations({"crystal": {"cell": {"distribution": "normal", "mean": 1.0, "sigma": 0.02}}})
    recipe = series(kind="stills", images=4, variations=variations)
    run_series(recipe, tmp_path, workers=1)
    truth = read_truth(tmp_path / "image_truth.h5")
    shots, spots = truth["shots"], truth["spots"]
    assert shots["file"].tolist() == [b"image_%04d.img" % n for n in range(1, 5)]
    assert shots["n_spots"].sum() == len(spots["hkl"]) and shots["first_spot"][0] == 0
    for number in range(1, 5):
        experiment = resolve(recipe.shot(number).simulation)
        assert np.array_equal(shots["reciprocal"][number - 1], experiment.crystal.reciprocal)
        assert shots["unit_cell"][number - 1] == pytest.approx(experiment.crystal.unit_cell, rel=1e-12)
        rows = slice(shots["first_spot"][number - 1], shots["first_spot"][number - 1] + shots["n_spots"][number - 1])
        assert (spots["shot"][rows] == number).all()
    assert truth["thumbnails"]["photons"].shape[0] == 4


def test_panels(tmp_path: Path) -> None:
    panels = tuple(
        Panel(pix0_mm=(x, -8.0, 60.0), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), fpixels=30, spixels=40, pixel_mm=0.4)
        for x in (-13.0, 1.0)
    )
    split = replace(SIMULATION, detector=Detector(convention="XDS", panels=panels))
    run_series(series(simulation=split, images=1, outputs=series_outputs(nexus=Path("a.nxs"))), tmp_path, workers=1)
    truth = read_truth(tmp_path / "image_truth.h5")
    assert set(truth["spots"]["panel"]) == {0, 1}
    assert truth["thumbnails"]["photons"].shape == (1, 80, 30)
    assert len(json.loads((tmp_path / "image.expt").read_text())["detector"][0]["panels"]) == 2
    # both panels show the same crystal: photons of the one and the other make up the whole
    images = simulate(split, device="cpu").images
    for panel in (0, 1):
        found = truth["spots"]["photons"][truth["spots"]["panel"] == panel].sum(dtype=float)
        image = images[panel]
        assert found == pytest.approx(image[image >= LEAST_PHOTONS].sum(dtype=float), rel=1e-6)


@pytest.mark.parametrize("kind", ["rotation", "stills"])
def test_true_models_are_those_of_the_images(tmp_path: Path, kind: Any) -> None:
    recipe = series(kind=kind, images=2)
    run_series(recipe, tmp_path, workers=1, contact_sheet=False)
    content = json.loads((tmp_path / "image.expt").read_text())
    assert len(content["experiment"]) == (1 if kind == "rotation" else 2)
    if kind == "rotation":
        assert content["imageset"][0]["template"] == "image_####.img"
        assert content["scan"][0]["oscillation"] == pytest.approx([5.0, 1.0], rel=1e-12)
        assert content["scan"][0]["image_range"] == [1, 2]
    for index in range(len(content["experiment"])):
        found = read_expt(tmp_path / "image.expt", index=index)
        experiment = resolve(recipe.shot(index + 1).simulation)
        turn = to_imgcif(experiment)
        assert np.linalg.det(turn) == pytest.approx(1.0, rel=1e-12)
        # vectors of order 1, in double precision
        assert found.reciprocal == pytest.approx(turn @ experiment.crystal.reciprocal.T, abs=1e-12)
        assert found.panels[0].pix0_mm == pytest.approx(turn @ experiment.panel.pix0 * 1000, abs=1e-9)
        assert (found.panels[0].fpixels, found.panels[0].spixels) == (64, 48)
        if kind == "rotation":
            assert found.spindle == pytest.approx(turn @ experiment.detector.frame.spindle, abs=1e-12)


def test_a_rotation_series_in_nxmx_is_one_data_set(tmp_path: Path) -> None:
    outputs = series_outputs(nexus=Path("a.nxs"), noisefile=NOWHERE)
    run_series(series(images=3, outputs=outputs), tmp_path, workers=1, contact_sheet=False)
    with h5py.File(tmp_path / "a.nxs") as whole:
        assert whole["entry/data/data"].shape == (3, 48, 64)
        assert whole["entry/sample/transformations/omega"][()] == pytest.approx([5, 6, 7], abs=1e-12)
        for number in (1, 2, 3):
            with h5py.File(tmp_path / f"a_{number:04d}.nxs") as part:
                assert np.array_equal(whole["entry/data/data"][number - 1], part["entry/data/data"][0])
                assert part["entry/data/data"][0].max() > 0
    images = json.loads((tmp_path / "a.expt").read_text())["imageset"][0]
    assert images["template"] == "a.nxs" and images["single_file_indices"] == [0, 1, 2]
    run_series(series(kind="stills", images=2, outputs=outputs), tmp_path / "s", workers=1, contact_sheet=False)
    assert not (tmp_path / "s" / "a.nxs").exists()


def test_a_folder_belongs_to_its_series(tmp_path: Path) -> None:
    run_series(series(images=2), tmp_path, workers=1)
    before = content(tmp_path)
    assert run_series(series(images=2), tmp_path, workers=1).made == 0
    assert content(tmp_path) == before
    farther = replace(SIMULATION, detector=replace(SIMULATION.detector, distance_mm=61.0))
    with pytest.raises(ConfigError, match=r"detector.distance_mm was 60 and now is 61.0\. Give the same flags"):
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


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Three kills on the way, then to the end: the files are those of an undisturbed run, and nothing else is there."""
    images, folder = 60, tmp_path / "killed"
    assert start(tmp_path / "whole", images, "--workers", "1").wait(120) == 0
    random = np.random.default_rng(5)
    for kill, workers in enumerate(("1", "2", "2"), start=1):
        process = start(folder, images, "--workers", workers)
        enough = kill * images // 5
        wait_until(lambda enough=enough: len(list(folder.glob("image_*.img"))) >= enough, process)  # type: ignore[misc]
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.wait()
    left = len(list(folder.glob("image_*.img")))
    assert images // 2 < left < images, "the last kill came too late to prove anything"
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
