"""What the user asks for: frozen dataclasses in the units people write (mm, Å, degrees), checked on creation.

Defaults are the reference program's. ``None`` means "not given": the rules that fill the gaps (default beam centre,
automatic number of steps, ...) are in the module of each part, because they depend on one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import numpy as np

from nbnumba.errors import ConfigError

Vector = tuple[float, float, float]
Convention = Literal["MOSFLM", "XDS", "ADXV", "DENZO", "DIALS", "CUSTOM"]
Pivot = Literal["BEAM", "SAMPLE"]
Shape = Literal["square", "round", "gauss", "tophat"]
Physics = Literal["reference", "correct"]


def _name(owner: object, key: str) -> str:
    return f"{type(owner).__name__.lower()}.{key}"


def _check(owner: object, key: str, allowed: str, good: bool) -> None:
    if not good:
        raise ConfigError(f"{_name(owner, key)} must be {allowed}, got {getattr(owner, key)}")


class _Checked:
    """Refuse NaN and infinity in every numeric field; children add their own rules in ``_validate``."""

    def __post_init__(self) -> None:
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                if isinstance(number, float) and not math.isfinite(number):
                    raise ConfigError(f"{_name(self, entry.name)} must be a finite number, got {value}")
        self._validate()

    def _validate(self) -> None:
        pass

    def _positive(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            _check(self, key, "> 0", value is None or value > 0)

    def _not_negative(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            _check(self, key, ">= 0", value is None or value >= 0)

    def _not_zero_vectors(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            _check(self, key, "a vector of non-zero length", value is None or any(v != 0 for v in value))


@dataclass(frozen=True, kw_only=True)
class Beam(_Checked):
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
    sourcefile : Path or None
        X Y Z weight wavelength(m) per line; replaces divergence and dispersion.
    spectrum : Path or None
        Wavelength (Å) or energy (eV) and weight per line; replaces dispersion.
    spectrum_steps : int or None
        Gather the spectrum in this many wavelengths; None: take it as it is.
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
    sourcefile: Path | None = None
    spectrum: Path | None = None
    spectrum_steps: int | None = None
    source_weights: bool | None = None

    def _validate(self) -> None:
        self._positive("wavelength_A")
        self._not_negative("fluence", "flux", "exposure_s", "beamsize_mm", "dispersion_percent")
        self._not_negative("hdivrange_mrad", "hdivstep_mrad", "hdivsteps")
        self._not_negative("vdivrange_mrad", "vdivstep_mrad", "vdivsteps", "dispsteps")
        _check(self, "kahn_factor", "between -1 and 1", -1 <= self.kahn_factor <= 1)
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
class Panel(_Checked):
    """One flat panel, given outright: for detectors that the conventions of :class:`Detector` cannot describe.

    Attributes
    ----------
    pix0_mm : (3,) float
        Corner of pixel (0, 0) from the crystal.
    fast_axis, slow_axis : (3,) float
        Directions of increasing fast and slow coordinate; need not be normalized.
    spixels, fpixels : int
        Number of pixels along the slow and the fast axis.
    offset : (2,) int or None
        Fast and slow place of pixel (0, 0) in the image of the whole detector (``geometry_files.whole_image``).
    """

    pix0_mm: Vector
    fast_axis: Vector
    slow_axis: Vector
    spixels: int
    fpixels: int
    pixel_mm: float
    name: str = ""
    offset: tuple[int, int] | None = None

    def _validate(self) -> None:
        self._positive("spixels", "fpixels", "pixel_mm")
        _check(self, "offset", "not negative", self.offset is None or min(self.offset) >= 0)
        self._not_zero_vectors("fast_axis", "slow_axis")
        cosine = np.dot(self.fast_axis, self.slow_axis)
        cosine = cosine / np.linalg.norm(self.fast_axis) / np.linalg.norm(self.slow_axis)
        if abs(cosine) > 0.999:
            raise ConfigError(f"panel.slow_axis must not be parallel to fast_axis, got {self.slow_axis}")


@dataclass(frozen=True, kw_only=True)
class Detector(_Checked):
    """The detector, by beam centre and distance (one panel), or as a list of panels.

    Attributes
    ----------
    convention : str
        Which program's axes and beam centre are meant; see ``nbnumba.conventions``.
    pivot : str
        What stays in place when the detector is rotated; only CUSTOM listens to it.
    Xbeam_mm, Ybeam_mm, Xclose_mm, Yclose_mm, ORGX, ORGY : float or None
        Direct beam (mm), point nearest to the crystal (mm, or pixels as XDS counts them).
    distance_mm, close_distance_mm : float or None
        Along the beam, and to the nearest point of the detector plane; the second beats the first.
    rotx_deg, roty_deg, rotz_deg, twotheta_deg : float
        Right-handed rotations about x, then y, then z, then about ``twotheta_axis``.
    fdet_vector, sdet_vector, odet_vector, beam_vector, polar_vector, spindle_axis, twotheta_axis : (3,) float or None
        Axes of the CUSTOM convention.
    pix0_vector_mm : (3,) float or None
        Corner of pixel (0, 0), used when no beam centre or near point is given.
    detsize_f_mm, detsize_s_mm : float
        Size, used where the number of pixels is not given.
    panels : tuple of Panel
        If not empty, the geometry above is ignored but for the beam, spindle and polarization axes.
    thickness_um, attenuation_um, thicksteps : float, float or None, int or None
        Sensor thickness, attenuation depth (None: as thick as the sensor), number of layers.
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
        _check(self, "distance_mm", "> 0", self.distance_mm > 0)
        self._positive("close_distance_mm")
        self._not_zero_vectors("fdet_vector", "sdet_vector", "odet_vector", "beam_vector", "polar_vector")
        self._not_zero_vectors("spindle_axis", "twotheta_axis")


