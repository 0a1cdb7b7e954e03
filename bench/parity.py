"""Compare every golden image of the reference program with nbnumba's, and print the README's table of parity.

``python -m bench.parity``: for each group of cases the worst max|d| / max and 99th percentile of |d| / pixel, for
``--precision double`` and for the default.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.render.simulate import simulate

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"


def errors(image: np.ndarray, golden: np.ndarray) -> tuple[float, float]:
    """Max |d| / max, and the 99th percentile of |d| / pixel where the reference's pixel is not 0."""
    off, lit = np.abs(image.astype(float) - golden), golden > 0
    return float(off.max() / golden.max()), float(np.percentile(off[lit] / golden[lit], 99))


def main() -> None:
    """Entry point."""
    cases = [case for case in json.loads((GOLDEN / "cases.json").read_text()) if "differs_on_purpose" not in case]
    worst: dict[str, dict[str, np.ndarray]] = defaultdict(lambda: {p: np.zeros(2) for p in ("double", "auto")})
    count: dict[str, int] = defaultdict(int)
    before = Path.cwd()
    os.chdir(GOLDEN)
    try:
        with np.load("images.npz") as images:
            for case in cases:
                count[case["group"]] += 1
                simulation, _, _ = build(parse(case["args"]))
                for precision, row in worst[case["group"]].items():
                    image = simulate(simulation, precision=precision).image
                    row[:] = np.maximum(row, errors(image, images[case["name"]]))
    finally:
        os.chdir(before)
    print("| cases | number | double: max | double: 99 % | default: max | default: 99 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for group in [*worst, "all"]:
        rows = [worst[group]] if group != "all" else list(worst.values())
        cells = [f"{max(row[precision][i] for row in rows):.0e}" for precision in ("double", "auto") for i in (0, 1)]
        number = count[group] if group != "all" else len(cases)
        print(f"| {group} | {number} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
