"""The factors of a pixel: their names in a trace, units, meaning, and the flags that set them.

Problem: a trace lists factors in the order of computation. There a wrong beam direction shows first as a shifted
detector corner, a wrong number of sub-pixels as a shifted ray. Choice: :data:`FACTORS` is in the order of *cause*: what
the user sets comes before what follows from it. The comparison of two traces names the first divergence in this order.
Names follow the existing ``TRACE_C`` and ``TRACE_PY`` logs, whose variants are in :data:`ALIASES`.
"""

from __future__ import annotations

from typing import NamedTuple

#: Types that the value of a factor may have.
Value = str | int | float | tuple[float, ...] | tuple[int, ...]


class Factor(NamedTuple):
    """One line of a trace: unit, meaning, and the flags that set it."""

    unit: str
    meaning: str
    flags: str = ""


_AXES = "-mosflm -xds -dials -adxv -denzo or a vector flag"
_CELL = "-mat -cell -misset"
_STEPS = "-oversample -phisteps -mosaic_domains -divsteps -dispsteps -sourcefile"

FACTORS: dict[str, Factor] = {
    # what the user sets
    "physics": Factor("", "edition: released, reference, upstream or correct", "--physics"),
    "convention": Factor("", "program whose axes and beam centre are used", _AXES),
    "pivot": Factor("", "what stays in place when the detector turns", "-pivot -distance -Xbeam -Xclose"),
    "fdet_vec": Factor("", "direction of the fast axis", "-fdet_vector -detector_rotx -twotheta"),
    "sdet_vec": Factor("", "direction of the slow axis", "-sdet_vector -detector_rotx -twotheta"),
    "odet_vec": Factor("", "detector normal, away from the sample", "-odet_vector -detector_rotx -twotheta"),
    "incident_vec": Factor("", "direction of the beam", "-beam_vector, the convention, -divergence or -sourcefile"),
    "spindle_axis": Factor("", "rotation axis of the scan", "-spindle_axis or the convention"),
    "lambda_meters": Factor("m", "wavelength of the source", "-lambda -energy -dispersion -sourcefile"),
    "lambda_angstroms": Factor("Å", "wavelength of the source", "-lambda -energy -dispersion -sourcefile"),
    "pixel_size_meters": Factor("m", "width of a pixel", "-pixel"),
    "close_distance_meters": Factor("m", "crystal to the nearest point of the plane", "-distance -close_distance"),
    "steps": Factor("", "divisor of the sum: sources x phi x domains x sub-pixels", _STEPS),
    "n_sources": Factor("", "directions x wavelengths of the beam", "-divsteps -dispsteps -sourcefile"),
    "phisteps": Factor("", "phi steps", "-phisteps -osc -phistep"),
    "mosaic_domains": Factor("", "mosaic domains", "-mosaic_domains -mosaic"),
    "oversample": Factor("", "sub-pixels a side", "-oversample"),
    "sensor_layers": Factor("", "layers of the sensor", "-detector_thicksteps"),
    "fluence_photons_per_m2": Factor("1/m²", "photons through the sample", "-fluence or -flux -exposure -beamsize"),
    "r_e_sqr": Factor("m²", "classical electron radius, squared"),
    "r_e_meters": Factor("m", "classical electron radius"),
    "oversample_thick": Factor("", "absorption after every term", "-oversample_thick"),
    "oversample_polar": Factor("", "polarization after every term", "-oversample_polar"),
    "oversample_omega": Factor("", "solid angle after every term", "-oversample_omega"),
    "xtal_shape": Factor("", "shape of the crystal", "-square_xtal -round_xtal -gauss_xtal -tophat_spots"),
    "N_cells": Factor("", "cells along a, b, c", "-Na -Nb -Nc -N -xtalsize"),
    "kahn_factor": Factor("", "polarization of the beam", "-polar -nopolar"),
    "interpolating": Factor("", "1: F_cell is interpolated here", "-interpolate -nointerpolate"),
    "water_background": Factor("F²", "start of the sum: water", "-water"),
    # what follows: the ray
    "pix0_vector_meters": Factor("m", "corner of pixel (0, 0)", "-Xbeam -Ybeam -ORGX -distance -pix0_vector"),
    "pixel_pos_meters": Factor("m", "the first sub-pixel"),
    "diffracted_vec": Factor("", "crystal to the first sub-pixel"),
    "airpath": Factor("m", "crystal to the first sub-pixel"),
    "obliquity_factor": Factor("", "cosine of the angle between the ray and the detector normal"),
    "scattering_vec_A_inv": Factor("1/Å", "(diffracted - incident) / wavelength"),
    "scattering_vec_m_inv": Factor("1/m", "(diffracted - incident) / wavelength"),
    "cos_2theta": Factor("", "incident . diffracted"),
    # the crystal
    **{f"misset_{v}_angstroms": Factor("Å", f"{v} after misset", _CELL) for v in "abc"},
    "phi_deg": Factor("deg", "first phi step", "-phi"),
    **{f"phi_{v}_angstroms": Factor("Å", f"{v} after misset and phi", "-phi -osc -spindle_axis") for v in "abc"},
    **{f"rot_{v}_angstroms": Factor("Å", f"{v} after misset, phi, mosaic", "-mosaic -mosaic_seed") for v in "abc"},
    **{f"rot_{v}_star_A_inv": Factor("1/Å", f"{v}* after misset, phi, mosaic", "-mosaic -mosaic_seed") for v in "abc"},
    # one term
    "hkl_frac": Factor("", "indices where the ray meets the lattice"),
    **{f"{v}_frac": Factor("", f"fractional {v}") for v in "hkl"},
    "hkl_rounded": Factor("", "nearest reflection"),
    **{f"F_latt_{v}": Factor("", f"grating function along {v}") for v in "abc"},
    "F_latt": Factor("", "lattice factor", "-Na -Nb -Nc -fudge"),
    "F_cell": Factor("e", "structure factor of that reflection", "-hkl -default_F -interpolate, a stale Fdump.bin"),
    # the pixel
    "terms": Factor("", "terms in the sum, sensor layers included"),
    "I_before_scaling": Factor("F²", "the sum over all terms"),
    "capture_fraction": Factor("", "share absorbed by the sensor", "-detector_abs -detector_thick"),
    "polar": Factor("", "polarization factor", "-polar -polar_vector"),
    "omega_pixel": Factor("sr", "solid angle", "-distance -pixel -point_pixel -curved_det"),
    "I_pixel_final": Factor("photons", "the pixel, in float64"),
    "floatimage_accumulated": Factor("photons", "the pixel of the rendered image (float32)"),
    "floatimage_kernel": Factor("", "kernel and device that rendered it"),
    "floatimage_rel_diff": Factor("", "its relative difference from I_pixel_final"),
    "I_pixel_mixed": Factor("photons", "the pixel as the float32 kernel gives it"),
    "I_pixel_mixed_kernel": Factor("", "kernel and device of I_pixel_mixed"),
    "I_pixel_mixed_rel_diff": Factor("", "its relative difference from I_pixel_final"),
}

