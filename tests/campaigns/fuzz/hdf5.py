"""HDF5 files made from recipes: what is fuzzed is the structure that our readers walk through, not libhdf5's bytes.

A recipe is text. Its first line names the file to begin with, each other line is a change::

    base own
    del /entry/instrument/beam
    set /entry/instrument/beam/incident_wavelength [0.9, "x"]
    claim /entry/sample/transformations/omega 1000000000000
    attr /entry/sample/transformations/omega depends_on "."
    noattr /entry NX_class
    link /entry/sample /entry

Lines that say nothing are passed over.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.campaigns.fuzz import seeds

_MOST = 200  # lines


@functools.cache
def bases(kind: str) -> dict[str, bytes]:
    """Files to begin with, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: make(Path(folder)) for name, make in seeds.HDF5_FILES[kind].items()}


def build(kind: str, recipe: str, path: Path) -> None:
    """Write the file that a recipe describes."""
    known = bases(kind)
    lines = recipe.split("\n")[:_MOST]
    words = lines[0].split()
    path.write_bytes(known.get(words[1] if len(words) > 1 else "", next(iter(known.values()))))
    with h5py.File(path, "r+") as file:
        for line in lines[1:]:
            # what cannot be done to a file is no file to be read
            with contextlib.suppress(Exception):
                _change(file, *line.split(maxsplit=2))


def _change(file: h5py.File, kind: str, place: str, rest: str = "") -> None:
    if kind == "del":
        del file[place]
    elif kind == "set":
        value = json.loads(rest)
        attributes = dict(file[place].attrs) if place in file else {}
        if place in file:
            del file[place]
        file[place] = _value(value)
        file[place].attrs.update(attributes)
    elif kind == "claim":  # a data set that says it is large, and holds nothing
        attributes = dict(file[place].attrs) if place in file else {}
        if place in file:
            del file[place]
        data = file.create_dataset(place, (int(rest),), chunks=(1024,), dtype="f8")
        data.attrs.update(attributes)
    elif kind == "attr":
        name, text = rest.split(maxsplit=1)
        file[place].attrs[name] = _value(json.loads(text))
    elif kind == "noattr":
        del file[place].attrs[rest]
    elif kind == "link":
        if place in file:
            del file[place]
        file[place] = h5py.SoftLink(rest)


def _value(value: Any) -> Any:
    return value if isinstance(value, str) else np.array(value)


def recipes(kind: str) -> list[bytes]:
    """Seeds: every file as it is, without one of its parts, and with what it holds said again."""
    found = [f"base {name}\n" for name in bases(kind)]
    for name, content in bases(kind).items():
        with h5py.File(io.BytesIO(content), "r") as file:
            places: list[str] = []
            file.visit(places.append)
            lines = []
            for place in places:
                attributes = file[place].attrs.items()
                lines += [f"attr /{place} {key} {json.dumps(_plain(value))}" for key, value in attributes]
                if isinstance(file[place], h5py.Dataset) and file[place].size < 20:
                    lines.append(f"set /{place} {json.dumps(_plain(file[place][()]))}")
            found += [f"base {name}\ndel /{place}" for place in places[::4]]
            found += ["\n".join([f"base {name}", *lines[i : i + 12]]) for i in range(0, len(lines), 12)]
    return [text.encode() for text in found]


def _plain(value: Any) -> Any:
    value = value.decode() if isinstance(value, bytes) else value
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
