"""Reflection tables of DIALS, written as their format is defined: MessagePack, columns as blocks of little-endian numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

#: How the numbers of each type are stored.
STORED = {
    "bool": "u1",
    "int": "<i4",
    "std::size_t": "<u8",
    "double": "<f8",
    "vec2<double>": "<f8",
    "vec3<double>": "<f8",
    "mat3<double>": "<f8",
    "int6": "<i4",
    "cctbx::miller::index<>": "<i4",
}


def column(kind: str, values: Any) -> list[Any]:
    """A column: its type, and how many elements of what bytes it has."""
    array = np.asarray(values)
    return [kind, [len(array), np.ascontiguousarray(array, STORED[kind]).tobytes()]]


def refl(
    columns: Mapping[str, list[Any]],
    n_rows: int,
    identifiers: Mapping[int, str] | None = None,
    version: int = 2,
    **more: Any,
) -> bytes:
    """A file of these columns."""
    table = {"identifiers": dict(identifiers or {}), "nrows": n_rows, "data": dict(columns), **more}
    return bytes(msgpack.packb(["dials::af::reflection_table", version, table]))


def some_columns(n: int = 5, seed: int = 1) -> dict[str, tuple[str, np.ndarray]]:
    """A column of each type of numbers, with its values."""
    rng = np.random.default_rng(seed)
    return {
        "miller_index": ("cctbx::miller::index<>", rng.integers(-30, 30, (n, 3))),
        "id": ("int", rng.integers(-1, 3, n)),
        "panel": ("std::size_t", rng.integers(0, 2**40, n)),
        "flags": ("std::size_t", np.full(n, 2**63 + 5, np.uint64)),
        "xyzobs.px.value": ("vec3<double>", rng.normal(size=(n, 3))),
        "xyzcal.mm": ("vec3<double>", rng.normal(size=(n, 3))),
        "mosflm": ("vec2<double>", rng.normal(size=(n, 2))),
        "covariance": ("mat3<double>", rng.normal(size=(n, 3, 3))),
        "bbox": ("int6", rng.integers(-9, 999, (n, 6))),
        "intensity.sum.value": ("double", rng.normal(size=n)),
        "entering": ("bool", rng.integers(0, 2, n)),
    }


def write_refl(path: Path, n: int = 5, **options: Any) -> Path:
    """A file with all of :func:`some_columns`."""
    columns = {name: column(kind, values) for name, (kind, values) in some_columns(n).items()}
    path.write_bytes(refl(columns, n, **options))
    return path