@dataclass(frozen=True, kw_only=True)
class Crystal(_Checked):
    """The crystal and its lattice transform.

    Attributes
    ----------
    A_matrix : (9,) float or None
        MOSFLM's A, row by row: columns a*, b*, c*, multiplied by the wavelength.
    cell : tuple of 1 to 6 float or None
        a, b, c in Å and alpha, beta, gamma in degrees; missing lengths equal a, missing angles 90.
    misset_deg : (3,) float, "random" or None
        Rotations about x, then y, then z, applied to the orientation above.
    Na, Nb, Nc : int
        Whole cells along each axis; ``size_mm`` (x, y, z; 0 where not given) replaces them.
    fudge : float
        Scales the squared radius of round, gauss and tophat spots.
    """

    A_matrix: tuple[float, ...] | None = None
    cell: tuple[float, ...] | None = None
    misset_deg: Vector | Literal["random"] | None = None
    misset_seed: int | None = None
    Na: int = 1
    Nb: int = 1
    Nc: int = 1
    size_mm: Vector = (0.0, 0.0, 0.0)
    shape: Shape = "square"
    fudge: float = 1.0
    mosaic_spread_deg: float | None = None
    mosaic_domains: int | None = None
    mosaic_seed: int = 12345678

    def _validate(self) -> None:
        if self.A_matrix is None and self.cell is None:
            raise ConfigError("crystal needs a matrix or a cell: give -mat FILE or -cell a b c alpha beta gamma")
        if self.A_matrix is not None:
            if len(self.A_matrix) != 9:
                raise ConfigError(f"crystal.A_matrix must hold 9 numbers, got {len(self.A_matrix)}")
            matrix = np.reshape(self.A_matrix, (3, 3))
            lengths = np.linalg.norm(matrix, axis=0)
            if not lengths.all() or abs(np.linalg.det(matrix / lengths)) < 1e-9:
                raise ConfigError("crystal.A_matrix is singular: its three reciprocal vectors span no volume")
        if self.cell is not None:
            lengths, angles = self.cell[:3], self.cell[3:]
            if not self.cell or len(self.cell) > 6 or any(v <= 0 for v in self.cell):
                raise ConfigError(f"crystal.cell must be 1 to 6 positive numbers, got {self.cell}")
            full = [*angles, *(90.0,) * (3 - len(angles))]
            half = sum(full) / 2
            if any(v >= 180 for v in full) or half >= 180 or any(half - v <= 0 for v in full):
                raise ConfigError(f"crystal.cell: no cell has the angles {full[0]:g} {full[1]:g} {full[2]:g}")
        self._not_negative("Na", "Nb", "Nc", "mosaic_domains", "mosaic_seed", "misset_seed")
        _check(self, "size_mm", "not negative", all(v >= 0 for v in self.size_mm))
        _check(self, "mosaic_spread_deg", ">= 0", (self.mosaic_spread_deg or 0) >= 0)
        self._not_negative("fudge")


@dataclass(frozen=True, kw_only=True)
class Scan(_Checked):
    """Rotation about the spindle: start, full range, spacing and number of steps (None: chosen by the rules)."""

    phi_deg: float = 0.0
    osc_deg: float | None = None
    phistep_deg: float | None = None
    phisteps: int | None = None

    def _validate(self) -> None:
        self._not_negative("osc_deg", "phistep_deg", "phisteps")


