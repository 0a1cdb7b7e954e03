"""Results as lines of JSON, each written to the disk before the next case begins, and as readable lines on stdout."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.gpu.setting import Deadline, Record

#: Figures that the readable line of a step shows; other steps show all short ones.
SHOWN = {
    "timings": "kernel deviation kernel_s image_s copy_s launch_s prepare_s images_per_s steps_per_s of_issue_limit "
    "clock_Hz held".split(),
    "parity": "kernel deviation bar good".split(),
    "ncu": "duration_s registers issue_active_percent fma_percent fp64_percent".split(),
}
_HIDDEN = {"run", "t_s", "step", "case", "package"}
_LONGEST_TEXT = 200


class Recorder:
    """Writes results to a file, if one is given, and to stdout; may be called from several threads.

    Attributes
    ----------
    failed_checks, errors : list of str
        Cases that failed a check, and cases that could not be run, as ``step: case``.
    """

    def __init__(self, file: Path | None, deadline: Deadline) -> None:
        self.file, self.deadline = file, deadline
        self.run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.failed_checks: list[str] = []
        self.errors: list[str] = []
        self._lock = threading.Lock()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)

    def write(self, step: str, case: str, record: Record, package: str = "") -> None:
        """Append a line, and wait until it is on the disk."""
        head = {"run": self.run, "t_s": round(self.deadline.elapsed, 2), "step": step, "case": case}
        line = head | ({"package": package} if package else {}) | _finite(record)
        with self._lock:
            if record.get("good") is False:
                self.failed_checks.append(f"{step}: {case}")
            if "error" in record:
                self.errors.append(f"{step}: {case}")
            if self.file is not None:
                append(self.file, json.dumps(line, allow_nan=False) + "\n")
            print(readable(line), flush=True)


def append(file: Path, text: str) -> None:
    """Append text to a file and wait until it is on the disk."""
    with open(file, "a", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _finite(value: Any) -> Any:
    """A value with numbers that JSON lacks (NaN, infinity) as text."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def readable(line: Record) -> str:
    """A record as one readable line."""
    names = SHOWN.get(line["step"]) or [name for name in line if name not in _HIDDEN]
    if "error" in line:
        names = ["error"]
    parts = [_figure(name, line[name]) for name in names if line.get(name) is not None]
    package = f" ({line['package']})" if "package" in line else ""
    return f"{line['t_s']:6.1f}  {line['step']:11} {line['case']:36}{package} {'  '.join(parts)}".rstrip()


def _figure(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name.replace("_", " ") if value else f"NOT {name.replace('_', ' ')}"
    if isinstance(value, (int, float)):
        for suffix, scale, unit in (("_s", 1e3, "ms"), ("_Hz", 1e-6, "MHz"), ("_bytes", 2**-20, "MiB")):
            if name.endswith(suffix) and not name.endswith("per_s"):
                return f"{name.removesuffix(suffix).replace('_', ' ')} {value * scale:.4g} {unit}"
        return f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return f"{name.replace('_', ' ')}: {text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + ' ...'}"


def complain(text: str) -> None:
    """Print a sentence on stderr."""
    print(f"bench.gpu: {text}", file=sys.stderr, flush=True)
