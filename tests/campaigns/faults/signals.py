"""Signals at random moments."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from random import Random

from tests.campaigns.faults.lab import Done, Lab, finish
from tests.campaigns.faults.registry import choose, kind, prepared, sleep_or_end, trial
from tests.campaigns.faults.verdict import Trial


def wait_for_writing(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until a temporary file is there, or the process has ended."""
    while process.poll() is None:
        if any(folder.glob(".nbnumba-*")) or any(folder.glob("*/.nbnumba-*")):
            return
        time.sleep(0.0005)


def disturb(lab: Lab, rng: Random, name: str, numbers: tuple[int, ...]) -> Trial:
    """Send signals at a random moment of the run, or a random moment after the first byte of an output."""
    weights = ("run", "run, all outputs", "run, all outputs", "run, large", "run, large", "series", "compare", "trace")
    task, folder = prepared(lab, rng, *weights, *(("demo",) if rng.random() < 0.15 else ()))
    writing = rng.random() < 0.5

    def act() -> Done:
        process = lab.start(task, folder)
        if writing:
            wait_for_writing(process, folder)
            sleep_or_end(process, rng.expovariate(1 / 0.01))
        else:
            sleep_or_end(process, rng.uniform(0, 1.05 * lab.seconds[task.name]))
        for number in numbers:
            if process.poll() is None:
                process.send_signal(number)
            time.sleep(rng.uniform(0, 0.05))
        return finish(process)

    codes = (0, *(128 + number for number in numbers))
    return trial(lab, name, task, folder, codes, act, killed=signal.SIGKILL in numbers)


@kind("SIGINT", "Ctrl-C at any moment; a third of them twice in a row.", 13)
def sigint(lab: Lab, rng: Random) -> Trial:
    """One or two interrupts."""
    return disturb(lab, rng, "SIGINT", (signal.SIGINT,) * rng.choice([1, 1, 2]))


@kind("SIGTERM", "The batch system ends the job, a third of them together with Ctrl-C.", 13)
def sigterm(lab: Lab, rng: Random) -> Trial:
    """A termination."""
    return disturb(lab, rng, "SIGTERM", rng.choice([(signal.SIGTERM,)] * 2 + [(signal.SIGINT, signal.SIGTERM)]))


@kind("SIGKILL", "The process is killed outright; what it leaves is called .nbnumba-*.tmp.", 10)
def sigkill(lab: Lab, rng: Random) -> Trial:
    """Death without a chance to clean up."""
    return disturb(lab, rng, "SIGKILL", (signal.SIGKILL,))


@kind("series continued", "A series is killed at any moment and made again: the result is that of one run.", 2)
def series_continued(lab: Lab, rng: Random) -> Trial:
    """Kill a series, then give the same command again."""
    task, folder = choose(lab, rng, "series"), lab.new_folder()

    def act() -> Done:
        process = lab.start(task, folder)
        sleep_or_end(process, rng.uniform(0.3, 1.0) * lab.seconds["series"])
        process.kill()
        finish(process)
        return lab.run(task, folder)

    return trial(lab, "series continued", task, folder, (0,), act)
