"""``python -m tests.campaigns.fuzz``: fuzz readers, report and keep what they fail on."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.campaigns.fuzz import contract
from tests.campaigns.fuzz.targets import TARGETS, find

_TAIL = 25


#: inputs of a target, where time is the limit
UNLIMITED = 2**31


@dataclass(frozen=True)
class Report:
    """What became of one target: inputs tried, edges covered (with atheris), seconds, the input it failed on.

    With atheris, how many of the seconds were processor time.
    """

    target: str
    runs: int
    edges: int | None
    seconds: float
    processor: float | None = None
    failure: str | None = None
    cause: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz the targets that are asked for; 0 if all kept the contract."""
    args = _arguments(argv)
    if args.list:
        print("\n".join(f"{name:10}  {target.reads}" for name, target in TARGETS.items()))
        return 0
    if args.table:
        print(table(Path(args.table)))
        return 0
    have_atheris = importlib.util.find_spec("atheris") is not None
    if not have_atheris and not args.plain:
        print(
            "atheris is not installed: mutating without coverage; for more, pip install atheris (Linux, CPython 3.11 to 3.13)"
        )
    names = args.targets or list(TARGETS)
    if unknown := {name for name in names if name not in TARGETS and not name.startswith("planted")}:
        print(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    keep = Path(args.keep)
    if args.plain or not have_atheris:
        reports = run_plain(names, args.seconds, args.seed, keep, args.inputs)
    else:
        reports = []
        for name in names:
            reports.append(run_guided(name, args.seconds, args.seed, keep, args.corpus and Path(args.corpus)))
            _tell(reports[-1])
            if args.json:
                _record(Path(args.json), reports[-1])
    failed = [report for report in reports if report.failure]
    print(f"{len(names)} targets, {sum(r.runs for r in reports)} inputs, {len(failed)} failures")
    return 1 if failed else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all; see --list")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default 0)")
    parser.add_argument("--inputs", type=int, default=UNLIMITED, help="with --plain: at most this many for each target")
    parser.add_argument("--plain", action="store_true", help="no atheris: all targets in one process, the same inputs")
    parser.add_argument("--keep", default="fuzz-failures", metavar="FOLDER", help="for inputs that fail")
    parser.add_argument("--corpus", metavar="FOLDER", help="keep what reached new code, and begin from it again")
    parser.add_argument("--json", metavar="FILE", help="append a line of figures for each target (atheris only)")
    parser.add_argument("--table", metavar="FILE", help="print what --json gathered as a table, and do nothing else")
    parser.add_argument("--list", action="store_true", help="name the targets")
    return parser.parse_args(argv)


def run_guided(name: str, seconds: float, seed: int, keep: Path, corpus: Path | None = None) -> Report:
    """One target under atheris, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="nbnumba-fuzz-") as scratch:
        folder = Path(scratch)
        if corpus is not None:
            (corpus / name).mkdir(parents=True, exist_ok=True)
            (folder / "corpus").symlink_to((corpus / name).resolve())
        begun, used = time.monotonic(), _processor()
        status, told = _worker("guided", folder, seconds, seed, [name])
        took, used = time.monotonic() - begun, _processor() - used
        executed = re.findall(r"^stat::number_of_executed_units:\s*(\d+)|^#(\d+)\s", told, re.MULTILINE)
        runs = max((int(a or b) for a, b in executed), default=0)
        edges = max(map(int, re.findall(r"\bcov: (\d+)", told)), default=None)
        if status == 0:
            return Report(name, runs, edges, took, used)
        failure, cause = _keep(name, folder, keep, status, told)
    return Report(name, runs, edges, took, used, failure, cause)


def _processor() -> float:
    """Processor time (s) of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_plain(names: Sequence[str], seconds: float, seed: int, keep: Path, most: int = UNLIMITED) -> list[Report]:
    """Targets one after the other in one process; a new one for the rest where it fails."""
    reports: list[Report] = []
    left = list(names)
    while left:
        with tempfile.TemporaryDirectory(prefix="nbnumba-fuzz-") as scratch:
            folder = Path(scratch)
            status, told = _worker("plain", folder, seconds, seed, left, most)
            done = re.findall(r"^RUNS (\S+) (\d+) (\S+)$", told, re.MULTILINE)
            reports += [Report(name, int(runs), None, float(took)) for name, runs, took in done]
            left = left[len(done) :]
            if left:
                failure, cause = _keep(left[0], folder, keep, status, told)
                reports.append(Report(left.pop(0), 0, None, 0.0, failure=failure, cause=cause))
    for report in reports:
        _tell(report)
    return reports


def _worker(
    how: str, folder: Path, seconds: float, seed: int, names: Sequence[str], most: int = UNLIMITED
) -> tuple[int, str]:
    """Exit status of the process that does the work, and all that it said."""
    command = [
        sys.executable,
        "-m",
        "tests.campaigns.fuzz.worker",
        how,
        str(folder),
        str(seconds),
        str(seed),
        str(most),
        *names,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_DISABLE_JIT": "1"}
    with open(folder / "stderr", "w+b") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        status = process.wait()
        log.seek(0)
        return status, log.read().decode(errors="replace")


def _keep(name: str, folder: Path, keep: Path, status: int, told: str) -> tuple[str, str]:
    """Copy the input that a target failed on; its new place, and what happened."""
    tried = folder / f"{name}{find(name).suffix}"
    if not tried.exists():
        raise RuntimeError(f"the process failed before it tried anything of {name} (status {status}):\n{told}")
    data = tried.read_bytes()
    place = keep / name / hashlib.sha256(data).hexdigest()[:12]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    if status == -signal.SIGPROF:
        cause = f"more than {contract.CPU_SECONDS:g} s of processor time"
    elif status < 0:
        cause = f"ended by {signal.Signals(-status).name}"
    else:
        cause = f"exit status {status}"
    lines = [line for line in told.splitlines() if line.strip() and not re.match(r"#\d+|stat::|NEW|INFO|\s+0x", line)]
    return str(place), "\n    ".join([cause, *lines[-_TAIL:]])


def _tell(report: Report) -> None:
    edges = "" if report.edges is None else f", {report.edges} edges"
    print(f"{report.target}: {report.runs} inputs{edges}, {report.seconds:.0f} s", flush=True)
    if report.failure:
        print(f"  FAILED on {report.failure}: {report.cause}", flush=True)


def table(path: Path) -> str:
    """Figures of many runs, by target, as a table in Markdown."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        "| target | what it reads | minutes | of the processor | inputs | edges | failures |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, target in TARGETS.items():
        own = [row for row in rows if row["target"] == name]
        if own:
            minutes, runs = sum(row["seconds"] for row in own) / 60, sum(row["runs"] for row in own)
            edges, failures = max(row["edges"] or 0 for row in own), sum(row["failure"] is not None for row in own)
            used = sum(row["processor"] for row in own) / 60
            reads = target.reads.replace("``", "`")
            lines.append(f"| `{name}` | {reads} | {minutes:.1f} | {used:.1f} | {runs} | {edges} | {failures} |")
    return "\n".join(lines)


def _record(path: Path, report: Report) -> None:
    with open(path, "a") as lines:
        lines.write(json.dumps(asdict(report)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