@dataclass(frozen=True, kw_only=True)
class StructureFactors(_Checked):
    """Where F_cell comes from.

    Attributes
    ----------
    hkl : Path or None
        Text file, h k l F per line, for the whole P1 sphere; or MTZ or structure-factor mmCIF, known by their content
        and expanded to P1 by the file's space group.
    hkl_label : str or None
        Column of an MTZ or mmCIF file: its label, or its type (G, F, K, J); None: the best one.
    model : Path or None
        Atomic model (mmCIF or PDB) that F is calculated from, to ``model_dmin_A``; instead of ``hkl``.
    model_dmin_A : float or None
        Resolution of the calculated F; needed with a model.
    model_wavelength_A : float or None
        Wavelength of the anomalous scattering of its atoms; None: no anomalous scattering.
    solvent_k, solvent_B : float
        Bulk solvent of a model: density (electrons per Å^3; 0: none) and B (Å^2).
    dump : Path
        Binary copy: read when there is no ``hkl``, else written (``write_dump``).
    default_F : float
        F of every reflection that the files do not hold, in electrons.
    interpolate : bool or None
        Tricubic interpolation between reflections; None: for crystals of up to two cells along an axis.
    """

    hkl: Path | None = None
    hkl_label: str | None = None
    model: Path | None = None
    model_dmin_A: float | None = None
    model_wavelength_A: float | None = None
    solvent_k: float = 0.35
    solvent_B: float = 46.0
    dump: Path = Path("Fdump.bin")
    write_dump: bool = True
    default_F: float = 0.0
    interpolate: bool | None = None

    def _validate(self) -> None:
        self._positive("model_dmin_A", "model_wavelength_A")
        self._not_negative("solvent_k", "solvent_B")
        if self.hkl is not None and self.model is not None:
            raise ConfigError("structure factors come from a list or from a model: give -hkl or --model, not both")
        if self.hkl_label is not None and self.hkl is None:
            raise ConfigError("--label chooses a column of the file of -hkl: give -hkl FILE")


@dataclass(frozen=True, kw_only=True)
class Sampling(_Checked):
    """How finely a pixel is sampled, and which pixels.

    Attributes
    ----------
    oversample : int or None
        Sub-pixels a side; None: chosen from the crystal's size.
    oversample_thick, oversample_polar, oversample_omega : bool
        Multiply the running sum by this factor after every term (the reference's rule).
    roi : (4,) int or None
        ``xmin xmax ymin ymax``, inclusive, x along the fast axis.
    dmin_A : float
        Terms beyond this resolution are left out; 0: none.
    max_error : float
        Photons that a pixel may lose to terms that are left out for speed; 0: none. Square and round crystals, CPU.
    """

    oversample: int | None = None
    oversample_thick: bool = False
    oversample_polar: bool = False
    oversample_omega: bool = False
    roi: tuple[int, int, int, int] | None = None
    dmin_A: float = 0.0
    max_error: float = 0.0

    def _validate(self) -> None:
        self._not_negative("oversample", "dmin_A", "max_error")


@dataclass(frozen=True, kw_only=True)
class Background(_Checked):
    """What is in the beam beside the crystal.

    Attributes
    ----------
    water_um : float
        The reference's water: edge of a cube of it, scattering alike in all directions.
    thickness_mm : float
        Amorphous material along the beam, as wide as the beam (``nbnumba.background``).
    stol : Path or None
        Its structure factor: sin(theta)/lambda (1/Å) and F (electrons per molecule) per line; ``stol_scale`` turns
        the first column into sin(theta)/lambda where it is something else.
    density_g_cm3, molar_mass_g : float
        Of the material; water's by default.
    air_mm : float
        Air along the beam, at the crystal.
    """

    water_um: float = 0.0
    thickness_mm: float = 0.0
    stol: Path | None = None
    stol_scale: float = 1.0
    density_g_cm3: float = 1.0
    molar_mass_g: float = 18.0
    air_mm: float = 0.0

    def _validate(self) -> None:
        self._not_negative("water_um", "thickness_mm", "air_mm")
        self._positive("stol_scale", "density_g_cm3", "molar_mass_g")

    @property
    def is_amorphous(self) -> bool:
        """Whether there is amorphous material or air."""
        return self.thickness_mm > 0 or self.air_mm > 0


@dataclass(frozen=True, kw_only=True)
class Simulation(_Checked):
    """Everything that decides an image.

    Attributes
    ----------
    mask : (spixels, fpixels) array or None
        Pixels that are 0 here are skipped.
    physics : str
        ``reference``: the reference program's image; ``correct``: what a physicist expects (docs/quirks.md).
    """

    crystal: Crystal
    beam: Beam = field(default_factory=Beam)
    detector: Detector = field(default_factory=Detector)
    scan: Scan = field(default_factory=Scan)
    structure_factors: StructureFactors = field(default_factory=StructureFactors)
    sampling: Sampling = field(default_factory=Sampling)
    background: Background = field(default_factory=Background)
    mask: np.ndarray | None = None
    physics: Physics = "reference"
