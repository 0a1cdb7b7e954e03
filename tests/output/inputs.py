"""Small results to write, and outputs that want every file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbnumba.model.config import Beam, Crystal, Detector, Panel, Simulation, StructureFactors
from nbnumba.model.outputs import Outputs
from nbnumba.render.simulate import Result, simulate

HKL = "0 0 1 30.5\n0 2 -1 12\n3 0 1 8.25\n1 1 1 50\n"
#: Names of all files that a run may write, by their fields; the dump has a field of the structure factors.
NAMES = {
    "floatfile": "photons_1.bin",
    "intfile": "scaled_1.img",
    "pgmfile": "grey_1.pgm",
    "noisefile": "noise_1.img",
    "cbf": "counts_1.cbf",
    "nexus": "counts_1.h5",
    "npy": "counts_1.npy",
    "truth": "truth_1.h5",
    "preview": "picture_1.png",
}
DUMP = "F.bin"


def result(folder: Path, **more: Any) -> Result:
    """An image of 30 x 40 pixels, of structure factors from a file that a run would dump."""
    (folder / "some.hkl").write_text(HKL)
    parts: dict[str, Any] = {
        "crystal": Crystal(cell=(30, 40, 50), Na=5, Nb=5, Nc=5),
        "structure_factors": StructureFactors(hkl=folder / "some.hkl", dump=folder / DUMP, default_F=50),
        "beam": Beam(fluence=3e28),
        "detector": Detector(fpixels=40, spixels=30, pixel_mm=0.2, distance_mm=50),
    }
    return simulate(Simulation(**{**parts, **more}), device="cpu")


def panels(number: int = 2) -> Detector:
    """Panels of 20 x 20 pixels below one another."""
    axes: dict[str, Any] = {"fast_axis": (1.0, 0.0, 0.0), "slow_axis": (0.0, -1.0, 0.0)}
    sizes: dict[str, Any] = {"fpixels": 20, "spixels": 20, "pixel_mm": 0.2}
    all_panels = tuple(Panel(pix0_mm=(-2.0, 4.0 - 4.5 * n, 50.0), **axes, **sizes) for n in range(number))
    return Detector(convention="CUSTOM", panels=all_panels, beam_vector=(0, 0, 1))


def everything(folder: Path, **more: Any) -> Outputs:
    """Every file of a run, in a folder."""
    paths: dict[str, Any] = {field: folder / name for field, name in NAMES.items()}
    return Outputs(**{**paths, "seed": 3, **more})
