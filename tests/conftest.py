"""Shared fixtures: the golden cases of the reference program (tests/golden/README.md)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# a shell that starts tests in the background has Ctrl-C ignored, and every process below inherits that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"
CASES = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())}


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
