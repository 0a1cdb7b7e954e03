"""The folder of the refinement of many shots: which are refined, and the check that it belongs to this refinement.

::

    FOLDER/refinement.json   options of all shots (written first)
    FOLDER/NAME.json         a refined shot, with digests of its image and of the model that it began with
    FOLDER/NAME.expt         its model; NAME.csv, its spots
    FOLDER/shots.csv         one row for each shot (written last); shots.json, the same
    FOLDER/geometry.json     what shots share, if that is refined; geometry.csv, the panels
    FOLDER/.parts/           structure factors and masks, as long as it runs

A shot is complete when its JSON exists; the files of a shot get their names together. A shot that failed has none, and is
tried again by the next run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import nbnumba
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import cause
from nbnumba.io.json_file import write_json
from nbnumba.refinement.options import RefineOptions
from nbnumba.render.threads import usable_cores
from nbnumba.series.folder import PARTS, check_same, read_manifest
from nbnumba.series.parcels import Parcel, digest_of, image_digest

MANIFEST, TABLE, GEOMETRY = "refinement.json", "shots", "geometry"
#: Names that no shot can have.
RESERVED = (TABLE, GEOMETRY, MANIFEST.removesuffix(".json"))


def describe(options: RefineOptions, device: str, mask: Any, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that all shots have in common and that decides what comes of them."""
    found = {"nbnumba": nbnumba.__version__, "device": device, **(more or {})}
    found |= {f"options.{name}": value for name, value in asdict(options).items()}
    if mask is not None:
        arrays = mask if isinstance(mask, list | tuple) else [mask]
        found["mask"] = [digest_of(np.asarray(one)) for one in arrays]
    return found


class RefineFolder:
    """Paths and state of the folder."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(os.path.abspath(path))
        self.parts = self.path / PARTS
        self.table = self.path / f"{TABLE}.csv"
        self.records = self.path / f"{TABLE}.json"
        self.geometry = self.path / f"{GEOMETRY}.json"

    def record(self, name: str) -> Path:
        """Record of a shot."""
        return self.path / f"{name}.json"

    def prepare(self, ours: dict[str, Any], names: Sequence[str]) -> None:
        """Make the folder and its manifest, or check that an existing manifest has the same options.

        Raises
        ------
        ConfigError
            The folder holds a refinement with other options, or files with the names of shots and no manifest.
        FileError
            The folder cannot be made, or holds a manifest that cannot be read.
        """
        theirs = read_manifest(self.path, MANIFEST)
        if theirs is not None:
            check_same(theirs, ours, self.path, "another refinement")
        else:
            present = set(os.listdir(self.path)) if self.path.is_dir() else set()
            taken = [name for name in (f"{one}.json" for one in (*names, TABLE, GEOMETRY)) if name in present]
            if taken:
                raise ConfigError(
                    f"{self.path} holds {taken[0]}, which no refinement of many shots has made there: give another --out"
                )
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make the folder {self.path}: {cause(error)}") from error
        if theirs is None:
            write_json(self.path / MANIFEST, ours)

    def done(self, parcels: Sequence[Parcel]) -> dict[int, dict[str, Any]]:
        """Records of the shots that are complete, by the numbers of their parcels.

        Raises
        ------
        ConfigError
            A record is of another image or start.
        FileError
            A record cannot be read.
        """
        there = [number for number, parcel in enumerate(parcels) if self.record(parcel.shot.name).exists()]
        with ThreadPoolExecutor(usable_cores()) as pool:  # digests are computed without Python's lock
            found = pool.map(lambda number: self._known(parcels[number]), there)
            return dict(zip(there, found, strict=True))

    def _known(self, parcel: Parcel) -> dict[str, Any]:
        path = self.record(parcel.shot.name)
        record = read_record(path)
        other = "start model or options" if record.get("inputs") != parcel.inputs else ""
        if not other:
            try:
                digest = image_digest(parcel.shot.image, parcel.shot.number is not None)
                other = "image" if record.get("image_digest") != digest else ""
            except FileError:  # an image that has been moved away since: what came of it stays
                other = ""
        if other:
            raise ConfigError(
                f"{path} was made with another {other}: remove it to refine the shot again, or give another --out"
            )
        return record

    def tidy(self) -> None:
        """Remove temporary files, and the files that all shots share."""
        shutil.rmtree(self.parts, ignore_errors=True)
        for left in self.path.glob(".nbnumba-*.tmp"):
            left.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any]:
    """Record of a shot.

    Raises
    ------
    FileError
        It cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: {error}; remove it to refine the shot again") from error
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise FileError(f"{path} is no record of a refined shot; remove it, or give another --out")
    return content
