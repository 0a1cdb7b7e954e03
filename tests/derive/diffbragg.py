"""Cases of simtbx/diffBragg as inputs of our kernels: tests/golden/diffbragg, described in docs/parity.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.kernels.formulas.blocks import GAUSS, SQUARE, BeamBlock, CellBlock, CrystalBlock, PanelBlock
from nbnumba.render.inputs import KernelInputs

FOLDER = Path(__file__).parents[1] / "golden" / "diffbragg"
CASES: dict[str, Any] = json.loads((FOLDER / "cases.json").read_text())["cases"]
DATA = np.load(FOLDER / "data.npz")
R_E_SQR = 7.94079248018965e-30


def turned(vectors: np.ndarray, angles: Any) -> np.ndarray:
    """Rows turned by R_X R_Y R_Z, each clockwise about a laboratory axis."""
    for axis, angle in reversed(list(enumerate(angles))):
        R, (i, j) = np.eye(3, dtype=np.result_type(angle, float)), [n for n in range(3) if n != axis]
        R[i, i] = R[j, j] = np.cos(angle)
        R[i, j], R[j, i] = np.sin(angle), -np.sin(angle)
        if axis == 1:
            R = R.T
        vectors = vectors @ R.T
    return vectors


def case_vectors(case: dict[str, Any]) -> np.ndarray:
    """a, b, c as rows (Å) in the laboratory, before the mosaic rotations."""
    crystal = case["crystal"]
    return turned((np.array(crystal["U"]) @ np.array(crystal["B_real_A"])).T, crystal["rotXYZ_rad"])


def case_inputs(
    name: str, crystal: dict[str, Any] | None = None, channel: int | None = None, umats: np.ndarray | None = None
) -> KernelInputs:
    """Arguments of the kernels; of one crystal of several, of the wavelengths of one set of structure factors."""
    case = dict(CASES[name])
    case["crystal"] = crystal or case["crystal"]
    panel, beam, cells = case["panel"], case["beam"], case["crystal"]
    table = DATA[f"{name}.hkl"]
    low, high = table.min(axis=0), table.max(axis=0)
    grid = np.zeros(high - low + 1)
    grid[tuple((table - low).T)] = DATA[case["structure_factors"]["F"][channel or 0]]
    direct = case_vectors(case)
    metric = np.linalg.inv(direct @ direct.T)
    N = np.array(cells["N_matrix"])
    vectors = {
        k: panel[v] for k, v in (("pix0", "origin_m"), ("fdet", "fast_axis"), ("sdet", "slow_axis"), ("odet", "normal"))
    }
    vectors["beam"] = beam["direction"]
    wavelengths, weights = np.array(beam["wavelengths_A"]), np.array(beam["weights"])
    chosen = slice(None) if channel is None else np.array(beam["F_channel"]) == channel
    domains = DATA[case["mosaic"]["matrices"]] if umats is None else umats
    axis = np.array(beam["E_axis"])
    return KernelInputs(
        panel=PanelBlock(
            **{f"{k}_{x}": float(n) for k, v in vectors.items() for x, n in zip("xyz", v, strict=True)},
            pixel_size=panel["pixel_m"],
            distance=panel["close_distance_m"],
            close_distance=float(np.dot(panel["origin_m"], panel["normal"])),
            first_depth=0.0,
            layer_step=0.0,
            mu=0.0,
            fpixels=panel["fast_pixels"],
            s0=0,
            s1=panel["slow_pixels"],
            f0=0,
            f1=panel["fast_pixels"],
            oversample=panel["oversample"],
            layers=1,
            has_thickness=0,
            curved=0,
            point_pixel=0,
        ),
        crystal=CrystalBlock(
            SQUARE if case["shape_transform"] == "square" else GAUSS,
            *np.diag(N),
            1.0,
            *(metric[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))),
            per_axis=1,
        ),
        cell=CellBlock(*map(int, low), *grid.shape, default_F=0.0, interpolate=0, fallback_each=1, has_hkl=1),
        beam=BeamBlock(
            *axis,
            kahn_factor=beam["kahn_factor"] or 0.0,
            nopolar=int(not beam["polarization_applied"]),
            dmin=0.0,
            I_bg=0.0,
            has_water=0,
            scale=R_E_SQR * beam["fluence_photons_per_m2"] / case["factors"]["steps"],
            oversample_thick=0,
            oversample_polar=0,
            oversample_omega=0,
            per_term=1,
        ),
        sources=np.column_stack(
            [np.tile(beam["direction"], (len(wavelengths), 1)), wavelengths * 1e-10, weights / weights.mean()]
        )[chosen],
        cells=np.ascontiguousarray(np.einsum("mij,vj->mvi", domains, direct * 1e-10).reshape(-1, 9)),
        Fhkl=grid,
        mask=np.zeros((0, 0), np.uint8),
        coupling=(N[0, 1], N[0, 2], N[1, 2]),
    )
