"""Which files a run writes, and how numbers become counts in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbnumba.config import _Checked
from nbnumba.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Outputs(_Checked):
    """The files of a run; names are the reference's unless given.

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
        Generator of the noise: ``reference`` (sequential, the reference's counts) or ``philox`` (fast).
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

    def _validate(self) -> None:
        self._not_negative("seed")
        if self.rng not in ("reference", "philox"):
            raise ConfigError(f"outputs.rng must be reference or philox, got {self.rng!r}")
        taken: dict[str, str] = {}
        for key in ("floatfile", "intfile", "pgmfile", "noisefile", "preview", "json"):
            path = getattr(self, key)
            if path is None or str(path) == os.devnull:
                continue
            other = taken.setdefault(os.path.abspath(path), key)
            if other != key:
                raise ConfigError(f"outputs.{key} and outputs.{other} must be different files, got {path} for both")
