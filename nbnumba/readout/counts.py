"""Counts of the detector of a run for every panel, and which pixels are valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbnumba.kernels.cpu.rng import MODULUS
from nbnumba.model.outputs import MAX_COUNT, Outputs
from nbnumba.readout.detector_noise import Frame, dead_pixels, read_out
from nbnumba.readout.noise import noise_image
from nbnumba.render.simulate import Result

#: Bits of a pixel mask: no such pixel; dead pixel.
GAP, DEAD = 1, 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Counts:
    """Counts of a run without the offset.

    Attributes
    ----------
    panels : tuple of (slow, fast) int32
        Below 0 only through read noise.
    masks : tuple of (slow, fast) uint8
        0 where the count is a measurement; see ``GAP`` and ``DEAD``.
    saturation : int
        Counts from which on a pixel is overloaded.
    underload : int
        Smallest possible count.
    """

    panels: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    saturation: int
    underload: int

    def marked(self, index: int) -> np.ndarray:
        """Counts of a panel for formats without a mask: -1 where there is no measurement, else at least 0.

        A new (slow, fast) int32 with each call: to keep them would cost more memory than they cost time.
        """
        return np.where(self.masks[index] > 0, -1, np.maximum(self.panels[index], 0)).astype(np.int32)


def pixel_masks(result: Result, outputs: Outputs) -> tuple[np.ndarray, ...]:
    """Bits of every pixel: outside the region of interest or masked by the user, dead."""
    masks = []
    for index, image in enumerate(result.images):
        s0, s1, f0, f1 = result.experiment.sampling.slices[index]
        mask = np.full(image.shape, GAP, np.uint8)
        mask[s0:s1, f0:f1] = 0
        if result.experiment.simulation.mask is not None:
            mask[result.experiment.simulation.mask == 0] |= GAP
        mask[dead_pixels(image.shape, outputs, index)] |= DEAD
        masks.append(mask)
    return tuple(masks)


def noisy_frames(
    result: Result, outputs: Outputs, seed: int, offset: float, masks: Sequence[np.ndarray] | None
) -> list[Frame]:
    """Every panel with noise, the offset included; 0 outside the region of interest and in dead pixels.

    Parameters
    ----------
    offset : float
        Added to every pixel, in counts.
    masks : sequence of (slow, fast) uint8, or None
        Those of :func:`pixel_masks`; None if no pixel is dead.
    """
    frames = []
    for index, image in enumerate(result.images):
        slices = result.experiment.sampling.slices[index]
        if outputs.is_ideal:
            noise = noise_image(image, slices, (seed + index) % MODULUS if index else seed, offset, outputs.rng)
            frame = Frame(noise.counts.astype(np.int32), noise.photons, noise.overloads)
        else:
            frame = read_out(
                image,
                outputs,
                pixel_um=result.experiment.detector.panels[index].pixel_size * 1e6,
                offset=offset,
                seed=seed,
                panel_index=index,
            )
            s0, s1, f0, f1 = slices
            inside = np.zeros(image.shape, bool)
            inside[s0:s1, f0:f1] = True
            frame.counts[~inside] = 0
        if masks is not None:
            frame.counts[masks[index] & DEAD > 0] = 0
        frames.append(frame)
    return frames


def noisy_counts(
    result: Result, outputs: Outputs, seed: int, frames: list[Frame], masks: tuple[np.ndarray, ...]
) -> Counts:
    """The frames of :func:`noisy_frames` without their offset, and the masks of :func:`pixel_masks`."""
    offset = outputs.adc_offset
    if offset < 0:  # the reference lets negative numbers wrap around, which would make wrong counts here
        offset = 0.0
        frames = noisy_frames(result, outputs, seed, offset, masks)
    base = outputs.pedestal
    return Counts(
        panels=tuple(np.where(m > 0, 0, frame.counts - base) for frame, m in zip(frames, masks, strict=True)),
        masks=masks,
        saturation=outputs.saturation_counts - base,
        underload=-base if outputs.read_noise > 0 else 0,
    )


def expected_frames(result: Result, outputs: Outputs) -> list[Frame]:
    """Every panel without noise and offset."""
    largest = _largest_expected(outputs)
    return [
        read_out(image, outputs, pixel_um=panel.pixel_size * 1e6, offset=0.0, seed=None, largest=largest)
        for image, panel in zip(result.images, result.experiment.detector.panels, strict=True)
    ]


def expected_counts(outputs: Outputs, frames: Sequence[Frame], masks: tuple[np.ndarray, ...]) -> Counts:
    """The frames of :func:`expected_frames` with the masks of :func:`pixel_masks`."""
    panels = tuple(np.where(mask > 0, 0, frame.counts) for frame, mask in zip(frames, masks, strict=True))
    return Counts(panels=panels, masks=masks, saturation=_largest_expected(outputs), underload=0)


def _largest_expected(outputs: Outputs) -> int:
    return MAX_COUNT if outputs.saturation is None else outputs.saturation
