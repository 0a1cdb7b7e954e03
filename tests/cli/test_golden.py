"""Every image of the reference program, through the public command line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.io.pgm import read_pgm
from nbnumba.io.smv import read_smv
from tests.conftest import CASES, GOLDEN

pytestmark = pytest.mark.golden

SAME = [name for name, case in CASES.items() if "differs_on_purpose" not in case]

#: precision -> bars on max|d| / max and on the 99th percentile of |d| / pixel
BARS = {"double": (1e-6, 1e-5), "auto": (2e-6, 1e-4)}


@dataclass
class Run:
    """Files of one command."""

    folder: Path
    facts: dict
    record: dict

    def image(self, name: str) -> np.ndarray:
        """The float image."""
        case = CASES[name]
        return np.fromfile(self.folder / "float.bin", "<f4").reshape(case["shape"])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a golden case's command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    os.symlink(GOLDEN / "inputs", tmp_path / "inputs")

    def go(name: str, *own: str, args: list[str] | None = None) -> Run:
        case = CASES[name]
        words = ["run", "-floatfile", "float.bin", "-intfile", "int.img"]
        words += ["-noisefile", "noise.img"] if "noise" in case["outputs"] else ["-nonoise"]
        words += ["-pgmfile", "image.pgm"] if "pgm" in case["outputs"] else ["-nopgm"]
        assert main([*words, *(args or case["args"]), "--quiet", "--json", "run.json", *own]) == 0
        record = json.loads((tmp_path / "run.json").read_text())
        return Run(tmp_path, record["facts"], record)

    return go


def compare(image: np.ndarray, golden: np.ndarray, precision: str) -> None:
    """Hold an image against the reference's."""
    bar_max, bar_99 = BARS[precision]
    difference = np.abs(image.astype(float) - golden)
    assert difference.max() <= bar_max * golden.max()
    lit = golden > 0
    assert not image[~lit].any()
    assert np.percentile(difference[lit] / golden[lit], 99) <= bar_99
    assert image.sum(dtype=float) == pytest.approx(golden.sum(dtype=float), rel=1e-6)


@pytest.mark.parametrize("precision", ["double", "auto"])
@pytest.mark.parametrize("name", SAME)
def test_float_image(run, golden_images, name, precision):
    compare(run(name, "--precision", precision).image(name), golden_images[name], precision)


# what the reference reports, but the words of its warnings, and names that are compared otherwise
NOT_NUMBERS = {"warnings", "max_I", "intfile_scale", "pgm_scale", "noise_photons", "noise_overloads", "source_list"}


@pytest.mark.parametrize("name", SAME)
def test_facts(run, name):
    """Geometry, cell, sampling and statistics to 1e-6 relative, vectors to 1e-6 of their length."""
    facts = run(name, "--precision", "double").facts
    wrong = {}
    for key, wanted in CASES[name]["expect"].items():
        if key in NOT_NUMBERS or (key == "detector_mu" and CASES[name]["expect"]["detector_thick_m"] == 0):
            continue
        got = facts["misset_deg" if key == "misset_random_deg" else key]
        if isinstance(wanted, (str, bool)) or key == "oversample_flags":
            good = got == wanted
        else:
            scale = np.abs(wanted).max(initial=0.0)
            good = np.shape(got) == np.shape(wanted) and np.allclose(got, wanted, rtol=1e-6, atol=1e-6 * scale)
        if not good:
            wrong[key] = (got, wanted)
    assert not wrong


@pytest.mark.parametrize("name", SAME)
def test_sources(run, name):
    """Directions, weights and wavelengths of the sources."""
    wanted = np.array(CASES[name]["expect"]["source_list"])
    got = np.array(run(name).facts["source_list"])
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got[:, 3:], wanted[:, 3:], rtol=1e-12)
    np.testing.assert_allclose(got[:, :3], wanted[:, :3], atol=1e-12 * np.abs(wanted[:, :3]).max())


@pytest.mark.parametrize("name", [n for n in SAME if "int" in CASES[n]["outputs"]])
def test_integer_image(run, golden_images, name):
    """Counts equal the reference's, +-1 where the scaled float sits on a rounding edge."""
    result = run(name, "--precision", "double")
    golden = golden_images[f"{name}__int"]
    counts = read_smv(result.folder / "int.img").data
    off = np.abs(counts.astype(int) - golden)
    scaled = golden_images[name] * CASES[name]["expect"]["intfile_scale"]
    edge = np.abs(scaled % 1 - 0.5) < 1e-3
    assert off.max() <= 1
    assert not off[~edge].any()


