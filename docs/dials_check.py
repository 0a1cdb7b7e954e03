"""Process a rotation series of nbnumba with DIALS, and compare the results with the simulation.

``python docs/dials_check.py --format smv|cbf|nxmx [--convention NAME] [--off-centre] [--out FOLDER]``

One ``nbnumba series`` command makes images with noise and background; dials.import, find_spots, index, refine and
integrate process them with their defaults. The figures of docs/dials.md are then computed from DIALS' files and the truth,
and compared with limits. The exit status is 0 if all figures are within them, 1 if one is not, 2 without DIALS.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.data import LYSOZYME_CELL, lysozyme, lysozyme_text

STEPS = ("dials.import", "dials.find_spots", "dials.index", "dials.refine", "dials.integrate")
MISSING = "DIALS is not installed: dials.import is not found (Debian: apt install dials; conda: conda install dials)"
PIXEL_MM, DISTANCE_MM, WAVELENGTH_A, KAHN = 0.172, 200.0, 1.0, 0.998
CELLS = (9, 9, 18)  # a crystal of 71 x 71 x 68 nm, whose spots are two pixels wide at half maximum
FLUENCE = 2e27  # photons/m2 in the exposure of one image; more would overload the brightest spots
R_E_SQR = 7.94079248018965e-30  # m2, as in nanoBragg.c
#: exp(-x^2 / 0.63) squared, integrated over x, y and z: volume of a Gaussian spot relative to N (nbnumba.kernels.formulas.lattice).
GAUSS_VOLUME = (math.pi * 0.63 / 2) ** 1.5
#: Axes of no program's convention: the beam is along -z, the spindle in the xy plane.
_CUSTOM = "-beam_vector 0 0 -1 -fdet_vector 0.6 0.8 0 -sdet_vector 0.8 -0.6 0 -odet_vector 0 0 -1"
_CUSTOM += " -spindle_axis 0.6 0.8 0 -polar_vector 0.6 0.8 0 -pivot beam"
CONVENTIONS = {
    "mosflm": "-mosflm",
    "denzo": "-denzo",
    "xds": "-xds",
    "adxv": "-adxv",
    "dials": "-dials",
    "custom": _CUSTOM,
    "tilted": "-mosflm -twotheta 8 -detector_rotx 1 -detector_roty -2 -detector_rotz 3",
}

#: Program that DIALS' Python runs, without nbnumba and for any NumPy: it writes DIALS' tables as arrays.
TABLES = """
import sys
import numpy as np
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentListFactory
found = {}
strong = flex.reflection_table.from_file("strong.refl")
indexed = flex.reflection_table.from_file("indexed.refl")
found["n_strong"] = strong.size()
found["n_indexed"] = indexed.get_flags(indexed.flags.indexed).count(True)
refined = flex.reflection_table.from_file("refined.refl")
refined = refined.select(refined.get_flags(refined.flags.used_in_refinement))
found["refined"] = (refined["xyzcal.px"] - refined["xyzobs.px.value"]).as_numpy_array()
experiments = ExperimentListFactory.from_json_file("integrated.expt", check_format=False)
experiment = experiments[0]
found["n_crystals"] = len(experiments.crystals())
found["A"] = np.array(experiment.crystal.get_A()).reshape(3, 3)
found["cell"] = np.array(experiment.crystal.get_unit_cell().parameters())
table = flex.reflection_table.from_file("integrated.refl")
for key in ("prf", "sum"):
    found[key] = table["intensity." + key + ".value"].as_numpy_array()
    found["good_" + key] = table.get_flags(getattr(table.flags, "integrated_" + key)).as_numpy_array()
found["hkl"] = table["miller_index"].as_vec3_double().as_numpy_array()
for key in ("lp", "partiality"):
    found[key] = table[key].as_numpy_array()
images = ExperimentListFactory.from_json_file("imported.expt")[0].imageset
found["n_images"] = len(images)
for number in map(int, sys.argv[1:]):
    found["image_%d" % number] = images.get_corrected_data(number - 1)[0].as_numpy_array()
