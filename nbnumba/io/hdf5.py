"""HDF5 files that are written whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nbnumba.io.files import atomic_write


@contextmanager
def new_hdf5(path: Path | str, *, track_order: bool = True) -> Iterator[h5py.File]:
    """An HDF5 file that takes its name when the block ends without an exception.

    It is made in memory: HDF5 wants to read what it has written, which the temporary file of
    :func:`nbnumba.io.files.atomic_write` cannot; and a disk that fills up while HDF5 closes a file makes it crash when
    the process ends.

    Parameters
    ----------
    track_order : bool
        Whether the groups at the root keep the order in which they were made.

    Raises
    ------
    FileError
        It cannot be written.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w", track_order=track_order) as file:
        yield file
    with atomic_write(path) as target:
        target.write(memory.getbuffer())
