"""The physics once more, in plain NumPy over whole images: slow, short, and with nothing of the kernels in it.

What kernels are held against. It takes a resolved experiment (geometry and cell are tested elsewhere, against the
reference's printed numbers) and follows the formulas of docs/physics.md and docs/quirks.md.
"""

from __future__ import annotations

import itertools

import numpy as np

from nbnumba.model.experiment import Experiment

R_E_SQR = 7.94079248018965e-30


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Matrix of a right-handed rotation."""
    x, y, z = axis
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def directions(experiment: Experiment, layer: int, subS: int, subF: int, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance (s, f) and unit vectors (s, f, 3) to one sub-pixel of every pixel of a flat panel."""
    panel, n = experiment.panel, experiment.sampling.oversample
    sub = panel.pixel_size / n
    F = sub * (np.arange(panel.fpixels) * n + subF + 0.5)
    S = sub * (np.arange(panel.spixels) * n + subS + 0.5)
    place = panel.pix0 + S[:, None, None] * panel.sdet + F[None, :, None] * panel.fdet
    place = place + (depth + layer * experiment.detector.layer_step) * panel.odet
    if experiment.detector.curved:
        beam = experiment.detector.frame.beam
        bent = np.empty_like(place)
        for index in np.ndindex(place.shape[:2]):
            _, y, z = place[index] / panel.distance
            bent[index] = rotation(panel.fdet, z) @ rotation(panel.sdet, y) @ (panel.distance * beam)
        place = bent
    airpath = np.linalg.norm(place, axis=-1)
    return airpath, place / airpath[..., None]


def solid_angle(experiment: Experiment, airpath: np.ndarray) -> np.ndarray:
    """Solid angle of the pixels."""
    if experiment.detector.point_pixel:
        return 1 / airpath**2
    return experiment.panel.pixel_size**2 / airpath**2 * experiment.panel.close_distance / airpath


def polarization(experiment: Experiment, incident: np.ndarray, diffracted: np.ndarray) -> np.ndarray:
    """Kahn's polarization factor, by angles."""
    beam = experiment.simulation.beam
    if beam.nopolar:
        return np.ones(diffracted.shape[:2])
    cos2 = (diffracted @ incident) ** 2
    B = np.cross(experiment.detector.frame.polar, incident)
    B = B / np.linalg.norm(B)
    E = np.cross(incident, B)
    psi = -np.arctan2(diffracted @ B, diffracted @ E)
    return 0.5 * (1 + cos2 - beam.kahn_factor * np.cos(2 * psi) * (1 - cos2))


def lattice_sqr(experiment: Experiment, hkl: np.ndarray) -> np.ndarray:
    """F_latt^2 at fractional indices (s, f, 3)."""
    crystal = experiment.crystal
    N = np.array(crystal.N, dtype=float)
    d = hkl - np.ceil(hkl - 0.5)
    if crystal.shape == "square":
        with np.errstate(invalid="ignore", divide="ignore"):
            factors = np.where(d == 0, N, np.sin(np.pi * N * d) / np.sin(np.pi * d))
        return np.prod(factors, axis=-1) ** 2
    radius = ((N * d) ** 2).sum(-1)
    if crystal.shape == "round":
        x = np.pi * np.sqrt(radius * crystal.fudge)
        with np.errstate(invalid="ignore", divide="ignore"):
            ball = np.where(x == 0, 1.0, 3 * (np.sin(x) / x - np.cos(x)) / x**2)
        return (np.prod(N) * 0.723601254558268 * ball) ** 2
    if experiment.simulation.physics == "reference":
        radius = ((d @ crystal.reciprocal) ** 2).sum(-1) * np.prod(N) ** 2
    if crystal.shape == "gauss":
        return (np.prod(N) * np.exp(-radius / 0.63 * crystal.fudge)) ** 2
    return (np.prod(N) * (radius * crystal.fudge < 0.3969)) ** 2


def lagrange(t: float, values: np.ndarray) -> float:
    """Cubic through values at -1, 0, 1, 2, at t."""
    nodes = (-1, 0, 1, 2)
    total = 0.0
    for i, node in enumerate(nodes):
        others = [m for m in nodes if m != node]
        total += values[i] * np.prod([(t - m) / (node - m) for m in others])
    return total


