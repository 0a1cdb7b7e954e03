"""Rows of the acceptance tests of speed, and of the tool that compares."""

from __future__ import annotations

from tests.acceptance.row import HOLDS, NOT_FOR_US, Row

PERFORMANCE: dict[str, Row] = {f"AT-PERF-{n:03d}": Row("TODO", NOT_FOR_US, (), "TODO") for n in range(1, 9)}

TOOLS: dict[str, Row] = {
    "AT-TOOLS-001": Row("TODO", HOLDS, ("test_command_line.test_tools_001_comparison",)),
}
