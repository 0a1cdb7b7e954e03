"""Time derivatives beside renderings of the same image, and check their accuracy.

``python -m bench.derivatives [D1 D2 ...] [--repeat 9] [--threads N]``. Rows: D1 and D2 are compact spots (gauss, N 20, 1024 x
1024 pixels, correct physics, lysozyme) of 20 and of 200 mosaic domains; D3 a square crystal of 20 domains by tiles; D4
the definition, with interpolation. Timed alternately in one run: the rendering by the kernel that is fastest in float64 (spots,
fast64, general); all sums with the gradient of a number; and the normal equations of 17 parameters. The search for
footprints belongs to both sums. Ratios are those of medians; ns are of wall time times threads over steps.

``python -m bench.derivatives --random 300`` compares the derivatives of random experiments with central differences
instead.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import nbnumba as nb
from nbnumba.data import lysozyme_text
from nbnumba.derive.check import check
from nbnumba.derive.derivatives import Derivatives
from nbnumba.render.timing import count_steps

NAMES = (
    *(
        "misset_x_deg",
        "misset_y_deg",
        "misset_z_deg",
        "cell_a",
        "cell_c",
        "Na",
        "Nb",
        "Nc",
        "mosaic_spread_deg",
        "scale",
    ),
    *("distance_mm", "panel_fast_mm", "panel_slow_mm", "panel_turn_normal_deg", "wavelength_stretch"),
    *("beam_tilt_x_mrad", "beam_tilt_y_mrad"),
)
#: Kernel of the rendering, and fields of crystal and detector, by row.
ROWS = {
    "D1": ("spots", dict(shape="gauss", Na=20, Nb=20, Nc=40, mosaic_domains=20), 1024),
    "D2": ("spots", dict(shape="gauss", Na=20, Nb=20, Nc=40, mosaic_domains=200), 1024),
    "D3": ("fast64", dict(shape="square", Na=20, Nb=20, Nc=20, mosaic_domains=20), 256),
    "D4": ("general", dict(shape="square", Na=20, Nb=20, Nc=20, mosaic_domains=5), 128),
}


def simulation(row: str, hkl: Path) -> nb.Simulation:
    """The experiment of a row."""
    _, crystal, pixels = ROWS[row]
    return nb.Simulation(
        crystal=nb.Crystal(cell=(79.1, 79.1, 37.9), misset_deg=(10.0, 20.0, 30.0), mosaic_spread_deg=0.3, **crystal),
        beam=nb.Beam(fluence=1e24),
        detector=nb.Detector(distance_mm=150, pixel_mm=0.172 * 1024 / pixels, fpixels=pixels, spixels=pixels),
        structure_factors=nb.StructureFactors(hkl=hkl, write_dump=False, interpolate=row == "D4"),
        physics="correct",
        sampling=nb.Sampling(oversample=1),
    )


def medians(repeat: int, *calls: Callable[[], object]) -> list[float]:
    """Medians (s) of calls that are timed in turn, after one of each to warm up."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeat + 1):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def measure(row: str, hkl: Path, repeat: int, threads: int | None) -> None:
    """Time a row and print it."""
    experiment = nb.resolve(simulation(row, hkl))
    renderer = nb.Renderer(experiment, device="cpu", kernel=ROWS[row][0], threads=threads)
    image = renderer.render()
    weights = np.ones(image.shape)

    def fresh() -> Derivatives:
        return nb.derivatives(experiment, NAMES, device="cpu", threads=threads)

    forward, gradient, normal = medians(
        repeat,
        lambda: renderer.render(out=image),
        lambda: fresh().gradient(weights),
        lambda: fresh().normal(weights, weights),
    )
    steps = count_steps(renderer.inputs[0])
    cost = 1e9 * renderer.threads / steps
    print(
        f"{row}  rendering {1e3 * forward:7.2f} ms   gradient {1e3 * gradient:7.2f} ms = {gradient / forward:4.1f} renderings, "
        f"{cost * gradient:6.2f} ns per step and thread   normal equations {1e3 * normal:7.2f} ms = {normal / forward:4.1f} renderings",
        flush=True,
    )


def compare(count: int) -> None:
    """Check random experiments against central differences, and print the worst and the median difference."""
    from tests.derive.random_experiments import random_experiment

    worst, found = ("", 0.0), []
    for seed in range(count):
        experiment, names = random_experiment(seed)
        for row in check(nb.derivatives(experiment, names, device="cpu")):
            if not row.note:
                found.append(row.relative)
                worst = max(worst, (f"{row.name} of experiment {seed}", row.relative), key=lambda one: one[1])
    print(
        f"{count} experiments, {len(found)} derivatives: relative L2 difference {np.median(found):.1e} (median), "
        f"{worst[1]:.1e} (worst: {worst[0]})"
    )


def main() -> None:
    """Time the rows that the command line names, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*ROWS, []], help="default: all")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--random", type=int, metavar="N", help="compare N random experiments instead")
    options = parser.parse_args()
    if options.random:
        compare(options.random)
        return
    with tempfile.TemporaryDirectory() as folder:
        hkl = Path(folder) / "lysozyme.hkl"
        hkl.write_text(lysozyme_text())
        for row in options.rows or ROWS:
            measure(row, hkl, options.repeat, options.threads)


if __name__ == "__main__":
    main()
