"""The trace: the same numbers as the image, factors that multiply to the pixel, and what the command line prints."""

from __future__ import annotations

import bisect
import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.main import main
from nbnumba.cli.parse import parse
from nbnumba.cli.trace_flags import parse_trace
from nbnumba.errors import ConfigError, UsageError
from nbnumba.inspect.trace import MAX_TERMS, interpolation_state, pixel_record, trace
from nbnumba.inspect.trace_schema import ALIASES, FACTORS
from nbnumba.inspect.trace_text import format_value, trace_lines
from nbnumba.io.raw import read_float_image
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.dispatch import make_plan, renderer_of, set_threads
from nbnumba.render.inputs import build_inputs
from tests.conftest import CASES, GOLDEN

#: A small experiment whose pixels all have some light.
FLAGS = "-cell 40 50 60 -misset 10 20 30 -default_F 100 -N 5 -distance 80 -pixel 0.3 -detpixels_f 24 -detpixels_s 16".split()
FLAGS += ["-oversample", "2", "-osc", "0.3", "-phisteps", "3", "-mosaic", "0.2", "-mosaic_domains", "2"]


def experiment_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(GOLDEN)
    return resolve(build(parse(words))[0])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    return experiment_of(FLAGS, monkeypatch)


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_pixels_are_those_of_the_image(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 random pixels: to 1e-6 of themselves for the general kernel, to 1e-6 of the maximum for the fast one.

    Float32 storage is 6e-8; the fast kernels promise 2.5e-6 of the maximum at worst, and reach 1e-6 in these images.
    """
    set_threads(None)
    inputs = build_inputs(experiment_of(CASES[name]["args"], monkeypatch))
    panel = inputs.panel
    plans = {plan.kernel: plan for plan in (make_plan(inputs, "cpu", p) for p in ("double", "auto"))}
    images = {}
    for kernel, plan in plans.items():
        images[kernel] = np.zeros((panel.s1, panel.fpixels), np.float32)
        renderer_of(inputs, plan).render(images[kernel])
    rng = np.random.default_rng(5)
    drawn = zip(rng.integers(panel.s0, panel.s1, 200), rng.integers(panel.f0, panel.f1, 200), strict=True)
    pixels = sorted((int(slow), int(fast)) for slow, fast in drawn)
    # interpolation ends once, in raster order: from this pixel on
    off = bisect.bisect(pixels, 0, key=lambda pixel: 1 - interpolation_state(inputs, *pixel)[1])
    for i, (slow, fast) in enumerate(pixels):
        if inputs.mask.size and not inputs.mask[slow, fast]:
            continue
        value, _ = pixel_record(inputs, slow, fast, int(i < off))
        for kernel, image in images.items():
            bar = 1e-6 * (abs(value) if kernel == "general" else float(image.max()))
            assert abs(float(image[slow, fast]) - value) <= bar, (kernel, slow, fast)


# cases whose factors are applied once to the sum, and in which nbnumba gives the reference's image
SIMPLE = [
    name for name, case in CASES.items() if not case["expect"]["oversample_flags"] and "differs_on_purpose" not in case
]


@pytest.mark.golden
@pytest.mark.parametrize("name", SIMPLE[::3])
def test_factors_multiply_to_the_golden_pixel(name: str, golden_images, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the printed lines alone: the product of the factors is the reference program's pixel."""
    experiment = experiment_of(CASES[name]["args"], monkeypatch)
    golden = golden_images[name]
    slow, fast = (int(i) for i in np.unravel_index(int(golden.argmax()), golden.shape))
    (entry,) = trace(experiment, [(slow, fast)], precision="double")
    f = {}
    for line in trace_lines([entry]):
        match = re.fullmatch(r"TRACE_PY: (\w+) (.*)", line)
        assert match is not None, line
        f[match[1]] = match[2]
    number = {key: float(text) for key, text in f.items() if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text)}
    product = number["I_before_scaling"] / number["steps"] * number["r_e_sqr"] * number["fluence_photons_per_m2"]
    product *= number["capture_fraction"] * number["polar"] * number["omega_pixel"]
    assert product == pytest.approx(number["I_pixel_final"], rel=1e-12)
    assert number["I_pixel_final"] == pytest.approx(float(golden[slow, fast]), rel=1e-6)
    assert number["steps"] == CASES[name]["expect"]["steps"]

    def vector(key: str) -> np.ndarray:
        return np.array([float(word) for word in f[key].split()])

    # the steps between, by NumPy: 1e-9 leaves room for the 15 printed digits of indices of tens
    np.testing.assert_allclose(vector("pix0_vector_meters"), CASES[name]["expect"]["pix0_m"], atol=1e-9)
    ray = (vector("diffracted_vec") - vector("incident_vec")) / number["lambda_angstroms"]
    np.testing.assert_allclose(vector("scattering_vec_A_inv"), ray, atol=1e-12)
    np.testing.assert_allclose(vector("scattering_vec_m_inv"), ray * 1e10, atol=1e-2)
    cell = np.array([vector(f"rot_{v}_angstroms") for v in "abc"])
    if "hkl_frac" in f:
        np.testing.assert_allclose(vector("hkl_frac"), cell @ ray, atol=1e-9)
        np.testing.assert_array_equal(vector("hkl_rounded"), np.ceil(vector("hkl_frac") - 0.5))
    if "F_latt_a" in f:
        axes = number["F_latt_a"] * number["F_latt_b"] * number["F_latt_c"]
        assert axes == pytest.approx(number["F_latt"], rel=1e-12)
    assert number["cos_2theta"] == pytest.approx(float(vector("incident_vec") @ vector("diffracted_vec")), abs=1e-12)
    if number["terms"] <= MAX_TERMS:
        t = {key: np.array(column) for key, column in entry.terms.items()}
        whole = number["water_background"] + np.sum((t["F_latt"] * t["F_cell"]) ** 2)
        assert whole == pytest.approx(number["I_before_scaling"], rel=1e-9)


