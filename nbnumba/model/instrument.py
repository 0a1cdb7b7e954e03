"""The instrument: beam, detector and its panels, and the rotation that is scanned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.spectrum import Spectrum
from nbnumba.io.values import SourceTable
from nbnumba.model.checked import Checked, check

Vector = tuple[float, float, float]
Convention = Literal["MOSFLM", "XDS", "ADXV", "DENZO", "DIALS", "CUSTOM"]
Pivot = Literal["BEAM", "SAMPLE"]


@dataclass(frozen=True, kw_only=True)
class Beam(Checked):
    """The incident beam.

    Attributes
    ----------
    wavelength_A : float
        Central wavelength.
    fluence : float
        Photons per square metre over the exposure; replaced by ``flux * exposure_s / beamsize**2`` when flux is given.
    kahn_factor : float
        Polarization, -1 to 1 (0 is unpolarized). ``nopolar`` switches the polarization factor off.
    hdivrange_mrad, hdivstep_mrad, hdivsteps : float, float, int or None
        Horizontal divergence: full range, spacing, number of source points (the same for ``v``).
    dispersion_percent : float
        Full width of the spectrum, in percent of the wavelength, in ``dispsteps`` wavelengths.
    sourcefile : Path, array (n, 5) or None
        X Y Z weight wavelength(m) per line or row; replaces divergence and dispersion.
    spectrum : Path, Spectrum, tuple of arrays or None
        Wavelength (Å) or energy (eV) and weight per line, or arrays (wavelengths in Å, weights); replaces dispersion.
    spectrum_steps : int or None
        Gather the spectrum in this many wavelengths; None: use it as given.
    source_weights : bool or None
        Whether sources count by their weights; None: with a spectrum, and with ``physics="correct"``.
    """

    wavelength_A: float = 1.0
    fluence: float = 125932015286227086360700780544.0
    flux: float = 0.0
    exposure_s: float = 1.0
    beamsize_mm: float = 0.1
    kahn_factor: float = 0.0
    nopolar: bool = False
    hdivrange_mrad: float | None = None
    hdivstep_mrad: float | None = None
    hdivsteps: int | None = None
    vdivrange_mrad: float | None = None
    vdivstep_mrad: float | None = None
    vdivsteps: int | None = None
    round_div: bool = True
    dispersion_percent: float = 0.0
    dispsteps: int | None = None
    sourcefile: Path | SourceTable | None = None
    spectrum: Path | Spectrum | None = None
    spectrum_steps: int | None = None
    source_weights: bool | None = None

    def _validate(self) -> None:
        self._positive("wavelength_A")
        self._not_negative("fluence", "flux", "exposure_s", "beamsize_mm", "dispersion_percent")
        self._not_negative("hdivrange_mrad", "hdivstep_mrad", "hdivsteps")
        self._not_negative("vdivrange_mrad", "vdivstep_mrad", "vdivsteps", "dispsteps")
        check(self, "kahn_factor", "between -1 and 1", -1 <= self.kahn_factor <= 1)
        self._positive("spectrum_steps")
        if self.spectrum is not None and self.sourcefile is not None:
            raise ConfigError("beam.spectrum and beam.sourcefile both give wavelengths: give one of them")
        if self.spectrum is not None and (self.dispersion_percent > 0 or (self.dispsteps or 0) > 1):
            raise ConfigError("beam.spectrum replaces the dispersion: leave out -dispersion and -dispsteps")
        if self.spectrum is None and self.spectrum_steps is not None:
            raise ConfigError("beam.spectrum_steps gathers a spectrum: give --spectrum FILE")
        if self.flux > 0 and self.beamsize_mm == 0:
            raise ConfigError("beam.beamsize_mm must be > 0 when a flux is given, got 0")


@dataclass(frozen=True, kw_only=True)
class DataValue(Checked):
    """A number of the experiment that a geometry file of CrystFEL gives, or that it takes from the data file.

    Attributes
    ----------
    key : str
        Its name in the geometry file.
    unit : str
        Its unit there; empty: CrystFEL's own.
    size : float
        Size of that unit in Å, eV, V or mm.
    name : str
        The data set that has it; empty: the geometry file itself has the ``number``.
    offset_mm : float
        What is added to a length.
    """

    key: Literal["wavelength", "photon_energy", "electron_voltage", "clen"]
    unit: str = ""
    size: float = 1.0
    name: str = ""
    number: float = 0.0
    offset_mm: float = 0.0

    def _validate(self) -> None:
        self._positive("size")


@dataclass(frozen=True, kw_only=True)
class DataPlace(Checked):
    """Place of a panel in the HDF5 files of its detector, as CrystFEL describes it.

    Attributes
    ----------
    data : str
        Name of the data set; ``%`` stands for a part of the name that differs from image to image.
    dims : tuple of str or int
        Its axes: ``%`` images, ``ss`` slow, ``fs`` fast; a number is the panel's index along that axis.
    masks : tuple of (str, int, int)
        Names of masks with the same axes; bits that are set in good pixels, and bits that are set in bad ones.
    values : tuple of DataValue
        Wavelength and distance, as the geometry file gives them.
    """

    data: str = "/data/data"
    dims: tuple[str | int, ...] = ("ss", "fs")
    masks: tuple[tuple[str, int, int], ...] = ()
    values: tuple[DataValue, ...] = ()

    def _validate(self) -> None:
        check(self, "data", "a name that begins with /", self.data.startswith("/"))
        words = [axis for axis in self.dims if isinstance(axis, str)]
        good = [axis for axis in words if axis != "%"] == ["ss", "fs"]
        check(
            self, "dims", "ss, then fs, among images (%) and numbers from 0", good and min(self.indices, default=0) >= 0
        )

    @property
    def indices(self) -> tuple[int, ...]:
        """The panel's index along the axes that have one."""
        return tuple(axis for axis in self.dims if isinstance(axis, int))

    @property
    def axes(self) -> tuple[str, ...]:
        """Kinds of the axes: ``#`` for an index."""
        return tuple(axis if isinstance(axis, str) else "#" for axis in self.dims)


