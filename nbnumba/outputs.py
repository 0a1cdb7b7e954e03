"""Which files a run writes, and how numbers become counts in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbnumba.detector_noise import Readout
from nbnumba.errors import ConfigError

_OTHER_PICTURES = {".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".pdf", ".svg", ".eps"}
_FILES = ("floatfile", "intfile", "pgmfile", "noisefile", "preview", "json", "cbf", "nexus", "npy", "truth")


@dataclass(frozen=True, kw_only=True)
class Outputs(Readout):
    """The files of a run, whose names are the reference's unless given, and how its detector reads out.

    Attributes
    ----------
    floatfile, intfile : Path
        Photons per pixel as 4-byte floats; scaled whole numbers as SMV.
    pgmfile, noisefile : Path or None
        8-bit greymap; photon counts with noise as SMV. None: not written.
    scale, pgmscale : float
        What the image is multiplied by in ``intfile`` and ``pgmfile``; not above 0: chosen from the image.
    adc_offset : float
        Counts added to every pixel of the SMV files.
    seed : int or None
        Seed of the noise; None: from the time.
    preview : Path or None
        A picture for the eye (PNG).
    json : Path or None
        All facts of the run.
    rng : str
        Generator of the noise: ``reference`` (sequential, the reference's counts) or ``philox`` (fast). A readout that
        is not ideal always takes the fast one.
    smv : str
        Header of the SMV files: ``reference``, or ``adsc``, which DIALS places exactly.
    cbf, nexus, npy : Path or None
        Counts without the offset as miniCBF, NXmx (HDF5) and NumPy array: with noise where there is a ``noisefile``.
    truth : Path or None
        What made each pixel (HDF5): indices, wavelength, Bragg light and background apart, list of spots.
    """

    floatfile: Path = Path("floatimage.bin")
    intfile: Path = Path("intimage.img")
    pgmfile: Path | None = Path("image.pgm")
    noisefile: Path | None = Path("noiseimage.img")
    scale: float = 0.0
    pgmscale: float = 0.0
    adc_offset: float = 40.0
    seed: int | None = None
    preview: Path | None = None
    json: Path | None = None
    rng: Literal["reference", "philox"] = "reference"
    smv: Literal["reference", "adsc"] = "reference"
    cbf: Path | None = None
    nexus: Path | None = None
    npy: Path | None = None
    truth: Path | None = None

    @property
    def wants_counts(self) -> bool:
        """Whether counts are written to other files than SMV."""
        return not (self.cbf is None and self.nexus is None and self.npy is None)

    def _validate(self) -> None:
        super()._validate()
        self._not_negative("seed")
        if self.preview is not None and self.preview.suffix.lower() in _OTHER_PICTURES:
            raise ConfigError(f"outputs.preview is a PNG file and must be called so, got {self.preview}")
        taken: dict[str, str] = {}
        for key in _FILES:
            path = getattr(self, key)
            if path is None or str(path) == os.devnull:
                continue
            other = taken.setdefault(os.path.abspath(path), key)
            if other != key:
                raise ConfigError(f"outputs.{key} and outputs.{other} must be different files, got {path} for both")
