"""The table of acceptance tests is complete, names tests that exist, and docs/acceptance.md is made of it."""

from __future__ import annotations

import importlib.util
import inspect
import re
from importlib import import_module
from types import ModuleType

import pytest

from tests.acceptance.row import VERDICTS
from tests.acceptance.table import GROUPS, ROWS
from tests.conftest import ROOT

#: Numbers of the acceptance tests by group; 19 of PARALLEL does not exist.
NUMBERS = {
    **dict.fromkeys(("GEO",), range(1, 7)),
    **dict.fromkeys(("SAM",), range(1, 4)),
    **dict.fromkeys(("STR", "IO"), range(1, 5)),
    **dict.fromkeys(("SRC", "PRE"), range(1, 3)),
    **dict.fromkeys(("ABS", "POL", "BKG", "NOISE", "ROI", "FLU", "STA", "TOOLS"), range(1, 2)),
    "CLI": range(1, 10),
    "PARALLEL": [n for n in range(1, 30) if n != 19],
    "PERF": range(1, 9),
}


def make_acceptance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_acceptance", ROOT / "docs" / "make_acceptance.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_74_are_there():
    wanted = {f"AT-{group}-{n:03d}" for group, numbers in NUMBERS.items() for n in numbers}
    assert len(wanted) == 74
    assert ROWS.keys() == wanted and sum(map(len, GROUPS.values())) == 74


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    """Its tests exist, in modules that speak of it; where there is none, there is a figure or a reason."""
    row = ROWS[name]
    assert row.verdict in VERDICTS
    assert row.tests or row.figure or row.note
    for test in row.tests:
        file, _, function = test.partition(".")
        module = import_module(f"tests.acceptance.{file}")
        assert hasattr(module, function) and name in inspect.getsource(module), test


def test_every_test_is_in_the_table():
    named = {test for row in ROWS.values() for test in row.tests}
    modules = {test.partition(".")[0] for test in named}
    for path in (ROOT / "tests" / "acceptance").glob("test_*.py"):
        if path.stem == "test_table":
            continue
        assert path.stem in modules
        for function in re.findall(r"(?m)^def (test_\w+)", path.read_text()):
            assert f"{path.stem}.{function}" in named, function


def test_page_has_the_rows_of_the_table():
    """All of docs/acceptance.md but the figures, whose last digits depend on the processor."""
    maker = make_acceptance()
    page = (ROOT / "docs" / "acceptance.md").read_text(encoding="utf-8")
    figures = maker.figures_of(page)
    assert figures.keys() == ROWS.keys() and all(figures.values())
    assert maker.make_text(figures) == page, "run: NB_C_BIN=nanoBragg python docs/make_acceptance.py"
