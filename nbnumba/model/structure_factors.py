"""Structure factors of the unit cell as a box of F by h, k, l."""

from __future__ import annotations

import math
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba import memory
from nbnumba.errors import ConfigError
from nbnumba.io.fdump import read_fdump
from nbnumba.io.kept import kept
from nbnumba.io.values import AtomicModel, FTable, Given, Reflections
from nbnumba.memory import derived
from nbnumba.model.config import StructureFactors
from nbnumba.model.crystal import is_same_cell

#: Crystals of one kind differ by less than this part of an edge, and this angle.
SAME_CELL = 0.02, 2.0


def build_grid(
    indices: np.ndarray, F: np.ndarray, default_F: float, source: str = "", cell: tuple[float, ...] | None = None
) -> FTable:
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
    return FTable(grid, int(mins[0]), int(mins[1]), int(mins[2]), len(F), default_F, source, cell)


def resolve_structure_factors(config: StructureFactors) -> tuple[FTable | None, list[str]]:
    """Box of structure factors from what is given, else from an earlier run's dump, else none.

    The table of a file, or of a value in memory, is kept: the same object is returned as long as that has not changed.

    Returns
    -------
    grid : FTable or None
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
    given = config.model if config.model is not None else config.hkl
    if isinstance(given, FTable):
        return given, []
    if given is None:
        return _without_list(config)
    options: tuple[Any, ...] = (config.hkl_label, config.hkl_dataset, config.hkl_symmetry, config.hkl_average)
    options += (config.default_F,)
    if config.model is not None:
        options = (config.model_dmin_A, config.model_wavelength_A, config.solvent_k, config.solvent_B, config.default_F)
    if isinstance(given, Given):
        table, notes = derived(given, ("F table", options), lambda: _make_table(config))
    else:
        table, notes = kept(given, ("F table", options), lambda: _make_table(config))
    return table, list(notes)


def _make_table(config: StructureFactors) -> tuple[FTable, list[str]]:
    """The table of a file, a model or reflections in memory."""
    if config.model is None and isinstance(config.hkl, Path) and content_kind(config.hkl) == "text":
        return _from_text(config)
    found = _reflections(config)
    source = config.model if config.model is not None else config.hkl
    box = build_grid(found.indices, found.F, config.default_F, str(source), found.cell)
    if found.spacegroup is not None:
        _extinguish(box, found.spacegroup)
    return box, list(found.notes)


def _reflections(config: StructureFactors) -> Reflections:
    """Reflections of the whole sphere: from a file that gemmi reads, from a model, or as given."""
    if config.model is not None:
        from nbnumba.io.model import calculate_reflections

        solvent = config.solvent_k, config.solvent_B
        model = config.model.structure if isinstance(config.model, AtomicModel) else config.model
        return calculate_reflections(model, config.model_dmin_A, config.model_wavelength_A, *solvent)
    if isinstance(config.hkl, Reflections):
        return config.hkl
    from nbnumba.io.reflections import read_reflections

    assert isinstance(config.hkl, Path)
    if config.hkl_symmetry is not None:
        raise ConfigError(f"--symmetry: {config.hkl} names its symmetry itself, leave --symmetry out")
    return read_reflections(config.hkl, config.hkl_label, average=config.hkl_average, dataset=config.hkl_dataset)


def _from_text(config: StructureFactors) -> tuple[FTable, list[str]]:
    """The table of a text list, of whatever format."""
    from nbnumba.io.lists.table import read_list

    assert isinstance(config.hkl, Path)
    found = read_list(config.hkl, config.hkl_label, config.hkl_average, config.hkl_dataset, config.hkl_symmetry)
    box = build_grid(found.indices, found.F, config.default_F, str(config.hkl), found.cell)
    notes = list(found.notes)
    if found.spacegroup is not None:
        _extinguish(box, found.spacegroup)
        return box, notes
    h, k, l = (found.indices - (box.h_min, box.k_min, box.l_min)).T
    overruled = int(np.count_nonzero(box.grid[h, k, l] != found.F))
    if overruled:
        several = "gives some h k l twice with different F (--average takes their mean): a later line replaced"
        notes.append(f"{config.hkl} {several} {overruled} of them")
    return box, notes


def cell_of(path: Path, label: str | None, dataset: str | None) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) of a file of structure factors; None where its format, or a pipe, has none.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    if not os.path.isfile(path):
        return None
    if content_kind(path) == "text":
        from nbnumba.io.lists.table import read_list_cell

        return read_list_cell(path)
    from nbnumba.io.reflections import read_cell

    return read_cell(path, label, dataset)


def cell_notes(source: str, own: tuple[float, ...] | None, crystal: tuple[float, ...]) -> list[str]:
    """A warning if the cell of structure factors is another one than the crystal's (Å, degrees); empty otherwise."""
    if own is None or is_same_cell(crystal, own, SAME_CELL):
        return []
    said = [" ".join(f"{value:.4g}" for value in cell) for cell in (own, crystal)]
    return [
        f"the structure factors of {source} are of a cell of {said[0]}, the crystal's is {said[1]}: "
        "are both of one crystal, in one setting?"
    ]


def _without_list(config: StructureFactors) -> tuple[FTable | None, list[str]]:
    """The dump of an earlier run, if there is one."""
    if os.path.exists(config.dump):
        table, notes = kept(config.dump, ("dump", config.default_F), lambda: _from_dump(config.dump, config.default_F))
        return table, list(notes)
    if config.default_F == 0:
        raise ConfigError(
            f"no structure factors: give -hkl FILE or -default_F NUMBER (there is no {config.dump} of an earlier run)"
        )
    return None, []


def _extinguish(box: FTable, spacegroup: Any) -> None:
    """Set systematic absences that the list does not have to 0, instead of ``default_F``."""
    if box.default_F == 0:
        return
    from nbnumba.io.symmetry import absent

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


def _from_dump(path: Path, default_F: float) -> tuple[FTable, list[str]]:
    grid, (h_min, k_min, l_min) = read_fdump(path)
    written = datetime.fromtimestamp(path.stat().st_mtime)
    notes = [f"reading Fs from {path}, written {written:%Y-%m-%d %H:%M:%S}; give -hkl FILE to replace them"]
    if default_F != 0:
        notes.append(
            f"default_F {default_F:g} holds outside {path} only: its holes were filled by the run that wrote it"
        )
    return FTable(grid, h_min, k_min, l_min, grid.size, default_F, str(path)), notes