np.savez("tables.npz", **found)
"""


@dataclass(frozen=True)
class Figure:
    """A figure of the check: the measured value and its limits."""

    name: str
    value: float
    low: float
    high: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the value lies within the limits; False for NaN."""
        return self.low <= self.value <= self.high

    def line(self) -> str:
        """The figure as a readable line."""
        limits = f"<= {self.high:g}" if self.low == -math.inf else f">= {self.low:g}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            limits = f"{self.low:g} .. {self.high:g}"
        return f"{'ok    ' if self.holds else 'MISSED'}  {self.name:<44} {self.value:10.5g} {self.unit:<7} {limits}"


def at_most(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """A figure with an upper limit."""
    return Figure(name, float(value), -math.inf, limit, unit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """A figure with a lower limit."""
    return Figure(name, float(value), limit, math.inf, unit)


def near(name: str, value: float, wanted: float, tolerance: float, unit: str = "") -> Figure:
    """A figure that must be within a relative tolerance of ``wanted``."""
    return Figure(name, float(value), wanted * (1 - tolerance), wanted * (1 + tolerance), unit)


@dataclass(frozen=True)
class Check:
    """A series, its folder and its parameters."""

    folder: Path
    format: str = "smv"
    convention: str = "mosflm"
    off_centre: bool = False
    images: int = 40
    osc_deg: float = 0.5
    pixels: int = 800
    phisteps: int = 10

    def command(self) -> list[str]:
        """The words of the command."""
        files = {
            "smv": "-noisefile lyso.img",
            "cbf": "--cbf lyso.cbf",
            "nxmx": "--nexus lyso.nxs",
        }
        words = f"series --images {self.images} -phi 10 -osc {self.osc_deg} -phisteps {self.phisteps}"
        words += f" -cell {' '.join(map(str, LYSOZYME_CELL))} -hkl lysozyme.hkl -misset 12 23 34"
        words += " -Na {} -Nb {} -Nc {} -gauss_xtal --physics correct -oversample 1".format(*CELLS)
        words += f" -lambda {WAVELENGTH_A} -fluence {FLUENCE} -polar {KAHN} -beamsize 0.00005"
        words += f" -distance {DISTANCE_MM} -pixel {PIXEL_MM} -detpixels {self.pixels}"
        words += " --background 0.00015 -stol water.stol --air 0.05"
        words += f" {CONVENTIONS[self.convention]}{self._beam_centre()}"
        words += f" -floatfile expected.bin {files[self.format]} -seed 1 --out images"
        return words.split()

    def _beam_centre(self) -> str:
        if not self.off_centre:
            return ""
        first, second = (0.40 * self.pixels, 0.56 * self.pixels)
        if self.convention in ("xds", "dials"):
            return f" -ORGX {first:g} -ORGY {second:g}"
        return f" -Xbeam {first * PIXEL_MM:g} -Ybeam {second * PIXEL_MM:g}"


def water_text() -> str:
    """A table for -stol with the ring of liquid water near 3.2 Å; invented, not measured."""
    lines = []
    for stol in np.linspace(0, 1, 101):
        ring = 1 + 0.6 * np.exp(-(((stol - 0.157) / 0.035) ** 2)) - 0.55 * np.exp(-((stol / 0.1) ** 2))
        lines.append(f"{stol:.2f} {9 * np.exp(-3.2 * stol**2) * ring:.4f}\n")
    return "".join(lines)


def dials_python() -> str:
    """The Python that DIALS runs in."""
    found = shutil.which("dials.python")
    if found is not None:
        return found
    with open(shutil.which("dials.import") or os.devnull, "rb") as script:
        first = script.readline().decode(errors="replace")
    return first[2:].split()[0] if first.startswith("#!") and "python" in first else "/usr/bin/python3"


def run(words: Sequence[str], folder: Path) -> str:
    """Output of a command; a RuntimeError with its last lines if it fails."""
    environment = dict(os.environ)
    if words[0] == sys.executable:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*_checkout(), os.getenv("PYTHONPATH")]))
    elif importlib.util.find_spec("hdf5plugin") is not None:
        import hdf5plugin

        # NXmx files are compressed by a plug-in that Debian's HDF5 does not bring
        environment["HDF5_PLUGIN_PATH"] = hdf5plugin.PLUGIN_PATH
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(words[0]).name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def _checkout() -> list[str]:
    """Path of the checkout, if this script is in one; empty otherwise."""
    root = Path(__file__).resolve().parent.parent
    return [str(root)] if (root / "nbnumba").is_dir() else []


