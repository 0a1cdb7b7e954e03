"""A small series for tests, as Python has it and as flags, and distributions to draw from."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbnumba.model.config import Beam, Crystal, Detector, Sampling, Scan, Simulation, StructureFactors
from nbnumba.series.shots import Series

ROOT = Path(__file__).resolve().parents[2]
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


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait for something that a process does, or for its end."""
    end = time.monotonic() + seconds
    while process.poll() is None and not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


def series(**changes: Any) -> Series:
    return Series(**{"simulation": SIMULATION, "images": 5, "device": "cpu", **changes})


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