def tricubic(grid: np.ndarray, place: np.ndarray) -> float:
    """Tricubic interpolation at a place counted from the box's corner."""
    corner = np.floor(place).astype(int)
    box = grid[tuple(slice(c - 1, c + 3) for c in corner)]
    t = place - corner
    planes = [[lagrange(t[2], line) for line in plane] for plane in box]
    return lagrange(t[0], np.array([lagrange(t[1], np.array(plane)) for plane in planes]))


def cell_factors(experiment: Experiment, hkl: np.ndarray) -> np.ndarray:
    """F of the nearest reflection, or interpolated where there is room (``correct``), (s, f)."""
    default = experiment.simulation.structure_factors.default_F
    table = experiment.structure_factors
    if table is None:
        return np.full(hkl.shape[:2], default)
    index = np.ceil(hkl - 0.5).astype(int) - (table.h_min, table.k_min, table.l_min)
    inside = ((index >= 0) & (index < table.grid.shape)).all(-1)
    index = np.where(inside[..., None], index, 0)
    F = np.where(inside, table.grid[index[..., 0], index[..., 1], index[..., 2]], default)
    if experiment.interpolate:
        place = hkl - (table.h_min, table.k_min, table.l_min)
        roomy = ((place - 2 >= 0) & (place + 3 <= table.grid.shape)).all(-1)
        for pixel in zip(*np.nonzero(roomy), strict=True):
            F[pixel] = tricubic(table.grid, place[pixel])
    return F


def orientations(experiment: Experiment) -> list[np.ndarray]:
    """a, b, c (m) as rows, for every phi step and domain."""
    spindle = experiment.detector.frame.spindle
    turned = [experiment.crystal.direct @ rotation(spindle, phi).T * 1e-10 for phi in experiment.scan.phi]
    return [cell @ umat.T for cell in turned for umat in experiment.crystal.umats]


def naive_image(experiment: Experiment) -> np.ndarray:
    """Photons per pixel (s, f), float64, ``physics`` as the experiment says; no mask, no ROI, no -oversample_*."""
    correct = experiment.simulation.physics == "correct"
    detector, n = experiment.detector, experiment.sampling.oversample
    depth = detector.layer_step / 2 if correct else 0.0
    dmin = experiment.simulation.sampling.dmin_A * 1e-10
    total = np.zeros(experiment.panel.shape)
    unweighted = np.full(total.shape, experiment.water_F_sqr * R_E_SQR * experiment.fluence)
    omega = capture = None
    polar = np.ones(total.shape) if experiment.simulation.beam.nopolar else np.zeros(total.shape)
    weights = experiment.sources.weights / experiment.sources.weights.sum()
    for layer in range(detector.layers):
        capture = np.ones(total.shape)
        for subS, subF in itertools.product(range(n), range(n)):
            airpath, diffracted = directions(experiment, layer, subS, subF, depth)
            here = np.ones(total.shape)
            if detector.thickness:
                t = detector.layer_step * detector.mu / (diffracted @ experiment.panel.odet)
                here = np.exp(-layer * t) - np.exp(-(layer + 1) * t)
            if subS == subF == 0:
                capture = here
            if omega is None:
                omega = solid_angle(experiment, airpath)
            for i, incident in enumerate(experiment.sources.incident):
                scattering = (diffracted - incident) / experiment.sources.wavelengths[i]
                stol = np.linalg.norm(scattering, axis=-1) / 2
                kept = dmin * stol <= 0.5
                if not experiment.simulation.beam.nopolar:
                    polar = np.where((polar == 0) & kept, polarization(experiment, incident, diffracted), polar)
                sum_ = np.zeros(total.shape)
                for cell in orientations(experiment):
                    hkl = scattering @ cell.T
                    sum_ += cell_factors(experiment, hkl) ** 2 * lattice_sqr(experiment, hkl)
                sum_ = np.where(kept, sum_, 0)
                unweighted += sum_
                own = here * solid_angle(experiment, airpath) * polarization(experiment, incident, diffracted)
                mean = sum_ / len(orientations(experiment)) + experiment.water_F_sqr
                total += mean * own * weights[i] / n**2
    if correct:
        return R_E_SQR * experiment.fluence * total
    return R_E_SQR * experiment.fluence * unweighted / experiment.steps * omega * polar * capture
