"""Numbers that cannot be meant are warned about, each with its likely cause; ordinary commands are not.

The mistakes are the table of docs/troubleshooting.md: flags of an ordinary command, what is given in their place, and what the
warning says.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.cli.build import build
from nbnumba.cli.demo import FLAGS
from nbnumba.cli.main import main
from nbnumba.cli.parse import parse
from nbnumba.cli.series import plan
from nbnumba.cli.series_flags import parse_series
from nbnumba.data import lysozyme_text
from nbnumba.errors import ConfigError
from nbnumba.io.smv import read_smv
from nbnumba.model.estimates import brightest, sampling_error, spread_of
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.plausible import CONSEQUENCES, IMAGES, image_doubts
from nbnumba.model.plausible_flags import FLAGS as FLAG_RULES
from nbnumba.model.plausible_flags import flag_doubts
from nbnumba.model.plausible_numbers import NUMBERS, looks_like_radians
from nbnumba.model.structure_factors import build_grid
from tests.conftest import CASES, GOLDEN, ROOT
from tests.house import test_docs_commands as pages

PAGE = ROOT / "docs" / "troubleshooting.md"
HEADING = "## Numbers that cannot be meant"


def part_of_page() -> str:
    return PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]


def ordinary_command() -> str:
    found = re.search(r"```text\n(.*?)```", part_of_page(), re.DOTALL)
    assert found is not None
    return " ".join(found[1].replace("\\\n", " ").split()).removeprefix("nbnumba run ")


def mistakes() -> list[tuple[str, str, str]]:
    """Rows of the table: flags of the ordinary command, what is given instead, words of the warning."""
    rows = re.findall(r"(?m)^\| (.*?) \| (.*?) \| (.*) \|$", part_of_page())
    assert rows[0][0] == "in place of" and set(rows[1][0]) == {"-"}
    return [(usual.strip("`"), given.strip("`").removeprefix("nothing"), said) for usual, given, said in rows[2:]]


MISTAKES = mistakes()
GEOM = "photon_energy = 9500\nclen = 0.15\nres = 5814\na/min_fs = 0\na/max_fs = 99\na/min_ss = 0\na/max_ss = 99\n"
GEOM += "a/corner_x = -50\na/corner_y = -50\na/fs = x\na/ss = y\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the table."""
    here = tmp_path_factory.mktemp("mistakes")
    (here / "F.hkl").write_text(lysozyme_text())
    rows = [line.split() for line in lysozyme_text().splitlines() if line[:1] in "-0123456789 "]
    listed = [(*row[:3], float(row[3])) for row in rows]
    largest = max(F for *_, F in listed)
    for name, scale in (("intensities.hkl", 1.0), ("scaled_intensities.hkl", 1e4 / largest**2)):
        lines = (f"{h} {k} {l} {scale * F * F:.6g}\n" for h, k, l, F in listed)
        (here / name).write_text("".join(lines))
    (here / "keV.txt").write_text("9.45 0.2\n9.48 0.6\n9.51 0.2\n")
    (here / "eV.txt").write_text("9450 0.2\n9480 0.6\n9510 0.2\n")
    (here / "metres.txt").write_text("-10 0 0 1 1.0\n-10 0.01 0 1 1.0\n")
    (here / "panel.geom").write_text(GEOM)
    words = "-cell 50 -default_F 100 -N 5 -detpixels_x 20 -detpixels_y 10 -pixel 1 -nonoise -nopgm -q"
    assert main(["run", *words.split(), "-intfile", str(here / "wide.img"), "-floatfile", os.devnull]) == 0
    return here


