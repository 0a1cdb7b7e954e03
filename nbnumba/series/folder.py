"""The folder of a series: its files, the shots that are missing, and the check that it belongs to this series.

::

    FOLDER/series.json            what the series is made from (written first)
    FOLDER/lysozyme_0001.img ...  the images
    FOLDER/.parts/000001.npz ...  truth of finished shots, until all are finished
    FOLDER/lysozyme_truth.h5      truth of all shots (written last), lysozyme.expt, lysozyme.png
    FOLDER/lysozyme.nxs           a rotation series in NXmx as one data set: a list of its files

A shot is complete when its images and its truth exist under their final names; a file gets its final name only when it
is complete. A process that dies leaves complete shots and temporary files, which the next run removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nbnumba
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import atomic_write, cause
from nbnumba.io.values import Given
from nbnumba.series.shots import Series

MANIFEST = "series.json"
PARTS = ".parts"


class Folder:
    """Paths and state of a series' folder."""

    def __init__(self, path: Path | str, series: Series) -> None:
        self.path = Path(os.path.abspath(path))
        self.series = series
        self.truth = self.path / f"{series.name}_truth.h5"
        self.models = self.path / f"{series.name}.expt"
        self.sheet = self.path / f"{series.name}.png"
        self.master = None if series.joined is None else self.path / series.outputs.files[series.joined].name

    def part(self, number: int) -> Path:
        """File that holds the truth of a shot until all shots are complete."""
        return self.path / PARTS / f"{number:06d}.npz"

    def _images(self) -> Iterator[list[str]]:
        """Names of the images of each shot."""
        templates = [_hashed(path.name, self.series) for path in self.series.shot(1).files]
        for number in range(1, self.series.images + 1):
            yield [name.replace("#", _digits(number, self.series)) for name in templates]

    def missing(self) -> list[int]:
        """Numbers of the shots that are not complete."""
        present = _names(self.path)
        parts = None if self.truth.name in present else _names(self.path / PARTS)
        lacking = []
        for number, names in enumerate(self._images(), 1):
            if not present.issuperset(names) or (parts is not None and self.part(number).name not in parts):
                lacking.append(number)
        return lacking

    def prepare(self) -> None:
        """Make the folder and its manifest, or check that an existing manifest is of the same series.

        Raises
        ------
        ConfigError
            The folder holds another series (the message names the first differences), or files with the names of the
            series but no manifest.
        FileError
            The folder cannot be made, or holds a manifest that cannot be read.
        """
        if not (self.path / MANIFEST).exists():
            self._spare_strangers()
        try:
            (self.path / PARTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make the folder {self.path}: {cause(error)}") from error
        ours = description(self.series)
        theirs = read_manifest(self.path)
        if theirs is not None:
            check_same(theirs, ours, self.path)
            return
        with atomic_write(self.path / MANIFEST) as handle:
            handle.write(f"{json.dumps(ours, indent=1)}\n".encode())

    def _spare_strangers(self) -> None:
        """Raise ConfigError if a file of the series would replace one that is there, in a folder without a series."""
        present = _names(self.path)
        wanted = [path.name for path in (self.truth, self.models, self.sheet, self.master) if path is not None]
        wanted += [name for names in self._images() for name in names]
        taken = [name for name in wanted if name in present]
        if taken:
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            raise ConfigError(
                f"{self.path} holds {taken[0]}{more}, which no series has made there: give another --out, or --name NAME"
            )

    def tidy(self) -> None:
        """Remove temporary files and the parts of a series that is complete."""
        shutil.rmtree(self.path / PARTS, ignore_errors=True)
        for left in self.path.glob(".nbnumba-*.tmp"):
            left.unlink(missing_ok=True)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Make a folder and lock it against other processes; the lock ends with the process.

    Raises
    ------
    FileError
        The folder cannot be made, or another process has locked it.
    """
    folder = _locked(path)
    try:
        yield
    finally:
        if folder is not None:
            os.close(folder)


def _locked(path: Path) -> int | None:
    """The folder, open and locked; None where the system has no locks: two runs at once repeat the work, but write the same."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {path}: {cause(error)}") from error
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        folder = os.open(path, os.O_RDONLY)  # the folder itself is locked, so that no lock file is left behind
    except OSError as error:
        raise FileError(f"cannot make the folder {path}: {cause(error)}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise FileError(f"another run is writing this series in {path}: wait for it or stop it") from None
    except OSError:  # a file system without locks
        pass
    return folder


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):  # prepare() reports the latter
        return set()


