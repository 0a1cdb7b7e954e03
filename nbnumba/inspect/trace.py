"""Trace of one pixel: every factor of its value, in the order of computation, from the functions that render it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError, DeviceError
from nbnumba.inspect.trace_schema import Value
from nbnumba.kernels.cpu.trace import lattice_factors, record_pixel
from nbnumba.kernels.formulas import pixel as record_of
from nbnumba.kernels.formulas.blocks import SQUARE
from nbnumba.model.crystal import RTD
from nbnumba.model.experiment import R_E_SQR, Experiment
from nbnumba.origin import surroundings
from nbnumba.render.backend import Plan
from nbnumba.render.dispatch import make_plan, renderer_of, set_threads
from nbnumba.render.first_pixel import is_first
from nbnumba.render.inputs import KernelInputs, build_inputs, first_phi, orientations

#: Terms of a pixel that are kept, or as many as it has orientations if these are more.
MAX_TERMS = 1000
_TERM_COLUMNS = {
    "layer": record_of.LAYER,
    "subS": record_of.SUB_S,
    "subF": record_of.SUB_F,
    "source": record_of.SOURCE,
    "orientation": record_of.ORIENTATION,
    "h": record_of.H,
    "k": record_of.H + 1,
    "l": record_of.H + 2,
    "F_latt": record_of.LATT,
    "F_cell": record_of.F_CELL,
    "I_so_far": record_of.TOTAL,
}


@dataclass(frozen=True)
class PixelTrace:
    """Factors of one pixel.

    Attributes
    ----------
    slow, fast : int
        Indices of the pixel.
    factors : dict
        Name (``nbnumba.inspect.trace_schema``) to text, number or vector, in the order of computation. Factors of a
        single term (hkl, F_latt, ...) are those of the first one: first layer, sub-pixel, source that ``-dmin`` leaves,
        phi step and mosaic domain.
    phi : tuple of dict
        The same ray at every phi step, in the first mosaic domain: phi_tic, phi_deg, h_frac, ...
    terms : dict of list
        The first terms of the sum, column by column.
    notes : tuple of str
        Remarks for the reader: the pixel is masked, ...
    """

    slow: int
    fast: int
    factors: dict[str, Value]
    phi: tuple[dict[str, Value], ...]
    terms: dict[str, list[float]]
    notes: tuple[str, ...]


def trace(
    experiment: Experiment,
    pixels: Sequence[tuple[int, int]],
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> list[PixelTrace]:
    """Traces of pixels, computed by the functions that render them.

    Parameters
    ----------
    experiment : Experiment
    pixels : sequence of (slow, fast)
    device, precision, threads
        As for :func:`nbnumba.render.simulate.simulate`: they choose the kernel whose pixel is compared with the trace;
        the trace itself comes from the general kernel in float64.

    Raises
    ------
    ConfigError
        A pixel is outside the detector.
    """
    set_threads(threads)
    panel = experiment.panel
    for slow, fast in pixels:
        if not (0 <= slow < panel.spixels and 0 <= fast < panel.fpixels):
            raise ConfigError(
                f"pixel slow {slow}, fast {fast} is not on the detector of {panel.fpixels} x {panel.spixels} pixels "
                "(fast x slow): give SLOW FAST, counted from 0"
            )
    inputs = build_inputs(experiment)
    try:
        return _trace_on(device, experiment, inputs, precision, pixels)
    except DeviceError as error:
        if device != "auto":
            raise
        traces = _trace_on("cpu", experiment, inputs, precision, pixels)
        return [replace(one, notes=(*one.notes, f"{error}: rendered on the CPU instead")) for one in traces]


def _trace_on(
    device: str, experiment: Experiment, inputs: KernelInputs, precision: str, pixels: Sequence[tuple[int, int]]
) -> list[PixelTrace]:
    plans = make_plan(inputs, device, precision), make_plan(inputs, device, "mixed")
    return [_trace_pixel(experiment, inputs, plans, slow, fast) for slow, fast in pixels]


def pixel_record(inputs: KernelInputs, slow: int, fast: int, interpolating: int) -> tuple[float, np.ndarray]:
    """The pixel in float64 and its record (terms + 1, COLUMNS); see ``nbnumba.kernels.formulas.pixel.pixel_value``."""
    first = inputs.first_cells if is_first(inputs, slow, fast) else inputs.cells
    n = min(inputs.steps_per_pixel, max(MAX_TERMS, len(inputs.cells)))
    record = np.zeros((n + 1, record_of.COLUMNS))
    x = inputs
    blocks = (x.panel, x.crystal, x.cell, x.beam, x.sources, x.cells, x.Fhkl)
    value, _ = record_pixel(record, slow, fast, *blocks, interpolating, first)
    return float(value), record


def _trace_pixel(
    experiment: Experiment, inputs: KernelInputs, plans: tuple[Plan, Plan], slow: int, fast: int
) -> PixelTrace:
    at_row, at_pixel = interpolation_state(inputs, slow, fast)
    value, record = pixel_record(inputs, slow, fast, at_pixel)
    n_terms = int(record[0, record_of.COUNT])
    terms = record[1 : min(n_terms, len(record) - 1) + 1]
    first = terms[0] if len(terms) else record[0]
    factors = _settings(experiment) | _ray(experiment, inputs, first)
    begins = is_first(inputs, slow, fast)
    factors |= _crystal(experiment, inputs, int(first[record_of.ORIENTATION]), begins)
    if len(terms):
        factors |= _term(inputs, first)
    factors |= _pixel(experiment, inputs, record[0], first, at_pixel)
    factors["I_pixel_final"] = value
    notes = []
    if n_terms == 0:
        notes.append("no term is left: -dmin cuts every source")
    p = inputs.panel
    inside = p.s0 <= slow < p.s1 and p.f0 <= fast < p.f1
    if not inside:
        notes.append("the pixel is outside -roi: it is 0 in the image, the trace says what it would be")
    elif inputs.mask.size and not inputs.mask[slow, fast]:
        notes.append("the pixel is masked: it is 0 in the image, the trace says what it would be")
    row = replace(inputs, cell=inputs.cell._replace(interpolate=at_row))
    shape = experiment.panel.shape
    plan, mixed = plans
    # no kernel renders the pixel with which the image begins
    pixel = np.float32(value) if begins else _render_row(row, plan, shape, slow)[slow, fast]
    factors |= _rendered("floatimage", value, pixel, plan)
    if mixed.precision == "mixed":  # interpolation and -oversample_* have no float32 path
        pixel = np.float32(value) if begins else _render_row(row, mixed, shape, slow)[slow, fast]
        factors |= _rendered("I_pixel_mixed", value, pixel, mixed)
    return PixelTrace(slow, fast, factors, _phi_steps(experiment, inputs, terms), _columns(terms), tuple(notes))


def _vector(values: Any) -> tuple[float, ...]:
    return tuple(float(v) + 0.0 for v in values)  # -0 would be noise in a log


def _settings(experiment: Experiment) -> dict[str, Value]:
    """Factors that are the same for every pixel."""
    panel, frame = experiment.panel, experiment.detector.frame
    return {
        "physics": experiment.simulation.physics,
        "convention": experiment.detector.convention,
        "pivot": experiment.detector.pivot,
        "fdet_vec": _vector(panel.fdet),
        "sdet_vec": _vector(panel.sdet),
        "odet_vec": _vector(panel.odet),
        "pix0_vector_meters": _vector(panel.pix0),
        "pixel_size_meters": panel.pixel_size,
        "close_distance_meters": panel.close_distance,
        "spindle_axis": _vector(frame.spindle),
    }


def _ray(experiment: Experiment, inputs: KernelInputs, first: np.ndarray) -> dict[str, Value]:
    """Factors of the ray from the source to the first sub-pixel."""
    source = inputs.sources[int(first[record_of.SOURCE])]
    airpath = float(first[record_of.AIRPATH])
    diffracted = first[record_of.DIFFRACTED : record_of.DIFFRACTED + 3]
    scattering = first[record_of.SCATTERING : record_of.SCATTERING + 3]
    return {
        "incident_vec": _vector(source[:3]),
        "lambda_meters": float(source[3]),
        "lambda_angstroms": float(source[3]) * 1e10,
        "pixel_pos_meters": _vector(diffracted * airpath),
        "diffracted_vec": _vector(diffracted),
        "airpath": airpath,
        "obliquity_factor": experiment.panel.close_distance / airpath,
        "scattering_vec_A_inv": _vector(scattering * 1e-10),
        "scattering_vec_m_inv": _vector(scattering),
    }


def _crystal(experiment: Experiment, inputs: KernelInputs, orientation: int, begins: bool) -> dict[str, Value]:
    """Cell vectors (Å) after misset, after phi, after the mosaic rotation; the last ones also reciprocal (1/Å).

    ``begins``: of the pixel with which the image begins.
    """
    one_domain = replace(experiment, crystal=replace(experiment.crystal, umats=np.eye(3)[None]))
    phi_tic = orientation // len(experiment.crystal.umats)
    stages = {
        "misset": experiment.crystal.direct,
        "phi": orientations(one_domain, first_phi(experiment.scan) if begins else None)[phi_tic].reshape(3, 3) * 1e10,
        "rot": (inputs.first_cells if begins else inputs.cells)[orientation].reshape(3, 3) * 1e10,
    }
    factors: dict[str, Value] = {"N_cells": experiment.crystal.N, "xtal_shape": experiment.crystal.shape}
    for stage, cell in stages.items():
        if stage == "phi":
            factors["phi_deg"] = float(experiment.scan.phi[phi_tic] * RTD)
        factors |= {f"{stage}_{v}_angstroms": _vector(row) for v, row in zip("abc", cell, strict=True)}
    reciprocal = np.linalg.inv(stages["rot"]).T
    return factors | {f"rot_{v}_star_A_inv": _vector(row) for v, row in zip("abc", reciprocal, strict=True)}


def _axis_factors(inputs: KernelInputs, hkl: np.ndarray) -> np.ndarray | None:
    """F_latt along a, b, c alone, (n, 3), at fractional indices (n, 3); None for shapes that are no product of axes."""
    if inputs.crystal.shape != SQUARE:
        return None
    alone: list[dict[str, Any]] = [{"Nb": 1.0, "Nc": 1.0}, {"Na": 1.0, "Nc": 1.0}, {"Na": 1.0, "Nb": 1.0}]
    out = np.zeros((3, len(hkl)))
    for axis, others in enumerate(alone):
        lattice_factors(inputs.crystal._replace(**others), hkl, out[axis])
    return out.T


def _term(inputs: KernelInputs, first: np.ndarray) -> dict[str, Value]:
    """Indices and factors of the first term."""
    hkl = first[record_of.H : record_of.H + 3]
    # a half index belongs to the lower reflection, as in nbnumba.kernels.formulas.structure.nearest
    factors: dict[str, Value] = {
        "hkl_frac": _vector(hkl),
        "hkl_rounded": tuple(math.ceil(v - 0.5) for v in hkl),
    }
    axes = _axis_factors(inputs, np.ascontiguousarray(hkl[None]))
    if axes is not None:
        factors |= {f"F_latt_{v}": float(x) for v, x in zip("abc", axes[0], strict=True)}
    return factors | {"F_latt": float(first[record_of.LATT]), "F_cell": float(first[record_of.F_CELL])}


def _pixel(
    experiment: Experiment, inputs: KernelInputs, last: np.ndarray, first: np.ndarray, interpolating: int
) -> dict[str, Value]:
    """The sum, the factors that multiply it, and the pixel's value."""
    source = inputs.sources[int(first[record_of.SOURCE])]
    diffracted = first[record_of.DIFFRACTED : record_of.DIFFRACTED + 3]
    sampling = experiment.simulation.sampling
    return {
        "interpolating": int(interpolating),
        "water_background": inputs.beam.I_bg,
        "terms": int(last[record_of.COUNT]),
        "I_before_scaling": float(last[record_of.TOTAL]),
        "r_e_meters": math.sqrt(R_E_SQR),
        "r_e_sqr": R_E_SQR,
        "fluence_photons_per_m2": float(experiment.fluence),
        "n_sources": len(experiment.sources.wavelengths),
        "phisteps": experiment.scan.phisteps,
        "mosaic_domains": len(experiment.crystal.umats),
        "oversample": experiment.sampling.oversample,
        "sensor_layers": experiment.detector.layers,
        "steps": experiment.steps,
        "oversample_thick": int(sampling.oversample_thick),
        "oversample_polar": int(sampling.oversample_polar),
        "oversample_omega": int(sampling.oversample_omega),
        "capture_fraction": float(last[record_of.CAPTURE]),
        "kahn_factor": inputs.beam.kahn_factor,
        "polar": float(last[record_of.POLAR]),
        "omega_pixel": float(last[record_of.OMEGA]),
        "cos_2theta": float(source[:3] @ diffracted),
    }


