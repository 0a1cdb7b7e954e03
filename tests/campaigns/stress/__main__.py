"""Draw experiments at random and hold every kernel against the general one.

``python -m tests.campaigns.stress --count 2000 --seed 0 [--table docs/stress.md]``. Every tenth experiment is large enough for
float32 phases. ``--only 17 L3`` looks at single ones, large ones with an L, and prints their command lines. The exit
code is 1 if an image is off by more than its kernel's limit, or not finite.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nbnumba.errors import NbnumbaError
from tests.campaigns.stress.check import LIMITS, Verdict, is_beyond, judge, prepare
from tests.campaigns.stress.dice import Dice, Generator
from tests.campaigns.stress.draw import draw
from tests.campaigns.stress.table import write_table

#: One experiment in this many is large.
LARGE_EVERY = 10


def names(count: int) -> list[str]:
    """Names of the experiments: their numbers, an L before those of large ones."""
    large = count // LARGE_EVERY
    return [str(i) for i in range(count - large)] + [f"L{i}" for i in range(large)]


def run(name: str, seed: int, folder: Path) -> tuple[list[str], Verdict | None, str]:
    """Words, verdict and, where the experiment is refused, the reason."""
    large, number = name.startswith("L"), int(name.removeprefix("L"))
    folder.mkdir(parents=True, exist_ok=True)
    words = draw(Dice(Generator(seed, int(large), number)), folder, large)
    try:
        inputs = prepare(words)
    except NbnumbaError as error:
        return words, None, str(error)
    return words, judge(inputs, np.random.default_rng((seed, int(large), number))), ""


def report(name: str, words: list[str], verdict: Verdict) -> bool:
    """Print what is wrong with an experiment; returns whether something is."""
    wrong = list(verdict.problems)
    wrong += [f"{kernel}: {error:.2g}" for kernel, error in verdict.errors.items() if is_beyond(verdict, kernel)]
    if wrong:
        print(f"{name}: {'; '.join(wrong)}\n    nbnumba run {' '.join(words)}", flush=True)
    return bool(wrong)


def main() -> int:
    """Entry point."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="+", metavar="NAME", help="these experiments; their files are kept")
    options.add_argument("--table", type=Path, help="write the figures into this page")
    chosen = options.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="stress-"))
    verdicts: dict[str, Verdict] = {}
    commands: dict[str, list[str]] = {}
    refused: collections.Counter[str] = collections.Counter()
    start, failures = time.perf_counter(), 0
    for name in chosen.only or names(chosen.count):
        words, verdict, reason = run(name, chosen.seed, scratch / name)
        if chosen.only:
            print(f"{name}: nbnumba run {' '.join(words)}\n    {verdict or reason}")
        if verdict is None:
            refused[" ".join(reason.split()[:4])] += 1
            continue
        verdicts[name], commands[name] = verdict, words
        failures += report(name, words, verdict)
    if chosen.only:
        return int(failures > 0)
    shutil.rmtree(scratch)
    seconds = time.perf_counter() - start
    for kernel, limit in LIMITS.items():
        errors = sorted((v.errors[kernel], name) for name, v in verdicts.items() if kernel in v.errors)
        if errors:
            print(f"{kernel:10} {len(errors):5} images, worst {errors[-1][0]:.1e} ({errors[-1][1]}), limit {limit:.0e}")
    print(f"{len(verdicts)} experiments, {sum(refused.values())} refused, {failures} failures, {seconds:.0f} s")
    if chosen.table:
        write_table(chosen.table, chosen.seed, verdicts, commands, sum(refused.values()))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