def warnings_of(words: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Warnings of a command; an error, which names the cause as well, counts as one."""
    capsys.readouterr()
    main(["run", *words.split(), "--quiet"])
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if line.startswith(("warning:", "nbnumba: error:"))]


def test_the_ordinary_command_gets_no_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert warnings_of(f"{ordinary_command()} --dry-run", capsys) == []


@pytest.mark.parametrize(
    ("usual", "given", "said"), MISTAKES, ids=[f"{given or usual}" for usual, given, _ in MISTAKES]
)
def test_a_mistake_is_named(
    usual: str,
    given: str,
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    command = ordinary_command()
    assert usual in command
    found = warnings_of(f"{command.replace(usual, given)} --dry-run", capsys)
    assert any(said in line for line in found), found
    assert all(len(line) < 330 for line in found)


def test_the_table_has_a_mistake_for_every_rule(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 25 mistakes, all different; every rule about numbers and flags says something about one of them."""
    monkeypatch.chdir(folder)
    assert len(MISTAKES) >= 25 and len(set(MISTAKES)) == len(MISTAKES)
    speaking: set[str] = set()
    for usual, given, _ in MISTAKES:
        invocation = parse(ordinary_command().replace(usual, given).split())
        known = {**invocation.values, "detector.convention": "CUSTOM"}
        source = {**invocation.spelled, "detector.convention": f"--geometry {invocation.values.get('input.geometry')}"}
        if "input.geometry" not in invocation.values:
            source["detector.convention"] = ""
        speaking |= {name for name, rule in FLAG_RULES.items() if rule(known, source)}
        try:
            experiment = resolve(build(invocation)[0])
        except ConfigError:
            continue  # the error names the cause
        speaking |= {name for name, rule in (NUMBERS | CONSEQUENCES).items() if rule(experiment)}
    assert speaking == {*NUMBERS, *CONSEQUENCES, *FLAG_RULES}


# --- ordinary commands -----------------------------------------------------------------------------------------------

#: Golden cases of which the program rightly says something: two that give a pixel 1e8 photons and more, one with sources of
#: another mean wavelength, one whose divergence is spread over 1 rad, one with a single cell, two with too few photons.
ODD = {
    "stress_N1000_short_wave": {"fluence"},
    "stress_N600_phi_osc": {"fluence"},
    "sourcefile_full": {"sources"},
    "quirk_divsteps_only": {"spectrum"},
    "interp_in_range": {"cells"},
    "beam_energy_flux": {"dim"},
    "combo_tilt_phi_mosaic_div_thick": {"dim"},
}


def rules_about(experiment: Experiment) -> set[str]:
    numbers = {name for name, rule in NUMBERS.items() if rule(experiment)}
    return numbers or {name for name, rule in CONSEQUENCES.items() if rule(experiment)}


def test_golden_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said about them but what is listed, and that pixels are sampled at their middle only."""
    monkeypatch.chdir(tmp_path)
    os.symlink(GOLDEN / "inputs", tmp_path / "inputs")
    found = {}
    for name, case in CASES.items():
        (tmp_path / "Fdump.bin").unlink(missing_ok=True)
        said = rules_about(resolve(build(parse(case["args"]))[0])) - {"oversample"}
        if said:
            found[name] = said
    assert found == ODD


def test_golden_images(golden_images: np.lib.npyio.NpzFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overloaded is what has no solid angle, or water at the reference's fluence, and nothing else."""
    monkeypatch.chdir(tmp_path)
    os.symlink(GOLDEN / "inputs", tmp_path / "inputs")
    overloaded = {}
    for name, case in CASES.items():
        (tmp_path / "Fdump.bin").unlink(missing_ok=True)
        for said in image_doubts(resolve(build(parse(case["args"]))[0]), [golden_images[name]]):
            if "more than 65535" in said:
                overloaded[name] = said.partition(": ")[2]
    assert overloaded == {
        "det_detsize_point_pixel": "-point_pixel leaves out the solid angle of a pixel",
        "noise_gauss": "check -water (um) and -fluence (photons/m2)",
    }


def commands(page: str, folder: Path) -> Iterator[tuple[str, Experiment]]:
    """Commands of a page that simulate, as they stand, with their experiments: of a series the first image's."""
    variables: dict[str, str] = {}
    for block in pages.blocks(page):
        named = re.match(r"[#;] ([\w.-]+\.\w+)\b", block.text)
        if block.language in ("text", "toml") and named:
            (folder / named[1]).write_text(block.text)
        if block.language not in ("sh", "console"):
            continue
        for command, expected in pages.steps(block):
            line = command.replace("\\\n", " ")
            if assigned := re.fullmatch(r"(\w+)='(.*)'", line, re.DOTALL):
                variables[assigned[1]] = " ".join(assigned[2].split())
                continue
            for name, value in sorted(variables.items(), reverse=True):
                line = line.replace(f"${name}", value)
            words = shlex.split(line, comments=True)
            wrong = "error:" in str(expected) or "FLAGS" in words or "--geometry" in words
            if words[:2] == ["nbnumba", "run"] and not wrong:
                yield line, resolve(build(parse(words[2:]))[0])
            elif words[:2] == ["nbnumba", "series"] and not wrong:
                request = parse_series(words[2:])
                simulation, outputs, options = build(request.invocation)
                yield line, resolve(plan(request, simulation, outputs, options, 1).shot(1).simulation)


@pytest.mark.parametrize(
    ("page", "number", "sampled_badly"),
    [("README.md", 3, 0), ("tutorial.md", 4, 0), ("cookbook.md", 9, 4)],
)
def test_commands_of_pages(
    page: str,
    number: int,
    sampled_badly: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is said about them, but that four of the cookbook's do not sample their spots.

    Their spots are 0.18 to 0.27 pixels wide, and their blocks are turned by less than a pixel: with more sub-pixels the photons
    of a spot change by their own size.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pages, "SHRUNK", ())
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "lysozyme.hkl").write_text(lysozyme_text())
    said = {line: rules_about(experiment) for line, experiment in commands(page, tmp_path)}
    assert len(said) >= number, list(said)
    assert [line for line, rules in said.items() if rules - {"oversample"}] == []
    assert sum("oversample" in rules for rules in said.values()) == sampled_badly
    assert not [record.getMessage() for record in caplog.records if "-flux" in record.getMessage()]


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "F.hkl").write_text(lysozyme_text())
    assert rules_about(resolve(build(parse(["-hkl", "F.hkl", *FLAGS]))[0])) == set()


