"""Which files a run writes, and how numbers become counts in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

from nbnumba.errors import ConfigError
from nbnumba.model.checked import Checked, check

_OTHER_PICTURES = {".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".pdf", ".svg", ".eps"}

#: Where a file goes that is not wanted, but whose field must name one.
NOWHERE = Path(os.devnull)
#: Largest count that the outputs can hold: readers of 32-bit data take the two values above for masks.
MAX_COUNT = 2**31 - 3
#: Saturation where none is given: the range of 16-bit files.
SATURATION_16 = 65535


@dataclass(frozen=True, kw_only=True)
class Readout(Checked):
    """How photons become counts. As it stands by default, every photon is one count.

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
        """Whether the counts are the photons, and the reference's noise says all."""
        noisy = self.read_noise or self.flicker_percent or self.calibration_percent
        return not noisy and self.gain == 1 and self.saturation is None and not self.psf_fwhm_um

    @property
    def saturation_counts(self) -> int:
        """Largest count, the offset included."""
        return SATURATION_16 if self.saturation is None else self.saturation


@dataclass(frozen=True, kw_only=True)
class FileUse:
    """What a file of a run is good for: a note on the type of its field.

    Attributes
    ----------
    image : int or None
        Place among the files that may be *the* image of a shot, the one that data processing reads: it is the first one
        that is written. None: no image.
    names_images : bool
        Whether the images of a series are called as this file, where its name is given.
    joined : bool
        Whether a rotation series has one more file of this format, which shows the images of all shots.
    by_command : bool
        Whether a command writes it, after all others, and not :func:`nbnumba.output.writing.write_outputs`.
    """

    image: int | None = None
    names_images: bool = False
    joined: bool = False
    by_command: bool = False


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
        """Files that are wanted and go somewhere, by the names of their fields."""
        named = {name: getattr(self, name) for name in FILES}
        return {name: path for name, path in named.items() if path is not None and path != NOWHERE}

    @property
    def has_noise(self) -> bool:
        """Whether photons are drawn: for a noise image, also one that goes nowhere, as other files hold its counts."""
        return self.noisefile is not None

    def _validate(self) -> None:
        super()._validate()
        self._not_negative("seed")
        if self.preview is not None and self.preview.suffix.lower() in _OTHER_PICTURES:
            raise ConfigError(f"outputs.preview is a PNG file and must be called so, got {self.preview}")
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
#: Those of images, the one first that is *the* image of a shot if it is written.
IMAGES: tuple[str, ...] = tuple(
    name for _, name in sorted((use.image, name) for name, use in FILES.items() if use.image is not None)
)