@dataclass(frozen=True, kw_only=True)
class Panel(Checked):
    """One flat panel, given by its corner and axes: for detectors that no convention of :class:`Detector` describes.

    Attributes
    ----------
    pix0_mm : (3,) float
        Corner of pixel (0, 0) from the crystal.
    fast_axis, slow_axis : (3,) float
        Directions of increasing fast and slow coordinate; need not be normalized.
    spixels, fpixels : int
        Number of pixels along the slow and the fast axis.
    pixel_mm, slow_pixel_mm : float, float or None
        Size of a pixel along the fast axis, and along the slow axis where that is another one. The axes may be oblique.
    offset : (2,) int or None
        Fast and slow place of pixel (0, 0) in the image of the whole detector (``geometry_files.whole_image``).
    place : DataPlace or None
        Data set of the panel's pixels, where the file of the geometry names one; ``offset`` is the place in it.
    """

    pix0_mm: Vector
    fast_axis: Vector
    slow_axis: Vector
    spixels: int
    fpixels: int
    pixel_mm: float
    name: str = ""
    offset: tuple[int, int] | None = None
    slow_pixel_mm: float | None = None
    place: DataPlace | None = None

    def _validate(self) -> None:
        self._positive("spixels", "fpixels", "pixel_mm", "slow_pixel_mm")
        if self.slow_pixel_mm is not None:
            good = 1e-2 <= self.slow_pixel_mm / self.pixel_mm <= 1e2
            check(self, "slow_pixel_mm", "between 1/100 and 100 of pixel_mm", good)
        check(self, "offset", "not negative", self.offset is None or min(self.offset) >= 0)
        self._not_zero_vectors("fast_axis", "slow_axis")
        cosine = np.dot(self.fast_axis, self.slow_axis)
        cosine = cosine / np.linalg.norm(self.fast_axis) / np.linalg.norm(self.slow_axis)
        if abs(cosine) > 0.999:
            raise ConfigError(f"panel.slow_axis must not be parallel to fast_axis, got {self.slow_axis}")


