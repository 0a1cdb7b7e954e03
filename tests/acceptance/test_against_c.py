"""AT-PARALLEL tests of agreement with the C program, and what it does where the text says otherwise.

They run the program that the environment variable NB_C_BIN names, as released, and are skipped without it.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.io.smv import read_smv
from tests.acceptance.programs import CUBIC, CProgram, Limits, agreement, factors, facts, render, worst
from tests.acceptance.test_precedence import masked
from tests.cli.test_golden import header_keys

CELL = "-cell 100 100 100 90 90 90 -default_F 100"
STILL = f"{CUBIC} -N 5 -oversample 1"
TRICLINIC = "-cell 70 80 90 75 85 95 -default_F 100 -distance 100 -pixel 0.1 -N 5 -oversample 1"
ROTATED = "-detector_rotx 5 -detector_roty 3 -detector_rotz 2 -twotheta 10"
MISSET = "-misset -89.968546 -31.328953 177.753396"
SENSOR = "-detector_abs 500 -detector_thick 450 -thicksteps 5"
SWEEPS = ("-phi 0 -osc 90 -phisteps 1", "-phi 0 -osc 90 -phistep 10 -phisteps 9")
ANGLES = ("0 0 0", "10.5 0 0", "0 10.25 0", "0 0 9.75", "15 20.5 30.25")

#: Acceptance test to its limits and commands; a scan that begins at phi = 0 has the released program's cell there.
CASES: dict[str, tuple[Limits, list[str]]] = {
    "AT-PARALLEL-001": (
        Limits(correlation=0.9999),
        [f"{CUBIC} -N 3 -lambda 6.2 -detpixels {n}" for n in (64, 128, 256, 512, 1024)],
    ),
    "AT-PARALLEL-002": (
        Limits(correlation=0.9999),
        [
            f"{CELL} -distance 100 -N 5 -lambda 6.2 -detpixels 256 -pixel {p} -Xbeam 25.6 -Ybeam 25.6"
            for p in (0.05, 0.1, 0.2, 0.4)
        ],
    ),
    "AT-PARALLEL-004": (
        Limits(correlation=0.9999),
        [f"{STILL} -lambda 6.2 -detpixels 256 -{name} -Xbeam 25.6 -Ybeam 25.6" for name in ("mosflm", "xds")],
    ),
    "AT-PARALLEL-006": (
        Limits(correlation=0.9999),
        [
            f"{CELL} -N 5 -pixel 0.1 -detpixels 256 -distance {d} -lambda {w}"
            for d in (50, 100, 200)
            for w in (1.0, 1.5, 2.0)
        ],
    ),
    "AT-PARALLEL-007": (
        Limits(correlation=0.9999, peaks=25, matched=0.95),
        [f"{STILL} -lambda 1 -detpixels 256 -pivot beam {ROTATED}"],
    ),
    "AT-PARALLEL-008": (Limits(correlation=0.98, peaks=100, matched=0.95), [f"{TRICLINIC} -lambda 1 -detpixels 512"]),
    "AT-PARALLEL-009": (
        Limits(correlation=0.98),
        [f"{CUBIC} -oversample 1 -detpixels 256 -N {n}" for n in (1, 2, 3, 5, 10)],
    ),
    "AT-PARALLEL-010": (
        Limits(correlation=0.98),
        [
            f"{CELL} -N 5 -oversample 1 -pixel 0.1 -detpixels 256 -distance {R} -detector_roty {tilt} {mode}"
            for R in (50, 100, 200, 400)
            for tilt, mode in ((0, "-point_pixel"), (0, ""), (10, ""), (20, ""), (30, ""))
        ],
    ),
    "AT-PARALLEL-011": (
        Limits(correlation=0.98),
        [f"{STILL} -lambda 1 -detpixels 256 -polar {K}" for K in (0, 0.95)],
    ),
    "AT-PARALLEL-012": (
        Limits(correlation=0.9995, peaks=50, distance=0.5),
        [
            f"{CUBIC} -N 5 -lambda 6.2 -detpixels 1024",
            f"{MISSET} -cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1.0 -detpixels 512",
            f"{CUBIC} -N 5 -lambda 6.2 -detpixels 1024 -Xbeam 61.2 -Ybeam 61.2 -detector_rotx 5 -detector_roty 3"
            " -detector_rotz 2 -twotheta 15 -oversample 1",
            f"{CELL} -lambda 0.5 -N 5 -distance 500 -pixel 0.05 -detpixels 4096 -roi 1792 2303 1792 2303",
        ],
    ),
    "AT-PARALLEL-013": (
        Limits(correlation=0.995, close=True),
        [f"{MISSET} -cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1.0 -detpixels 512"],
    ),
    "AT-PARALLEL-016": (
        Limits(correlation=0.95, peaks=25, distance=2),
        [
            f"{CELL} -N 1 -lambda 0.1 -distance 10 -detpixels 128 -pixel 0.05 -oversample 1",
            "-cell 300 300 300 90 90 90 -default_F 100 -N 10 -lambda 6 -detpixels 1024 -pixel 0.1 -oversample 1",
            f"{CELL} -N 5 -lambda 1 -distance 10000 -detpixels 256 -pixel 0.2 -oversample 1",
        ],
    ),
    "AT-PARALLEL-020": (
        Limits(correlation=0.95, peaks=50),
        [
            f"{TRICLINIC} -lambda 1 -detpixels 512 -mosaic 0.5 -mosaic_dom 5 -phi 0 -osc 90 -phisteps 9 {ROTATED}"
            f" {SENSOR} -polar 0.95 --physics released"
        ],
    ),
    "AT-PARALLEL-021": (
        Limits(correlation=0.99, peaks=25, distance=0.5, close=True),
        [f"{STILL} -lambda 1 -detpixels 256 {sweep} --physics released" for sweep in SWEEPS],
    ),
    "AT-PARALLEL-022": (
        Limits(correlation=0.98, peaks=25, close=True),
        [f"{STILL} -lambda 1 -detpixels 256 {ROTATED} {sweep} --physics released" for sweep in SWEEPS],
    ),
    "AT-PARALLEL-023": (
        Limits(correlation=0.99, peaks=25, distance=0.5, close=True),
        [f"{base} -lambda 1 -detpixels 256 -misset {angles}" for base in (TRICLINIC, STILL) for angles in ANGLES],
    ),
    "AT-PARALLEL-024": (
        Limits(correlation=0.99, close=True),
        [f"{STILL} -lambda 1 -detpixels 256 -misset_seed {seed} -misset random" for seed in (12345, 54321)],
    ),
    "AT-PARALLEL-027": (
        Limits(correlation=0.999),
        ["-hkl pattern.hkl -cell 100 100 100 90 90 90 -lambda 6.2 -N 5 -pixel 0.1 -distance 100 -detpixels 64"],
    ),
    "AT-PARALLEL-029": (
        Limits(correlation=0.98),
        [f"{CELL} -distance 50 -pixel 0.1 -N 5 -lambda 1 -detpixels 256 -oversample {n}" for n in (1, 2, 4, 8)],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_c_program(name, c_program: CProgram, folder, figure):
    (folder / "pattern.hkl").write_text("0 0 0 100\n1 0 0 50\n0 1 0 25\n1 1 0 12.5\n2 0 0 200\n0 2 0 150\n")
    limits, commands = CASES[name]
    found = []
    for flags in commands:
        theirs, ours = c_program.image(flags), render(flags)
        if "-roi" in flags:
            xmin, xmax, ymin, ymax = map(int, flags.split("-roi ")[1].split()[:4])
            theirs, ours = (image[ymin : ymax + 1, xmin : xmax + 1] for image in (theirs, ours))
        found.append(agreement(theirs, ours, limits))
    figure(name, f"with C: {worst(found).text(limits)}")
    assert worst(found).holds(limits), found


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("AT-PARALLEL-025", f"{CUBIC} -lambda 1.0 -N 1 -detpixels 64"),
        (
            "AT-PARALLEL-026",
            "-cell 70 80 90 85 95 105 -default_F 100 -lambda 1.5 -N 1 -detpixels 256 -pixel 0.1 -distance 150",
        ),
    ],
)
def test_brightest_pixel(name, flags, c_program: CProgram, figure):
    places = [np.unravel_index(image.argmax(), image.shape) for image in (c_program.image(flags), render(flags))]
    off = int(np.abs(np.subtract(*places)).max())
    figure(name, f"with C: {off} px apart, at slow {places[1][0]}, fast {places[1][1]}")
    assert off == 0


def test_c_pivots(c_program: CProgram):
    """AT-GEO-002, AT-PRE-002, AT-CLI-003: -pivot and the flags of the beam centre do not override a convention."""
    for flags, pivot in {
        "-mosflm -close_distance 100": "direct beam spot",
        "-mosflm -distance 100 -pivot sample": "direct beam spot",
        "-spindle_axis 0 0 1 -distance 100 -pivot sample": "sample",
        "-spindle_axis 0 0 1 -pivot sample -Xbeam 3": "direct beam spot",
        "-xds -Xbeam 3 -pivot beam": "sample",
    }.items():
        assert f"pivoting detector around {pivot}\n" in c_program.run(f"{CELL} -detpixels 16 {flags}"), flags


def test_c_beam_centre_after_a_swing(c_program: CProgram):
    """AT-GEO-003: the reported centre, to the six digits that are printed."""
    flags = f"{CELL} -detpixels 256 -close_distance 90 -Ybeam 12.85 -Xbeam 14 {ROTATED}"
    found = facts(flags)
    said = dict(re.findall(r"(Fbeam|Sbeam)=(\S+)", c_program.run(flags)))
    assert found["Fbeam_m"] == pytest.approx(float(said["Fbeam"]), rel=1e-5)
    assert found["Sbeam_m"] == pytest.approx(float(said["Sbeam"]), rel=1e-5)


PRINTED = r"at (\S+) (\S+) (\S+)\n.*\n F_cell=(\S+).*\n.*\npolar +(\S+)\nomega +(\S+)\ncapfrac +(\S+)"


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("AT-GEO-005", f"{CUBIC} -detpixels 64 -curved_det -N 5"),
        ("AT-SAM-002", "-cell 30 30 30 90 90 90 -default_F 100 -N 5 -distance 30 -pixel 2 -detpixels 64 -oversample 2"),
        ("AT-ABS-001", f"{CUBIC} -N 1 -detpixels 64 -oversample 1 -detector_thick 450 -detector_abs 500 -thicksteps 4"),
        ("AT-STR-002", "-cell 100 100 100 90 90 90 -pixel 0.1 -detpixels 64 -hkl tiny.hkl -interpolate -default_F 7"),
    ],
)
def test_c_prints_these_factors(name, flags, c_program: CProgram, folder):
    """Of one pixel, to the digits that are printed."""
    (folder / "tiny.hkl").write_text("0 0 0 55\n1 0 0 44\n")
    flags = f"{flags} -lambda 1 -oversample 1" if "-oversample" not in flags else f"{flags} -lambda 1"
    printed = re.search(PRINTED, c_program.run(f"{flags} -printout_pixel 33 32 -noprogress"))
    (ours,) = factors(flags, (32, 33))
    assert printed is not None
    numbers = [float(word) for word in printed.groups()]
    if "-oversample 1" in flags and "thick" not in flags:  # the place printed is that of the last sub-pixel and layer
        assert numbers[:3] == pytest.approx(ours["pixel_pos_meters"], rel=1e-4, abs=1e-9)
    assert numbers[3] == ours["F_cell"]
    assert numbers[4:] == pytest.approx([ours["polar"], ours["omega_pixel"], ours["capture_fraction"]], rel=1e-8)


def test_c_chosen_numbers(c_program: CProgram):
    """AT-SRC-002: -thicksteps and -dispsteps alone do nothing; -phisteps alone one degree, -hdivsteps alone one radian."""
    flags = "-detector_thicksteps 5 -dispsteps 4 -phisteps 4 -hdivsteps 4"
    said = c_program.run(f"{CELL} -detpixels 16 -oversample 1 {flags}")
    assert "sensor is 0 m thick in 1 layers" in said
    assert "+/- 0% in 1 steps" in said
    assert "4 phi steps from 0 to 1 degrees" in said
    assert "hdivrange=1 hdivstep=0.25" in said


def test_c_source_wavelengths(c_program: CProgram, folder):
    """AT-SRC-001: the image of two sources, with their wavelengths and without their weights."""
    (folder / "two.txt").write_text("-10 0 0 1 1.0e-10\n-10 0.02 0 5 1.2e-10\n")
    flags = f"{STILL} -detpixels 64 -lambda 1.1 -sourcefile two.txt"
    theirs, ours = c_program.image(flags), render(flags)
    assert np.abs(ours - theirs).max() < 1e-6 * theirs.max()  # float32 pixels


def test_c_list_with_more_columns(c_program: CProgram, folder):
    """AT-IO-004: the fifth column is read as the next index, so that the image is another."""
    (folder / "four.hkl").write_text("0 0 0 100\n0 1 0 50\n0 2 0 20\n")
    (folder / "five.hkl").write_text("0 0 0 100 45\n0 1 0 50 45\n0 2 0 20 45\n")
    four, five = (
        c_program.image(f"{STILL.replace('-default_F 100', '')} -detpixels 300 -lambda 6.2 -hkl {n}.hkl")
        for n in ("four", "five")
    )
    assert np.abs(four - five).max() > 0.01 * four.max()


def test_c_headers_and_masks(c_program: CProgram, folder):
    """AT-PRE-001, AT-CLI-004, AT-ROI-001, AT-STA-001: -img after -mask, no TWOTHETA; counts and rmsd of masked pixels."""
    mask = masked(folder)
    flags = "-cell 30 31 32 90 90 90 -default_F 100 -N 3 -oversample 1 -lambda 1 -roi 0 15 0 15"
    said = [
        c_program.run(f"{flags} {order}") for order in ("-img head.img -mask mask.img", "-mask mask.img -img head.img")
    ]
    assert all("distance=0.12 " in text and "DETECTOR_Z-AXIS= 1 0 0" in text for text in said)
    assert header_keys(read_smv("c.img").header_text)["TWOTHETA"] == "0"
    assert (read_smv("c.img").data[mask == 0] == 40).all()
    image = np.fromfile("c.bin", "<f4").reshape(16, 16).astype(float)
    mean = image[mask == 1].mean()
    printed = float(re.findall(r"rmsd= (\S+)", said[1])[0])
    assert printed == pytest.approx(np.sqrt(((image - mean) ** 2).sum() / (image.size - 1)), rel=1e-5)


def test_c_rounds_counts(c_program: CProgram):
    """AT-CLI-006: to the nearest whole number; the brightest pixel has 55040."""
    c_program.run(f"{STILL} -lambda 6.2 -detpixels 32")
    image = np.fromfile("c.bin", "<f4").reshape(32, 32).astype(float)
    counts = read_smv("c.img").data
    exact = image * (55000 / image.max()) + 40
    assert counts.max() == 55040 and np.abs(counts - exact).max() <= 0.51
    assert np.count_nonzero(counts != np.floor(exact)) > 100


def test_c_help_is_an_error(c_program: CProgram):
    """AT-CLI-001, AT-CLI-009: the list of options, with exit code 9."""
    done = subprocess.run([c_program.path, "-h"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 9 and "usage: nanoBragg" in done.stdout


def test_tools_001_both_programs(c_program: CProgram, figure):
    words = ["--c-bin", c_program.path, "--roi", "10", "50", "10", "50", "--out", "out", "--keep", "--pictures"]
    assert main(["compare", *words, "--", *f"{TRICLINIC} -lambda 1 -detpixels 64 -misset 5 10 15".split()]) == 0
    written = json.loads(Path("out/metrics.json").read_text())
    metrics = written["metrics"]
    figure("AT-TOOLS-001", f"with C: 1 - correlation {1 - metrics['correlation']:.0e} of {metrics['pixels']} pixels")
    assert metrics["correlation"] > 0.9999 and metrics["pixels"] == 41 * 41
    assert min(written["seconds"]["A"], written["seconds"]["B"]) > 0
    names = {path.name for path in Path("out").iterdir()}
    assert {"other.bin", "nbnumba.bin", "other.log", "nbnumba.log"} <= names and len(names) > 6
