"""Where a sub-pixel is."""

from __future__ import annotations

from nbnumba.kernels.formulas.vec import rotate_axis, scaled
from nbnumba.kernels.jit.cpu import device


@device
def subpixel_coordinate(index, sub, oversample, pixel_size):
    """Distance (m) of the middle of sub-pixel ``sub`` of pixel ``index`` from the panel's edge, along one axis."""
    subpixel_size = pixel_size / oversample
    return subpixel_size * (index * oversample + sub) + subpixel_size / 2.0


@device
def pixel_position(panel, Fdet, Sdet, Odet):
    """Position (m) from the crystal of the point (Fdet, Sdet) of a flat panel, Odet (m) below its front."""
    return (
        Fdet * panel.fdet_x + Sdet * panel.sdet_x + Odet * panel.odet_x + panel.pix0_x,
        Fdet * panel.fdet_y + Sdet * panel.sdet_y + Odet * panel.odet_y + panel.pix0_y,
        Fdet * panel.fdet_z + Sdet * panel.sdet_z + Odet * panel.odet_z + panel.pix0_z,
    )


@device
def bend(panel, position):
    """Position (m) of a point of the curved detector, every point of which is ``distance`` away from the crystal.

    Lab y and z of the flat panel are read as arc lengths (nanoBragg.c, ``-curved_det``), which makes sense for a beam
    along x.
    """
    straight = scaled((panel.beam_x, panel.beam_y, panel.beam_z), panel.distance)
    sdet = (panel.sdet_x, panel.sdet_y, panel.sdet_z)
    fdet = (panel.fdet_x, panel.fdet_y, panel.fdet_z)
    swung = rotate_axis(straight, sdet, position[1] / panel.distance)
    return rotate_axis(swung, fdet, position[2] / panel.distance)
