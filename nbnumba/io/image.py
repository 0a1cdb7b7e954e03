"""Images of files of any format that is read, and which of their pixels are good."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.cbf import read_cbf
from nbnumba.io.files import cause
from nbnumba.io.foreign import read_foreign
from nbnumba.io.npy import read_npy
from nbnumba.io.pgm import read_pgm
from nbnumba.io.raw import read_float_image
from nbnumba.io.smv import MAGIC, read_smv

#: Endings of files that hold float32 pixels and nothing else.
BARE_SUFFIXES = (".bin", ".raw", ".float")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_image(
    path: Path | str, shape: tuple[int, int] | None = None, image: int | None = None, *, panels: bool = False
) -> np.ndarray:
    """Read an image (slow, fast); the format is recognized by the ending and the content.

    ``.npy`` by its ending; ``.bin``, ``.raw`` and ``.float``, which have no header, as little-endian float32 of
    ``shape``; all others (HDF5, SMV, CBF, PGM, and TIFF and more through fabio) by their first bytes.

    Parameters
    ----------
    image : int, optional
        Number of the image, from 1, in a file of several.
    panels : bool
        Return the panels of an HDF5 or ``.npy`` file that has an axis for them as (panels, slow, fast); of HDF5 they are
        else laid below one another.

    Raises
    ------
    FileError
        The file cannot be read, does not hold one image, or has no image of this number.
    ConfigError
        The file has no header, and no shape is given; or it holds several images, and none is chosen.
    """
    path = Path(path)
    if _is_hdf5_image(path):
        from nbnumba.io.hdf5_image import read_hdf5_image

        return _checked(read_hdf5_image(path, image, panels=panels), path, 3 if panels else 2)
    if image is not None and image != 1:
        raise FileError(f"{path} holds one image: there is no image {image}")
    if path.suffix.lower() == ".npy":
        return _checked(read_npy(path, "image"), path, 3 if panels else 2)
    if path.suffix.lower() in BARE_SUFFIXES:
        if shape is None:
            raise ConfigError(f"{path} has no header: give its size with --shape SLOW FAST")
        return read_float_image(path, shape)
    return _checked(_by_content(path), path)


def count_images(path: Path | str) -> int:
    """Number of images of a file: 1, except in HDF5 files.

    Raises
    ------
    FileError
        An HDF5 file cannot be read, or holds none.
    """
    path = Path(path)
    if not _is_hdf5_image(path):
        return 1
    from nbnumba.io.hdf5_image import count_hdf5_images

    return count_hdf5_images(path)


def read_mask(path: Path | str, image: int | None = None, *, panels: bool = False) -> np.ndarray | None:
    """Which pixels of an image are good (slow, fast), by the ``pixel_mask`` of an NXmx file; None without one.

    Parameters
    ----------
    image, panels
        As of :func:`read_image`.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    path = Path(path)
    if not _is_hdf5_image(path):
        return None
    from nbnumba.io.hdf5_image import read_hdf5_mask

    return read_hdf5_mask(path, image, panels=panels)


def is_hdf5(path: Path | str) -> bool:
    """Whether a file is one of HDF5, which may begin with a block of something else; False if it cannot be read."""
    with suppress(OSError, ValueError), open(path, "rb") as file:
        start, size = 0, file.seek(0, 2)
        while start + len(_HDF5) <= size:
            file.seek(start)
            if file.read(len(_HDF5)) == _HDF5:
                return True
            start = max(512, 2 * start)
    return False


def _is_hdf5_image(path: Path) -> bool:
    return path.suffix.lower() not in (".npy", *BARE_SUFFIXES) and is_hdf5(path)


def _by_content(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            head = file.read(15)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise FileError(f"cannot read the image {path}: {cause(error)}") from error
    if head.startswith(b"###CBF"):
        return read_cbf(path)
    if head.startswith(b"P5"):
        return read_pgm(path)[0]
    if head.startswith(MAGIC):
        with suppress(FileError):  # an SMV file may have another pixel type, which fabio reads
            return read_smv(path).data
    return read_foreign(path)


def _checked(data: np.ndarray, path: Path, most_axes: int = 2) -> np.ndarray:
    is_number = np.issubdtype(data.dtype, np.number) and not np.iscomplexobj(data)
    if not 2 <= data.ndim <= most_axes or data.size == 0 or not is_number:
        raise FileError(f"{path} holds no image: its shape is {data.shape}, its type {data.dtype}")
    return data
