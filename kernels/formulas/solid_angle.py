"""Solid angle of a pixel."""

from __future__ import annotations

from nbnumba.kernels.jit.cpu import device


@device
def omega_pixel(pixel_size, airpath, close_distance, point_pixel):
    """Solid angle (sr) of a pixel ``airpath`` (m) away, on a plane ``close_distance`` (m) away.

    (pixel / airpath)^2 times the cosine of the obliquity, close_distance / airpath. With ``point_pixel`` the inverse
    square of the distance alone, in 1/m^2 (nanoBragg.c, ``-point_pixel``).
    """
    inverse = 1.0 / airpath
    if point_pixel:
        return inverse * inverse
    return pixel_size * pixel_size * inverse * inverse * close_distance * inverse