@dataclass(frozen=True, kw_only=True)
class Detector(Checked):
    """The detector, by beam centre and distance (one panel), or as a list of panels.

    Attributes
    ----------
    convention : str
        Program whose axes and beam centre are used; see ``nbnumba.model.conventions``.
    pivot : str
        What stays in place when the detector is rotated; used by CUSTOM only.
    Xbeam_mm, Ybeam_mm, Xclose_mm, Yclose_mm, ORGX, ORGY : float or None
        Direct beam (mm), point nearest to the crystal (mm, or pixels as XDS counts them).
    distance_mm, close_distance_mm : float or None
        Along the beam, and to the nearest point of the detector plane; the second overrides the first.
    rotx_deg, roty_deg, rotz_deg, twotheta_deg : float
        Right-handed rotations about x, then y, then z, then about ``twotheta_axis``.
    fdet_vector, sdet_vector, odet_vector, beam_vector, polar_vector, spindle_axis, twotheta_axis : (3,) float or None
        Axes of the CUSTOM convention.
    pix0_vector_mm : (3,) float or None
        Corner of pixel (0, 0), used when no beam centre or near point is given.
    detsize_f_mm, detsize_s_mm : float
        Size, used where the number of pixels is not given.
    panels : tuple of Panel
        If not empty, of the geometry above only the beam, spindle and polarization axes are used.
    thickness_um, attenuation_um, thicksteps : float, float or None, int or None
        Sensor thickness, attenuation depth (None: equal to the thickness), number of layers.
    """

    convention: Convention = "MOSFLM"
    pivot: Pivot = "BEAM"
    Xbeam_mm: float | None = None
    Ybeam_mm: float | None = None
    Xclose_mm: float | None = None
    Yclose_mm: float | None = None
    ORGX: float | None = None
    ORGY: float | None = None
    distance_mm: float = 100.0
    close_distance_mm: float | None = None
    rotx_deg: float = 0.0
    roty_deg: float = 0.0
    rotz_deg: float = 0.0
    twotheta_deg: float = 0.0
    fdet_vector: Vector | None = None
    sdet_vector: Vector | None = None
    odet_vector: Vector | None = None
    beam_vector: Vector | None = None
    polar_vector: Vector | None = None
    spindle_axis: Vector | None = None
    twotheta_axis: Vector | None = None
    pix0_vector_mm: Vector | None = None
    pixel_mm: float = 0.1
    fpixels: int | None = None
    spixels: int | None = None
    detsize_f_mm: float = 102.4
    detsize_s_mm: float = 102.4
    panels: tuple[Panel, ...] = ()
    curved: bool = False
    point_pixel: bool = False
    thickness_um: float = 0.0
    attenuation_um: float | None = None
    thicksteps: int | None = None

    def _validate(self) -> None:
        self._positive("pixel_mm", "fpixels", "spixels", "detsize_f_mm", "detsize_s_mm")
        self._positive("attenuation_um")
        self._not_negative("thickness_um", "thicksteps")
        check(self, "distance_mm", "> 0", self.distance_mm > 0)
        self._positive("close_distance_mm")
        self._not_zero_vectors("fdet_vector", "sdet_vector", "odet_vector", "beam_vector", "polar_vector")
        self._not_zero_vectors("spindle_axis", "twotheta_axis")


@dataclass(frozen=True, kw_only=True)
class Scan(Checked):
    """Rotation about the spindle: start, full range, spacing and number of steps (None: chosen by the rules)."""

    phi_deg: float = 0.0
    osc_deg: float | None = None
    phistep_deg: float | None = None
    phisteps: int | None = None

    def _validate(self) -> None:
        self._not_negative("osc_deg", "phistep_deg", "phisteps")
