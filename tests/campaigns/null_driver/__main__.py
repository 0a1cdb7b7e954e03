"""``python -m tests.campaigns.null_driver``: faults over every kernel, and the cost of a launch, under the null driver."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.campaigns.null_driver.build import PACKAGES, missing
from tests.campaigns.null_driver.campaign import campaign, table
from tests.campaigns.null_driver.session import run


def main() -> int:
    """Print a table for each package; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.null_driver", description=__doc__)
    parser.add_argument("--count", type=int, default=120, help="Number of faults for each package.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--package", choices=PACKAGES, action="append", help="Only this one; by default all.")
    given = parser.parse_args()
    bad = tried = 0
    for package in given.package or PACKAGES:
        if reason := missing(package):
            print(f"{package}: left out: {reason}")
            continue
        tried += 1
        start = time.monotonic()
        trials = campaign(given.count, given.seed, package=package)
        print(f"{package}: {len(trials)} faults in {time.monotonic() - start:.0f} s\n{table(trials)}")
        for trial in trials:
            for problem in trial.problems:
                print(f"   {trial.experiment}, {trial.fault}, {trial.device}: {problem}")
        bad += sum(bool(trial.problems) for trial in trials)
        cost = json.loads(run(["-m", "tests.campaigns.null_driver.launch_cost"], package=package, bare=True).out)
        ratio = cost["prepared"] / cost["empty"]
        print(f"a launch costs {ratio:.1f} times that of an empty kernel (microseconds: {cost})", flush=True)
    return 1 if bad or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
