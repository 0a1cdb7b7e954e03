"""Structure factors of the unit cell as a box of F by h, k, l."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba import memory
from nbnumba.errors import ConfigError
from nbnumba.io.fdump import read_fdump
from nbnumba.io.hkl import read_hkl
from nbnumba.model.config import StructureFactors


@dataclass(frozen=True, eq=False)
class FhklGrid:
    """F of every index in a box.

    Attributes
    ----------
    grid : (nh, nk, nl) float64, C-contiguous
        F in electrons; ``grid[h - h_min, k - k_min, l - l_min]``.
    n_reflections : int
        Reflections in the text file, or indices in the box of a dump.
    default_F : float
        F outside the box, and of its holes where the box comes from a text file.
    source : str
        File it was read from.
    """

    grid: np.ndarray
    h_min: int
    k_min: int
    l_min: int
    n_reflections: int
    default_F: float
    source: str


def build_grid(indices: np.ndarray, F: np.ndarray, default_F: float, source: str = "") -> FhklGrid:
    """Box around all reflections; where one occurs twice, the last F counts.

    Parameters
    ----------
    indices : (n, 3) int
        h, k, l; at least one row.
    F : (n,) float
        Electrons.

    Raises
    ------
    ResourceError
        The box does not fit in memory; one wrong index can be the cause.
    """
    mins, maxs = indices.min(axis=0), indices.max(axis=0)
    shape = tuple(int(high) - int(low) + 1 for low, high in zip(mins, maxs, strict=True))
    limits = ", ".join(f"{name} {low} to {high}" for name, low, high in zip("hkl", mins, maxs, strict=True))
    what = f"the box of structure factors{f' of {source}' if source else ''} ({limits})"
    memory.require(8 * math.prod(shape), what, "check the list for a wrong index")
    grid = np.full(shape, default_F, dtype=np.float64)
    h, k, l = (indices - mins).T
    grid[h, k, l] = F
    return FhklGrid(grid, int(mins[0]), int(mins[1]), int(mins[2]), len(F), default_F, source)


def resolve_structure_factors(config: StructureFactors) -> tuple[FhklGrid | None, list[str]]:
    """Box of structure factors from the text file, else from an earlier run's dump, else none.

    Returns
    -------
    grid : FhklGrid or None
        None: every reflection has ``default_F``.
    notes : list of str
        One sentence for each choice that the user may not expect.

    Raises
    ------
    FileError
        A file cannot be read.
    ConfigError
        Neither a file nor ``default_F`` gives F.
    ResourceError
        The box does not fit in memory.
    """
    if config.model is not None:
        return _from_model(config)
    if config.hkl is not None:
        if content_kind(config.hkl) != "text":
            return _from_reflections(config)
        if config.hkl_label is not None:
            raise ConfigError(f"--label: {config.hkl} is a text file, which has one column of F")
        indices, F = read_hkl(config.hkl)
        box = build_grid(indices, F, config.default_F, str(config.hkl))
        h, k, l = (indices - (box.h_min, box.k_min, box.l_min)).T
        overruled = int(np.count_nonzero(box.grid[h, k, l] != F))
        several = f"{config.hkl} gives some h k l twice with different F: a later line replaced {overruled} of them"
        return box, [several] if overruled else []
    if os.path.exists(config.dump):
        return _from_dump(config.dump, config.default_F)
    if config.default_F == 0:
        raise ConfigError(
            f"no structure factors: give -hkl FILE or -default_F NUMBER (there is no {config.dump} of an earlier run)"
        )
    return None, []


def _from_reflections(config: StructureFactors) -> tuple[FhklGrid, list[str]]:
    assert config.hkl is not None
    from nbnumba.io.reflections import read_reflections

    found = read_reflections(config.hkl, config.hkl_label)
    box = build_grid(found.indices, found.F, config.default_F, str(config.hkl))
    _extinguish(box, found.spacegroup)
    return box, list(found.notes)


def _from_model(config: StructureFactors) -> tuple[FhklGrid, list[str]]:
    assert config.model is not None
    from nbnumba.io.model import calculate_reflections

    found = calculate_reflections(
        config.model, config.model_dmin_A, config.model_wavelength_A, config.solvent_k, config.solvent_B
    )
    box = build_grid(found.indices, found.F, config.default_F, str(config.model))
    _extinguish(box, found.spacegroup)
    return box, list(found.notes)


def _extinguish(box: FhklGrid, spacegroup: Any) -> None:
    """Set systematic absences that the file does not list to 0, instead of ``default_F``."""
    if box.default_F == 0:
        return
    from nbnumba.io.reflections import absent

    holes = np.argwhere(box.grid == box.default_F)
    indices = holes + np.array([box.h_min, box.k_min, box.l_min])
    out = holes[absent(indices, spacegroup)].T
    box.grid[out[0], out[1], out[2]] = 0.0


def content_kind(path: Path) -> str:
    """``text`` for a list of h k l F; else the format that gemmi reads, which is loaded only then."""
    # a pipe can be read only once and is taken for text; the reader reports a file that cannot be read
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        return "text"
    with open(path, "rb") as handle:
        head = handle.read(1)
    if head in b"0123456789+-. \t":
        return "text"
    from nbnumba.io import reflections

    return reflections.content_kind(path)


def _from_dump(path: Path, default_F: float) -> tuple[FhklGrid, list[str]]:
    grid, (h_min, k_min, l_min) = read_fdump(path)
    written = datetime.fromtimestamp(path.stat().st_mtime)
    notes = [f"reading Fs from {path}, written {written:%Y-%m-%d %H:%M:%S}; give -hkl FILE to replace them"]
    if default_F != 0:
        notes.append(
            f"default_F {default_F:g} holds outside {path} only: its holes were filled by the run that wrote it"
        )
    return FhklGrid(grid, h_min, k_min, l_min, grid.size, default_F, str(path)), notes
