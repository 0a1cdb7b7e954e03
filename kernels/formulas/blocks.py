"""Parameter blocks: flat named tuples of scalars, the only compound arguments that every Numba target takes.

All lengths in metres, angles in radians, reciprocal lengths in 1/metre. ``nbnumba.render.inputs`` fills them.
"""

from __future__ import annotations

from typing import NamedTuple

SQUARE, ROUND, GAUSS, TOPHAT = range(4)


class PanelBlock(NamedTuple):
    """Geometry and sampling of one panel.

    ``pix0`` is the corner of pixel (0, 0); ``fdet``, ``sdet``, ``odet`` are unit axes, odet away from the sample. Where
    pixels are oblique or not square, ``fdet`` and ``sdet`` are the edges of a pixel over ``pixel_size``, the square root of
    its area.
    Rows ``s0 <= s < s1`` and columns ``f0 <= f < f1`` are rendered, all others left as they are.
    """

    pix0_x: float
    pix0_y: float
    pix0_z: float
    fdet_x: float
    fdet_y: float
    fdet_z: float
    sdet_x: float
    sdet_y: float
    sdet_z: float
    odet_x: float
    odet_y: float
    odet_z: float
    beam_x: float  # unit vector along the beam, for the curved detector
    beam_y: float
    beam_z: float
    pixel_size: float
    distance: float  # along the beam
    close_distance: float  # to the nearest point of the plane
    first_depth: float  # of the first sensor layer's diffracting plane below the front; 0 in the reference
    layer_step: float  # thickness of a sensor layer
    mu: float  # absorption coefficient of the sensor, 1/m
    fpixels: int
    s0: int
    s1: int
    f0: int
    f1: int
    oversample: int
    layers: int
    has_thickness: int  # 0: capture fraction 1
    curved: int
    point_pixel: int


class CrystalBlock(NamedTuple):
    """Lattice transform. ``Gij`` is the reciprocal metric tensor a_i*.a_j* of the unrotated cell, in 1/Å^2."""

    shape: int
    Na: float
    Nb: float
    Nc: float
    fudge: float
    G11: float
    G22: float
    G33: float
    G12: float
    G13: float
    G23: float
    per_axis: int  # 1: gauss and tophat scale the radius per axis; 0: by Na*Nb*Nc, as the reference does


class MetricBlock(NamedTuple):
    """Squared radius of a spot that is not square, ``fudge`` included (``lattice.spot_metric``).

    In the units of ``profiles``, in which gauss and tophat spots end at a constant.

    ``least_h`` and so on: what an offset of 1 along that index leaves at least of it, whatever the other two are.
    """

    hh: float
    kk: float
    ll: float
    hk: float  # twice the off-diagonal elements
    hl: float
    kl: float
    least_h: float
    least_k: float
    least_l: float


class CellBlock(NamedTuple):
    """Box of structure factors: ``Fhkl[h - h_min, k - k_min, l - l_min]``, ``default_F`` outside."""

    h_min: int
    k_min: int
    l_min: int
    h_range: int  # number of indices along h
    k_range: int
    l_range: int
    default_F: float
    interpolate: int
    fallback_each: int  # 1: leave the tricubic only for evaluations out of range; 0: for the rest of the run
    has_hkl: int


#: With oversample_* a factor multiplies the running sum after every term, or each term.
ON_SUM, ON_TERM = 1, 2


class BeamBlock(NamedTuple):
    """Polarization, resolution limit, background and scale."""

    polar_x: float  # unit vector, the E vector's side
    polar_y: float
    polar_z: float
    kahn_factor: float
    nopolar: int
    dmin: float  # 0: no limit
    I_bg: float  # start of every pixel's sum, in F^2 units
    has_water: int
    scale: float  # r_e^2 * fluence / steps
    oversample_thick: int  # 0, ON_SUM or ON_TERM
    oversample_polar: int
    oversample_omega: int
    per_term: int  # 1: every term has its own capture fraction, polarization, solid angle and source weight