@pytest.mark.parametrize("name", [n for n in SAME if "pgm" in CASES[n]["outputs"]])
def test_pgm_image(run, golden_images, name):
    """Grey values equal the reference's, +-1 where the scaled float sits on a whole number."""
    result = run(name, "--precision", "double")
    pixels, _ = read_pgm(result.folder / "image.pgm")
    off = np.abs(pixels.astype(int) - golden_images[f"{name}__pgm"])
    scaled = golden_images[name] * CASES[name]["expect"]["pgm_scale"]
    edge = np.abs(scaled - np.round(scaled)) < 1e-3
    assert off.max() <= 1
    assert not off[~edge].any()


def header_keys(text: str) -> dict[str, str]:
    """SMV header as keys and values."""
    lines = [line.rstrip(";") for line in text.strip("{}\f \n").split("\n") if "=" in line]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name", [n for n in SAME if "int" in CASES[n]["outputs"]])
def test_header(run, name):
    """Key by key, in the reference's order; ADC_OFFSET is ours, and the header's size where it does not fit."""
    result = run(name)
    wanted = header_keys(CASES[name]["smv_header"])
    for file in ("int.img", "noise.img") if "noise" in CASES[name]["outputs"] else ("int.img",):
        got = header_keys(read_smv(result.folder / file).header_text)
        ours = {"ADC_OFFSET", "HEADER_BYTES"}
        assert [key for key in got if key not in ours] == [key for key in wanted if key not in ours]
        assert {k: v for k, v in got.items() if k not in ours} == {k: v for k, v in wanted.items() if k not in ours}
        assert int(got["HEADER_BYTES"]) in (512, 1024)
        offset = CASES[name]["args"][CASES[name]["args"].index("-adc") + 1] if "-adc" in CASES[name]["args"] else 40
        assert float(got["ADC_OFFSET"]) == float(offset)


def test_pix0_vector_alone_places_the_detector(run):
    """differs_on_purpose: the reference ignores -pix0_vector."""
    facts = run("quirk_pix0_vector_ignored").facts
    assert facts["pix0_m"] == [0.071, 0.013, -0.016]
    millimetres = CASES["quirk_pix0_vector_ignored"]["args"].copy()
    i = millimetres.index("-pix0_vector")
    millimetres[i : i + 4] = ["-pix0_vector_mm", "71", "13", "-16"]
    assert run("quirk_pix0_vector_ignored", args=millimetres).facts["pix0_m"] == pytest.approx([0.071, 0.013, -0.016])


def test_twotheta_axis_is_only_an_axis(run):
    """differs_on_purpose: in the reference its first number becomes the angle."""
    facts = run("quirk_twotheta_axis_after").facts
    assert facts["pivot"] == "sample"
    # 10 deg about the normalized axis (2.5, 0, 1)
    axis = np.array([2.5, 0, 1]) / np.hypot(2.5, 1)
    fdet, angle = np.array([0.0, 0.0, 1.0]), np.deg2rad(10)
    turned = fdet * np.cos(angle) + np.cross(axis, fdet) * np.sin(angle) + axis * (axis @ fdet) * (1 - np.cos(angle))
    np.testing.assert_allclose(facts["fdet_vector"], turned, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("quirk_curved_det_last_arg", lambda args: ["-curved_det", *args[:-1]]),
        (
            "quirk_misset_seed_after",
            lambda args: [*(a for a in args if a not in ("-misset_seed", "4711")), "-misset_seed", "4711"],
        ),
        ("quirk_oversample_thick_no_thickness", lambda args: [a for a in args if a != "-oversample_thick"]),
        (
            "quirk_abs_inf_then_thick",
            lambda args: [a for a in args if a not in ("-detector_abs", "inf", "-detector_thick", "300")],
        ),
    ],
)
def test_same_as_another_command(run, name, change):
    """differs_on_purpose: what the case's text says it equals."""
    image = run(name).image(name).copy()
    other = run(name, args=change(CASES[name]["args"])).image(name)
    assert image.max() > 0
    np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize("name", ["quirk_hkl_comment_mid", "quirk_hkl_six_columns"])
def test_whole_hkl_file_is_read(run, name):
    """differs_on_purpose: comments are skipped, columns after the fourth ignored."""
    path = GOLDEN / "inputs" / ("comment_mid.hkl" if "comment" in name else "six_columns.hkl")
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert run(name).facts["hkls"] == len(lines)
