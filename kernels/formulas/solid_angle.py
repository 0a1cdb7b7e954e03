"""Solid angle of a pixel."""

from __future__ import annotations

from nbnumba.kernels.jit.cpu import device


@device(forceinline=True)
def omega_pixel(panel, airpath):
    """Solid angle (sr) of a pixel ``airpath`` (m) away.

    (pixel / airpath)^2 times the cosine of the obliquity, close_distance / airpath. With ``point_pixel`` the inverse
    square of the distance alone, in 1/m^2 (nanoBragg.c, ``-point_pixel``).
    """
    inverse = 1.0 / airpath
    if panel.point_pixel:
        return inverse * inverse
    return panel.pixel_size * panel.pixel_size * inverse * inverse * panel.close_distance * inverse
