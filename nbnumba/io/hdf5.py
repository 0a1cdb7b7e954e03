"""HDF5 files that get their name when they are complete."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nbnumba.io.files import atomic_write


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
