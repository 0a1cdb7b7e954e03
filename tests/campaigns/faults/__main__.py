"""``python -m tests.campaigns.faults``: inject faults into real commands, and write the table of docs/faults.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.campaigns.faults.campaign import campaign
from tests.campaigns.faults.lab import Lab
from tests.campaigns.faults.table import write_table


def main() -> int:
    """Run the faults; 1 if any of them lost something or was told badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.faults", description=__doc__)
    parser.add_argument("--table", type=Path, help="Markdown file to write.")
    parser.add_argument("--count", type=int, default=320, help="Number of faults.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="One kind of fault.")
    parser.add_argument("--keep", action="store_true", help="Keep the scratch folder.")
    given = parser.parse_args()
    start = time.monotonic()
    scratch = tempfile.mkdtemp(prefix="faults-")
    lab = Lab(Path(scratch))
    lab.set_up(snapshot=True)
    trials = []
    for number, done in enumerate(campaign(lab, given.count, given.seed, only=given.only), start=1):
        trials.append(done)
        if done.problems:
            print(f"{number}: {done.kind}, {done.task.name}{done.note and ', ' + done.note}:", flush=True)
            print("   " + "; ".join(done.problems), flush=True)
        elif number % 20 == 0:
            print(f"{number} of {given.count} after {time.monotonic() - start:.0f} s", flush=True)
    bad = sum(bool(done.problems) for done in trials)
    lost = sum(done.outcome == "lost" for done in trials)
    print(f"{len(trials)} faults in {time.monotonic() - start:.0f} s: {lost} lost or partial, {bad} with problems")
    if given.table is not None:
        write_table(given.table, trials, given.seed)
    if not given.keep:
        lab.remove()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