def import_words(check: Check, said: str) -> list[str]:
    """Arguments of dials.import: the images, and the options that the series printed."""
    if check.format == "nxmx":
        return ["images/lyso.nxs"]  # shows all images
    told = [line.split("dials.import", 1)[1].split() for line in said.splitlines() if ": dials.import " in line]
    endings = {"smv": "img", "cbf": "cbf"}
    images = sorted((check.folder / "images").glob(f"lyso_*.{endings[check.format]}"))
    return [*map(str, images), *(told[0] if told else [])]


def make(check: Check) -> str:
    """Make the images; returns the output of the command."""
    check.folder.mkdir(parents=True, exist_ok=True)
    (check.folder / "lysozyme.hkl").write_text(lysozyme_text())
    (check.folder / "water.stol").write_text(water_text())
    return run([sys.executable, "-m", "nbnumba", *check.command()], check.folder)


def process(check: Check, said: str, tell=print) -> None:
    """Run DIALS."""
    files: dict[str, list[str]] = {
        "dials.import": import_words(check, said),
        "dials.find_spots": ["imported.expt"],
        "dials.index": ["imported.expt", "strong.refl"],
        "dials.refine": ["indexed.expt", "indexed.refl"],
        "dials.integrate": ["refined.expt", "refined.refl"],
    }
    for step in STEPS:
        start = time.perf_counter()
        run([step, *files[step]], check.folder)
        tell(f"{step}: {time.perf_counter() - start:.0f} s")
    numbers = [str(number) for number in sampled(check)]
    run([dials_python(), "-c", TABLES, *numbers], check.folder)


