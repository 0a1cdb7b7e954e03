"""Writes docs/acceptance.md: ``NB_C_BIN=path/to/nanoBragg python docs/make_acceptance.py``.

The rows are those of tests/acceptance/table.py; the figures are measured by the tests there, all of which are run.
NB_C_BIN is the C program as released.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # the checkout need not be installed
    sys.path.insert(0, str(HERE.parent))

PAGE = HERE / "acceptance.md"
INTRODUCTION = """\
# Acceptance tests

<!-- made by docs/make_acceptance.py -->

The port of nanoBragg to PyTorch ([hoidn/nanoBragg](https://github.com/hoidn/nanoBragg), branch `feature/spec-based-2`) has a
specification with {all} acceptance tests, `AT-GEO-001` to `AT-TOOLS-001` (`specs/spec-a-*.md`). Of these, {holds} hold as they are
written. In {followed} the text contradicts the C program that it describes, and nbnumba does as the C program
(`--physics reference`, the default); the last column says what that is. In {missed} a limit is missed, {partly} needs more
cores than there were, and {none} do not apply: they ask for tensors, or for a script by its name. This page is made by

```sh
NB_C_BIN=path/to/nanoBragg python docs/make_acceptance.py
```

which runs the tests in `tests/acceptance/`, those of `test_against_c.py` with the C program as released; without `NB_C_BIN`,
`pytest` skips these. Commands are those of the specification, on smaller detectors where the size does not matter. Times are CPU
times of one core of the machine of [performance.md](performance.md), the least of several: of `Renderer.render` with one thread
for nbnumba, of the whole process for the C program. No test measures a time.
"""


class Figures:
    """Collects what the tests measure: a plugin of pytest."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report) -> None:
        """Keep the figures of a test that has run."""
        if report.when == "call":
            for name, text in report.user_properties:
                self.found.setdefault(name, []).append(text)


def measure() -> dict[str, str]:
    """Figures of all rows, from the tests or from the table.

    Raises
    ------
    SystemExit
        A test fails, or there is no C program.
    """
    import pytest

    from tests.acceptance.table import ROWS

    if shutil.which(os.environ.get("NB_C_BIN", "")) is None:
        raise SystemExit("NB_C_BIN must name the C program as released")
    os.environ["NB_C_BIN"] = os.path.abspath(os.environ["NB_C_BIN"])
    figures = Figures()
    words = [str(HERE.parent / "tests" / "acceptance"), "-q", "-p", "no:cacheprovider", "--rootdir", str(HERE.parent)]
    if code := pytest.main([*words, "-k", "not test_page"], plugins=[figures]):
        raise SystemExit(code)
    texts = {name: "; ".join([*figures.found.get(name, []), *filter(None, [row.figure])]) for name, row in ROWS.items()}
    return {name: text.replace("|", "\\|") or "none" for name, text in texts.items()}


def figures_of(page: str) -> dict[str, str]:
    """The figures in the text of a page, by acceptance test."""
    return dict(re.findall(r"(?m)^\| `(AT-[A-Z]+-\d+)` \|[^|]*\|[^|]*\| ((?:\\\||[^|])*) \|", page))


def make_text(figures: Mapping[str, str]) -> str:
    """The whole page with these figures."""
    from tests.acceptance.row import C_FOLLOWED, HOLDS, MISSED, NOT_FOR_US, PARTLY
    from tests.acceptance.table import GROUPS, ROWS

    counts = Counter(row.verdict for row in ROWS.values())
    text = INTRODUCTION.format(
        all=len(ROWS),
        holds=counts[HOLDS],
        followed=counts[C_FOLLOWED],
        missed=counts[MISSED],
        partly=counts[PARTLY],
        none=counts[NOT_FOR_US],
    )
    lines = [text]
    for heading, rows in GROUPS.items():
        lines += [f"## {heading}", "", "| test | subject | verdict | figure | by | difference, or remark |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        for name, row in rows.items():
            tests = ", ".join(f"`{test.partition('.')[2]}`" for test in row.tests)
            lines.append(f"| `{name}` | {row.subject} | {row.verdict} | {figures[name]} | {tests} | {row.note} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page."""
    PAGE.write_text(make_text(measure()), encoding="utf-8")


if __name__ == "__main__":
    main()