def _phi_steps(experiment: Experiment, inputs: KernelInputs, terms: np.ndarray) -> tuple[dict[str, Value], ...]:
    """The first ray at every phi step, in the first mosaic domain."""
    n_domains = len(experiment.crystal.umats)
    rows = terms[: len(inputs.cells) : n_domains]
    hkl = np.ascontiguousarray(rows[:, record_of.H : record_of.H + 3])
    axes = _axis_factors(inputs, hkl)
    steps = []
    for tic, row in enumerate(rows):
        step: dict[str, Value] = {"phi_tic": tic, "phi_deg": float(experiment.scan.phi[tic] * RTD)}
        step |= {f"{v}_frac": float(x) for v, x in zip("hkl", hkl[tic], strict=True)}
        if axes is not None:
            step |= {f"F_latt_{v}": float(x) for v, x in zip("abc", axes[tic], strict=True)}
        step["F_latt"] = float(row[record_of.LATT])
        step["F_cell"] = float(row[record_of.F_CELL])
        steps.append(step)
    return tuple(steps)


def _columns(terms: np.ndarray) -> dict[str, list[float]]:
    return {name: terms[:MAX_TERMS, column].tolist() for name, column in _TERM_COLUMNS.items()}


def _rendered(name: str, value: float, rendered: np.float32, plan: Plan) -> dict[str, Value]:
    """The pixel as rendered by this plan, and its relative difference from ``value``."""
    pixel = float(rendered)
    off = abs(pixel - value)
    main = "floatimage_accumulated" if name == "floatimage" else name
    return {
        main: pixel,
        f"{name}_kernel": f"{plan.kernel} on {plan.device}",
        f"{name}_rel_diff": off / max(abs(value), abs(pixel)) if off else 0.0,
    }