def sampled(check: Check) -> list[int]:
    """Numbers of the images whose noise is checked."""
    return [1, check.images // 2, check.images]


def true_cell_vectors(check: Check) -> np.ndarray:
    """a, b, c as rows (Å), from the series' .expt."""
    content = json.loads(next((check.folder / "images").glob("lyso*.expt")).read_text())
    crystal = content["crystal"][0]
    return np.array([crystal[f"real_space_{axis}"] for axis in "abc"])


def judge(check: Check) -> list[Figure]:
    """All figures of the check."""
    with np.load(check.folder / "tables.npz") as content:
        tables = {key: content[key] for key in content.files}
    figures = [
        Figure("images", float(tables["n_images"]), check.images, check.images),
        at_least("spots indexed, of all found", 100 * tables["n_indexed"] / tables["n_strong"], 99, "%"),
        Figure("crystals", float(tables["n_crystals"]), 1, 1),
    ]
    figures += _cell(tables["cell"])
    change, orientation = _against_truth(tables["A"], true_cell_vectors(check))
    figures.append(at_most("orientation, off by", orientation, 0.03, "deg"))
    rmsd = np.sqrt(np.square(tables["refined"]).mean(axis=0))
    figures += [
        at_most("rmsd along fast", rmsd[0], 0.1, "pixels"),
        at_most("rmsd along slow", rmsd[1], 0.1, "pixels"),
        at_most("rmsd of the rotation", rmsd[2], 0.22, "frames"),
    ]
    figures += _intensities(check, tables, change)
    return [*figures, *_noise(check, tables)]


def _cell(cell: np.ndarray) -> Iterable[Figure]:
    """Figures of the cell: the reduced one is that of lysozyme with its axes sorted."""
    wanted = sorted(LYSOZYME_CELL[:3])
    worst = max(abs(found / true - 1) for found, true in zip(sorted(cell[:3]), wanted, strict=True))
    yield at_most("cell axes, worst", 100 * worst, 0.1, "%")
    yield at_most("cell angles, worst", np.abs(cell[3:] - 90).max(), 0.03, "deg")


def _against_truth(A: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Matrix from DIALS' indices to the true ones, and the angle (deg) between its crystal and the true one."""
    change = vectors @ A
    whole = np.rint(change)
    if np.abs(change - whole).max() > 0.05 or abs(abs(np.linalg.det(whole)) - 1) > 0.1:
        return np.full((3, 3), np.nan), math.nan  # another lattice: a mirrored or misplaced detector
    turn = A @ np.linalg.inv(whole) @ vectors
    u, _, v = np.linalg.svd(turn)
    # of a small angle the antisymmetric part is exact where the trace is not
    rotation = u @ v
    sines = rotation - rotation.T
    return whole, math.degrees(math.asin(min(1.0, np.linalg.norm(sines) / math.sqrt(8))))


def _intensities(check: Check, tables: dict[str, np.ndarray], change: np.ndarray) -> Iterable[Figure]:
    """Figures of the intensities against F^2, for fully recorded reflections."""
    if not np.isfinite(change).all():
        change = np.eye(3)
    indices, F = lysozyme()
    known = dict(zip(map(tuple, indices.tolist()), F.tolist(), strict=True))
    hkl = np.rint(tables["hkl"] @ change.T).astype(int)
    F_sqr = np.array([known.get(key, math.nan) for key in map(tuple, hkl.tolist())]) ** 2
    whole = (tables["partiality"] > 0.99) & np.isfinite(F_sqr)
    volume = LYSOZYME_CELL[0] * LYSOZYME_CELL[1] * LYSOZYME_CELL[2] * 1e-30
    # kinematical theory: a crystal of n cells that turns through a reflection (Darwin's formula)
    first_principles = FLUENCE / math.radians(check.osc_deg) * R_E_SQR * (WAVELENGTH_A * 1e-10) ** 3
    first_principles *= math.prod(CELLS) * GAUSS_VOLUME / volume
    for key, name, least in (("prf", "profile", 0.993), ("sum", "summation", 0.98)):
        good = whole & tables[f"good_{key}"]
        # not divided by the sensor's efficiency: none is simulated, and NXmx has to name one (docs/outputs.md)
        intensity = tables[key][good] * tables["lp"][good]
        yield at_least(f"reflections, {name}", good.sum(), 100)
        yield at_least(f"CC of I and F^2, {name}", np.corrcoef(intensity, F_sqr[good])[0, 1], least)
        scale = intensity.sum() / F_sqr[good].sum() / first_principles
        yield near(f"scale against first principles, {name}", scale, 1, 0.04)


def _noise(check: Check, tables: dict[str, np.ndarray]) -> Iterable[Figure]:
    """Figures of the counts, as DIALS reads them, against the expected photons of every pixel that is not overloaded."""
    squares, counts, photons, pixels = 0.0, 0.0, 0.0, 0
    for number in sampled(check):
        file = check.folder / "images" / f"expected_{number:04d}.bin"
        expected = np.fromfile(file, np.float32).reshape(check.pixels, check.pixels).astype(np.float64)
        used = (expected > 2) & (expected < 10_000)
        seen = tables[f"image_{number}"][used]
        squares += (np.square(seen - expected[used]) / expected[used]).sum()
        counts, photons, pixels = counts + seen.sum(), photons + expected[used].sum(), pixels + used.sum()
    yield near("mean of counts, against expected photons", counts / photons, 1, 0.001)
    yield near("variance of counts / expected photons", squares / pixels, 1, 0.015)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--format", choices=("smv", "cbf", "nxmx"), default="smv")
    parser.add_argument("--convention", choices=sorted(CONVENTIONS), default="mosflm", help="axes of the simulation")
    parser.add_argument("--off-centre", action="store_true", help="the beam hits far from the detector's middle")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--osc", type=float, default=0.5, metavar="DEG")
    parser.add_argument("--pixels", type=int, default=800)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep everything there; default: a temporary folder")
    parser.add_argument("--only-judge", action="store_true", help="look again at what is in FOLDER")
    given = parser.parse_args(argv)
    if shutil.which("dials.import") is None:
        print(MISSING, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.path.abspath(given.out or temporary))
        check = Check(folder, given.format, given.convention, given.off_centre, given.images, given.osc, given.pixels)
        if not given.only_judge:
            start = time.perf_counter()
            print("nbnumba", *check.command())
            said = make(check)
            print(f"nbnumba series: {time.perf_counter() - start:.0f} s")
            process(check, said)
        figures = judge(check)
    print(*(figure.line() for figure in figures), sep="\n")
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
