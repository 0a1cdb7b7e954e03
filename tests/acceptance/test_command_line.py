"""Acceptance tests of the command line: AT-CLI-001, -002, -006 to -009 (-003 to -005: test_precedence.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.io.pgm import read_pgm
from nbnumba.io.smv import read_smv
from tests.acceptance.programs import CUBIC, factors, render, run
from tests.acceptance.test_files import KEYS
from tests.cli.test_golden import header_keys

SMALL = f"{CUBIC} -N 5 -lambda 6.2 -detpixels 32 -oversample 1"
FLAGS = """-hkl -mat -cell -pixel -detpixels -distance -lambda -energy -floatfile -intfile -noisefile -pgmfile -scale -adc
 -mosflm -xds -adxv -denzo -dials -roi""".split()


def test_cli_001_help(capsys, monkeypatch, figure):
    monkeypatch.setenv("COLUMNS", "200")
    code = main(["run", "-h"])
    words = set(capsys.readouterr().out.replace(",", " ").split())
    found = [flag for flag in FLAGS if flag in words]
    figure("AT-CLI-001", f"{len(found)} of {len(FLAGS)} flags, exit code {code}")
    assert found == FLAGS and code == 0


def test_cli_002_minimal_run(figure):
    run("-cell 100 100 100 90 90 90 -default_F 100 -detpixels 32 -pixel 0.1 -distance 100 -N 5 -Xbeam 1 -Ybeam 2")
    header = header_keys(read_smv("int.img").header_text)
    image, counts = np.fromfile("float.bin", "<f4").reshape(32, 32), read_smv("int.img").data
    found = [key for key in KEYS if key in header]
    figure("AT-CLI-002", f"{len(found)} of {len(KEYS)} keys")
    assert found == KEYS and float(header["PIXEL_SIZE"]) == 0.1 and float(header["DISTANCE"]) == 100
    # the beam is off the diagonal, so that exchanged axes would show
    assert np.abs(counts - (image.astype(float) * 55000 / image.max() + 40)).max() <= 0.51
    assert np.unravel_index(image.argmax(), image.shape) == (10, 20)


@pytest.mark.parametrize("scale", [None, 0.02])
def test_cli_006_scales(scale, figure):
    """Counts are rounded; the brightest pixel has 55000 and the offset."""
    run(f"{SMALL} -pgmfile image.pgm" + (f" -scale {scale}" if scale else ""))
    image, counts = np.fromfile("float.bin", "<f4").reshape(32, 32).astype(float), read_smv("int.img").data
    used = scale or 55000 / image.max()
    exact = np.minimum(image * used + 40, 65535)
    assert np.abs(counts - exact).max() <= 0.5 + 0.004  # float32 sums of up to 65535
    pixels, written = read_pgm("image.pgm")
    assert written is not None and np.abs(pixels - np.minimum(image * written, 255)).max() < 1.01
    if scale is None:
        off = np.count_nonzero(counts != np.floor(exact))
        figure("AT-CLI-006", f"maximum {counts.max()} = 55000 + 40; {off} of {counts.size} counts are not rounded down")
        assert counts.max() == 55040 and off > 100


def test_cli_007_seeds(figure):
    counts = {}
    overloads = {}
    for name, seed in {"a": 7, "b": 7, "c": 8}.items():
        record = run(f"{SMALL} -fluence 1e32 -roi 5 25 5 25 -noisefile {name}.img -seed {seed}")
        counts[name] = read_smv(f"{name}.img").data
        overloads[name] = record["written"]["noise_overloads"]
    same, other = (np.count_nonzero(counts["a"] != counts[name]) for name in "bc")
    figure(
        "AT-CLI-007",
        f"same seed: {same} pixels differ, overloads {overloads['a']} and {overloads['b']}; other: {other}",
    )
    assert same == 0 and overloads["a"] == overloads["b"] and other > 100


def test_cli_008_dmin(figure):
    flags = "-cell 30 30 30 90 90 90 -default_F 100 -N 5 -distance 30 -pixel 2 -detpixels 16 -lambda 1 -oversample 1"
    full, cut = render(f"{flags} -roi 2 15 2 15"), render(f"{flags} -roi 2 15 2 15 -dmin 2.5")
    changed = list(zip(*np.nonzero(cut != full), strict=True))
    d = [1 / np.linalg.norm(x["scattering_vec_A_inv"]) for x in factors(flags, *changed)]
    figure("AT-CLI-008", f"sum {cut.sum() / full.sum():.3f} of that without; changed pixels up to {max(d):.3g} Å")
    assert cut.sum() < full.sum() and max(d) < 2.5


def test_cli_009_no_structure_factors(capsys, figure):
    code = main(["run", *"-cell 100 100 100 90 90 90 -detpixels 16 -default_F 0".split()])
    said = capsys.readouterr().err
    named = [flag for flag in ("-hkl", "-default_F") if flag in said]
    figure("AT-CLI-009", f"exit code {code}, names {' and '.join(named)}")
    assert code != 0 and len(named) == 2 and not Path("floatimage.bin").exists()


OF_COMPARE = ("--out", "--roi", "--min-correlation", "--resample", "--pictures", "--keep", "--c-bin", "--py-bin")


def test_tools_001_comparison(folder, capsys, monkeypatch, figure):
    """The options that the table names exist, and a comparison of two images writes what the text wants."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["compare", "--help"]) == 0
    words = set(capsys.readouterr().out.replace(",", " ").split())
    found = [option for option in OF_COMPARE if option in words]
    assert found == list(OF_COMPARE)
    for name, distance in {"a": 100, "b": 101}.items():
        run(f"{SMALL} -distance {distance}")
        Path("int.img").rename(f"{name}.img")
    one, two = (read_smv(f"{name}.img").data.astype(float) for name in "ab")
    assert main(["compare", "a.img", "b.img", "--roi", "4", "27", "4", "27", "--min-correlation", "1"]) == 1
    metrics = json.loads(Path("metrics.json").read_text())["metrics"]
    one, two = one[4:28, 4:28], two[4:28, 4:28]
    off = {
        "correlation": metrics["correlation"] - np.corrcoef(one.ravel(), two.ravel())[0, 1],
        "rmse": metrics["rmse"] - np.sqrt(((two - one) ** 2).mean()),
        "max_abs": metrics["max_abs"] - np.abs(two - one).max(),
        "sum_ratio": metrics["sum_ratio"] - two.sum() / one.sum(),
    }
    figure("AT-TOOLS-001", f"{len(found)} options; {', '.join(off)} {max(map(abs, off.values())):.0e} off")
    run(f"{SMALL} -detpixels 64 -pixel 0.05")
    assert main(["compare", "a.img", "int.img"]) == 1
    assert "different shapes" in capsys.readouterr().err
    assert main(["compare", "a.img", "int.img", "--resample", "--min-correlation", "0", "--sum-ratio", "0:9"]) == 1
    assert json.loads(Path("metrics.json").read_text())["shape"] == [32, 32]
    assert max(map(abs, off.values())) < 1e-9 and Path("comparison.png").stat().st_size > 1000
