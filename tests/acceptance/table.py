"""The 74 acceptance tests of the PyTorch port's specification: what nbnumba does about each, and which test shows it.

``python docs/make_acceptance.py`` makes docs/acceptance.md of it.
"""

from __future__ import annotations

from tests.acceptance.core_rows import CLI, CORE
from tests.acceptance.parallel_rows import PARALLEL
from tests.acceptance.performance_rows import PERFORMANCE, TOOLS
from tests.acceptance.row import Row

#: Headings of the page and their rows.
GROUPS: dict[str, dict[str, Row]] = {
    "Core": CORE,
    "Command line": CLI,
    "Against the C program": PARALLEL,
    "Speed": PERFORMANCE,
    "Tools": TOOLS,
}
ROWS: dict[str, Row] = {name: row for rows in GROUPS.values() for name, row in rows.items()}