def _digits(number: int, series: Series) -> str:
    return f"{number:0{max(4, len(str(series.images)))}d}"


def _hashed(name: str, series: Series) -> str:
    """The file name of shot 1 with ``#`` for its number."""
    head, _, tail = name.rpartition(f"_{_digits(1, series)}")
    return f"{head}_#{tail}"


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any] | None:
    """Description of the series in a folder; None where the folder has no manifest.

    Raises
    ------
    FileError
        The manifest cannot be read.
    """
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: {error}; remove the folder to begin anew") from error
    if not isinstance(content, dict):
        raise FileError(f"{path} is no record of a series; remove the folder to begin anew")
    return content


def check_same(theirs: dict[str, Any], ours: dict[str, Any], folder: Path, what: str = "another series") -> None:
    """Raise ConfigError if two descriptions differ, naming up to three fields."""
    # through JSON, as the description in the manifest
    ours = json.loads(json.dumps(ours))
    different = [
        f"{key} was {_shown(theirs, key)} and now is {_shown(ours, key)}"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key, "-") != ours.get(key, "-")
    ]
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise ConfigError(
            f"{folder} holds {what}: {'; '.join(different[:3])}{more}. "
            "Give the same flags to continue it, or another --out"
        )


def _shown(description: dict[str, Any], key: str) -> str:
    return json.dumps(description[key])[:80] if key in description else "not there"


def description(series: Series) -> dict[str, Any]:
    """Everything that determines the files of a series, field by field, in types that JSON has.

    Input files are represented by a digest of their content, the mask by one of its pixels, values of each image by one
    of them all.

    Raises
    ------
    FileError
        An input file cannot be read.
    """
    found: dict[str, Any] = {"nbnumba": nbnumba.__version__}
    for key in ("images", "kind", "orientations", "seed", "device", "precision"):
        found[key] = getattr(series, key)
    for variation in series.variations:
        rule = {"distribution": variation.distribution, **dict(variation.parameters), "times": variation.times}
        found[f"vary.{variation.name}"] = rule
    if series.by_image:
        content = json.dumps(series.by_image).encode()
        found["by_image"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
    flatten(found, "", series.simulation)
    for entry in fields(series.outputs):
        value = getattr(series.outputs, entry.name)
        if entry.name != "seed":
            found[f"outputs.{entry.name}"] = value.name if isinstance(value, Path) else value
    return found


def flatten(found: dict[str, Any], prefix: str, owner: Any) -> None:
    """Add all fields of a dataclass, and of those in it, by their names after ``prefix``: files and arrays by digests."""
    for entry in fields(owner):
        name, value = f"{prefix}{entry.name}", getattr(owner, entry.name)
        if name in ("structure_factors.write_dump",):
            continue
        if isinstance(value, Given):
            found[name] = value.digest()
        elif is_dataclass(value):
            flatten(found, f"{name}.", value)
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for index, item in enumerate(value):
                flatten(found, f"{name}[{index}].", item)
        elif isinstance(value, Path):
            found[name] = file_digest(value)
        elif isinstance(value, np.ndarray):
            found[name] = f"sha256:{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
        else:
            found[name] = value


def file_digest(path: Path) -> str:
    """Checksum of a file.

    Raises
    ------
    FileError
        It cannot be read.
    """
    if not path.exists():  # Fdump.bin of an earlier run is optional
        return "not there"
    try:
        with open(path, "rb") as handle:
            return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise FileError(f"cannot read {path}: {cause(error)}") from error
