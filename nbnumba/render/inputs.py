"""From an experiment to the arrays and scalars that kernels take; the only module where units change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nbnumba.kernels.formulas.blocks import (
    GAUSS,
    ON_SUM,
    ON_TERM,
    ROUND,
    SQUARE,
    TOPHAT,
    BeamBlock,
    CellBlock,
    CrystalBlock,
    PanelBlock,
)
from nbnumba.model.editions import Edition, edition_of
from nbnumba.model.experiment import R_E_SQR, Experiment
from nbnumba.model.sampling import ResolvedScan
from nbnumba.model.sources import uses_weights
from nbnumba.model.vectors import rotate_axis

#: Used without a box of structure factors; always the same array, so that tables made from it are kept.
_NO_F = np.zeros((1, 1, 1))
_NO_CELLS = np.zeros((0, 9))
SHAPES = {"square": SQUARE, "round": ROUND, "gauss": GAUSS, "tophat": TOPHAT}


@dataclass(frozen=True)
class KernelInputs:
    """Arguments of a kernel for one panel.

    Attributes
    ----------
    panel, crystal, cell, beam : parameter blocks
    sources : (S, 5) float64
        Incident unit vector, wavelength (m), weight relative to the mean.
    cells : (M, 9) float64
        a, b, c (m) of each orientation, phi step by phi step, domains within.
    Fhkl : (h_range, k_range, l_range) float64
    mask : (spixels, fpixels) uint8, or (0, 0)
    coupling : tuple of 3 float
        Elements ab, ac, bc of the matrix N. Renderings have none; derivatives know changes of them.
    first_cells : (M, 9) float64, or (0, 9)
        In place of ``cells`` for the first source with terms of the image, where it begins otherwise
        (:mod:`nbnumba.render.first_pixel`).
    """

    panel: PanelBlock
    crystal: CrystalBlock
    cell: CellBlock
    beam: BeamBlock
    sources: np.ndarray
    cells: np.ndarray
    Fhkl: np.ndarray
    mask: np.ndarray
    first_cells: np.ndarray = field(default_factory=lambda: _NO_CELLS)
    coupling: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def steps_per_pixel(self) -> int:
        """Inner steps that a kernel makes for each pixel, sensor layers included."""
        return len(self.sources) * len(self.cells) * self.panel.oversample**2 * self.panel.layers

    def F2_table(self, kind: type[np.floating[Any]] = np.float32) -> np.ndarray:
        """F^2 of the box as one row of floats; its first entry is the value outside the box."""
        default = kind(self.cell.default_F) ** 2
        if not self.cell.has_hkl:
            return np.array([default], dtype=kind)
        return np.concatenate([[default], np.square(self.Fhkl).ravel()]).astype(kind)


def _edition(experiment: Experiment) -> Edition:
    return edition_of(experiment.simulation.physics)


def orientations(experiment: Experiment, phi: np.ndarray | None = None) -> np.ndarray:
    """Direct cell vectors (m) of every phi step and mosaic domain, (phisteps * domains, 9).

    The spindle rotates the crystal first, then the mosaic rotation is applied. ``phi`` (phisteps,), rad: by default the
    angles by which the cell is rotated.
    """
    phi = experiment.scan.cell_phi if phi is None else phi
    direct = experiment.crystal.direct * 1e-10
    spindle = experiment.detector.frame.spindle
    turned = np.array([rotate_axis(direct, spindle, angle) if angle else direct for angle in phi])
    cells = np.einsum("dij,pvj->pdvi", experiment.crystal.umats, turned)
    return np.ascontiguousarray(cells.reshape(-1, 9))


def weighted(experiment: Experiment) -> bool:
    """Whether sources have different weights. Each term then has its own corrections, which include the weight."""
    beam, weights = experiment.simulation.beam, experiment.sources.weights
    return bool(uses_weights(beam, experiment.simulation.physics) and np.ptp(weights) > 0)


def build_inputs(experiment: Experiment, panel_index: int = 0) -> KernelInputs:
    """Arguments of the kernels for one panel."""
    sources = experiment.sources
    weights = np.ones(len(sources.weights))
    if uses_weights(experiment.simulation.beam, experiment.simulation.physics):
        weights = sources.weights / sources.weights.mean()
    grid = experiment.structure_factors
    return KernelInputs(
        panel=panel_block(experiment, panel_index),
        crystal=_crystal_block(experiment),
        cell=_cell_block(experiment),
        beam=beam_block(experiment),
        sources=np.column_stack([sources.incident, sources.wavelengths, weights]),
        cells=orientations(experiment),
        Fhkl=_NO_F if grid is None else grid.grid,
        mask=mask_bytes(experiment),
        first_cells=_first_cells(experiment) if panel_index == 0 else _NO_CELLS,
    )


def build_all_inputs(experiment: Experiment) -> list[KernelInputs]:
    """Arguments of the kernels for every panel."""
    return [build_inputs(experiment, index) for index in range(len(experiment.detector.panels))]


def _first_cells(experiment: Experiment) -> np.ndarray:
    """Orientations with which the released program begins: the cell has not been rotated yet."""
    phi = first_phi(experiment.scan)
    return _NO_CELLS if np.array_equal(phi, experiment.scan.cell_phi) else orientations(experiment, phi)


def first_phi(scan: ResolvedScan) -> np.ndarray:
    """Angles (rad) by which the cell is rotated in each step of the first source with terms of an image."""
    return np.concatenate([scan.phi[:1], scan.cell_phi[1:]])


def mask_bytes(experiment: Experiment) -> np.ndarray:
    """1 for pixels that are rendered and 0 for others, (spixels, fpixels) uint8; (0, 0) without a mask."""
    mask = experiment.simulation.mask
    return np.zeros((0, 0), np.uint8) if mask is None else (mask != 0).astype(np.uint8)


def panel_block(experiment: Experiment, index: int) -> PanelBlock:
    """Geometry and sampling of a panel."""
    detector, panel = experiment.detector, experiment.detector.panels[index]
    # depth at which a layer detects photons: its middle, or in the reference its front
    depth = 0.0 if _edition(experiment).layers_at_fronts else detector.layer_step / 2
    s0, s1, f0, f1 = experiment.sampling.slices[index]
    vectors = {"pix0": panel.pix0, "fdet": panel.fdet, "sdet": panel.sdet, "odet": panel.odet}
    vectors["beam"] = detector.frame.beam
    components: dict[str, Any] = {
        f"{name}_{axis}": float(x) for name, vector in vectors.items() for axis, x in zip("xyz", vector, strict=True)
    }
    return PanelBlock(
        **components,
        pixel_size=panel.pixel_size,
        distance=panel.distance,
        close_distance=panel.close_distance,
        first_depth=depth,
        layer_step=detector.layer_step,
        mu=detector.mu,
        fpixels=panel.fpixels,
        s0=s0,
        s1=s1,
        f0=f0,
        f1=f1,
        oversample=experiment.sampling.oversample,
        layers=detector.layers,
        has_thickness=int(detector.thickness > 0),
        curved=int(detector.curved),
        point_pixel=int(detector.point_pixel),
    )


def _crystal_block(experiment: Experiment) -> CrystalBlock:
    crystal = experiment.crystal
    metric = crystal.reciprocal @ crystal.reciprocal.T
    return CrystalBlock(
        shape=SHAPES[crystal.shape],
        Na=float(crystal.Na),
        Nb=float(crystal.Nb),
        Nc=float(crystal.Nc),
        fudge=crystal.fudge,
        G11=float(metric[0, 0]),
        G22=float(metric[1, 1]),
        G33=float(metric[2, 2]),
        G12=float(metric[0, 1]),
        G13=float(metric[0, 2]),
        G23=float(metric[1, 2]),
        per_axis=int(not _edition(experiment).product_of_cells),
    )


def _cell_block(experiment: Experiment) -> CellBlock:
    grid, default_F = experiment.structure_factors, experiment.simulation.structure_factors.default_F
    if grid is None:
        return CellBlock(0, 0, 0, 1, 1, 1, default_F, interpolate=0, fallback_each=0, has_hkl=0)
    h_range, k_range, l_range = grid.grid.shape
    return CellBlock(
        grid.h_min,
        grid.k_min,
        grid.l_min,
        h_range,
        k_range,
        l_range,
        default_F=default_F,
        interpolate=int(experiment.interpolate),
        fallback_each=int(not _edition(experiment).ends_interpolation),
        has_hkl=1,
    )


def beam_block(experiment: Experiment) -> BeamBlock:
    """Polarization, resolution limit, background and scale."""
    simulation = experiment.simulation
    correct = not _edition(experiment).last_values or weighted(experiment)
    polar, sampling = experiment.detector.frame.polar, simulation.sampling
    where = ON_SUM if _edition(experiment).factors_on_sum else ON_TERM
    I_bg = experiment.water_F_sqr
    if correct:
        # the background is added once and not per orientation: undo the division by their number
        I_bg *= experiment.scan.phisteps * len(experiment.crystal.umats)
    else:
        I_bg *= R_E_SQR * experiment.fluence
    return BeamBlock(
        polar_x=float(polar[0]),
        polar_y=float(polar[1]),
        polar_z=float(polar[2]),
        kahn_factor=simulation.beam.kahn_factor,
        nopolar=int(simulation.beam.nopolar),
        dmin=sampling.dmin_A * 1e-10,
        I_bg=I_bg,
        has_water=int(simulation.background.water_um > 0),
        scale=R_E_SQR * experiment.fluence / experiment.steps,
        # without a sensor the capture fraction is 1, however often it is applied
        oversample_thick=where * int(sampling.oversample_thick and experiment.detector.thickness > 0 and not correct),
        oversample_polar=where * int(sampling.oversample_polar and not correct),
        oversample_omega=where * int(sampling.oversample_omega and not correct),
        per_term=int(correct),
    )


def framed_sources(inputs: KernelInputs) -> np.ndarray:
    """The sources with the E and B vector of each beam behind them, (S, 11) float64."""
    from nbnumba.kernels.formulas.polarization import beam_frame
    from nbnumba.kernels.jit.cpu import plain

    axis = (inputs.beam.polar_x, inputs.beam.polar_y, inputs.beam.polar_z)
    frame = plain(beam_frame)
    frames = [np.ravel(frame(tuple(source[:3].tolist()), axis)) for source in inputs.sources]
    return np.ascontiguousarray(np.column_stack([inputs.sources, frames]))
