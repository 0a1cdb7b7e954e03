"""Warnings of ordinary commands: those of README.md and docs/cookbook.md, the demo's, and all golden cases, as dry runs.

``python -m tests.cli.ordinary`` writes the table ``ordinary.json`` again, from a checkout whose warnings are wanted.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nbnumba.cli import demo, report
from nbnumba.cli.build import build
from nbnumba.cli.main import main
from nbnumba.cli.series import _tell_first, plan
from nbnumba.cli.series_flags import parse_series
from tests.conftest import CASES, GOLDEN
from tests.house import test_docs_commands as pages

TABLE = Path(__file__).with_name("ordinary.json")
EDITIONS = json.loads((GOLDEN / "editions.json").read_text())


def commands() -> dict[str, list[str]]:
    """Words of every command, by a name."""
    found = {f"golden {name}": ["run", *case["args"]] for name, case in CASES.items()}
    found |= {f"edition {case['name']}": ["run", *case["args"], "--physics", case["edition"]] for case in EDITIONS}
    found["demo"] = ["run", "-hkl", "demo/lysozyme.hkl", *demo.FLAGS]
    for page in ("README.md", "cookbook.md"):
        for number, words in enumerate(_of_page(page), 1):
            found[f"{page} {number}"] = words
    return found


def _of_page(page: str) -> Iterator[list[str]]:
    """The commands of a page that make images, as they stand there."""
    variables: dict[str, str] = {}
    shrunk, pages.SHRUNK = pages.SHRUNK, ()
    try:
        blocks = [block for block in pages.blocks(page) if block.language == "sh" and pages.reason(block) is None]
        texts = [command for block in blocks for command, _ in pages.steps(block)]
    finally:
        pages.SHRUNK = shrunk
    for text in texts:
        name, equals, value = text.partition("='")
        if equals and name.isidentifier():
            variables[name] = value.rstrip("'").replace("\\\n", " ")
        elif text.startswith(("nbnumba run", "nbnumba series")):
            for name in sorted(variables, reverse=True):
                text = text.replace(f"${name}", variables[name])
            yield shlex.split(text.replace("\\\n", " "), comments=True)[1:]


def prepare(folder: Path) -> None:
    """Files that the commands read."""
    os.symlink(GOLDEN / "inputs", folder / "inputs")
    pages.prepare("README.md", folder)
    for block in pages.blocks("cookbook.md"):
        first = block.text.split()[1].rstrip(":,") if block.language in ("text", "toml") else ""
        if "." in first:
            (folder / first).write_text(block.text)


def warnings_of(words: list[str]) -> list[str]:
    """Warnings of a command whose image is not rendered, in the current folder; ``#`` stands for numbers."""
    log = io.StringIO()
    with contextlib.redirect_stderr(log), contextlib.redirect_stdout(io.StringIO()):
        if words[0] == "run":
            assert main([*words, "--dry-run", "--quiet"]) == 0, log.getvalue()
        else:
            request = parse_series([*words[1:], "--quiet"])
            report.begin(request.invocation)
            _tell_first(plan(request, *build(request.invocation), seed=1))
    lines = [line for line in log.getvalue().splitlines() if line]
    assert all(line.startswith("warning: ") for line in lines), lines
    return [re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", line.removeprefix("warning: ")) for line in lines]


def expected() -> dict[str, list[str]]:
    """Warnings of every command in the table; the table has each warning once, with the commands that give it."""
    found: dict[str, list[str]] = {name: [] for name in commands()}
    for warning, names in json.loads(TABLE.read_text(encoding="utf-8")).items():
        for name in names:
            found.setdefault(name, []).append(warning)
    return found


def write_table() -> None:
    by_warning: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare(Path(folder))
        for name, words in commands().items():
            for warning in dict.fromkeys(warnings_of(words)):
                by_warning.setdefault(warning, []).append(name)
    rows = (
        f"{json.dumps(text, ensure_ascii=False)}: {json.dumps(names)}" for text, names in sorted(by_warning.items())
    )
    TABLE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write_table()
