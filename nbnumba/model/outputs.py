"""Which files a run writes, and how numbers become counts in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbnumba.errors import ConfigError
from nbnumba.model.checked import Checked, check

_OTHER_PICTURES = {".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".pdf", ".svg", ".eps"}
_FILES = ("floatfile", "intfile", "pgmfile", "noisefile", "preview", "json", "cbf", "nexus", "npy", "truth")

#: Largest count that the outputs can hold: readers of 32-bit data take the two values above for masks.
MAX_COUNT = 2**31 - 3
#: Saturation where none is given: the range of 16-bit files.
SATURATION_16 = 65535


@dataclass(frozen=True, kw_only=True)
class Readout(Checked):
    """How photons become counts. By default every photon is one count.

    Attributes
    ----------
    gain : float
        Counts per photon.
    saturation : int or None
        Largest count, the offset included; None: 65535.
    read_noise : float
        Standard deviation, in counts.
    flicker_percent : float
        Standard deviation of the beam's intensity, drawn for every pixel.
    calibration_percent : float
        Standard deviation of the pixels' sensitivity, the same for every image of a ``calibration_seed``.
    psf : str
        ``gauss``, or ``fiber``: g / (2 pi) (g^2 + r^2)^(-3/2), of a fibre-coupled CCD (Holton et al. 2012).
    psf_fwhm_um : float
        Full width at half maximum of the point spread; 0: none.
    dead_percent : float
        Share of pixels that measure nothing; which ones is decided by ``calibration_seed``.
    """

    gain: float = 1.0
    saturation: int | None = None
    read_noise: float = 0.0
    flicker_percent: float = 0.0
    calibration_percent: float = 0.0
    calibration_seed: int = 123456789
    psf: Literal["gauss", "fiber"] = "gauss"
    psf_fwhm_um: float = 0.0
    dead_percent: float = 0.0

    def _validate(self) -> None:
        self._positive("gain")
        self._not_negative("read_noise", "flicker_percent", "calibration_percent", "calibration_seed", "psf_fwhm_um")
        check(self, "dead_percent", "from 0 to 100", 0 <= self.dead_percent <= 100)
        good = self.saturation is None or 1 <= self.saturation <= MAX_COUNT
        check(self, "saturation", f"from 1 to {MAX_COUNT}", good)

    @property
    def is_ideal(self) -> bool:
        """Whether counts equal photons, so that the reference's noise is all there is."""
        noisy = self.read_noise or self.flicker_percent or self.calibration_percent
        return not noisy and self.gain == 1 and self.saturation is None and not self.psf_fwhm_um

    @property
    def saturation_counts(self) -> int:
        """Largest count, the offset included."""
        return SATURATION_16 if self.saturation is None else self.saturation


@dataclass(frozen=True, kw_only=True)
class Outputs(Readout):
    """Output files of a run, with the reference's names unless given, and the readout of its detector.

    Attributes
    ----------
    floatfile, intfile : Path
        Photons per pixel as 4-byte floats; scaled whole numbers as SMV.
    pgmfile, noisefile : Path or None
        8-bit greymap; photon counts with noise as SMV. None: not written.
    scale, pgmscale : float
        Factors on the image in ``intfile`` and ``pgmfile``; 0 or below: chosen from the image.
    adc_offset : float
        Counts added to every pixel of the SMV files.
    seed : int or None
        Seed of the noise; None: from the time.
    preview : Path or None
        Picture with resolution rings (PNG).
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
        Origin of each pixel (HDF5): indices, wavelength, Bragg photons and background separately, list of spots.
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
            raise ConfigError(f"outputs.preview is a PNG file: its name must end in .png, got {self.preview}")
        taken: dict[str, str] = {}
        for key in _FILES:
            path = getattr(self, key)
            if path is None or str(path) == os.devnull:
                continue
            other = taken.setdefault(os.path.abspath(path), key)
            if other != key:
                raise ConfigError(f"outputs.{key} and outputs.{other} must be different files, got {path} for both")
