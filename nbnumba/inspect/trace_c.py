"""A trace in the order and spelling of an instrumented build of the C program, so that ``diff`` finds what differs.

Its reciprocal vectors are those of the crystal before the phi rotation: the program does not rotate them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.inspect.trace_schema import Value
from nbnumba.inspect.trace_text import format_value

if TYPE_CHECKING:
    from nbnumba.inspect.trace import PixelTrace

#: Key of a line -> factor of a trace; the lines of phi steps, and the reciprocal vectors, stand where it is empty.
C_LINES: dict[str, str] = {
    "pix0_vector_meters": "pix0_vector_meters",
    "fdet_vec": "fdet_vec",
    "sdet_vec": "sdet_vec",
    "pixel_pos_meters": "pixel_pos_meters",
    "R_distance_meters": "airpath",
    "omega_pixel_sr": "omega_pixel",
    "close_distance_meters": "close_distance_meters",
    "obliquity_factor": "obliquity_factor",
    "diffracted_vec": "diffracted_vec",
    "incident_vec": "incident_vec",
    "lambda_meters": "lambda_meters",
    "lambda_angstroms": "lambda_angstroms",
    # in 1/m, whatever the name says
    "scattering_vec_A_inv": "scattering_vec_m_inv",
    **{f"rot_{v}_angstroms": f"rot_{v}_angstroms" for v in "abc"},
    **{f"rot_{v}_star_A_inv": "" for v in "abc"},
    "hkl_frac": "hkl_frac",
    "hkl_rounded": "hkl_rounded",
    **{f"F_latt_{v}": f"F_latt_{v}" for v in "abc"},
    "F_latt": "F_latt",
    "first phi step": "",
    "F_cell": "F_cell",
    "other phi steps": "",
    "I_before_scaling": "I_before_scaling",
    "r_e_meters": "r_e_meters",
    "r_e_sqr": "r_e_sqr",
    "fluence_photons_per_m2": "fluence_photons_per_m2",
    "steps": "steps",
    "oversample_thick": "oversample_thick",
    "oversample_polar": "oversample_polar",
    "oversample_omega": "oversample_omega",
    "capture_fraction": "capture_fraction",
    "polar": "polar",
    "omega_pixel": "omega_pixel",
    "cos_2theta": "cos_2theta",
    "I_pixel_final": "I_pixel_final",
    "floatimage_accumulated": "floatimage_accumulated",
}
#: Reciprocal vectors, which the program does not rotate by phi.
STARS = tuple(f"rot_{v}_star_A_inv" for v in "abc")
#: Factors of a phi step's line.
C_PHI = ("phi_tic", "phi_deg", "k_frac", "F_latt_b", "F_latt")


def c_lines(traces: Iterable[PixelTrace]) -> list[str]:
    """Traces as lines of an instrumented C program's log."""
    return [line for trace in traces for line in _lines(trace)]


def _lines(trace: PixelTrace) -> Iterator[str]:
    stars = unrotated_stars(trace.factors)
    steps = [_phi_line(step) for step in trace.phi]
    for key, name in C_LINES.items():
        if key == "first phi step":
            yield from steps[:1]
        elif key == "other phi steps":
            yield from steps[1:]
        elif (value := trace.factors.get(name, stars.get(key))) is not None:
            yield f"TRACE_C: {key} {format_value(value)}"


def _phi_line(step: dict[str, Value]) -> str:
    return "TRACE_C_PHI " + " ".join(f"{key}={format_value(step[key])}" for key in C_PHI if key in step)


def unrotated_stars(factors: Mapping[str, object]) -> dict[str, tuple[float, ...]]:
    """a*, b*, c* (1/Å) before the phi rotation, from the cell after misset; empty where a trace has no such cell."""
    cell = [factors.get(f"misset_{v}_angstroms") for v in "abc"]
    if any(not isinstance(row, tuple) or len(row) != 3 for row in cell):
        return {}
    try:
        rows = np.linalg.inv(np.array(cell, float)).T
    except np.linalg.LinAlgError:
        return {}
    return {name: tuple(float(x) + 0.0 for x in row) for name, row in zip(STARS, rows, strict=True)}