ALIASES: dict[str, str] = {
    "detector_convention": "convention",
    "detector_pivot": "pivot",
    "pivot_mode": "pivot",
    "pix0_vector": "pix0_vector_meters",
    "pix0_vector_m": "pix0_vector_meters",
    "pix0": "pix0_vector_meters",
    **{f"{axis}_{end}": f"{axis}_vec" for axis in ("fdet", "sdet", "odet") for end in ("vector", "axis")},
    **{axis: f"{axis}_vec" for axis in ("fdet", "sdet", "odet", "incident", "diffracted")},
    "spindle_vector": "spindle_axis",
    "spindle_axis_normalized": "spindle_axis",
    "pixel_pos": "pixel_pos_meters",
    "R_distance_meters": "airpath",
    "airpath_m": "airpath",
    "airpath_meters": "airpath",
    "close_distance": "close_distance_meters",
    "scattering_vec": "scattering_vec_A_inv",
    "omega_pixel_sr": "omega_pixel",
    "fluence": "fluence_photons_per_m2",
    "final_intensity": "I_pixel_final",
    "pixel_idx": "pixel",
}

#: Remarks about how the pixel was computed, not factors: they are shown and never count as a divergence.
REMARKS = {
    "floatimage_accumulated",
    "floatimage_kernel",
    "floatimage_rel_diff",
    "I_pixel_mixed",
    "I_pixel_mixed_kernel",
    "I_pixel_mixed_rel_diff",
    "pixel",
}

#: Indices are phases: an error of 1e-6 means the same at h = 0.001 and at h = 30.
PHASES = {"hkl_frac", "h_frac", "k_frac", "l_frac"}
