"""Small experiments, names of all their parameters, and random vectors of changes."""

from __future__ import annotations

from typing import Any

import numpy as np

import nbnumba as nb

#: Names, and changes of a few per cent of the image.
CHANGES = {
    **dict.fromkeys(("misset_x_deg", "misset_y_deg", "misset_z_deg", "phi_deg"), 0.02),
    **dict.fromkeys(("cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma"), 0.05),
    **{f"A_matrix[{i}]": 1e-5 for i in range(9)},
    **dict.fromkeys(("Na", "Nb", "Nc", "N_ab", "N_ac", "N_bc"), 0.2),
    **dict.fromkeys(("fudge", "mosaic_spread_deg", "osc_deg"), 0.05),
    **dict.fromkeys(("scale", "kahn_factor", "distance_mm"), 0.1),
    **dict(B_factor=1.0, water_um=0.01, wavelength_stretch=1e-3, wavelength_shift_A=1e-3),
    **dict.fromkeys(("F[-2, -2, 3]", "F[0, 3, 2]"), 5.0),
    **dict.fromkeys(("beam_tilt_x_mrad", "beam_tilt_y_mrad"), 0.2),
    **{f"panel_{axis}_mm": 0.05 for axis in ("fast", "slow", "normal")},
    **{f"panel_turn_{axis}_deg": 0.05 for axis in ("fast", "slow", "normal")},
}


def reflections() -> tuple[np.ndarray, np.ndarray]:
    """Indices and F of a box of reflections."""
    h = np.arange(-12, 13)
    indices = np.stack(np.meshgrid(h, h, h, indexing="ij"), axis=-1).reshape(-1, 3)
    return indices, np.random.default_rng(0).uniform(50, 150, len(indices))


def experiment(shape: str = "gauss", physics: str = "correct", **parts: Any) -> nb.Simulation:
    """A triclinic crystal of mosaic domains, turned, in two wavelengths, and water."""
    given: dict[str, Any] = dict(
        crystal=nb.Crystal(
            cell=(40, 50, 60, 85, 95, 100),
            misset_deg=(10, 20, 30),
            Na=8,
            Nb=9,
            Nc=10,
            shape=shape,  # type: ignore[arg-type]
            mosaic_spread_deg=0.3,
            mosaic_domains=4,
        ),
        beam=nb.Beam(wavelength_A=1.2, fluence=1e24, dispersion_percent=0.5, dispsteps=2),
        detector=nb.Detector(distance_mm=60, pixel_mm=0.4, fpixels=48, spixels=40),
        scan=nb.Scan(osc_deg=0.4, phisteps=2),
        background=nb.Background(water_um=0.05 if physics == "correct" else 1.0),
        structure_factors=nb.StructureFactors(hkl=reflections(), default_F=0),
        sampling=nb.Sampling(oversample=1),
    )
    return nb.Simulation(physics=physics, **{**given, **parts})  # type: ignore[arg-type]


def two_panels() -> nb.Simulation:
    """The same with a detector of two panels, one of them oblique to the beam."""
    panels = tuple(
        nb.Panel(pix0_mm=pix0, fast_axis=(0, 0, 1), slow_axis=slow, fpixels=20, spixels=24, pixel_mm=0.4, name=name)
        for name, pix0, slow in (("low", (60, 5, -9), (0, -1, 0)), ("high", (58, 5, 1), (0.1, -(0.99**0.5), 0)))
    )
    return experiment(detector=nb.Detector(panels=panels))


def names_of(shape: str, physics: str) -> list[str]:
    """Parameters that such an experiment has."""
    lacks = set()
    if shape == "square":
        lacks |= {"fudge"}
    if shape == "square" or (shape == "gauss" and physics == "reference"):
        lacks |= {"N_ab", "N_ac", "N_bc"}
    if shape == "gauss" and physics == "reference":
        lacks |= {"B_factor"}
    return [name for name in CHANGES if name not in lacks]


def draw(names: list[str], seed: int) -> np.ndarray:
    """A random vector of changes; of panels by the name without their brackets."""
    sizes = np.array([CHANGES[name] if name in CHANGES else CHANGES[name.partition("[")[0]] for name in names])
    return np.asarray(sizes * np.random.default_rng(seed).uniform(-1, 1, len(sizes)))
