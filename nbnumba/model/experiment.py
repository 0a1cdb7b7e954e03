"""All parts of a simulation, resolved once; kernels' inputs, the log and the headers are made from them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.values import FTable
from nbnumba.model.config import Simulation, StructureFactors
from nbnumba.model.crystal import RTD, ResolvedCrystal, resolve_crystal
from nbnumba.model.detector import ResolvedDetector, ResolvedPanel, resolve_detector
from nbnumba.model.editions import edition_of
from nbnumba.model.odd_rules import bites
from nbnumba.model.plausible import doubts, too_many_subpixels
from nbnumba.model.plausible_flags import SWAPPED, swapped
from nbnumba.model.sampling import ResolvedSampling, ResolvedScan, resolve_sampling, resolve_scan
from nbnumba.model.sources import ResolvedSources, resolve_sources
from nbnumba.model.structure_factors import cell_notes, cell_of, resolve_structure_factors

T = TypeVar("T")

#: Classical electron radius squared (m^2), as the reference writes it.
R_E_SQR = 7.94079248018965e-30
AVOGADRO = 6.02214179e23
#: Forward scattering (electrons) and molar mass (g/mol) of water, and its density (g/m^3).
WATER_F, WATER_MW, WATER_DENSITY = 2.57, 18.0, 1e6

#: Inner steps that 16 cores do in an hour (estimate), and steps of an image from which on a warning is given.
STEPS_PER_HOUR, MANY_STEPS = 6e13, 1e14

SHAPE_NAMES = {"square": "parallelpiped", "round": "ellipsoidal", "gauss": "gaussian", "tophat": "tophat-spot"}


@dataclass(frozen=True)
class Experiment:
    """A simulation with every gap filled.

    Attributes
    ----------
    simulation : Simulation
        The simulation as given.
    structure_factors : FTable or None
        None: every reflection has ``default_F``.
    interpolate : bool
        Whether structure factors are interpolated; ``interpolation_choice`` says who chose: user, tricubic, none.
    fluence : float
        Photons per square metre.
    table_notes : tuple of str
        One sentence for each choice about the structure factors.
    """

    simulation: Simulation
    detector: ResolvedDetector
    crystal: ResolvedCrystal
    sources: ResolvedSources
    scan: ResolvedScan
    sampling: ResolvedSampling
    structure_factors: FTable | None
    interpolate: bool
    interpolation_choice: str
    fluence: float
    table_notes: tuple[str, ...] = ()

    # Both are asked for once in a run, and never for the images of a series after the first: they are made when asked for.

    @cached_property
    def odd_rules(self) -> dict[str, list[str]]:
        """Sentences about the odd rules of the reference that affect this run, by the rules' names."""
        return bites(self)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Values that were chosen for the user, numbers that cannot be meant, and the odd rules that affect this run."""
        notes = [*self.detector.notes, *self.crystal.notes, *self.sources.notes, *self.table_notes]
        grid = self.structure_factors
        notes += cell_notes(grid.source, grid.cell, self.crystal.unit_cell) if grid is not None else []
        rules = [sentence for sentences in self.odd_rules.values() for sentence in sentences]
        return (*notes, *doubts(self), *_endless(self), *rules)

    @property
    def table(self) -> tuple[FTable | None, list[str]]:
        """The structure factors, and the notes about them."""
        return self.structure_factors, list(self.table_notes)

    @property
    def panel(self) -> ResolvedPanel:
        """The first panel, the only one of most detectors."""
        return self.detector.panels[0]

    @property
    def steps(self) -> int:
        """Number of steps by which a pixel's sum is divided; sensor layers are not counted."""
        orientations = self.scan.phisteps * len(self.crystal.umats)
        return len(self.sources.wavelengths) * orientations * self.sampling.oversample**2

    @property
    def water_F_sqr(self) -> float:
        """F^2 of all water molecules in the beam, summed without interference."""
        edge = self.simulation.background.water_um / 1e6
        return WATER_F**2 * edge**3 * WATER_DENSITY * AVOGADRO / WATER_MW

    def facts(self) -> dict[str, Any]:
        """Values that the reference prints about a run; keys end with the unit (``_m``, ``_mm``, ``_deg``, ...)."""
        panel, frame = self.panel, self.detector.frame
        crystal, scan, sources, sampling = self.crystal, self.scan, self.sources, self.sampling
        in_detector = [float(frame.beam @ axis) for axis in (panel.fdet, panel.sdet, panel.odet)]
        facts: dict[str, Any] = {
            "physics": self.simulation.physics,
            "odd_rules": list(self.odd_rules),
            "convention": self.detector.convention.lower(),
            "pivot": self.detector.pivot.lower(),
            "fpixels": panel.fpixels,
            "spixels": panel.spixels,
            "panels": len(self.detector.panels),
            "pixel_m": panel.pixel_size,
            "detsize_fast_m": panel.detsize_f,
            "detsize_slow_m": panel.detsize_s,
            "distance_m": panel.distance,
            "close_distance_m": panel.close_distance,
        }
        for key in ("Xbeam", "Ybeam", "Fbeam", "Sbeam", "Xclose", "Yclose", "Fclose", "Sclose"):
            facts[f"{key}_m"] = getattr(panel, key)
        facts |= {
            "XDS_ORGX": panel.ORGX,
            "XDS_ORGY": panel.ORGY,
            "pix0_m": panel.pix0.tolist(),
            "fdet_vector": panel.fdet.tolist(),
            "sdet_vector": panel.sdet.tolist(),
            "odet_vector": panel.odet.tolist(),
            "beam_vector": frame.beam.tolist(),
            "spindle_vector": frame.spindle.tolist(),
            "polarization_plane_normal": np.cross(frame.beam, frame.polar).tolist(),
            "dials_origin_mm": list(panel.dials_origin_mm),
            "xds_incident_beam": in_detector,
            "curved_detector": self.detector.curved,
            "point_pixel": self.detector.point_pixel,
            "detector_thick_m": self.detector.thickness,
            "detector_thickstep_um": self.detector.layer_step * 1e6,
            "detector_thicksteps": self.detector.layers,
            "detector_mu": self.detector.mu,
            "unit_cell": list(crystal.unit_cell),
            "recip_cell": list(crystal.recip_cell),
            "volume_A3": crystal.volume,
        }
        for name, direct, reciprocal in zip("abc", crystal.direct, crystal.reciprocal, strict=True):
            facts[f"{name}_vector_A"] = direct.tolist()
            facts[f"{name}_star_vector"] = reciprocal.tolist()
        facts |= {
            "misset_deg": None if crystal.misset_deg is None else list(crystal.misset_deg),
            "misset_seed": crystal.misset_seed,
            "N": list(crystal.N),
            "xtal_shape": SHAPE_NAMES[crystal.shape],
            "mosaic_domains": len(crystal.umats),
            "mosaic_spread_deg": crystal.mosaic_spread_deg,
            "phisteps": scan.phisteps,
            "phi_start_deg": scan.start * RTD,
            "phi_end_deg": (scan.start + scan.osc) * RTD,
            "phi_list_deg": (scan.phi * RTD).tolist(),
            "lambda0_m": self.simulation.beam.wavelength_A / 1e10,
            "dispersion_percent": sources.dispersion.range * 100,
            "dispsteps": sources.dispersion.number,
            "hdivrange_rad": sources.hdiv.range,
            "hdivstep_rad": sources.hdiv.step,
            "vdivrange_rad": sources.vdiv.range,
            "vdivstep_rad": sources.vdiv.step,
            "divsteps": sources.divsteps,
            "sources": len(sources.wavelengths),
            "source_list": [
                [*position, weight, wavelength]
                for position, weight, wavelength in zip(
                    sources.positions.tolist(), sources.weights.tolist(), sources.wavelengths.tolist(), strict=True
                )
            ],
            "polarization": self.simulation.beam.kahn_factor,
            "nopolar": self.simulation.beam.nopolar,
            "fluence": self.fluence,
            "hkls": 0 if self.structure_factors is None else self.structure_factors.n_reflections,
            "default_F": self.simulation.structure_factors.default_F,
            "interpolation_auto": self.interpolation_choice,
            "interpolate": self.interpolate,
            "oversample": sampling.oversample,
            "oversample_auto": sampling.automatic,
            "oversample_flags": [
                f"+{name}"
                for name in ("thick", "polar", "omega")
                if getattr(self.simulation.sampling, f"oversample_{name}")
            ],
            "roi": list(sampling.roi),
            "dmin_A": self.simulation.sampling.dmin_A,
            "water_um": self.simulation.background.water_um,
            "background_mm": self.simulation.background.thickness_mm,
            "air_mm": self.simulation.background.air_mm,
            "steps": self.steps,
        }
        return facts


