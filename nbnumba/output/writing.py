"""From a result to files: all of a run's files appear together, or none does."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.fdump import write_fdump
from nbnumba.io.files import together
from nbnumba.io.npy import write_npy
from nbnumba.io.pgm import write_pgm
from nbnumba.io.raw import write_float_image
from nbnumba.io.smv import SmvGeometry, write_smv
from nbnumba.model.crystal import RTD
from nbnumba.model.experiment import Experiment
from nbnumba.model.frames import dials_import_words, image_geometry
from nbnumba.model.outputs import SATURATION_16, Outputs
from nbnumba.readout.counts import GAP, Counts, noiseless_counts, noisy_counts, noisy_frames
from nbnumba.readout.images import integer_image, pgm_image
from nbnumba.render.simulate import Result
from nbnumba.render.threads import thread_safe


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


def smv_geometry(experiment: Experiment, gain: float = 1.0) -> SmvGeometry:
    """Numbers of the SMV header, for the first panel; ``gain`` in counts per photon."""
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
        exposure_s=experiment.simulation.beam.exposure_s,
        gain=gain,
    )


@thread_safe
def write_outputs(result: Result, outputs: Outputs) -> Written:
    """Write every file that was asked for.

    Raises
    ------
    FileError
        One of them cannot be written; then none is, and files of the same names are as they were.
    """
    experiment, offset = result.experiment, outputs.adc_offset
    slices = experiment.sampling.slices[0]
    files: list[Path] = []
    notes: list[str] = []
    pgm_scale = photons = overloads = seed = noise = counted = None
    with together():
        _write_dump(experiment, files, notes)
        write_float_image(outputs.floatfile, result.image)
        counts, int_scale = integer_image(result.image, slices, outputs.scale, offset)
        write_smv(outputs.intfile, counts, smv_geometry(experiment, int_scale), offset, outputs.smv)
        files += [outputs.floatfile, outputs.intfile]
        if outputs.pgmfile is not None:
            levels, pgm_scale = pgm_image(
                result.image, slices, outputs.pgmscale, rmsd=result.statistics.rmsd, int_scale=int_scale
            )
            write_pgm(outputs.pgmfile, levels, pgm_scale)
            files.append(outputs.pgmfile)
        if outputs.noisefile is not None:
            seed = outputs.seed if outputs.seed is not None else int(time.time())
            frames = noisy_frames(result, outputs, seed, offset)
            photons, overloads = frames[0].photons, frames[0].overloads
            counts = np.minimum(frames[0].counts, SATURATION_16).astype(np.uint16)
            write_smv(outputs.noisefile, counts, smv_geometry(experiment, outputs.gain), offset, outputs.smv)
            files.append(outputs.noisefile)
            noise = (frames[0].counts - np.float32(offset)).astype(np.float32) / np.float32(outputs.gain)
            counted = noisy_counts(result, outputs, seed, frames) if outputs.wants_counts else None
        elif outputs.wants_counts:
            counted = noiseless_counts(result, outputs)
        if counted is not None:
            files += _write_counts(counted, experiment, outputs)
        if outputs.truth is not None:
            from nbnumba.output.truth import find_truth, write_truth

            write_truth(outputs.truth, find_truth(result))
            files.append(outputs.truth)
        if outputs.preview is not None:
            draw(outputs.preview, result.image if noise is None else noise, experiment)
            files.append(outputs.preview)
    notes += _import_notes(experiment, outputs)
    return Written(tuple(files), int_scale, pgm_scale, photons, overloads, seed, tuple(notes), noise)


def _write_counts(counted: Counts, experiment: Experiment, outputs: Outputs) -> list[Path]:
    """Count files that were asked for."""
    geometry = image_geometry(experiment)
    written = []
    if outputs.cbf is not None:
        from nbnumba.io.cbf import write_cbf

        write_cbf(outputs.cbf, counted.marked()[0], geometry, counted.saturation, outputs.gain)
        written.append(outputs.cbf)
    if outputs.nexus is not None:
        from nbnumba.io.nexus import ValidCounts, stack_panels, write_nexus  # HDF5 is slow to load

        # no mask where all pixels are good: DIALS 3.12 cannot cut one for panels of different widths
        mask = stack_panels(counted.masks, GAP) if any(m.any() for m in counted.masks) else None
        valid = ValidCounts(saturation=counted.saturation, underload=counted.underload, pixel_mask=mask)
        write_nexus(outputs.nexus, stack_panels(counted.panels), geometry, valid)
        written.append(outputs.nexus)
    if outputs.npy is not None:
        marked = counted.marked()
        alike = len({panel.shape for panel in marked}) == 1
        write_npy(outputs.npy, marked[0] if len(marked) == 1 else np.array(marked) if alike else _stacked(marked))
        written.append(outputs.npy)
    return written


def _stacked(panels: list[np.ndarray]) -> np.ndarray:
    from nbnumba.io.nexus import stack_panels

    return stack_panels(panels, -1)


def _import_notes(experiment: Experiment, outputs: Outputs) -> list[str]:
    """What a reader of the files has to be told because their headers cannot."""
    notes = []
    if (number := len(experiment.detector.panels)) > 1:
        single = (outputs.floatfile, outputs.intfile, outputs.noisefile, outputs.pgmfile, outputs.preview, outputs.cbf)
        if names := ", ".join(map(str, _kept(*single))):
            notes.append(f"{names} hold the first of {number} panels: --nexus FILE or --npy FILE hold them all")
    smv = outputs.intfile if outputs.noisefile is None else outputs.noisefile
    plain = _kept(outputs.cbf, smv if outputs.smv == "adsc" else None)
    if not plain:
        return notes
    geometry = image_geometry(experiment)
    names = " and ".join(str(path) for path in plain)
    if words := dials_import_words(geometry):
        told = f"dials.import {' '.join(words)}"
        notes.append(f"the header of {names} cannot say how detector, spindle and polarization lie: {told}")
    unnumbered = [path.name for path in plain if not any(letter.isdigit() for letter in path.name)]
    if unnumbered:
        notes.append(f"DIALS wants a number in the names of images: call {unnumbered[0]} something like image_0001")
    return notes


def _kept(*paths: Path | None) -> list[Path]:
    """Those of the files that are wanted, and go somewhere."""
    return [path for path in paths if path is not None and str(path) != os.devnull]


def draw(
    path: Path, image: np.ndarray, experiment: Experiment, title: str | None = None, beamstop_mm: float = 1.0
) -> None:
    """Picture of a photon image, with the beam's position and resolution rings."""
    from nbnumba.output.preview import save_preview

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
