"""HDF5 file with an image and its derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import nbnumba
from nbnumba.io.hdf5 import bitshuffle, new_hdf5


def unit_of(name: str) -> str:
    """Unit of a parameter, told by its name; empty for numbers."""
    for ending, unit in (("_deg", "degree"), ("_mrad", "mrad"), ("_mm", "mm"), ("_um", "um"), ("_A", "Å")):
        if name.split("[")[0].endswith(ending):
            return unit
    if name.startswith("cell_"):
        return "Å" if name in ("cell_a", "cell_b", "cell_c") else "degree"
    return {"B_factor": "Å^2"}.get(name, "electron" if name.startswith("F[") else "")


def write_derivatives(
    path: Path,
    images: Sequence[np.ndarray],
    derivatives: Mapping[str, Sequence[np.ndarray]],
    masks: Sequence[np.ndarray],
    command: str,
) -> None:
    """Write ``/image``, ``/mask`` and ``/derivatives/NAME``, (slow, fast); of several panels in groups ``/panel_0``, ...

    Parameters
    ----------
    images, masks : sequence of (spixels, fpixels)
        Photons, and which pixels were asked for, of every panel.
    derivatives : mapping of str to sequence of (spixels, fpixels)
        Photons per unit of the parameter, by names.
    command : str
        The command line, for the record.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    with new_hdf5(path) as file:
        file.attrs["creator"], file.attrs["version"], file.attrs["command"] = "nbnumba", nbnumba.__version__, command
        for panel, (image, mask) in enumerate(zip(images, masks, strict=True)):
            group = file if len(images) == 1 else file.create_group(f"panel_{panel}")
            group.create_dataset("image", data=image, **bitshuffle()).attrs["units"] = "photons"
            group.create_dataset("mask", data=mask, **bitshuffle())
            inside = group.create_group("derivatives", track_order=True)
            for name, slopes in derivatives.items():
                made = inside.create_dataset(name, data=slopes[panel], **bitshuffle())
                made.attrs["units"] = f"photons/{unit_of(name)}" if unit_of(name) else "photons"
