"""Shots as tasks for processes: light to send, what many of them share being in files that each process maps once.

Structure factors are found by their place in a list, and so are masks of pixels. A digest of everything that determines a
refinement goes with each shot.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.io.files import atomic_write
from nbnumba.io.kept import kept
from nbnumba.model.config import Simulation, StructureFactors
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.structure_factors import resolve_structure_factors
from nbnumba.refinement.shots import ShotFile
from nbnumba.series.folder import file_digest, flatten
from nbnumba.series.tables import TableFile, with_list, with_whole_paths, without_list


@dataclass(frozen=True, eq=False)
class Parcel:
    """A shot whose starts have neither lists of structure factors nor masks.

    Attributes
    ----------
    shot : ShotFile
    tables, masks : tuple of int or None
        What each start has of the :class:`Stock`; None: nothing.
    inputs : str
        Digest of the starts, and of the options that the shot has of its own.
    """

    shot: ShotFile
    tables: tuple[int | None, ...]
    masks: tuple[int | None, ...]
    inputs: str


@dataclass(frozen=True)
class Stock:
    """Files of what shots share."""

    tables: tuple[TableFile, ...] = ()
    masks: tuple[Path, ...] = ()


class Packer:
    """Makes parcels, and the files of the stock in a folder; ``symmetry``: whether lists tell that of structure factors."""

    def __init__(self, folder: Path, symmetry: bool = True) -> None:
        self._folder, self._symmetry = folder, symmetry
        self._tables: list[tuple[StructureFactors, TableFile, str]] = []
        self._masks: list[tuple[np.ndarray, Path, str]] = []

    @property
    def stock(self) -> Stock:
        """What all parcels so far need."""
        return Stock(tuple(found for _, found, _ in self._tables), tuple(path for _, path, _ in self._masks))

    def pack(self, shot: ShotFile) -> Parcel:
        """The parcel of a shot.

        Raises
        ------
        ConfigError, FileError, ResourceError
            Structure factors cannot be read, or a file not be written.
        """
        starts, tables, masks, facts = [], [], [], []
        for start in shot.starts:
            found: dict[str, Any] = {}
            table, digest = self._table(start.structure_factors)
            light = start
            if table is not None:
                # a dump of an earlier run is not read then, and need not be looked at
                light = without_list(start).changed(dump=Path(os.devnull))
                found["list"] = digest
            mask = None
            if start.mask is not None:
                mask, found["mask"] = self._mask(start.mask)
                light = replace(light, mask=None)
            flatten(found, "", light)
            facts.append(found)
            starts.append(with_whole_paths(light))
            tables.append(table)
            masks.append(mask)
        options = dict(shot.options)
        if self._symmetry and (named := shot.starts[0].structure_factors.hkl_symmetry) is not None:
            options.setdefault("symmetry", named)
        shown = {name: repr(value) for name, value in sorted(options.items())}
        if shot.number is not None:
            shown["number"] = repr(shot.number)
        if shot.reflections is not None:
            shown["reflections"] = image_digest(shot.reflections)
        content = json.dumps([facts, shown], sort_keys=True, default=str)
        image = Path(os.path.abspath(shot.image)) if isinstance(shot.image, str | os.PathLike) else shot.image
        packed = replace(shot, image=image, start=tuple(starts), options=options)
        return Parcel(packed, tuple(tables), tuple(masks), hashlib.sha256(content.encode()).hexdigest())

    def _table(self, given: StructureFactors) -> tuple[int | None, str]:
        """Number of the file of structure factors, and their digest; None where all reflections have the same."""
        for number, (known, _, digest) in enumerate(self._tables):
            if known is given or known == given:
                return number, digest
        grid, _ = resolve_structure_factors(given)
        if grid is None:
            return None, ""
        found = TableFile.of(grid, self._folder / f"F{len(self._tables)}.npy")
        self._tables.append((given, found, digest_of(grid.grid, found.limits)))
        return len(self._tables) - 1, self._tables[-1][2]

    def _mask(self, mask: np.ndarray) -> tuple[int, str]:
        for number, (known, _, digest) in enumerate(self._masks):
            if known is mask or np.array_equal(known, mask):
                return number, digest
        path = self._folder / f"mask{len(self._masks)}.npy"
        with atomic_write(path) as handle:
            np.save(handle, mask)
        self._masks.append((mask, path, digest_of(mask)))
        return len(self._masks) - 1, self._masks[-1][2]


def digest_of(array: np.ndarray, more: object = None) -> str:
    """Checksum of an array, and of what is given besides."""
    found = hashlib.sha256(np.ascontiguousarray(array).tobytes())
    found.update(repr((array.shape, str(array.dtype), more)).encode())
    return f"sha256:{found.hexdigest()}"


def image_digest(image: Any, several: bool = False) -> str:
    """Checksum of an image: of its file, or of its pixels; also of other arrays, or a sequence of them.

    ``several``: whether other images are in the same file, which is then read for this once.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        found: str = kept(path, "digest", lambda: file_digest(path)) if several else file_digest(path)
        return found
    if isinstance(image, np.ndarray):
        return digest_of(image)
    joined = "".join(digest_of(np.asarray(one)) for one in image)
    return f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}"


class Unpacker:
    """Makes starts of parcels again; what they share is mapped, and resolved, once."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._loaded: dict[Path, Any] = {}
        self._latest: Experiment | None = None

    def experiments(self, parcel: Parcel) -> list[Experiment]:
        """The models to start from; what they have in common with earlier ones is used again.

        Raises
        ------
        ConfigError, FileError
            See :func:`nbnumba.model.experiment.resolve`.
        """
        found = []
        for start in self.starts(parcel):
            self._latest = resolve(start, like=self._latest)
            found.append(self._latest)
        return found

    def starts(self, parcel: Parcel) -> list[Simulation]:
        """The models to start from."""
        found = []
        for start, table, mask in zip(parcel.shot.starts, parcel.tables, parcel.masks, strict=True):
            if table is not None:
                file = self._stock.tables[table]
                if file.path not in self._loaded:
                    self._loaded[file.path] = file.load()
                start = with_list(start, self._loaded[file.path])
            if mask is not None:
                path = self._stock.masks[mask]
                if path not in self._loaded:
                    self._loaded[path] = np.asarray(np.load(path, mmap_mode="c"))
                start = replace(start, mask=self._loaded[path])
            found.append(start)
        return found


def without_stock(refined: Simulation, start: Simulation, light: Simulation) -> Simulation:
    """A refined simulation, light to send: with neither mask nor structure factors, unless those were refined.

    Parameters
    ----------
    start, light : Simulation
        What it was refined from, and that of the parcel.
    """
    same = refined.structure_factors is start.structure_factors
    return replace(
        refined, mask=light.mask, structure_factors=light.structure_factors if same else refined.structure_factors
    )
