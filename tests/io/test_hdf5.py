"""The compression of our HDF5 files, whatever HDF5_PLUGIN_PATH says; in processes of their own, as HDF5 reads it once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hdf5plugin
import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Writes each kind of compressed file, and reads it back.
PROGRAM = """
import os, h5py, numpy as np
from nbnumba.cli.main import main
words = "run -cell 40 -default_F 100 -N 3 -detpixels 16 -oversample 1 -seed 1 --device cpu -q --dead 5"
assert main([*words.split(), "--nexus", "a.nxs", "--npy", "a.npy", "--truth", "truth.h5"]) == 0
with h5py.File("a.nxs") as file:
    counts, good = file["entry/data/data"], file["entry/instrument/detector/pixel_mask"][()] == 0
    assert "32008" in counts._filters, counts._filters
    assert np.array_equal(np.where(good, counts[0], -1), np.load("a.npy"))
with h5py.File("truth.h5") as file:
    assert file["panel_0/bragg"].shape == (16, 16) and file["panel_0/bragg"][()].any()
print("written as", os.environ.get("HDF5_PLUGIN_PATH"))
"""


def plugins(folder: Path, kind: str) -> str | None:
    """A value of HDF5_PLUGIN_PATH."""
    own = Path(hdf5plugin.PLUGIN_PATH)
    empty, copied = folder / "empty", folder / "copied"
    empty.mkdir()
    copied.mkdir()
    for file in own.glob("*bshuf*"):  # another build of the filter, as that of DIALS
        shutil.copy(file, copied)
    found = {
        "not set": None,
        "set to nothing": "",
        "hdf5plugin's folder": str(own),
        "a folder with the filter": str(copied),
        "an empty folder": str(empty),
        "no folder": str(folder / "none"),
        "two folders": os.pathsep.join((str(empty), str(own))),
    }
    return found[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("not set", "set to nothing", "hdf5plugin's folder", "a folder with the filter", "an empty folder"),
        *("no folder", "two folders"),
    ],
)
def test_files_are_written_whatever_the_plugin_path(kind: str, tmp_path: Path) -> None:
    value = plugins(tmp_path, kind)
    environment = {key: text for key, text in os.environ.items() if key != "HDF5_PLUGIN_PATH"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    if value is not None:
        environment["HDF5_PLUGIN_PATH"] = value
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"written as {value}" in done.stdout
