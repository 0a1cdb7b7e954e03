"""``nbnumba compare-traces``: compare two traces and name the first factor that differs."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nbnumba.inspect.bundle import write_bundle
from nbnumba.inspect.compare_traces import (
    MAX_DHKL,
    TraceComparison,
    compare_traces,
    comparison_csv,
    comparison_data,
    comparison_lines,
    comparison_markdown,
)
from nbnumba.inspect.trace_text import read_record, read_traces
from nbnumba.io.files import atomic_write, read_bytes, together
from nbnumba.io.json_file import json_text
from nbnumba.origin import surroundings


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """Options of ``nbnumba compare-traces``; see its help."""

    rtol: float = 1e-6
    max_dhkl: float = MAX_DHKL
    json: Path | None = None
    csv: Path | None = None
    markdown: Path | None = None
    bundle: Path | None = None


def compare_trace_files(a: Path, b: Path, options: TraceOptions) -> bool:
    """Print two traces side by side and the first divergence; returns whether there is none.

    Raises
    ------
    NbnumbaError
        A file is no trace, or cannot be written, or the traces have no factor in common.
    """
    comparisons = compare_traces(read_traces(a), read_traces(b), options.rtol, options.max_dhkl)
    texts = _texts(a, b, comparisons, options)
    typer.echo(texts["comparison.txt"], nl=False)
    named = {"comparison.json": options.json, "comparison.csv": options.csv, "comparison.md": options.markdown}
    with together():
        for name, path in named.items():
            if path is not None:
                with atomic_write(path) as handle:
                    handle.write(_bytes(texts[name]))
    if options.bundle is not None:
        folder = write_bundle(options.bundle, _evidence(a, b) | {name: _bytes(text) for name, text in texts.items()})
        typer.echo(f"everything is in {folder}")
    return all(comparison.passed for comparison in comparisons)


def _texts(a: Path, b: Path, comparisons: list[TraceComparison], options: TraceOptions) -> dict[str, str]:
    """The comparison in all of its forms, by the names of the files in a bundle."""
    lines = "\n\n".join("\n".join(comparison_lines(comparison)) for comparison in comparisons)
    data = {"A": a, "B": b, "rtol": options.rtol, "pixels": comparison_data(comparisons)}
    return {
        "comparison.txt": f"A: {a}\nB: {b}\n{lines}\n",
        "comparison.json": f"{json_text(data)}\n",
        "comparison.csv": comparison_csv(comparisons),
        "comparison.md": comparison_markdown(comparisons, str(a), str(b)),
    }


def _evidence(a: Path, b: Path) -> dict[str, bytes]:
    """Both traces as they are, the commands and surroundings that made them, and the resolved configurations."""
    files: dict[str, bytes] = {}
    commands = [shlex.join(["nbnumba", *sys.argv[1:]])]
    around: dict[str, Any] = {"comparison": surroundings()}
    for name, path in (("A", a), ("B", b)):
        files[f"{name}-{path.name}"] = read_bytes(path, "trace")
        record = read_record(path)
        around[name] = record.get("environment")
        commands.append(f"# {name}: {path}")
        if (command := (record.get("environment") or {}).get("command")) is not None:
            commands.append(shlex.join(map(str, command)))
        if (configuration := record.get("configuration")) is not None:
            files[f"{name}-configuration.json"] = _bytes(json_text(configuration) + "\n")
    return files | {"commands.txt": _bytes("\n".join(commands) + "\n"), "environment.json": _bytes(json_text(around))}


def _bytes(text: str) -> bytes:
    """Text in UTF-8; bytes of a name that are none, as escapes."""
    return text.encode("utf-8", "backslashreplace")
