"""One exposure of the detector: the content of the files of a run, computed from its photons at the first use."""

from __future__ import annotations

import time
from functools import cached_property

import numpy as np

from nbnumba.model.frames import ImageGeometry, image_geometry
from nbnumba.model.outputs import Outputs
from nbnumba.readout.counts import Counts, expected_counts, expected_frames, noisy_counts, noisy_frames, pixel_masks
from nbnumba.readout.detector_noise import Frame
from nbnumba.readout.images import integer_image, pgm_image
from nbnumba.render.simulate import Result


class Exposure:
    """A result, read out by the detector of ``outputs``.

    Each property is computed at its first use and then kept, so that files share it: the noise is drawn once.

    Parameters
    ----------
    result : Result
        Photons of every panel.
    outputs : Outputs
        Scales, offset, noise and readout. Of its files only the noise image matters here: if it is None, counts are the
        expected ones, without noise.
    """

    def __init__(self, result: Result, outputs: Outputs) -> None:
        self.result, self.outputs = result, outputs
        self.experiment = result.experiment

    @cached_property
    def integer(self) -> tuple[np.ndarray, float]:
        """Scaled image of the first panel, (slow, fast) uint16, the offset included, and counts per photon."""
        slices = self.experiment.sampling.slices[0]
        return integer_image(self.result.image, slices, self.outputs.scale, self.outputs.adc_offset)

    @cached_property
    def grey_levels(self) -> tuple[np.ndarray, float]:
        """Grey levels of the first panel, (slow, fast) uint8, and levels per photon."""
        return pgm_image(
            self.result.image,
            self.experiment.sampling.slices[0],
            self.outputs.pgmscale,
            rmsd=self.result.statistics.rmsd,
            int_scale=self.integer[1],
        )

    @cached_property
    def seed(self) -> int:
        """Seed of the noise: the given one, or the time."""
        return int(time.time()) if self.outputs.seed is None else self.outputs.seed

    @cached_property
    def masks(self) -> tuple[np.ndarray, ...]:
        """Which pixels of every panel are valid, (slow, fast) uint8: 0, or the bits of ``nbnumba.readout.counts``."""
        return pixel_masks(self.result, self.outputs)

    @cached_property
    def frames(self) -> list[Frame]:
        """Every panel with noise, the offset included."""
        masks = self.masks if self.outputs.dead_percent > 0 else None
        return noisy_frames(self.result, self.outputs, self.seed, self.outputs.adc_offset, masks)

    @cached_property
    def noisy_photons(self) -> np.ndarray:
        """Photons of the first panel with noise, (slow, fast) float32: counts without the offset over the gain."""
        offset, gain = np.float32(self.outputs.adc_offset), np.float32(self.outputs.gain)
        return (self.frames[0].counts - offset).astype(np.float32) / gain

    @cached_property
    def counts(self) -> Counts:
        """Counts of every panel without the offset: with noise if there is a noise image, else the expected counts."""
        if self.outputs.has_noise:
            return noisy_counts(self.result, self.outputs, self.seed, self.frames, self.masks)
        frames = expected_frames(self.result, self.outputs)  # before the masks, for a lower peak of memory
        return expected_counts(self.outputs, frames, self.masks)

    @cached_property
    def geometry(self) -> ImageGeometry:
        """Position of every panel, beam and spindle in the frame of imgCIF."""
        return image_geometry(self.experiment)
