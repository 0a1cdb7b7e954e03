"""HDF5 files that get their name when they are complete, and the filter that compresses them.

Problem: if ``HDF5_PLUGIN_PATH`` names a folder with the filter, HDF5 loads it from there as soon as hdf5plugin asks whether
it is known, and hdf5plugin then leaves it alone. That copy was never told which HDF5 library it belongs to; it finds none
by itself in h5py's wheels, so that it reads, but fails when a data set is created ("error during user callback"). Choice:
a filter that hdf5plugin did not register itself is replaced by its own, which is connected to h5py's library.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin

from nbnumba.io.files import atomic_write


def bitshuffle() -> Mapping[str, Any]:
    """Arguments of ``create_dataset`` that compress by bitshuffle and LZ4."""
    name = hdf5plugin.Bitshuffle.filter_name
    # "unknown" is hdf5plugin's word for a filter that something else has registered
    if hdf5plugin.get_config().registered_filters.get(name) == "unknown":
        hdf5plugin.register(name, force=True)
    return hdf5plugin.Bitshuffle(cname="lz4")


@contextmanager
def new_hdf5(path: Path | str, *, track_order: bool = True) -> Iterator[h5py.File]:
    """An HDF5 file that gets its name when the block ends without an exception.

    It is built in memory: HDF5 also reads the file that it writes, and the temporary file of
    :func:`nbnumba.io.files.atomic_write` is write-only; and HDF5 crashes at the end of the process if the disk fills up while
    a file is closed.

    Parameters
    ----------
    track_order : bool
        Whether the groups at the root keep the order in which they were made.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w", track_order=track_order) as file:
        yield file
    with atomic_write(path) as target:
        target.write(memory.getbuffer())