# --- sub-pixels ------------------------------------------------------------------------------------------------------


def still(**changes) -> Experiment:
    simulation = nb.Simulation(
        crystal=nb.Crystal(cell=(79.1, 79.1, 37.9), misset_deg=(10, 20, 30), Na=20, Nb=20, Nc=20),
        beam=nb.Beam(wavelength_A=1.2, fluence=1e24),
        detector=nb.Detector(distance_mm=120, fpixels=256, spixels=256, pixel_mm=0.344),
        structure_factors=nb.StructureFactors(default_F=100, dump=Path("/nonexistent/none.bin")),
        sampling=nb.Sampling(oversample=1),
        physics="correct",
    )
    return resolve(simulation.changed(**changes))


@pytest.mark.parametrize(
    ("changes", "low", "high"),
    [
        ({}, 2.0, 4.0),
        ({"shape": "gauss"}, 1.5, 3.0),
        ({"shape": "gauss", "pixel_mm": 0.172}, 0.5, 1.2),
        ({"oversample": 4}, 0.0, 0.0),
        ({"Na": 5, "Nb": 5, "Nc": 5}, 0.0, 0.0),
        ({"mosaic_spread_deg": 1.0, "mosaic_domains": 100}, 0.3, 1.1),
        ({"mosaic_spread_deg": 0.001, "mosaic_domains": 100}, 2.0, 4.0),
        ({"dispersion_percent": 2.0, "dispsteps": 40, "mosaic_spread_deg": 1.0, "mosaic_domains": 20}, 0.0, 0.5),
    ],
    ids=str,
)
def test_sampling_error(changes: dict, low: float, high: float) -> None:
    """It knows the shape, the pixel, the number of cells, and what spreads the terms over the detector, and by how much."""
    assert low <= sampling_error(still(**changes)) <= high


