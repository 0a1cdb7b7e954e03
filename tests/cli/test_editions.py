"""Images of the C program as released, and with its proposed corrections, through the public command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.cli.main import main
from tests.cli.test_golden import BARS
from tests.conftest import GOLDEN

pytestmark = pytest.mark.golden

EDITIONS: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads((GOLDEN / "editions.json").read_text())
}


def image_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> np.ndarray:
    """Image of a case; other words replace those before them."""
    monkeypatch.chdir(folder)
    os.symlink(GOLDEN / "inputs", folder / "inputs")
    case = EDITIONS[name]
    words = ["-floatfile", "float.bin", "-nonoise", "-nopgm", "--quiet", "--device", "cpu"]
    assert main(["run", *words, *case["args"], "--physics", case["edition"], *more]) == 0
    return np.fromfile(folder / "float.bin", "<f4").reshape(case["shape"])


#: The general kernel renders the others in either precision.
FAST = [name for name, case in EDITIONS.items() if "-oversample_" not in str(case["args"])]


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "double") for name in EDITIONS), *((name, "auto") for name in FAST)]
)
def test_image(name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1e-6 of the maximum in float64, 2e-6 by default."""
    image = image_of(name, tmp_path, monkeypatch, "--precision", precision).astype(float)
    with np.load(GOLDEN / "editions.npz") as golden:
        expected = golden[name].astype(float)
    assert np.abs(image - expected).max() <= BARS[precision][0] * expected.max()


def test_the_editions_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but two of the commands have another image in the other edition, by a tenth of its maximum or much more."""
    differ = [name for name, case in EDITIONS.items() if case["other"] > 0.05]
    assert len(EDITIONS) == 40 and len(differ) == 38
    image = image_of("released_two_steps", tmp_path, monkeypatch, "--physics", "reference")
    with np.load(GOLDEN / "editions.npz") as golden:
        assert np.abs(image - golden["released_two_steps"]).max() > 0.05 * image.max()
