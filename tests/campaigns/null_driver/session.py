"""Run Python under the driver, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaigns.null_driver.build import build
from tests.campaigns.null_driver.report import Report, read_report

ROOT = Path(__file__).parents[3]
#: Seconds after which a process is taken for one that hangs: compiling every kernel takes one or two minutes.
PATIENCE = 600


@dataclass(frozen=True)
class Outcome:
    """What a process returned and said, and the driver's report."""

    code: int
    out: str
    err: str
    report: Report

    def check(self) -> Outcome:
        """Itself, if the program ended well and did nothing that a driver objects to."""
        assert self.code == 0, self.err[-3000:]
        assert not self.report.problems(), "\n".join(self.report.problems()[:5])
        return self


def environment_for(
    *,
    devices: int | None = None,
    version: str | None = None,
    capability: str | None = None,
    name: str | None = None,
    free: int | None = None,
    fail: str | None = None,
    kernel_ms: float | None = None,
    package: str | None = None,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Environment variables of a process under the driver.

    Parameters
    ----------
    devices : int, optional
        How many GPUs there are; 1.
    version : str, optional
        The CUDA version that the driver supports; 13.0.
    capability : str, optional
        Of the devices; 9.0.
    name : str, optional
        Of the devices.
    free : int, optional
        Free memory of each device (bytes); 78 GiB.
    fail : str, optional
        Faults, as ``alloc:3`` or ``cuLaunchKernelEx:1:719:sticky`` (driver/report.c).
    kernel_ms : float, optional
        How long a kernel keeps its stream busy; 0.
    package : {"numba-cuda", "mlir"}, optional
        Which CUDA package is taken.
    more : dict, optional
        Further variables.
    """
    settings: dict[str, object] = {
        "devices": devices,
        "version": version,
        "capability": capability,
        "name": name,
        "free": free,
    }
    settings |= {"fail": fail, "kernel_ms": kernel_ms}
    own = {f"NULL_DRIVER_{key.upper()}": str(value) for key, value in settings.items() if value is not None}
    others = {
        key: value for key, value in os.environ.items() if not key.startswith(("NULL_DRIVER_", "NUMBA_ENABLE_CUDASIM"))
    }
    path = os.pathsep.join(filter(None, [str(build()), others.get("LD_LIBRARY_PATH")]))
    chosen = {} if package is None else {"NBNUMBA_CUDA": package}
    return others | own | chosen | {"LD_LIBRARY_PATH": path} | dict(more or {})


def run(
    code: str | Sequence[str],
    *,
    folder: Path | None = None,
    timeout: float = PATIENCE,
    bare: bool = False,
    **settings: Any,
) -> Outcome:
    """Run a piece of Python, or ``python`` with these words, under the driver.

    Parameters
    ----------
    code : str or sequence of str
        Source text, which may be indented; or arguments of the interpreter, as ``["-m", "nbnumba", "info"]``.
    folder : Path, optional
        Where it runs; the root of the checkout by default, which it can import in any case.
    bare : bool
        Neither look at the arguments of launches nor write a report: both cost more than a launch.
    settings
        As for :func:`environment_for`.
    """
    words = ["-c", textwrap.dedent(code)] if isinstance(code, str) else [*code]
    with tempfile.TemporaryDirectory(prefix="null-driver-") as scratch:
        file = Path(scratch, "report.jsonl")
        environment = environment_for(**settings) | (
            {"NULL_DRIVER_CHECKS": "0"} if bare else {"NULL_DRIVER_REPORT": str(file)}
        )
        roots = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder or ROOT,
            env=environment | {"PYTHONPATH": roots},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, read_report(file))
