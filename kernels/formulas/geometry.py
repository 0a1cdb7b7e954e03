"""Where a sub-pixel is, and the ray to it."""

from __future__ import annotations

from nbnumba.kernels.formulas.vec import norm, rotate_axis, scaled
from nbnumba.kernels.jit.cpu import STRICT, device


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


@device(forceinline=True)
def subpixel_position(panel, s, f, layer, subS, subF):
    """Position (m) from the crystal of the middle of a sub-pixel in a sensor layer, on the flat panel."""
    Fdet = subpixel_coordinate(f, subF, panel.oversample, panel.pixel_size)
    Sdet = subpixel_coordinate(s, subS, panel.oversample, panel.pixel_size)
    return pixel_position(panel, Fdet, Sdet, panel.first_depth + layer * panel.layer_step)


@device(forceinline=True)
def fractional_position(panel, s, f, layer, subS, subF):
    """As :func:`subpixel_position`, for s and f that may be fractions; a tile's bits rest on this order of rounding."""
    size = panel.pixel_size / panel.oversample
    depth = panel.first_depth + layer * panel.layer_step
    return pixel_position(
        panel, panel.pixel_size * f + size * (subF + 0.5), panel.pixel_size * s + size * (subS + 0.5), depth
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


@device(fastmath=STRICT, forceinline=True)
def ray_to(position):
    """Distance (m) and direction of a position."""
    airpath = norm(position)
    return airpath, scaled(position, 1.0 / airpath)


@device(fastmath=STRICT, forceinline=True)
def subpixel_ray(panel, curved, s, f, layer, subS, subF):
    """Distance (m) and direction from the crystal to a sub-pixel of a sensor layer.

    ``curved``: of the panel; a constant where a kernel is for one kind of panels.
    """
    position = subpixel_position(panel, s, f, layer, subS, subF)
    if curved:
        position = bend(panel, position)
    return ray_to(position)
