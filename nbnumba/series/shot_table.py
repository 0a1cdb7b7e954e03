"""The table of refined shots: a row for each, and which of them are unlike the others."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.derive.catalog import CELL
from nbnumba.derive.setting import SIZES
from nbnumba.derive.standard_cell import unit_cell_of
from nbnumba.io.files import atomic_write
from nbnumba.io.json_file import write_json
from nbnumba.refinement.refined import Refined

#: Robust z-score beyond which a value makes its shot an outlier, and the fewest shots among which there are any.
CLEAR, FEWEST = 5.0, 5
#: Values that differ by less than this, relatively, are alike.
ALIKE = 1e-6
#: What rows begin with, of the records; then come the model and the parameters.
FIGURES = {
    "spots": "spots",
    "pixels": "pixels",
    "rejected_pixels": "rejected_pixels",
    "chi2": "chi2_per_degree_of_freedom",
    "sigma_Z": "sigma_Z",
    "offset_before_px": "offset_before_px",
    "offset_after_px": "offset_after_px",
    "seconds": "seconds",
}
BEGIN = ("shot", "state", "reason", "outlier", *FIGURES)
END = ("image",)


def model_of(refined: Refined) -> list[dict[str, list[float]]]:
    """Cell (Å, degrees) and numbers of cells of every lattice, for records."""
    found = []
    for setting in refined.settings:
        found.append({"cell": unit_cell_of(setting.state.direct).tolist(), "N": np.diag(setting.state.size).tolist()})
    return found


def row_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a refined shot."""
    row: dict[str, Any] = {
        "shot": record["shot"],
        "state": "refined" if record["converged"] else "not converged",
        "reason": record["reason"],
        "outlier": {},
        **{name: record[key] for name, key in FIGURES.items()},
    }
    several = len(record["lattices"]) > 1
    for number, lattice in enumerate(record["lattices"], 1):
        before = f"lattice{number}." if several else ""
        values = [*lattice["cell"], *lattice["N"]]
        row |= {f"{before}{name}": value for name, value in zip((*CELL, *SIZES), values, strict=True)}
    for name, found in record["parameters"].items():
        row[name] = found["value"]
        row[f"{name}_error"] = found["error"]
    return row | {"image": record["image"]}


def failed_row(shot: str, image: str, reason: str) -> dict[str, Any]:
    """The row of a shot that could not be refined."""
    return {"shot": shot, "state": "failed", "reason": reason, "outlier": {}, "image": image}


def flag_outliers(rows: Sequence[dict[str, Any]]) -> None:
    """Fill ``outlier`` of every row with the columns that make it one, and their robust z-scores.

    Those of chi^2, cell and N: the distance from the median over 1.4826 times the median of these distances.
    """
    for row in rows:
        row["outlier"] = {}
    for column in dict.fromkeys(name for row in rows for name in row if _is_compared(name)):
        there = [row for row in rows if isinstance(row.get(column), float) and np.isfinite(row[column])]
        if len(there) < FEWEST:
            continue
        for row, z in zip(there, robust_z(np.array([row[column] for row in there])), strict=True):
            if abs(z) > CLEAR:
                row["outlier"][column] = float(z)


def robust_z(values: np.ndarray) -> np.ndarray:
    """Distances from the median over the standard deviation that their median tells, (n,)."""
    middle = np.median(values)
    width = max(1.4826 * float(np.median(np.abs(values - middle))), ALIKE * abs(float(middle)), 1e-300)
    found: np.ndarray = (values - middle) / width
    return found


def _is_compared(column: str) -> bool:
    return column == "chi2" or column.rpartition(".")[2] in (*CELL, *SIZES)


def write_shot_table(table: Path, records: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows as CSV and as JSON, both or none.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    names = [name for name in columns(rows) if name not in (*BEGIN, *END)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*BEGIN, *names, *END])
    for row in rows:
        writer.writerow([_shown(row.get(name)) for name in (*BEGIN, *names, *END)])
    with atomic_write(table) as handle:
        handle.write(text.getvalue().encode("utf-8", "backslashreplace"))
    write_json(records, {"shots": list(rows)})


def columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of all columns of rows, each once."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return " ".join(f"{name}:{z:+.1f}" for name, z in value.items())
    if isinstance(value, float):
        return f"{value:.8g}" if np.isfinite(value) else ""
    return "" if value is None else value