def spots_of(image: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Photons in 7 x 7 pixels around each of the spots."""
    return np.array([image[s - 3 : s + 4, f - 3 : f + 4].sum() for s, f in spots])


@pytest.mark.parametrize(
    "changes", [{"shape": "gauss"}, {"shape": "gauss", "mosaic_spread_deg": 0.1, "mosaic_domains": 20}], ids=str
)
def test_sampling_error_is_that_of_images(changes: dict) -> None:
    """Within a factor of two of the error of the spots of an image, against one with 36 times as many points."""
    coarse, fine = (still(**changes, oversample=n) for n in (1, 6))
    image = nb.simulate(fine, threads=1).image.astype(float)
    inner = image[8:-8, 8:-8]
    brightest_first = np.argsort(inner.ravel())[::-1]
    spots: list[tuple[int, int]] = []
    for place in brightest_first[:4000]:
        s, f = (int(x) for x in np.unravel_index(place, inner.shape))
        if all(max(abs(s + 8 - a), abs(f + 8 - b)) > 8 for a, b in spots):
            spots.append((s + 8, f + 8))
    chosen = np.array(spots[:80])
    ratio = spots_of(nb.simulate(coarse, threads=1).image.astype(float), chosen) / spots_of(image, chosen)
    measured = float(np.sqrt(((ratio - 1) ** 2).mean()))
    assert len(chosen) > 40
    assert 0.5 < sampling_error(coarse) / measured < 2


# --- single rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "radians"),
    [
        ((0.1745, 0.3491, 0.5236), True),
        ((0.17, 0.35, 0.52), True),
        ((1.5708, 0.0, 0.0), True),
        ((1.57, 0.0, 0.0), True),
        ((-0.7854,), True),
        ((2.0944, 1.0472), True),
        ((0.0, 0.0, 0.0), False),
        ((1.0, 2.0, 3.0), False),
        ((0.5, 1.5, 2.5), False),
        ((0.25,), False),
        ((12.0, 34.0, 56.0), False),
        ((0.123, 1.234, 0.345), False),
        ((3.37204, 0.81922, 1.01188), False),
    ],
)
def test_radians(values: tuple[float, ...], radians: bool) -> None:
    assert looks_like_radians(values, 1.0) is radians


def test_few_angles_look_like_radians_by_chance() -> None:
    """Less than one in a hundred of three angles, and one in fifty of single ones, of any number of decimals."""
    rng = np.random.default_rng(1)
    for decimals in (1, 2, 3, 4, 12):
        angles = np.round(rng.uniform(0, 6.28, (1500, 3)), decimals)
        assert sum(looks_like_radians(tuple(row), 1.0) for row in angles) < 15
        assert sum(looks_like_radians((row[0],), 1.0) for row in angles) < 30


#: <F^2>/<F>^2 of a Weibull distribution: exponent 1 for intensities, 2 for amplitudes, 4 for their roots (acentric).
@pytest.mark.parametrize(
    ("exponent", "moment"), [(1.0, 2.0), (2.0, 4 / np.pi), (4.0, 1.0787)], ids=["intensities", "amplitudes", "roots"]
)
def test_distribution_of_F(exponent: float, moment: float) -> None:
    """Wilson's moments, whatever the scale and the fall with resolution; to 5 %, for 7,000 F in 8 shells."""
    rng = np.random.default_rng(2)
    indices = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    indices = indices[(indices**2).sum(axis=1) <= 144]
    F = rng.weibull(exponent, len(indices)) * np.exp(-(indices**2).sum(axis=1) / 200)
    for scale in (1.0, 1e6):
        spread = spread_of(build_grid(indices, F * scale, 0.0))
        assert spread is not None and abs(spread.moment / moment - 1) < 0.05
    assert spread_of(build_grid(indices[:200], F[:200], 0.0)) is None


@pytest.mark.parametrize("kind", ["weak half", "uniform", "one value", "centric"])
def test_lists_of_other_distributions_are_not_doubted(kind: str) -> None:
    """A superstructure, whose every second F is weak; random and constant numbers; centric amplitudes."""
    rng = np.random.default_rng(4)
    indices = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    F = {
        "weak half": np.where(indices.sum(axis=1) % 2, 5.0, 100.0) * rng.uniform(0.8, 1.2, len(indices)),
        "uniform": rng.uniform(50, 150, len(indices)),
        "one value": np.full(len(indices), 100.0) + 1e-9 * rng.random(len(indices)),
        "centric": np.abs(rng.normal(0, 100, len(indices))),
    }[kind]
    assert rules_about(still(hkl=(indices, F))) <= {"oversample"}


def test_equal_entries_of_a_table_are_holes() -> None:
    """A dump does not say which F its holes had."""
    rng = np.random.default_rng(3)
    indices = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    F = rng.weibull(2.0, len(indices)) * 100
    F[rng.random(len(F)) < 0.7] = 25.0
    spread = spread_of(build_grid(indices, F, 0.0))
    assert spread is not None and abs(spread.moment / (4 / np.pi) - 1) < 0.05


def test_no_pixel_is_brighter_than_the_bound() -> None:
    for changes in ({}, {"shape": "gauss"}, {"Na": 3, "oversample": 3}, {"physics": "reference"}):
        experiment = still(**changes, pixel_mm=1.0, fpixels=64, spixels=64)
        assert 0 < nb.simulate(experiment, threads=1).image.max() <= brightest(experiment)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"wavelength_A": 0.98e-10}, "9.8e-11 m are 0.98"),
        ({"wavelength_A": 12.4}, "12.4 keV are -energy 12400"),
        ({"fluence": 0.0}, "the fluence is 0"),
        ({"mask": np.zeros((16, 16), int)}, "the mask is 0 everywhere"),
        ({"dmin_A": 50.0, "Xbeam_mm": 60.0}, "-dmin 50 cuts all pixels"),
        ({"hkl": (np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.zeros(3)), "default_F": 0.0}, "all F are 0"),
        ({"hkl": (np.array([[60, 60, 60]]), np.ones(1)), "default_F": 0.0, "Xbeam_mm": 8.0}, "no reflection diffracts"),
        (
            {"hkl": (np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.ones(3)), "default_F": 0.0, "Xbeam_mm": 40.0},
            "list of F",
        ),
        ({}, "no reflection diffracts in this orientation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reasons_for_a_dark_image(changes: dict, reason: str) -> None:
    experiment = still(fpixels=16, spixels=16, pixel_mm=1.0, distance_mm=60, **changes)
    said = IMAGES["dark"](experiment, [np.zeros((16, 16), np.float32)])
    assert said is not None and said.startswith("every pixel is 0: ") and reason in said
    assert IMAGES["dark"](experiment, [np.eye(16, dtype=np.float32)]) is None


def test_reasons_for_overloaded_images() -> None:
    """Most pixels, not some of them; the default fluence is named."""
    bright = np.full((256, 256), 1e6, np.float32)
    some = np.where(np.arange(256) < 100, bright, 0.0)
    assert "photons/m2: check -fluence" in image_doubts(still(), [bright])[0]
    forgotten = image_doubts(still(fluence=nb.Beam.fluence, Na=2, Nb=2, Nc=2), [bright])[0]
    assert "no -fluence or -flux is given, and the default is 1.26e+29" in forgotten
    assert image_doubts(still(), [some]) == []


def test_a_rendered_image_is_remarked_upon() -> None:
    """By the cause: it is false that no reflection diffracts in this orientation."""
    far = np.array([[40, 40, 40]]), np.ones(1)
    experiment = still(wavelength_A=1e-10, fpixels=16, spixels=16, hkl=far, default_F=0.0)
    assert any("every pixel is 0: a wavelength" in text for text in nb.simulate(experiment, threads=1).warnings)


@pytest.mark.parametrize(("energy", "warned"), [(9500, True), (12398.42, True), (8047.8, False), (17479, False)])
def test_polarization_of_a_geometry_file(energy: float, warned: bool) -> None:
    """Anodes' beams are hardly polarized; what a file or a flag says is not doubted."""
    values = {"beam.wavelength_A": 12398.42 / energy}
    source = {"detector.convention": "--geometry panel.geom"}
    assert bool(flag_doubts(values, source)) is warned
    assert not flag_doubts({**values, "beam.kahn_factor": 0.0}, source)
    assert not flag_doubts({**values, "beam.nopolar": True}, source)
    assert not flag_doubts(values, {"detector.convention": "-xds"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-img wide.img -detpixels_x 10 -detpixels_y 20", "wide.img has 20 x 10 pixels, the flags give 10 x 20"),
        ("--geometry wide.img -detpixels_x 10 -detpixels_y 20", "fast and slow are swapped"),
        ("-mask wide.img -detpixels_x 10 -detpixels_y 20", "fast and slow are swapped"),
        ("-img wide.img -detpixels_x 20 -detpixels_y 10", ""),
        ("-mask wide.img", ""),
        ("-img wide.img -detpixels 64", ""),
    ],
)
def test_swapped_axes(
    words: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert read_smv(folder / "wide.img", header_only=True).data.shape == (10, 20)
    found = warnings_of(f"-cell 50 -default_F 100 -N 5 {words} --dry-run", capsys)
    assert (any("swapped" in line for line in found) is bool(said) and any(said in line for line in found)) or not said


@pytest.mark.parametrize(
    ("physics", "changes", "interpolates"),
    [
        ("reference", {}, True),
        ("upstream", {}, True),
        ("correct", {}, False),
        ("reference", {"interpolate": False}, False),
        ("correct", {"interpolate": True}, True),
        ("correct", {"size_mm": (0.0, 0.0, 0.0)}, True),
        ("correct", {"size_mm": (1e-5, 1e-5, 1e-5)}, True),
        ("reference", {"Na": 20, "Nb": 20, "Nc": 20}, False),
    ],
)
def test_a_size_does_not_switch_interpolation_on(physics: str, changes: dict, interpolates: bool) -> None:
    """In no edition without a warning, and in the correct one only where the size makes one or two cells."""
    crystal = {"Na": 1, "Nb": 1, "Nc": 1, "size_mm": (1e-4, 1e-4, 1e-4), **changes}
    rows = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    experiment = still(physics=physics, hkl=(rows, np.arange(1.0, len(rows) + 1)), **crystal)
    assert experiment.interpolate is interpolates
    warned = any("interpolates F" in text for text in experiment.warnings)
    assert warned is (interpolates and physics != "correct" and "interpolate" not in changes)


def test_doubts_are_the_same_in_an_experiment_that_is_updated() -> None:
    first, second = still(), still(misset_deg=(0.1745, 0.3491, 0.5236))
    updated = resolve(second.simulation, like=first)
    assert updated.warnings == second.warnings and any("radians" in text for text in updated.warnings)


def test_doubts_about_any_experiment(tmp_path: Path) -> None:
    """Whatever is drawn, a rule says one line or nothing."""
    from tests.campaigns.stress.dice import Dice, Generator
    from tests.campaigns.stress.draw import draw

    rules: list[Callable[[Experiment], str | None]] = [*NUMBERS.values(), *CONSEQUENCES.values()]
    for number in range(60):
        here = tmp_path / str(number)
        here.mkdir()
        try:
            experiment = resolve(build(parse(draw(Dice(Generator(5, number)), here)))[0])
        except ConfigError:
            continue
        for rule in rules:
            said = rule(experiment)
            assert said is None or (said and "\n" not in said and len(said) < 330), said