def test_phi_steps(small: Experiment) -> None:
    """Each step is what a still at that angle has as its first term."""
    (entry,) = trace(small, [(5, 7)])
    assert [step["phi_tic"] for step in entry.phi] == [0, 1, 2]
    for step in entry.phi:
        phi = np.array([np.deg2rad(float(step["phi_deg"]))])
        still = replace(small, scan=replace(small.scan, phi=phi, cell_phi=phi))
        (single,) = trace(still, [(5, 7)])
        hkl = (step["h_frac"], step["k_frac"], step["l_frac"])
        assert hkl == pytest.approx(single.factors["hkl_frac"], abs=1e-11)
        for key in ("F_latt_a", "F_latt_b", "F_latt_c", "F_latt"):
            assert step[key] == pytest.approx(single.factors[key], rel=1e-8)


def test_both_precisions_are_said(small: Experiment) -> None:
    double, mixed = (trace(small, [(5, 7)], precision=p)[0].factors for p in ("double", "mixed"))
    assert double["floatimage_kernel"] == "general on cpu"
    assert mixed["floatimage_kernel"] == double["I_pixel_mixed_kernel"] != "general on cpu"
    assert double["I_pixel_mixed"] == mixed["floatimage_accumulated"]
    value = double["I_pixel_final"]
    assert double["floatimage_accumulated"] == np.float32(value)
    assert isinstance(value, float) and isinstance(mixed["floatimage_accumulated"], float)
    off = abs(mixed["floatimage_accumulated"] - value) / max(value, mixed["floatimage_accumulated"])
    assert mixed["floatimage_rel_diff"] == pytest.approx(off, rel=1e-9)


def test_shapes_without_axes_have_no_axis_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = experiment_of([*FLAGS, "-round_xtal"], monkeypatch)
    (entry,) = trace(experiment, [(1, 2)])
    assert "F_latt" in entry.factors and "F_latt_a" not in entry.factors
    assert all("F_latt_a" not in step for step in entry.phi)


