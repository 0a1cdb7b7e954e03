"""From a result to files: all of a run's files appear together, or none does."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.crystal import RTD
from nbnumba.errors import FileError
from nbnumba.experiment import Experiment
from nbnumba.images import integer_image, pgm_image
from nbnumba.io.fdump import write_fdump
from nbnumba.io.files import together
from nbnumba.io.pgm import write_pgm
from nbnumba.io.raw import write_float_image
from nbnumba.io.smv import SmvGeometry, write_smv
from nbnumba.noise import noise_image
from nbnumba.outputs import Outputs
from nbnumba.simulate import Result


@dataclass(frozen=True)
class Written:
    """Files of a run, and what was chosen or counted while they were made.

    ``noise`` holds the photons of the noise image, (spixels, fpixels) float32, its pedestal subtracted.
    """

    files: tuple[Path, ...]
    intfile_scale: float
    pgm_scale: float | None
    noise_photons: float | None
    noise_overloads: int | None
    noise_seed: int | None
    notes: tuple[str, ...]
    noise: np.ndarray | None


def smv_geometry(experiment: Experiment) -> SmvGeometry:
    """Numbers of the SMV header, for the first panel."""
    panel = experiment.panel
    return SmvGeometry(
        fpixels=panel.fpixels,
        spixels=panel.spixels,
        pixel_mm=panel.pixel_size * 1000,
        distance_mm=panel.distance * 1000,
        wavelength_A=experiment.simulation.beam.wavelength_A,
        xbeam_mm=panel.Xbeam * 1000,
        ybeam_mm=panel.Ybeam * 1000,
        fbeam_mm=panel.Fbeam * 1000,
        sbeam_mm=panel.Sbeam * 1000,
        detsize_s_mm=panel.detsize_s * 1000,
        dials_origin_mm=panel.dials_origin_mm,
        orgx=panel.ORGX,
        orgy=panel.ORGY,
        close_distance_mm=panel.close_distance * 1000,
        phi_deg=experiment.scan.start * RTD,
        osc_deg=experiment.scan.osc * RTD,
        twotheta_deg=experiment.detector.twotheta_deg,
    )


def write_outputs(result: Result, outputs: Outputs) -> Written:
    """Write every file that was asked for.

    Raises
    ------
    FileError
        One of them cannot be written; then none is, and files of the same names are as they were.
    """
    experiment = result.experiment
    slices, geometry = experiment.sampling.slices[0], smv_geometry(experiment)
    files: list[Path] = []
    notes: list[str] = []
    pgm_scale = photons = overloads = seed = None
    with together():
        _write_dump(experiment, files, notes)
        write_float_image(outputs.floatfile, result.image)
        counts, int_scale = integer_image(result.image, slices, outputs.scale, outputs.adc_offset)
        write_smv(outputs.intfile, counts, geometry, outputs.adc_offset)
        files += [outputs.floatfile, outputs.intfile]
        if outputs.pgmfile is not None:
            levels, pgm_scale = pgm_image(
                result.image, slices, outputs.pgmscale, rmsd=result.statistics.rmsd, int_scale=int_scale
            )
            write_pgm(outputs.pgmfile, levels, pgm_scale)
            files.append(outputs.pgmfile)
        noise_photons = None
        if outputs.noisefile is not None:
            seed = outputs.seed if outputs.seed is not None else int(time.time())
            noise = noise_image(result.image, slices, seed, outputs.adc_offset, outputs.rng)
            photons, overloads = noise.photons, noise.overloads
            write_smv(outputs.noisefile, noise.counts, geometry, outputs.adc_offset)
            files.append(outputs.noisefile)
            noise_photons = noise.counts - np.float32(outputs.adc_offset)
        if outputs.preview is not None:
            draw(outputs.preview, result.image if noise_photons is None else noise_photons, experiment)
            files.append(outputs.preview)
    return Written(tuple(files), int_scale, pgm_scale, photons, overloads, seed, tuple(notes), noise_photons)


def draw(
    path: Path, image: np.ndarray, experiment: Experiment, title: str | None = None, beamstop_mm: float = 1.0
) -> None:
    """Picture of a photon image, with the beam's position and resolution rings."""
    from nbnumba.preview import save_preview

    panel = experiment.panel
    crystal = " x ".join(map(str, experiment.crystal.N))
    save_preview(
        path,
        image,
        title=title or f"{crystal} cells, {experiment.simulation.beam.wavelength_A:.4g} Å",
        beam_center_px=(panel.Fbeam / panel.pixel_size, panel.Sbeam / panel.pixel_size),
        distance_mm=panel.distance * 1000,
        pixel_mm=panel.pixel_size * 1000,
        wavelength_A=experiment.simulation.beam.wavelength_A,
        beamstop_mm=beamstop_mm,
        resolution_A=resolution_map(experiment),
    )


def resolution_map(experiment: Experiment) -> np.ndarray:
    """Resolution d (Å) in the middle of every pixel of the first panel, (spixels, fpixels) float32."""
    panel = experiment.panel
    F = (np.arange(panel.fpixels) + 0.5) * panel.pixel_size
    S = (np.arange(panel.spixels) + 0.5) * panel.pixel_size
    along = np.zeros((panel.spixels, panel.fpixels))
    squared = np.zeros_like(along)
    for axis in range(3):
        place = panel.pix0[axis] + S[:, None] * panel.sdet[axis] + F[None, :] * panel.fdet[axis]
        along += place * experiment.detector.frame.beam[axis]
        squared += place * place
    cosine = np.clip(along / np.sqrt(squared), -1, 1)
    with np.errstate(divide="ignore"):
        # d = lambda / (2 sin theta), and 2 sin^2 theta = 1 - cos 2theta
        d = experiment.simulation.beam.wavelength_A / np.sqrt(2 * (1 - cosine))
    return np.where(np.isfinite(d), d, math.inf).astype(np.float32)


def _write_dump(experiment: Experiment, files: list[Path], notes: list[str]) -> None:
    """Binary copy of the structure factors, for a next run without -hkl; a run does not fail for want of it."""
    config, grid = experiment.simulation.structure_factors, experiment.structure_factors
    if config.hkl is None or grid is None or not config.write_dump:
        return
    try:
        write_fdump(config.dump, grid.grid, (grid.h_min, grid.k_min, grid.l_min))
        files.append(config.dump)
    except FileError as error:
        notes.append(f"no dump of the structure factors: {error}")