def resolve(simulation: Simulation, like: Experiment | None = None) -> Experiment:
    """Fill every gap of a simulation by the reference's rules.

    Parameters
    ----------
    like : Experiment, optional
        An earlier experiment: its parts are used again where the fields that determine them are the same, without a check
        whether their files have changed.

    Raises
    ------
    ConfigError
        The simulation contradicts itself, or does not describe an experiment.
    FileError
        An input file cannot be read.
    """
    physics, parts = simulation.physics, _Reuse(simulation, like)
    detector = parts.of("detector", lambda: resolve_detector(simulation.detector, physics), "detector")
    crystal = parts.of(
        "crystal", lambda: resolve_crystal(simulation.crystal, simulation.beam, physics), "crystal", "beam"
    )
    sources = parts.of("sources", lambda: resolve_sources(simulation.beam, detector.frame, physics), "beam", "detector")
    scan = parts.of("scan", lambda: resolve_scan(simulation.scan, physics), "scan")
    wavelength = simulation.beam.wavelength_A / 1e10
    sampling = resolve_sampling(simulation.sampling, detector, crystal, wavelength)
    grid, grid_notes = parts.of("table", lambda: _table(simulation.structure_factors, crystal), "structure_factors")
    interpolate, choice = _interpolation(simulation, crystal, grid)
    if simulation.mask is not None and simulation.mask.shape != detector.panels[0].shape:
        shape = detector.panels[0].shape
        raise ConfigError(
            f"the mask has {simulation.mask.shape[1]} x {simulation.mask.shape[0]} pixels, "
            f"the detector {shape[1]} x {shape[0]} (fast x slow): give a mask of the detector's size"
            f"{SWAPPED if swapped(simulation.mask.shape, shape) else ''}"
        )
    if simulation.mask is not None and len(detector.panels) > 1:
        raise ConfigError("a mask can be used with one panel only")
    experiment = Experiment(
        simulation=simulation,
        detector=detector,
        crystal=crystal,
        sources=sources,
        scan=scan,
        sampling=sampling,
        structure_factors=grid,
        interpolate=interpolate,
        interpolation_choice=choice,
        fluence=_fluence(simulation),
        table_notes=tuple(grid_notes),
    )
    _check_steps(experiment)
    return experiment


