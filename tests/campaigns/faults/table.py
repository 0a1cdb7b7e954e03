"""The table of docs/faults.md."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

from tests.campaigns.faults.kinds import KINDS
from tests.campaigns.faults.verdict import Trial

_BEGIN, _END = "<!-- table: python -m tests.campaigns.faults --table docs/faults.md -->", "<!-- end of the table -->"
_HEAD = (
    "| fault | injected | complete file | no file, old intact | lost or partial | told badly | exit codes | what it is |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |"
)


def rows(trials: list[Trial]) -> list[str]:
    """A line for each kind of fault, and one for all."""
    lines = []
    for kind in KINDS:
        found = [trial for trial in trials if trial.kind == kind.name]
        if found:
            lines.append(_row(kind.name, found, kind.meaning))
    return [*lines, _row("**all**", trials, "")]


def _row(name: str, trials: list[Trial], meaning: str) -> str:
    outcomes = Counter(trial.outcome for trial in trials)
    badly = sum(bool(trial.problems) and trial.outcome != "lost" for trial in trials)
    codes = Counter(trial.code for trial in trials)
    shown = ", ".join(f"{code} ({n})" for code, n in sorted(codes.items()))
    numbers = [len(trials), outcomes["complete"], outcomes["none"], outcomes["lost"], badly]
    return f"| {name} | {' | '.join(map(str, numbers))} | {shown} | {meaning} |"


def write_table(path: Path, trials: list[Trial], seed: int) -> None:
    """Put the table between its marks in a Markdown file."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    system = f"{platform.system()}, Python {platform.python_version()}, seed {seed}"
    early = sum("before the program began" in trial.note for trial in trials)
    note = f"{len(trials)} faults ({system}); {early} signals came before the program began."
    content = "\n".join([_BEGIN, "", _HEAD, *rows(trials), "", note, "", _END])
    path.write_text(head + content + tail, encoding="utf-8")
