"""Time refinements: the image of ``nbnumba refine --self-test``, and one shot after another in one process.

``python -m bench.refine [--repeat 15] [--threads N] [--shots 40]``. The first row is a warm refinement of eleven parameters, all
but start-up and reading, beside a rendering of the same pixels in float64 by the kernels of derivatives, timed in turn. The
second one is the rate of different shots, each with its own noise and orientation. Medians; ratios are those of one run.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

import nbnumba as nb
from nbnumba.refinement.self_test import disturbed, judge, make_truth, noisy


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--shots", type=int, default=40)
    options = parser.parse_args()
    truth = make_truth()
    image = noisy(nb.simulate(truth, device="cpu").images[0].astype(np.float64), 1)
    start = disturbed(truth)
    taken, rendered = [], []
    for turn in range(options.repeat + 1):
        refined = nb.refine(image, start, device="cpu", threads=options.threads)
        model = nb.ParameterModel(
            start, "scale", pixels=list(refined.boxes.masks), device="cpu", threads=options.threads
        )
        before = time.perf_counter()
        model.images([0.0])
        if turn:
            taken.append(refined.seconds)
            rendered.append(time.perf_counter() - before)
    seconds, one = statistics.median(taken), statistics.median(rendered)
    verdict = judge(refined, truth)
    print(f"{refined.pixels} pixels of {len(refined.boxes)} spots, {len(refined.names)} parameters")
    print(f"a refinement   {1e3 * seconds:8.1f} ms   {refined.evaluations} evaluations, {seconds / one:.1f} renderings")
    print(
        f"off by         {verdict.misset_deg:.4f} degrees, {verdict.cell_A:.4f} Å, {verdict.N:.3f} cells, "
        f"largest pull {max(map(abs, verdict.pulls.values())):.1f}"
    )
    rng, shots = np.random.default_rng(0), []
    for number in range(options.shots):
        own = truth.changed(misset_deg=tuple(rng.uniform(-180, 180, 3)))
        shots.append((noisy(nb.simulate(own, device="cpu").images[0].astype(np.float64), number), disturbed(own)))
    before, good = time.perf_counter(), 0
    for data, begin in shots:
        good += nb.refine(data, begin, device="cpu", threads=options.threads).converged
    rate = options.shots / (time.perf_counter() - before)
    print(f"shots          {rate:8.1f} a second in this process, {good} of {options.shots} converged")


if __name__ == "__main__":
    main()