def test_every_factor_is_explained(small: Experiment) -> None:
    (entry,) = trace(small, [(0, 0)])
    assert set(entry.factors) <= FACTORS.keys()
    assert all(known in FACTORS or known == "pixel" for known in ALIASES.values())


@pytest.mark.parametrize(
    ("more", "pixel", "note"),
    [
        (["-roi", "2", "5", "2", "5"], (9, 9), "outside -roi"),
        (["-dmin", "1000"], (3, 3), "-dmin cuts every source"),
    ],
)
def test_pixels_that_are_dark_for_a_reason(more, pixel, note, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = trace(experiment_of([*FLAGS, *more], monkeypatch), [pixel])
    assert any(note in text for text in entry.notes)
    assert entry.factors["floatimage_accumulated"] == 0.0
    if "-dmin" in more:
        assert entry.factors["I_pixel_final"] == 0.0 and "hkl_frac" not in entry.factors
    else:
        assert entry.factors["I_pixel_final"] != 0.0


def test_masked_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = experiment_of(CASES["mask"]["args"], monkeypatch)
    assert experiment.simulation.mask is not None
    slow, fast = (int(i[0]) for i in np.nonzero(experiment.simulation.mask == 0))
    (entry,) = trace(experiment, [(slow, fast)])
    assert any("masked" in text for text in entry.notes)
    assert entry.factors["floatimage_accumulated"] == 0.0


def test_fifteen_digits() -> None:
    assert format_value(1 / 3) == "0.333333333333333"
    assert format_value((1.0, -2.5e-30)) == "1 -2.5e-30"
    assert format_value(10) == "10"


# --- command line ------------------------------------------------------------------------------------------------


def run(*words: str) -> int:
    return main(["trace", *words])


def lines_of(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    out = capsys.readouterr().out
    return dict(line.removeprefix("TRACE_PY: ").split(" ", 1) for line in out.splitlines() if "TRACE_PY: " in line)


@pytest.mark.parametrize(
    "words",
    [
        ["5", "7", *FLAGS],
        ["5,7", *FLAGS],
        ["--pixel", "5", "7", *FLAGS],
        [*FLAGS, "--pixel", "5,7"],
        [*FLAGS, "--pixel=5,7"],
        [*FLAGS, "-trace_pixel", "5", "7"],
        [*FLAGS, "-printout_pixel", "7", "5"],
    ],
    ids=lambda words: " ".join(w for w in words if w not in FLAGS),
)
def test_ways_to_name_a_pixel(words: list[str]) -> None:
    assert parse_trace(words).pixels == ((5, 7),)


def test_pixels_add_up() -> None:
    request = parse_trace(["1", "2", "3", "4", *FLAGS, "--pixel", "5", "6", "--pixel", "1", "2"])
    assert request.pixels == ((1, 2), (3, 4), (5, 6))
    assert request.invocation == parse(FLAGS)


@pytest.mark.parametrize("words", [FLAGS, ["5", *FLAGS], ["5", "x", *FLAGS], [*FLAGS, "--pixel", "3"], ["5,", *FLAGS]])
def test_pixels_that_are_none(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"pixel|PIXEL"):
        parse_trace(words)


def test_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("5", "7", *FLAGS, "--per-phi") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "TRACE_PY: pixel 5 7"
    keys = [line.split()[1] for line in out if line.startswith("TRACE_PY: ")]
    order = "convention pivot fdet_vec pix0_vector_meters incident_vec diffracted_vec airpath scattering_vec_A_inv "
    order += "rot_a_angstroms hkl_frac hkl_rounded F_latt_a F_latt_b F_latt_c F_latt F_cell I_before_scaling r_e_sqr "
    order += "fluence_photons_per_m2 steps oversample_thick oversample_polar oversample_omega capture_fraction polar "
    order += "omega_pixel cos_2theta I_pixel_final floatimage_accumulated"
    places = [keys.index(key) for key in order.split()]
    assert places == sorted(places)
    phi = [line for line in out if line.startswith("TRACE_PY_PHI ")]
    names = "phi_tic phi_deg h_frac k_frac l_frac F_latt_a F_latt_b F_latt_c F_latt".split()
    assert len(phi) == 3
    for line in phi:
        assert re.findall(r"(\w+)=", line)[: len(names)] == names
    assert list(tmp_path.iterdir()) == []  # no dump, no image


def test_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    assert run("5", "7", "2", "3", *FLAGS, "--json", str(file), "--table", "--per-phi") == 0
    content = json.loads(file.read_text())
    assert [entry["pixel"] for entry in content["pixels"]] == [[5, 7], [2, 3]]
    record = content["environment"]
    assert {"versions", "device", "precision", "kernel", "commit", "time", "command"} <= record.keys()
    assert record["command"][:4] == ["nbnumba", "trace", "5", "7"]
    assert record["versions"].keys() >= {"nbnumba", "python", "numba", "numpy"}
    assert content["per_phi_entries"] == content["pixels"][0]["phi"] and content["pixel"] == {"slow": 5, "fast": 7}
    assert content["configuration"]["configuration"]["crystal"]["Na"] == 5
    assert content["configuration"]["facts"]["phisteps"] == 3
    assert len(content["pixels"][0]["phi"]) == 3
    assert len(content["pixels"][0]["terms"]["h"]) == 3 * 2 * 4
    table = capsys.readouterr().out
    assert "TRACE_PY" not in table and "photons through the sample" in table and "phi_tic" in table


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "mixed"), ("float64", "double")])
def test_dtype_is_a_name_for_the_precision(dtype: str, precision: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    assert run("5", "7", *FLAGS, "--json", str(file), "--dtype", dtype, "-q") == 0
    record = json.loads(file.read_text())["environment"]
    assert (record["dtype"], record["precision"]) == (dtype, precision)


def test_a_dry_run_writes_the_configuration_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert run("5", "7", *FLAGS, "--json", str(file), "--dry-run") == 0
    assert json.loads(file.read_text())["configuration"]["crystal"]["Na"] == 5
    assert "TRACE_PY" not in capsys.readouterr().out


def test_json_of_a_random_orientation_says_its_seed(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    flags = [*FLAGS, "-misset", "random"]
    assert run("5", "7", *flags, "--json", str(file), "-q") == 0
    first = json.loads(file.read_text())
    command = first["environment"]["command"]
    assert "-misset_seed" in command
    assert main(command[1:]) == 0
    assert json.loads(file.read_text())["pixels"] == first["pixels"]


@pytest.mark.parametrize("flag", [["-trace_pixel", "5", "7"], ["-printout_pixel", "7", "5"]])
@pytest.mark.parametrize("orientation", [[], ["-misset", "random"]])
def test_run_prints_the_trace_of_its_image(
    flag: list[str], orientation: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *FLAGS, *orientation, *flag, "-nonoise", "-nopgm", "-q"]) == 0
    captured = capsys.readouterr()
    factors = dict(line.removeprefix("TRACE_PY: ").split(" ", 1) for line in captured.out.splitlines())
    image = read_float_image(tmp_path / "floatimage.bin", (16, 24))
    assert factors["pixel"] == "5 7"
    assert np.float32(factors["floatimage_accumulated"]) == image[5, 7]
    assert "no effect" not in captured.err


def test_record_of_a_traced_run_says_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-trace_pixel", "5", "7", "-misset", "random", "-nonoise", "-nopgm", "-q", "--json", "run.json"]
    assert main(["run", *FLAGS, *words]) == 0
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["command"][-2:] == ["-misset_seed", str(record["facts"]["misset_seed"])]


def test_dry_run_has_no_trace(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *FLAGS, "-trace_pixel", "5", "7", "--dry-run"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("pixel", [("16", "0"), ("0", "24"), ("-1", "3")])
def test_pixel_beside_the_detector(pixel: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*pixel, *FLAGS, "-q") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"nbnumba: error: pixel slow -?\d+, fast \d+ is not on the detector of 24 x 16 .*", last)


def test_pixel_beside_the_detector_is_a_config_error(small: Experiment) -> None:
    with pytest.raises(ConfigError, match="SLOW FAST"):
        trace(small, [(0, 0), (99, 0)])


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FLAGS) == 2
    assert "trace needs a pixel" in capsys.readouterr().err
    assert run("5", "7", *FLAGS, "-hdivr", "3") == 2
    assert "did you mean" in capsys.readouterr().err


