"""Fixtures of the acceptance tests: a folder of their own, the figures that they measure, the C program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.programs import CProgram
from tests.acceptance.table import ROWS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which both programs run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Keeps the figure of an acceptance test; docs/make_acceptance.py collects them."""

    def keep(name: str, text: str) -> None:
        assert name in ROWS, name
        request.node.user_properties.append((name, text))

    return keep


@pytest.fixture
def c_program() -> CProgram:
    """The program that NB_C_BIN names."""
    path = shutil.which(os.environ.get("NB_C_BIN", ""))
    if path is None:
        pytest.skip("compares with the C program: NB_C_BIN names none that can be run")
    return CProgram(os.path.abspath(path))
