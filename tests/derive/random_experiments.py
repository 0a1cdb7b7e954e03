"""Random experiments whose derivatives are checked: all shapes, physics, sensors, beams and panels."""

from __future__ import annotations

from typing import Any

import numpy as np

import nbnumba as nb

COMMON = (
    *(f"misset_{x}_deg" for x in "xyz"),
    *(f"cell_{x}" for x in ("a", "b", "c", "alpha", "beta", "gamma")),
    *("A_matrix[1]", "A_matrix[6]", "Na", "Nb", "Nc", "phi_deg", "scale", "B_factor", "kahn_factor"),
    *("wavelength_stretch", "wavelength_shift_A", "beam_tilt_x_mrad", "beam_tilt_y_mrad"),
)
PLACES = (
    *("distance_mm", "panel_fast_mm", "panel_slow_mm", "panel_normal_mm"),
    *("panel_turn_fast_deg", "panel_turn_slow_deg", "panel_turn_normal_deg"),
)


def some_reflections(rng: np.random.Generator) -> nb.Reflections:
    """F of all reflections with indices up to 12, no two alike."""
    hkl = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return nb.Reflections(indices=hkl, F=rng.uniform(10, 1000, len(hkl)))


def random_experiment(seed: int) -> tuple[nb.Simulation, tuple[str, ...]]:
    """A simulation, and the names of all parameters that it has."""
    rng = np.random.default_rng(seed)
    shape = ("square", "round", "gauss", "gauss")[seed % 4]
    physics = ("correct", "reference")[seed // 4 % 2]
    mosaic, sources = bool(rng.random() < 0.6), int(rng.integers(1, 4))
    rotation, thick, curved = bool(rng.random() < 0.3), bool(rng.random() < 0.5), bool(rng.random() < 0.1)
    interpolate = bool(rng.random() < 0.15)
    cell = (*rng.uniform(18, 45, 3), *rng.uniform(75, 105, 3))
    N = rng.integers(3, 12, 3) if physics == "correct" or shape == "square" else rng.integers(2, 4, 3)
    crystal: dict[str, Any] = {"cell": cell, "misset_deg": tuple(rng.uniform(-90, 90, 3)), "shape": shape}
    crystal |= dict(zip(("Na", "Nb", "Nc"), map(int, N), strict=True))
    crystal |= {"fudge": float(rng.uniform(0.7, 1.3))} if shape != "square" else {}
    if mosaic:
        crystal |= {"mosaic_spread_deg": float(rng.uniform(0.1, 1)), "mosaic_domains": int(rng.integers(2, 5))}
    detector: dict[str, Any] = {
        "distance_mm": float(rng.uniform(30, 90)),
        "pixel_mm": 0.5,
        "fpixels": 23,
        "spixels": 19,
    }
    if thick:
        detector |= {"thickness_um": 300.0, "attenuation_um": 200.0, "thicksteps": int(rng.integers(1, 3))}
    detector |= (
        {"curved": True}
        if curved
        else dict(zip(("rotx_deg", "roty_deg", "rotz_deg"), rng.uniform(-12, 12, 3), strict=True))
    )
    simulation = nb.Simulation(
        crystal=nb.Crystal(**crystal),
        detector=nb.Detector(**detector),
        beam=nb.Beam(
            wavelength_A=float(rng.uniform(0.8, 1.6)),
            kahn_factor=float(rng.uniform(-0.9, 0.9)),
            fluence=1e20,
            dispersion_percent=1.0 if sources > 1 else 0.0,
            dispsteps=sources,
        ),
        scan=nb.Scan(osc_deg=0.7, phisteps=3, phi_deg=5.0) if rotation else nb.Scan(),
        structure_factors=nb.StructureFactors(hkl=some_reflections(rng), interpolate=interpolate),
        physics=physics,
        sampling=nb.Sampling(oversample=int(rng.integers(1, 3))),
        background=nb.Background(water_um=float(rng.choice([0.0, 0.2]))),
    )
    names = [*COMMON, *(() if curved else PLACES)]
    names += ["fudge"] if shape != "square" else []
    names += ["N_ab", "N_ac", "N_bc"] if shape == "round" or (shape == "gauss" and physics == "correct") else []
    names += ["mosaic_spread_deg"] if mosaic else []
    names += ["osc_deg"] if rotation else []
    names += ["water_um"] if simulation.background.water_um else []
    names += [] if interpolate else ["F[1, -2, 1]"]
    return simulation, tuple(names)