def test_help_lists_the_flags_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("--pixel", "--per-phi", "--table", "--json", "-distance", "--precision"))


# --- the real data, where they are -------------------------------------------------------------------------------

REAL = os.environ.get("NB_REAL_DATA")
REAL_FLAGS = shlex.split(
    "-nonoise -nointerpolate -oversample 1 -exposure 1 -flux 1e18 -beamsize 1.0 -spindle_axis -1 0 0 "
    "-Xbeam 217.742295 -Ybeam 213.907080 -distance 231.274660 -lambda 0.976800 -pixel 0.172 -detpixels_x 2463 "
    "-detpixels_y 2527 -odet_vector -0.000088 0.004914 -0.999988 -sdet_vector -0.005998 -0.999970 -0.004913 "
    "-fdet_vector 0.999982 -0.005998 -0.000118 -pix0_vector_mm -216.336293 215.205512 -230.200866 "
    "-beam_vector 0.00051387949 0.0 -0.99999986 -Na 36 -Nb 47 -Nc 29 -osc 0.1 -phi 0 -phisteps 10 "
    "-detector_rotx 0 -detector_roty 0 -detector_rotz 0 -twotheta 0"
)


@pytest.mark.skipif(REAL is None, reason="NB_REAL_DATA does not name the folder of A.mat and scaled.hkl")
def test_real_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers of an instrumented build of the reference program (TRACE_C)."""
    assert REAL is not None
    files = ["-mat", f"{REAL}/A.mat", "-hkl", f"{REAL}/scaled.hkl"]
    assert run("--pixel", "685", "1039", *files, *REAL_FLAGS, "--per-phi", "-q") == 0
    out = capsys.readouterr().out.splitlines()
    factors = dict(line.removeprefix("TRACE_PY: ").split(" ", 1) for line in out if "TRACE_PY: " in line)
    assert factors["steps"] == "10"
    assert factors["fluence_photons_per_m2"] == "1e+24"
    assert factors["r_e_sqr"] == "7.94079248018965e-30"
    assert factors["capture_fraction"] == "1"
    assert float(factors["polar"]) == pytest.approx(0.91463969894451, rel=1e-10)
    assert float(factors["omega_pixel"]) == pytest.approx(4.20412684465831e-07, rel=1e-10)
    assert float(factors["cos_2theta"]) == pytest.approx(0.910647790250995, rel=1e-12)
    phi = [dict(pair.split("=") for pair in line.split()[1:]) for line in out if "TRACE_PY_PHI" in line]
    # indices of tens with 1e-14 of the cell's digits left
    assert float(phi[9]["k_frac"]) == pytest.approx(-0.607255839576692, abs=1e-13)
    assert float(phi[9]["F_latt_b"]) == pytest.approx(1.05079664302326, rel=1e-11)
    assert float(phi[9]["F_latt"]) == pytest.approx(-2.38319665299058, rel=1e-11)
    # that build keeps the cell of phi step 9 at phi = 0, nbnumba does not: with this the sums are the same
    stale = [phi[9], *phi[1:]]
    terms = [(float(step["F_latt"]) * float(step["F_cell"])) ** 2 for step in stale]
    ours = sum((float(step["F_latt"]) * float(step["F_cell"])) ** 2 for step in phi)
    assert ours == pytest.approx(float(factors["I_before_scaling"]), rel=1e-12)
    assert sum(terms) == pytest.approx(943654.80923755, rel=1e-9)
    assert float(factors["I_pixel_final"]) * sum(terms) / ours == pytest.approx(2.88139542684698e-07, rel=1e-9)
