"""Which files a run writes, and how numbers become counts in them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

from nbnumba.errors import ConfigError
from nbnumba.model.checked import Checked, check

_OTHER_PICTURES = {".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".pdf", ".svg", ".eps"}

#: Value of a field that must name a file, if the file is not wanted.
NOWHERE = Path(os.devnull)
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
class FileUse:
    """Properties of an output file, as an annotation of the type of its field.

    Attributes
    ----------
    image : int or None
        Position in the order of preference for the main image of a shot, which data processing programs read: the first of
        those files that are written. None: no image.
    names_images : bool
        Whether the images of a series get the name of this file, if it is given.
    joined : bool
        Whether a rotation series has one more file of this format, which presents the images of all shots.
    by_command : bool
        Whether a command writes the file, after all others, and not :func:`nbnumba.output.writing.write_outputs`.
    """

    image: int | None = None
    names_images: bool = False
    joined: bool = False
    by_command: bool = False


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

    floatfile: Annotated[Path, FileUse(image=4, names_images=True)] = Path("floatimage.bin")
    intfile: Annotated[Path, FileUse(image=3, names_images=True)] = Path("intimage.img")
    pgmfile: Annotated[Path | None, FileUse(image=5)] = Path("image.pgm")
    noisefile: Annotated[Path | None, FileUse(image=0, names_images=True)] = Path("noiseimage.img")
    scale: float = 0.0
    pgmscale: float = 0.0
    adc_offset: float = 40.0
    seed: int | None = None
    preview: Annotated[Path | None, FileUse()] = None
    json: Annotated[Path | None, FileUse(by_command=True)] = None
    rng: Literal["reference", "philox"] = "reference"
    smv: Literal["reference", "adsc"] = "reference"
    cbf: Annotated[Path | None, FileUse(image=1, names_images=True)] = None
    nexus: Annotated[Path | None, FileUse(image=2, names_images=True, joined=True)] = None
    npy: Annotated[Path | None, FileUse(image=6, names_images=True)] = None
    truth: Annotated[Path | None, FileUse()] = None

    @property
    def files(self) -> dict[str, Path]:
        """Files that are wanted and are not the null device, by the names of their fields."""
        named = {name: getattr(self, name) for name in FILES}
        return {name: path for name, path in named.items() if path is not None and path != NOWHERE}

    @property
    def has_noise(self) -> bool:
        """Whether noise is drawn: for a noise image, even one that is not written, as other files have its counts."""
        return self.noisefile is not None

    @property
    def pedestal(self) -> int:
        """Counts of the SMV files in a pixel without photons; the reference truncates fractions, the readout rounds them."""
        return math.floor(max(self.adc_offset, 0.0) + (0.0 if self.is_ideal else 0.5))

    def _validate(self) -> None:
        super()._validate()
        self._not_negative("seed")
        if self.preview is not None and self.preview.suffix.lower() in _OTHER_PICTURES:
            raise ConfigError(f"outputs.preview is a PNG file: its name must end in .png, got {self.preview}")
        taken: dict[str, str] = {}
        for key, path in self.files.items():
            other = taken.setdefault(os.path.abspath(path), key)
            if other != key:
                raise ConfigError(f"outputs.{key} and outputs.{other} must be different files, got {path} for both")


#: Fields of :class:`Outputs` that name a file, in their order.
FILES: dict[str, FileUse] = {
    name: use
    for name, hint in get_type_hints(Outputs, include_extras=True).items()
    for use in getattr(hint, "__metadata__", ())
}
#: Fields of images; the first one that is written is the main image of a shot.
IMAGES: tuple[str, ...] = tuple(
    name for _, name in sorted((use.image, name) for name, use in FILES.items() if use.image is not None)
)
