"""Images, facts and factors of a command line, from nbnumba and from the C program."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.cli.build import build
from nbnumba.cli.main import main
from nbnumba.cli.parse import parse
from nbnumba.inspect.metrics import find_peaks, match_peaks, measure, valid_pixels
from nbnumba.inspect.trace import trace
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.simulate import simulate

#: The crystal of most acceptance tests: a cube of 100 Å, every structure factor 100.
CUBIC = "-cell 100 100 100 90 90 90 -default_F 100 -distance 100 -pixel 0.1"


def experiment(flags: str) -> Experiment:
    """The experiment that a command line describes."""
    simulation, _, _ = build(parse(flags.split()))
    return resolve(simulation)


def facts(flags: str) -> dict[str, Any]:
    """What ``nbnumba run --dry-run`` prints."""
    return experiment(flags).facts()


def render(flags: str, precision: str = "double", threads: int | None = None) -> np.ndarray:
    """The image, (slow, fast) float64."""
    result = simulate(experiment(flags), device="cpu", precision=precision, threads=threads)
    return result.image.astype(float)


def factors(flags: str, *pixels: tuple[int, int]) -> list[dict[str, Any]]:
    """Factors of pixels (slow, fast), as ``nbnumba trace`` prints them; vectors are arrays."""
    found = trace(experiment(flags), pixels, device="cpu")
    return [{k: np.array(v) if isinstance(v, tuple) else v for k, v in pixel.factors.items()} for pixel in found]


def directions(flags: str) -> tuple[np.ndarray, np.ndarray]:
    """Incident unit vector, and diffracted ones of every pixel (s, f, 3)."""
    found = facts(flags)
    s, f = np.indices((found["spixels"], found["fpixels"]))
    pixel = found["pixel_m"]
    place = np.array(found["pix0_m"]) + pixel * (
        (f + 0.5)[..., None] * np.array(found["fdet_vector"]) + (s + 0.5)[..., None] * np.array(found["sdet_vector"])
    )
    return np.array(found["beam_vector"]), place / np.linalg.norm(place, axis=-1)[..., None]


def run(flags: str) -> dict[str, Any]:
    """Record of ``nbnumba run`` in this folder; the images are ``float.bin`` and ``int.img``."""
    words = ["run", "-floatfile", "float.bin", "-intfile", "int.img", "--json", "run.json", "--quiet"]
    words += [] if "-pgm" in flags else ["-nopgm"]
    words += [] if "-noisefile" in flags else ["-nonoise"]
    assert main([*words, "--device", "cpu", *flags.split()]) == 0
    return json.loads(Path("run.json").read_text())


def turned(vector: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """A vector turned about a unit axis, right-handed, by an angle in rad."""
    along = axis * (axis @ vector) * (1 - np.cos(angle))
    return vector * np.cos(angle) + np.cross(axis, vector) * np.sin(angle) + along


def peak(image: np.ndarray) -> tuple[int, int]:
    """The brightest pixel, slow and fast."""
    slow, fast = np.unravel_index(image.argmax(), image.shape)
    return int(slow), int(fast)


def centroid(image: np.ndarray, level: float = 0.5) -> np.ndarray:
    """Centre of gravity, slow and fast, of the pixels above this share of the maximum."""
    weights = np.where(image > level * image.max(), image, 0.0)
    return np.array([np.sum(index * weights) for index in np.indices(image.shape)]) / weights.sum()


@dataclass(frozen=True)
class CProgram:
    """The C program, with one thread: its image at phi = 0 depends on the order of the pixels."""

    path: str

    def run(self, flags: str) -> str:
        """Run it in this folder; returns what it prints. The float image is ``c.bin``, the integer one ``c.img``."""
        words = "-floatfile c.bin -intfile c.img -noisefile c_noise.img -pgmfile c.pgm -dump c_dump.bin"
        if "-noisefile" not in flags:
            words += " -nonoise"
        done = subprocess.run(
            [self.path, *words.split(), *flags.split()],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
            text=True,
            timeout=300,
        )
        return done.stdout

    def image(self, flags: str) -> np.ndarray:
        """Its float image, (slow, fast) float64, for the flags of a run of nbnumba."""
        plain = flags.replace("--physics released", "")
        panel = experiment(flags).panel
        self.run(plain)
        return np.fromfile("c.bin", "<f4").astype(float).reshape(panel.spixels, panel.fpixels)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an acceptance test wants of two images.

    Attributes
    ----------
    correlation : float
        Smallest correlation.
    peaks, distance, matched : int, float, float
        So many of the strongest peaks are matched within this distance (pixels), at least this share of them.
    sums : (2,) float
        Limits of the ratio of the sums.
    close : bool
        Every pixel agrees within 1e-6 + 1e-5 of its value.
    """

    correlation: float
    peaks: int = 0
    distance: float = 1.0
    matched: float = 1.0
    sums: tuple[float, float] = (0.9, 1.1)
    close: bool = False


@dataclass(frozen=True)
class Agreement:
    """Two images in the figures of the acceptance tests; several of them: the worst of each."""

    correlation: float
    matched: float
    distance: float
    ratio: float
    off: float

    def holds(self, limits: Limits) -> bool:
        """Whether all limits are kept."""
        good = self.correlation >= limits.correlation and self.matched >= limits.matched
        good &= limits.sums[0] <= self.ratio <= limits.sums[1]
        return good and (self.off <= 1 or not limits.close)

    def text(self, limits: Limits) -> str:
        """The figures that the limits are about."""
        words = [f"1 - correlation {max(1 - self.correlation, 0):.1g}"]
        if limits.peaks:
            words.append(f"{self.matched:.0%} of peaks within {self.distance:.2g} px")
        if limits.close:
            words.append(f"largest difference {self.off:.1g} of the tolerance")
        words.append(f"sums {abs(self.ratio - 1):.0e} apart")
        return ", ".join(words)


def agreement(theirs: np.ndarray, ours: np.ndarray, limits: Limits) -> Agreement:
    """Compare two images (slow, fast)."""
    valid = valid_pixels(theirs, ours)
    assert valid.all(), "a pixel is not finite"
    metrics = measure(theirs, ours, valid)
    share, distance = 1.0, 0.0
    if limits.peaks:
        found = [find_peaks(image, valid, limits.peaks) for image in (theirs, ours)]
        pairs = match_peaks(*found, limits.distance)
        share, distance = pairs.n_matched / max(pairs.n_a, 1), pairs.max_distance
    off = float((abs(ours - theirs) / (1e-6 + 1e-5 * abs(theirs))).max())
    return Agreement(metrics.correlation, share, distance, metrics.sum_ratio, off)


def worst(found: list[Agreement]) -> Agreement:
    """The worst of each figure."""
    return Agreement(
        min(one.correlation for one in found),
        min(one.matched for one in found),
        max(one.distance for one in found),
        max((one.ratio for one in found), key=lambda ratio: abs(ratio - 1)),
        max(one.off for one in found),
    )
