"""From a refined model back to a simulation, which can be rendered, written and read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nbnumba.derive.setting import Setting, axis_of
from nbnumba.model.config import Panel, Simulation


def simulation_of(at: Setting) -> Simulation:
    """The simulation of a setting.

    Numbers of cells are rounded, as a simulation has whole ones, and elements N_ab, ... of the matrix N are left out. Panels
    that have moved, or a beam that has been tilted, make it one of explicit panels.
    """
    simulation, state = at.experiment.simulation, at.state
    wavelength = simulation.beam.wavelength_A * float(state.stretch) + float(state.shift) * 1e10
    crystal: dict[str, Any] = {
        "A_matrix": tuple((np.linalg.inv(state.direct) * wavelength).ravel().tolist()),
        "cell": None,
        "misset_deg": None,
        "misset_seed": None,
        "size_mm": (0.0, 0.0, 0.0),
        "fudge": float(state.fudge),
    }
    crystal |= {name: max(1, round(float(n))) for name, n in zip(("Na", "Nb", "Nc"), np.diag(state.size), strict=True)}
    if state.spins[0]:
        crystal["mosaic_spread_deg"] = at.experiment.crystal.mosaic_spread_deg + float(state.spins[0])
    changed: dict[str, Any] = {
        "crystal": replace(simulation.crystal, **crystal),
        "beam": _beam(at, wavelength),
        "background": replace(simulation.background, water_um=float(state.water_um)),
    }
    if state.spins[1]:
        osc = at.experiment.scan.osc / np.pi * 180 + float(state.spins[1])
        changed["scan"] = replace(simulation.scan, osc_deg=osc, phistep_deg=None, phisteps=at.experiment.scan.phisteps)
    if _has_moved(at):
        changed["detector"] = _detector(at)
    if state.B_factor or len(state.F):
        before = at.experiment.structure_factors
        assert before is not None  # only tables have values to change
        table = replace(before, grid=np.ascontiguousarray(at.first.Fhkl))
        changed["structure_factors"] = simulation.structure_factors.with_table(table)
    return replace(simulation, **changed)


def _beam(at: Setting, wavelength: float) -> Any:
    beam, state, scale = at.experiment.simulation.beam, at.state, float(at.state.scale)
    changes: dict[str, Any] = {
        "wavelength_A": wavelength,
        "fluence": beam.fluence * scale,
        "flux": beam.flux * scale,
        "kahn_factor": float(state.kahn_factor),
    }
    moved = state.stretch != 1.0 or state.shift != 0.0 or not np.array_equal(state.tilt, np.eye(3))
    if moved and len(at.first.sources) > 1:
        sources = at.first.sources
        # a source is where its beam comes from
        table = np.column_stack([-sources[:, :3], at.experiment.sources.weights, sources[:, 3]])
        changes |= {
            "sourcefile": table,
            "spectrum": None,
            "spectrum_steps": None,
            "dispersion_percent": 0.0,
            "dispsteps": None,
            **dict.fromkeys(("hdivrange_mrad", "hdivstep_mrad", "hdivsteps")),
            **dict.fromkeys(("vdivrange_mrad", "vdivstep_mrad", "vdivsteps")),
        }
        if beam.spectrum is not None and beam.source_weights is None:
            changes["source_weights"] = True
    return replace(beam, **changes)


def _has_moved(at: Setting) -> bool:
    state = at.state
    still = np.array_equal(state.tilt, np.eye(3)) and not state.shifts.any()
    return not (still and np.array_equal(state.turns, np.broadcast_to(np.eye(3), state.turns.shape)))


def _detector(at: Setting) -> Any:
    """The detector as a list of panels, with the axes that its convention has."""
    detector, frame, tilt = at.experiment.simulation.detector, at.experiment.detector.frame, at.state.tilt
    panels = []
    for index, (x, resolved) in enumerate(zip(at.panels, at.experiment.detector.panels, strict=True)):
        given = detector.panels[index] if detector.panels else None
        fast, slow = axis_of(x.panel, "fdet"), axis_of(x.panel, "sdet")
        size = x.panel.pixel_size * 1000
        panels.append(
            Panel(
                pix0_mm=tuple((axis_of(x.panel, "pix0") * 1000).tolist()),
                fast_axis=tuple(fast.tolist()),
                slow_axis=tuple(slow.tolist()),
                spixels=resolved.spixels,
                fpixels=resolved.fpixels,
                pixel_mm=size if given is None else given.pixel_mm,
                name="" if given is None else given.name,
                offset=None if given is None else given.offset,
                slow_pixel_mm=None if given is None else given.slow_pixel_mm,
                place=None if given is None else given.place,
            )
        )
    return replace(
        detector,
        convention="CUSTOM",
        panels=tuple(panels),
        beam_vector=tuple((tilt @ frame.beam).tolist()),
        polar_vector=tuple((tilt @ frame.polar).tolist()),
        spindle_axis=tuple(frame.spindle.tolist()),
        twotheta_deg=0.0,
    )
