"""``nbnumba compare-traces``: compare two traces and name the first factor that differs."""

from __future__ import annotations

from pathlib import Path

import typer

from nbnumba.inspect.compare_traces import compare_traces, comparison_csv, comparison_data, comparison_lines
from nbnumba.inspect.trace_text import read_traces
from nbnumba.io.files import atomic_write


def compare_trace_files(a: Path, b: Path, rtol: float, json: Path | None, csv: Path | None) -> bool:
    """Print two traces side by side and the first divergence; returns whether there is none.

    Raises
    ------
    NbnumbaError
        A file is no trace, or cannot be written, or the traces have no factor in common.
    """
    comparisons = compare_traces(read_traces(a), read_traces(b), rtol)
    typer.echo(f"A: {a}\nB: {b}")
    typer.echo("\n\n".join("\n".join(comparison_lines(comparison)) for comparison in comparisons))
    if json is not None:
        from nbnumba.cli.run import write_json  # imports the whole simulation

        content = {"A": a, "B": b, "rtol": rtol, "pixels": comparison_data(comparisons)}
        write_json(json, content)
    if csv is not None:
        with atomic_write(csv) as handle:
            handle.write(comparison_csv(comparisons).encode())
    return all(comparison.first is None for comparison in comparisons)
