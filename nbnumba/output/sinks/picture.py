"""PNG: picture with the position of the beam and resolution rings."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nbnumba.model.experiment import Experiment
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class Picture(Sink):
    """The image with noise, if there is one, as PNG."""

    field = "preview"
    first_panel = 5

    def write(self, path: Path, exposure: Exposure) -> Report:
        photons = exposure.noisy_photons if exposure.outputs.has_noise else exposure.result.image
        draw(path, photons, exposure.experiment)
        return Report((path,))


def draw(
    path: Path, image: np.ndarray, experiment: Experiment, title: str | None = None, beamstop_mm: float = 1.0
) -> None:
    """Write a picture of a photon image of the first panel.

    Raises
    ------
    FileError
        The file cannot be written.
    """
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
