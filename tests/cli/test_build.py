"""From the words of ``nbnumba run`` to the configuration: headers, matrix, mask, names of files, what is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli import main as cli_main
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.model import config
from nbnumba.model.outputs import Outputs
from tests.conftest import CASES, GOLDEN

CELL = ("-cell", "50")


def test_only_what_is_given_departs_from_the_defaults() -> None:
    simulation, outputs, options = build(parse(CELL))
    assert simulation.beam == config.Beam() and simulation.detector == config.Detector()
    assert simulation.scan == config.Scan() and simulation.sampling == config.Sampling()
    assert outputs == Outputs() and options == RunOptions()


def test_sizes_of_the_axes_are_independent() -> None:
    assert build(parse([*CELL, "-xtal_x", "1", "-height", "3"]))[0].crystal.size_mm == (1, 0, 3)


def test_a_refused_value_names_its_flag() -> None:
    with pytest.raises(ConfigError, match=r"^detector.distance_mm must be > 0, got -5.0 \(from -distance\)$"):
        build(parse([*CELL, "-distance", "-5"]))
    with pytest.raises(ConfigError, match=r"--threads must be at least 1, got 0"):
        build(parse([*CELL, "--threads", "0"]))


def test_two_outputs_must_not_be_one_file() -> None:
    with pytest.raises(ConfigError, match=r"outputs\.intfile and outputs\.floatfile must be different files"):
        build(parse([*CELL, "-floatfile", "a.bin", "-intfile", "./a.bin"]))
    build(parse([*CELL, "-floatfile", os.devnull, "-intfile", os.devnull]))


def test_a_picture_is_not_called_what_it_is_not() -> None:
    with pytest.raises(ConfigError, match=r"its name must end in \.png, got a\.jpg \(from --preview\)"):
        build(parse([*CELL, "--preview", "a.jpg"]))
    assert build(parse([*CELL, "--preview", "a.PNG"]))[1].preview == Path("a.PNG")


@pytest.mark.parametrize("name", ["mask", "img_header", "quirk_img_close_distance"])
def test_headers_give_the_geometry_of_the_golden_cases(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    case = CASES[name]
    simulation, *_ = build(parse(case["args"]))
    detector, expect = simulation.detector, case["expect"]
    assert (detector.spixels, detector.fpixels) == tuple(case["shape"])
    # a header's decimal number times 1e-3 or pi/180 is rounded once or twice
    assert detector.pixel_mm == pytest.approx(1e3 * expect["pixel_m"], rel=1e-14)
    assert detector.Xbeam_mm == pytest.approx(1e3 * expect["Xbeam_m"], rel=1e-14)
    assert detector.Ybeam_mm == pytest.approx(1e3 * expect["Ybeam_m"], rel=1e-14)
    distance = detector.close_distance_mm if detector.close_distance_mm is not None else detector.distance_mm
    assert distance == pytest.approx(1e3 * expect["distance_m"], rel=1e-14)
    assert simulation.scan.phi_deg == pytest.approx(expect["phi_start_deg"], rel=1e-14)
    turned = simulation.scan.phi_deg + (simulation.scan.osc_deg or 0.0)
    assert turned == pytest.approx(expect["phi_end_deg"], rel=1e-14)
    assert detector.twotheta_deg == 0, "TWOTHETA of a header is not read"
    assert (simulation.mask is not None) == (name == "mask")


def test_flags_beat_headers_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    simulation, *_ = build(parse([*CELL, "-distance", "80", "-img", "inputs/header.img", "-mask", "inputs/header.img"]))
    assert simulation.detector.distance_mm == 80
    assert simulation.detector.Ybeam_mm == 14.1, "the image's header counts after the mask's"
    assert simulation.beam.wavelength_A == 1.0332


def test_mask_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigError, match=r"mask has 90 x 70 pixels .* detector has 96 x 72 \(from the header of"):
        build(parse([*CELL, "-mask", "inputs/mask.img", "-img", "inputs/header.img"]))
    with pytest.raises(ConfigError, match=r"mask has 90 x 70 pixels .* detector has 64 x 64 \(from -detpixels\)"):
        build(parse([*CELL, "-mask", "inputs/mask.img", "-detpixels", "64"]))


def test_matrix_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    simulation, *_ = build(parse(["-mat", "inputs/tri_A.mat"]))
    assert np.allclose(simulation.crystal.A_matrix[:3], (-0.02412425, 0.01958416, -0.00236541), rtol=0, atol=0)
    with pytest.raises(FileError, match=r"missing\.mat"):
        build(parse(["-mat", "missing.mat"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-hkl", "my.hkl", "-intfile", "my.hkl"], "-intfile would replace my.hkl, which -hkl reads"),
        (["-hkl", "my.hkl", "-dump", "./my.hkl"], "-dump would replace my.hkl, which -hkl reads"),
        (["-mat", "A.mat", "--json", "A.mat"], "--json would replace A.mat, which -mat reads"),
        (["-mask", "intimage.img"], "-intfile would replace intimage.img, which -mask reads"),
    ],
)
def test_no_file_of_a_run_replaces_one_that_it_reads(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.hkl").write_text("1 0 0 5\n")
    (tmp_path / "A.mat").write_text("1 0 0 0 1 0 0 0 1\n")
    (tmp_path / "intimage.img").write_bytes((GOLDEN / "inputs/mask.img").read_bytes())
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(parse([*CELL, *words]))


def test_a_header_may_be_taken_from_the_image_that_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "intimage.img").write_bytes((GOLDEN / "inputs/header.img").read_bytes())
    assert build(parse([*CELL, "-img", "intimage.img"]))[1].intfile == Path("intimage.img")


@pytest.mark.parametrize("name", CASES)
def test_golden_cases_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    simulation, *_ = build(parse(CASES[name]["args"]))
    convention = CASES[name]["expect"]["convention"].upper()
    assert simulation.detector.convention == convention


def test_a_refused_header_value_names_the_file(tmp_path: Path) -> None:
    header = (
        "{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\nSIZE1=4;\nSIZE2=3;\nDISTANCE=0;\n}\n"
    )
    image = tmp_path / "zero.img"
    image.write_bytes(header.encode().ljust(512) + bytes(24))
    with pytest.raises(ConfigError, match=r"detector.distance_mm must be > 0, got 0.0 \(from the header of .*DISTANCE"):
        build(parse([*CELL, "-img", str(image)]))
    detector = build(parse([*CELL, "-img", str(image), "-distance", "70"]))[0].detector
    assert (detector.distance_mm, detector.fpixels, detector.spixels) == (70, 4, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-N", "1e20"), "crystal.Na must be at most 1e+12, got 100000000000000000000 (from -N)"),
        (
            ("-N", "1e12"),
            "4.2e+11 x 4.2e+11 sub-pixels are more than can be counted: give -oversample 1, or fewer cells",
        ),
        (("-oversample", "4e9"), "4e+09 x 4e+09 sub-pixels are more than can be counted"),
        (("-oversample", "1e200"), "1e+200 x 1e+200 sub-pixels are more than can be counted"),
        (
            ("-samplesize", "1e60", "-beamsize", "1e60"),
            "a crystal of 1e+60, 1e+60, 1e+60 mm has 2e+65 cells along an axis",
        ),
        ("-fdet_vector 0 0 1 -sdet_vector 0 0 -1".split(), "-fdet_vector and -sdet_vector are parallel: give two"),
        (("-cell", "50", "60", "1e-80"), "crystal.cell: edges are 0.001 to 1e+06 Å long, got (50.0, 60.0, 1e-80)"),
    ],
)
@pytest.mark.parametrize("shape", ["-square_xtal", "-gauss_xtal"])
def test_crystals_detectors_and_samplings_that_cannot_be_are_refused(
    words: Sequence[str], message: str, shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "-cell", "50", "60", "70", "-default_F", "10", "-detpixels", "8", "-distance", "50", shape, *words]
    assert cli_main.main([*run, "-floatfile", str(tmp_path / "image.bin")]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_negative_width_in_a_header_is_none_given(tmp_path: Path) -> None:
    """As in the reference."""
    for width, expected in ((0.5, 0.5), (-1.0, None)):
        header = (
            "{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\nSIZE1=4;\nSIZE2=3;\n"
            f"DISTANCE=90;\nPHI=7;\nOSC_RANGE={width};\n}}\n"
        )
        (tmp_path / "a.img").write_bytes(header.encode().ljust(512) + bytes(24))
        scan = build(parse([*CELL, "-img", str(tmp_path / "a.img")]))[0].scan
        assert (scan.phi_deg, scan.osc_deg) == (7, expected)


def test_an_empty_word_is_no_file() -> None:
    with pytest.raises(ConfigError, match="-floatfile needs the name of a file, got an empty word"):
        parse([*CELL, "-floatfile", ""])