def _render_row(inputs: KernelInputs, plan: Plan, shape: tuple[int, int], slow: int) -> np.ndarray:
    """An image in which only this row is rendered, with the bits of the whole image: tiles ignore the region."""
    panel = inputs.panel
    if not panel.s0 <= slow < panel.s1:
        return np.zeros(shape, np.float32)
    row = replace(inputs, panel=panel._replace(s0=slow, s1=slow + 1))
    renderer = renderer_of(row, plan)
    image = renderer.new_image(shape)
    renderer.render(image)
    return image


def interpolation_state(inputs: KernelInputs, slow: int, fast: int) -> tuple[int, int]:
    """Whether the run still interpolates at the start of the pixel's row, and at the pixel itself.

    In the reference the first evaluation out of range ends interpolation, so that all pixels before this one have to be
    rendered to find out.
    """
    cell, panel = inputs.cell, inputs.panel
    if not cell.interpolate or cell.fallback_each:
        return cell.interpolate, cell.interpolate
    plan = make_plan(inputs, "cpu", "double")
    image = np.zeros((panel.s1, panel.fpixels), np.float32)
    before = replace(inputs, panel=panel._replace(s1=min(max(slow, panel.s0), panel.s1)))
    if renderer_of(before, plan).render(image):
        return 0, 0
    if not panel.s0 <= slow < panel.s1:
        return 1, 1
    left = panel._replace(s0=slow, s1=slow + 1, f1=min(max(fast, panel.f0), panel.f1))
    return 1, int(not renderer_of(replace(inputs, panel=left), plan).render(image))


def environment(plan: Plan, command: Sequence[str]) -> dict[str, Any]:
    """Versions, device, kernel and command, for the record of a trace."""
    return {
        **surroundings(),
        "command": list(command),
        "device": plan.device,
        "precision": plan.precision,
        "dtype": "float32" if plan.precision == "mixed" else "float64",
        "kernel": plan.kernel,
    }