def _table(config: StructureFactors, crystal: ResolvedCrystal) -> tuple[FTable | None, list[str]]:
    """Structure factors and notes about them; where a list is refused, its cell is compared with the crystal's as well."""
    try:
        return resolve_structure_factors(config)
    except FileError as error:
        notes: list[str] = []
        if isinstance(config.hkl, Path):
            with contextlib.suppress(FileError, ConfigError):
                cell = cell_of(config.hkl, config.hkl_label, config.hkl_dataset)
                notes = cell_notes(str(config.hkl), cell, crystal.unit_cell)
        if not notes:
            raise
        raise FileError("; besides, ".join([str(error), *notes])) from error


class _Reuse:
    """Parts of an earlier experiment that can be used again."""

    def __init__(self, simulation: Simulation, like: Experiment | None) -> None:
        self._new, self._like = simulation, like
        self._same_physics = like is not None and like.simulation.physics == simulation.physics

    def of(self, part: str, make: Callable[[], T], *decided_by: str) -> T:
        """The earlier part if all parts of the simulation that determine it are the same, else a new one."""
        if self._like is None or not self._same_physics:
            return make()
        before = self._like.simulation
        if any(not _same(getattr(before, name), getattr(self._new, name)) for name in decided_by):
            return make()
        found: T = getattr(self._like, part)
        return found


def _same(a: object, b: object) -> bool:
    """Whether two parts of a simulation are equal; with arrays in them, whether they are one object."""
    if a is b:
        return True
    try:
        return bool(a == b)
    except ValueError:  # arrays are compared element by element
        return False


def _check_steps(experiment: Experiment) -> None:
    """Raise ConfigError if a pixel has more steps than an integer of a kernel can count."""
    if experiment.steps * experiment.detector.layers >= 2**62:
        n = experiment.sampling.oversample
        cause = too_many_subpixels(experiment) or "give -oversample 1, or fewer cells"
        raise ConfigError(f"{n:.2g} x {n:.2g} sub-pixels are more than can be counted: {cause}")


def _endless(experiment: Experiment) -> list[str]:
    """Warning about an image that takes hours on 16 cores, mostly for far too many sub-pixels; empty for others."""
    pixels = sum(panel.shape[0] * panel.shape[1] for panel in experiment.detector.panels)
    steps = float(experiment.steps) * experiment.detector.layers * pixels
    if steps < MANY_STEPS:
        return []
    n = experiment.sampling.oversample
    return [
        f"all pixels together have {steps:.1e} steps, some {steps / STEPS_PER_HOUR:.1g} hours for 16 cores: {n} x {n} "
        f"sub-pixels, {len(experiment.sources.wavelengths)} sources, {experiment.scan.phisteps} phi steps, "
        f"{len(experiment.crystal.umats)} mosaic domains; -oversample 1 samples each pixel once"
    ]


def _fluence(simulation: Simulation) -> float:
    beam = simulation.beam
    if beam.flux > 0 and beam.exposure_s > 0:
        size = beam.beamsize_mm / 1000
        return beam.flux * beam.exposure_s / size / size
    return beam.fluence


def _interpolation(simulation: Simulation, crystal: ResolvedCrystal, grid: FTable | None) -> tuple[bool, str]:
    """Whether to interpolate and who chose; an odd rule uses N as given where a size in mm has replaced it."""
    wanted = simulation.structure_factors.interpolate
    if wanted is not None:
        return wanted and grid is not None, "user"
    given = simulation.crystal
    counts = crystal.N
    if edition_of(simulation.physics).forgets_size:
        counts = max(given.Na, 1), max(given.Nb, 1), max(given.Nc, 1)
    small = min(counts) <= 2
    return small and grid is not None, "tricubic" if small else "none"
