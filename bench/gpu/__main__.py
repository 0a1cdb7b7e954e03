"""The command ``python -m bench.gpu``: runs the requested steps one after another, and writes the summary."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from bench.gpu import __doc__ as about
from bench.gpu.package import PACKAGES, is_installed
from bench.gpu.pool import StepRun, stop_all
from bench.gpu.record import Recorder, complain
from bench.gpu.setting import RESULTS, Deadline, Setting
from bench.gpu.steps import STEPS, Step, pick
from bench.workloads import lay_out
from nbnumba.errors import NbnumbaError
from nbnumba.render.devices import Device, choose_devices


def read_command() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(about or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, help="run the steps that fit, the most important first; default: all")
    parser.add_argument("--steps", help="names, separated by commas; default: all")
    parser.add_argument("--cases", default="", metavar="REGEX", help="of each step, the cases whose name it matches")
    parser.add_argument("--list", action="store_true", help="print the steps and their estimates")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N")
    parser.add_argument("--packages", help=f"of {', '.join(PACKAGES)}; steps marked * are run once with each")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=min(8, cores), help="for parity; default: up to 8")
    parser.add_argument("--tiny", action="store_true", help="a few pixels of each image, to try the script itself")
    options = parser.parse_args()
    options.steps = [name.strip() for name in (options.steps or "").split(",") if name.strip()]
    options.packages = [name.strip() for name in (options.packages or "").split(",") if name.strip()] or [""]
    names = {step.name for step in STEPS}
    if unknown := [name for name in options.steps if name not in names]:
        parser.error(f"unknown step {', '.join(unknown)}: choose from {', '.join(sorted(names))}")
    if unknown := [name for name in options.packages if name and name not in PACKAGES]:
        parser.error(f"unknown package {', '.join(unknown)}: choose from {', '.join(PACKAGES)}")
    try:
        re.compile(options.cases)
    except re.error as error:
        parser.error(f"--cases: {error}")
    return options


def list_steps() -> None:
    """Print the table of steps."""
    for step in STEPS:
        print(f"{step.name + '*' * step.per_package:13} {step.seconds:4.0f} s  {step.what}")
    print(f"{'all':13} {sum(step.seconds for step in STEPS):4.0f} s")


def stem(device: Device | None) -> str:
    """Stem of the names of a GPU's result files."""
    name = device.name if device is not None else "none"
    return f"gpu-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


def rounds(steps: list[Step], packages: list[str]) -> list[tuple[Step, str]]:
    """Steps in order, those that depend on the package once for each."""
    return [(step, package) for step in steps for package in (packages if step.per_package else packages[:1])]


def main() -> int:
    """Run the steps; returns the exit status: 1 if a golden image was wrong or there is no GPU."""
    options = read_command()
    if options.list:
        list_steps()
        return 0
    deadline = Deadline(options.minutes and 60 * options.minutes)
    try:
        device = choose_devices(options.device)[0]
    except NbnumbaError as error:
        complain(str(error))
        device = None
    # without a GPU nothing is written, unless a folder is given
    is_kept = device is not None or options.out != RESULTS
    file = options.out.resolve() / f"{stem(device)}.jsonl" if is_kept else None
    recorder = Recorder(file, deadline)
    programs = tuple(str(Path(x).resolve()) for x in os.environ.get("NB_CUDA_BIN", "").split(os.pathsep) if x)
    with tempfile.TemporaryDirectory(prefix="nbnumba-bench-") as scratch:
        lay_out(Path(scratch))
        setting = Setting(
            device=device.index if device is not None else 0,
            out=str(file.parent) if file is not None else "",
            name=stem(device),
            scratch=scratch,
            processes=max(1, options.processes),
            tiny=options.tiny,
            programs=programs,
        )
        steps, short = pick(options.steps, options.minutes, setting, options.cases)
        if device is None:
            steps = [step for step in steps if step.name == "environment"]
        ended = run_steps(rounds(steps, options.packages), setting, recorder, options.cases)
    if ended != "stopped" and short:
        names = [step.name for step in short]
        recorder.write("summary", "steps without time", {"dropped": names, "minutes": options.minutes})
    found = {"ended": ended, "wrong": recorder.failed_checks, "not_run": recorder.errors}
    recorder.write("summary", "run", found | {"seconds": round(deadline.elapsed, 1)})
    if file is not None:
        print(f"written: {file}")
    if ended == "stopped":
        return 130
    if failed := parity_failed(recorder):
        complain("images on the device differ from the reference's by more than allowed")
    return 1 if device is None or failed else 0


def parity_failed(recorder: Recorder) -> bool:
    """Whether a golden image was wrong or could not be rendered."""
    return any(name.startswith("parity: ") for name in recorder.failed_checks + recorder.errors)


def run_steps(order: list[tuple[Step, str]], setting: Setting, recorder: Recorder, pattern: str) -> str:
    """Run steps one after the other; ``complete`` or ``stopped``, the latter after SIGINT or SIGTERM."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: Any = signal.signal(signal.SIGTERM, stop)
    try:
        for step, package in order:
            if package and not is_installed(package):
                recorder.write(step.name, "package", {"error": f"{PACKAGES[package].name} is not installed"}, package)
                continue
            if missing := step.missing(setting):
                recorder.write(step.name, "missing", {"error": missing})
                continue
            StepRun(step, replace(setting, package=package), recorder.deadline, recorder, pattern).run()
    except KeyboardInterrupt:
        return "stopped"
    finally:
        stop_all()
        signal.signal(signal.SIGTERM, before)
    return "complete"


if __name__ == "__main__":
    sys.exit(main())
