"""Integer images made from photons per pixel, for the SMV and PGM files."""

from __future__ import annotations

import numpy as np

from nbnumba.kernels.cpu.quantize import to_uint8, to_uint16

#: Half-open ``(s0, s1, f0, f1)``.
Slices = tuple[int, int, int, int]


def integer_image(
    image: np.ndarray, roi_slices: Slices, scale: float = 0.0, adc_offset: float = 40.0
) -> tuple[np.ndarray, float]:
    """Counts for the integer file, and the scale that was used.

    Parameters
    ----------
    image : (slow, fast) float32
        Photons per pixel.
    roi_slices : (4,) int
        Half-open ``s0, s1, f0, f1``; pixels outside stay 0, also without the offset.
    scale : float
        Counts per photon. Not above 0: such that the largest pixel becomes 55000, or 1 if no pixel is above 0.
    adc_offset : float
        Counts added to every pixel.

    Returns
    -------
    counts : (slow, fast) uint16
        ``floor(image * scale + adc_offset + 0.5)``, clipped to 0..65535.
    scale : float
    """
    s0, s1, f0, f1 = roi_slices
    image = np.ascontiguousarray(image, dtype=np.float32)
    if scale <= 0:
        largest = float(image[s0:s1, f0:f1].max(initial=0.0))
        scale = 55000.0 / largest if largest > 0 else 1.0
    counts = np.zeros(image.shape, dtype=np.uint16)
    to_uint16(image, s0, s1, f0, f1, float(scale), float(adc_offset), counts)
    return counts, float(scale)


def pgm_image(
    image: np.ndarray, roi_slices: Slices, scale: float = 0.0, *, rmsd: float, int_scale: float
) -> tuple[np.ndarray, float]:
    """Grey levels for the PGM file, and the scale that was used.

    Parameters
    ----------
    image : (slow, fast) float32
        Photons per pixel.
    roi_slices : (4,) int
        Half-open ``s0, s1, f0, f1``; pixels outside stay 0.
    scale : float
        Levels per photon. Not above 0: five times ``rmsd`` becomes 250, or ``int_scale`` if ``rmsd`` is 0.
    rmsd : float
        Root mean square deviation of the region, in photons (:mod:`nbnumba.render.statistics`).
    int_scale : float
        Scale of the integer image.

    Returns
    -------
    levels : (slow, fast) uint8
        ``image * scale``, clipped to 0..255 and truncated.
    scale : float
    """
    s0, s1, f0, f1 = roi_slices
    if scale <= 0:
        scale = 250.0 / (5.0 * rmsd) if rmsd > 0 else int_scale
    levels = np.zeros(image.shape, dtype=np.uint8)
    to_uint8(np.ascontiguousarray(image, dtype=np.float32), s0, s1, f0, f1, float(scale), levels)
    return levels, float(scale)
