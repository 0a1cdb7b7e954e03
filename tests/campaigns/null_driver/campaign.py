"""Faults drawn over experiments, classes of calls and their numbers, and what has to come of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.campaigns.null_driver.experiments import EXPERIMENTS
from tests.campaigns.null_driver.session import PATIENCE, ROOT, environment_for

#: Classes that faults are drawn from, with how much weight. Freeing is not among them: a real driver refuses that only on
#: a device that is lost, which the sticky faults are.
CLASSES = {"alloc": 3, "pinned": 2, "launch": 3, "copy": 3, "sync": 3, "load": 2, "event": 1, "stream": 1}
#: Calls that may fail and leave the image to the GPU all the same: packages try again, or other memory does, or the wait
#: that follows tells.
ABSORBED = ("cuMemAlloc", "cuMemHostAlloc", "cuEventQuery")
#: Characters of a sentence, what the driver says in parentheses included.
LONGEST = 700
#: The n-th call, that and all later ones, or one that loses the device.
WAYS = ("", "", "+", ":sticky")
DRAWN = (
    "fast32",
    "fast32 split",
    "fixed",
    "fast64 square",
    "fast64 round",
    "fast64 gauss",
    "spots",
    "spots sub-pixels",
    "spots by term",
    "general",
)


@dataclass
class Trial:
    """One fault: what was asked for, what came of it, and what is wrong with that."""

    experiment: str
    fault: str
    device: str
    outcome: str = ""  # absorbed, on the CPU, told
    problems: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        """The class of calls."""
        return self.fault.partition(":")[0]


def render_cases(cases: list[dict[str, str]], jobs: int, **settings: Any) -> list[dict[str, Any]]:
    """What :mod:`tests.campaigns.null_driver.faulty` says of cases, in their order."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.null_driver.faulty", str(jobs)],
        input=json.dumps(cases),
        cwd=ROOT,
        env=environment_for(**settings) | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[int, dict[str, Any]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        found[line["number"]] = line
    return [found[number] for number in range(len(cases))]


def count_calls(jobs: int, **settings: Any) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Calls of each class that an undisturbed run makes, and the digest of the CPU's image, by experiment."""
    cases = [{"experiment": name, "fault": "", "device": device} for name in DRAWN for device in ("cuda", "cpu")]
    found = render_cases(cases, jobs, **settings)
    for each in found:
        if "traceback" in each or "error" in each["renders"][0] or each.get("objections"):
            raise RuntimeError(f"an undisturbed run fails: {each}")
    calls = {each["experiment"]: each["calls"] for each in found if each["device"] == "cuda"}
    images = {each["experiment"]: each["renders"][0]["image"] for each in found if each["device"] == "cpu"}
    return calls, images


def draw(count: int, seed: int, calls: dict[str, dict[str, int]], ways: Sequence[str], package: str) -> list[Trial]:
    """Faults: every class in turn, at any of its calls, in any of some ways.

    numba-cuda-mlir ends the process where it cannot unload a library that it could not use (0.6.0, kernel.cpp: CHECK
    FAILED): with it no device is lost while a kernel is loaded.
    """
    random, drawn = Random(seed), []
    targets = [name for name, weight in CLASSES.items() for _ in range(weight)]
    for number in range(count):
        target = targets[number % len(targets)]
        experiment = random.choice([name for name in DRAWN if calls[name][target] > 0])
        nth = random.randint(1, calls[experiment][target])
        way = random.choice(ways)
        if (way, target, package) == (":sticky", "load", "mlir"):
            way = ""
        code = random.choice(["", "", ":719", ":999"]) if way != ":sticky" else random.choice([":700", ":719"])
        fault = f"{target}:{nth}{way if way == '+' else ''}{code}{way if way != '+' else ''}"
        drawn.append(Trial(experiment, fault, random.choice(["auto", "auto", "cuda"])))
    return drawn


def judge(trial: Trial, found: dict[str, Any], image: str) -> Trial:
    """Fill in outcome and problems; ``image``: digest of the CPU's."""
    if "renders" not in found:
        trial.problems.append(
            found.get("traceback") or f"the process ended: {found.get('status')} {found.get('stderr')}"
        )
        return trial
    if found["faults"] == 0:
        trial.problems.append("the fault did not come")
    if found["objections"]:
        trial.problems.append(f"{found['objections']} calls were wrong")
    for word in ("Traceback", "Exception ignored", "Fatal"):
        if word in found["stderr"]:
            trial.problems.append(f"stderr holds {word!r}: {found['stderr'][-500:]}")
    for render in found["renders"]:
        trial.outcome = _outcome(trial, render, image)
        if trial.outcome == "absorbed" and ("sticky" in trial.fault or found["failed"] not in ABSORBED):
            trial.problems.append(f"nothing was said of the fault in {found['failed']}")
    return trial


def _outcome(trial: Trial, render: dict[str, Any], image: str) -> str:
    """What one rendering came to."""
    if "error" in render:
        text = render["error"]
        if trial.device == "auto":
            trial.problems.append(f"auto ended with an error: {text}")
        if "cuda:0" not in text or "\n" in text or len(text) > LONGEST:
            trial.problems.append(f"this is no sentence about the device: {text}")
        return "told"
    if render["device"] == "cpu":
        if trial.device != "auto":
            trial.problems.append("the CPU was not asked for")
        if render["image"] != image:
            trial.problems.append("the image is not the CPU's")
        if "cuda:0" not in render["reason"] or len(render["warnings"]) > 1 or "\n" in render["reason"]:
            trial.problems.append(f"the reason is not told once: {render['reason']} {render['warnings']}")
        return "on the CPU"
    if render["device"] != "cuda:0" or not render["empty"] or render["warnings"]:
        trial.problems.append(f"this is no image of the null driver: {render}")
    return "absorbed"


def campaign(
    count: int, seed: int = 1, *, ways: Sequence[str] = WAYS, package: str = "numba-cuda", jobs: int | None = None
) -> list[Trial]:
    """Draw faults, render under them, and judge."""
    jobs = jobs or len(os.sched_getaffinity(0))
    calls, images = count_calls(jobs, package=package)
    trials = draw(count, seed, calls, ways, package)
    cases = [{"experiment": t.experiment, "fault": t.fault, "device": t.device} for t in trials]
    found = render_cases(cases, jobs, package=package)
    return [judge(trial, each, images[trial.experiment]) for trial, each in zip(trials, found, strict=True)]


def table(trials: list[Trial]) -> str:
    """A line for each class of calls."""
    head = f"{'calls':10}{'faults':>8}{'on the CPU':>12}{'told':>8}{'absorbed':>10}{'wrong':>8}"
    lines = [head]
    for target in [*CLASSES, ""]:
        some = [trial for trial in trials if target in ("", trial.target)]
        if some:
            outcomes = Counter(trial.outcome for trial in some)
            numbers = f"{len(some):8}{outcomes['on the CPU']:12}{outcomes['told']:8}{outcomes['absorbed']:10}"
            lines.append(f"{target or 'all':10}{numbers}{sum(bool(trial.problems) for trial in some):8}")
    return "\n".join(lines)


assert set(DRAWN) <= EXPERIMENTS.keys()
