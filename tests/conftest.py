"""Shared fixtures: the golden cases of the reference program (tests/golden/README.md)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# how long an example takes says nothing about it on a machine that others use
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# a shell that starts tests in the background has Ctrl-C ignored, and every process below inherits that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
CASES = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())}


#: What tools put beside the project's files.
TOOLS = (".coverage", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "build")
_before = pytest.StashKey[set[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what lies at the root of the checkout."""
    session.stash[_before] = {entry.name for entry in ROOT.iterdir()}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test left a file at the root: tests run in folders of their own."""
    if hasattr(session.config, "workerinput"):
        return
    new = {entry.name for entry in ROOT.iterdir()} - session.stash[_before]
    if left := sorted(name for name in new if not name.startswith(TOOLS)):
        print(f"\nleft behind in {ROOT.name}/: {', '.join(left)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def golden_images() -> Iterator[np.lib.npyio.NpzFile]:
    """Arrays by name: NAME float32, NAME__int, NAME__noise uint16, NAME__pgm uint8."""
    with np.load(GOLDEN / "images.npz") as images:
        yield images


def slices(case: dict) -> tuple[int, int, int, int]:
    """Region of interest of a golden case, half-open ``(s0, s1, f0, f1)``."""
    spixels, fpixels = case["shape"]
    if "-roi" not in case["args"]:
        return 0, spixels, 0, fpixels
    start = case["args"].index("-roi") + 1
    xmin, xmax, ymin, ymax = map(int, case["args"][start : start + 4])
    return ymin, ymax + 1, xmin, xmax + 1
