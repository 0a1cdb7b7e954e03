"""From the user's crystal to cell vectors in the laboratory frame, numbers of cells and mosaic domains."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.kernels.cpu.rng import mosaic_umats, random_umat, umat_to_misset
from nbnumba.model.config import Beam, Crystal, Shape
from nbnumba.model.editions import edition_of
from nbnumba.model.sample import MOST_CELLS
from nbnumba.model.vectors import cross, dot, length, rotate_xyz

RTD = 180.0 * 0.31830988618379067154  # as the reference writes it: one unit in the last place decides some ceil()
Array = np.ndarray


@dataclass(frozen=True)
class ResolvedCrystal:
    """Unrotated crystal (phi = 0, no mosaic rotation).

    ``direct`` and ``reciprocal`` hold the vectors a, b, c (Å) and a*, b*, c* (1/Å) as rows; ``unit_cell`` and
    ``recip_cell`` are lengths and angles (deg); ``umats`` (domains, 3, 3) the mosaic rotations.
    """

    direct: Array
    reciprocal: Array
    unit_cell: tuple[float, ...]
    recip_cell: tuple[float, ...]
    volume: float
    misset_deg: tuple[float, float, float] | None
    misset_seed: int | None
    Na: int
    Nb: int
    Nc: int
    shape: Shape
    fudge: float
    mosaic_spread_deg: float
    umats: Array
    notes: tuple[str, ...]

    @property
    def N(self) -> tuple[int, int, int]:
        """Whole cells along a, b, c."""
        return self.Na, self.Nb, self.Nc

    @property
    def largest_size(self) -> float:
        """Longest edge of the crystal (m).

        Operation by operation as in nanoBragg.c: the automatic oversampling rounds it up, and where it is a whole number
        of pixels the last bit decides.
        """
        return max(length(vector) * n for vector, n in zip(self.direct * 1e-10, self.N, strict=True))


def is_same_cell(cell: Sequence[float] | Array, other: Sequence[float] | Array, limits: tuple[float, float]) -> bool:
    """Whether two unit cells (Å, degrees) agree.

    Parameters
    ----------
    limits : (float, float)
        Largest difference of lengths, relative to those of ``other``, and of angles (deg).
    """
    apart, lengths = np.abs(np.subtract(cell, other)), np.abs(other[:3])
    return bool((apart[:3] <= limits[0] * lengths).all() and (apart[3:] <= limits[1]).all())


def resolve_crystal(crystal: Crystal, beam: Beam, physics: str) -> ResolvedCrystal:
    """Cell vectors, numbers of cells and mosaic domains, by the rules of nanoBragg.c in its order."""
    notes: list[str] = []
    cell = None if crystal.cell is None else _full_cell(crystal.cell)
    reciprocal = np.zeros((3, 3))
    if cell is not None:
        reciprocal = _reciprocal_from_cell(cell, physics)
    if crystal.A_matrix is not None:
        # MOSFLM's A is multiplied by the wavelength
        reciprocal = np.reshape(crystal.A_matrix, (3, 3)).T / beam.wavelength_A
    misset, seed = _misset(crystal)
    if misset is not None:
        reciprocal = rotate_xyz(reciprocal, np.array(misset) / RTD)
    direct, reciprocal, volume = _both_bases(reciprocal, cell)
    unit_cell, recip_cell = _cell_of(direct, reciprocal, volume)
    Na, Nb, Nc = _count_cells(crystal, beam, direct, notes)
    if crystal.mosaic_rotations is None:
        spread, domains = _count_domains(crystal, notes)
        umats = _mosaic_rotations(spread / RTD, domains, crystal.mosaic_seed)
    else:
        spread, umats = 0.0, np.ascontiguousarray(crystal.mosaic_rotations, dtype=np.float64)
    return ResolvedCrystal(
        direct=direct,
        reciprocal=reciprocal,
        unit_cell=unit_cell,
        recip_cell=recip_cell,
        volume=volume,
        misset_deg=misset,
        misset_seed=seed,
        Na=Na,
        Nb=Nb,
        Nc=Nc,
        shape=crystal.shape,
        fudge=crystal.fudge,
        mosaic_spread_deg=spread,
        umats=umats,
        notes=tuple(notes),
    )


@lru_cache(maxsize=8)
def _mosaic_rotations(spread: float, domains: int, seed: int) -> Array:
    """Rotations of the domains, (domains, 3, 3), drawn once for all images that share them."""
    return mosaic_umats(spread, domains, seed)


def _full_cell(cell: tuple[float, ...]) -> tuple[float, ...]:
    """a, b, c (Å), alpha, beta, gamma (rad): missing lengths equal a, missing angles are 90 degrees."""
    lengths = (*cell[:3], *(cell[0],) * (3 - len(cell[:3])))
    angles = tuple(v / RTD for v in cell[3:])
    return (*lengths, *angles, *(math.pi / 2,) * (3 - len(angles)))


def _cell_volume(cell: tuple[float, ...]) -> float:
    a, b, c, alpha, beta, gamma = cell
    half = (alpha + beta + gamma) / 2
    skew = math.sin(half) * math.sin(half - alpha) * math.sin(half - beta) * math.sin(half - gamma)
    return 2 * a * b * c * math.sqrt(abs(skew))


def _reciprocal_from_cell(cell: tuple[float, ...], physics: str) -> Array:
    """a*, b*, c* as rows (1/Å): a* along x, b* in the xy plane.

    The reference's z component of c* takes the volume of the direct cell's shape where that of the reciprocal cell
    belongs: three oblique angles come out slightly wrong (docs/quirks.md).
    """
    a, b, c, alpha, beta, gamma = cell
    volume = _cell_volume(cell)
    a_star, b_star, c_star = (
        b * c * math.sin(alpha) / volume,
        c * a * math.sin(beta) / volume,
        a * b * math.sin(gamma) / volume,
    )

    def clamped(x: float) -> float:
        return 1.0 if x * x > 1 else x

    cos_alpha = clamped((math.cos(beta) * math.cos(gamma) - math.cos(alpha)) / (math.sin(beta) * math.sin(gamma)))
    cos_beta = clamped((math.cos(gamma) * math.cos(alpha) - math.cos(beta)) / (math.sin(gamma) * math.sin(alpha)))
    cos_gamma = clamped((math.cos(alpha) * math.cos(beta) - math.cos(gamma)) / (math.sin(alpha) * math.sin(beta)))
    sin_gamma = min(c / volume / a_star / b_star, 1.0)
    if not edition_of(physics).oblique_angles:
        c_star_z = 1 / (volume * a_star * b_star * sin_gamma)
    else:
        c_star_z = c_star * volume / (a * b * c * sin_gamma)
    return np.array(
        [
            [a_star, 0, 0],
            [b_star * cos_gamma, b_star * sin_gamma, 0],
            [c_star * cos_beta, c_star * (cos_alpha - cos_beta * cos_gamma) / sin_gamma, c_star_z],
        ]
    )


def _misset(crystal: Crystal) -> tuple[tuple[float, float, float] | None, int | None]:
    """Misset angles (deg) and the seed they came from."""
    if crystal.misset_deg != "random":
        return crystal.misset_deg, None
    seed = crystal.misset_seed if crystal.misset_seed is not None else int(time.time())
    angles = umat_to_misset(random_umat(seed))
    return (float(angles[0] * RTD), float(angles[1] * RTD), float(angles[2] * RTD)), seed


def _both_bases(reciprocal: Array, cell: tuple[float, ...] | None) -> tuple[Array, Array, float]:
    """Direct vectors (Å), reciprocal vectors recomputed from them, and the volume (Å^3).

    With a cell, the lengths of the direct vectors and the volume are the cell's, whatever the matrix says.
    """
    a_star, b_star, c_star = reciprocal
    normals = np.array([cross(b_star, c_star), cross(c_star, a_star), cross(a_star, b_star)])
    volume_star = dot(a_star, normals[0])
    if volume_star == 0 or not math.isfinite(volume_star):
        raise ConfigError("the crystal's three reciprocal vectors span no volume: check the matrix or the cell")
    if cell is not None:
        volume = _cell_volume(cell)
        normals = np.array([edge / volume / length(v) * v for edge, v in zip(cell[:3], normals, strict=True)])
        volume_star = 1 / volume
    volume = 1 / volume_star
    direct = normals * volume
    a, b, c = direct
    reciprocal = np.array([cross(b, c), cross(c, a), cross(a, b)]) * volume_star
    return direct, reciprocal, volume


def _angle(u: Array, v: Array, sine: float) -> float:
    """Angle (deg) between two vectors whose sine is known from the volume, as the reference prints it."""
    cosine = float(u @ v) / float(np.linalg.norm(u) * np.linalg.norm(v))
    sine = min(max(sine, -1.0), 1.0)
    return math.atan2(sine, 1.0 if cosine * cosine > 1 else cosine) * RTD


def _cell_of(direct: Array, reciprocal: Array, volume: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    cells = []
    for own, other, size in ((direct, reciprocal, volume), (reciprocal, direct, 1 / volume)):
        lengths = np.linalg.norm(own, axis=1)
        duals = np.linalg.norm(other, axis=1)
        angles = []
        for i, j, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
            angles.append(_angle(own[j], own[k], duals[i] * size / lengths[j] / lengths[k]))
        cells.append((*map(float, lengths), *angles))
    return cells[0], cells[1]


def _count_cells(crystal: Crystal, beam: Beam, direct: Array, notes: list[str]) -> tuple[int, int, int]:
    size = [v / 1000 for v in crystal.size_mm]
    beamsize = beam.beamsize_mm / 1000
    for axis, name in ((1, "y"), (2, "z")):
        if beamsize < size[axis]:
            notes.append(
                f"the crystal's size along {name}, {size[axis] * 1e6:g} um, is clipped to the beam's, {beamsize * 1e6:g} um"
            )
            size[axis] = beamsize
    numbers = [crystal.Na, crystal.Nb, crystal.Nc]
    for axis, vector in enumerate(direct * 1e-10):
        if size[axis] > 0:
            numbers[axis] = math.ceil(size[axis] / length(vector))
    Na, Nb, Nc = (max(n, 1) for n in numbers)
    if max(Na, Nb, Nc) > MOST_CELLS:
        raise ConfigError(
            f"a crystal of {', '.join(f'{v:g}' for v in crystal.size_mm)} mm has {max(Na, Nb, Nc):.0e} cells along an axis, "
            f"more than {MOST_CELLS:.0e}: check -samplesize and the cell"
        )
    return Na, Nb, Nc


def _count_domains(crystal: Crystal, notes: list[str]) -> tuple[float, int]:
    """Mosaic spread (deg) and number of domains."""
    spread, domains = crystal.mosaic_spread_deg, crystal.mosaic_domains or 0
    if not spread:
        if domains > 1:
            notes.append(f"no mosaic spread is given: one domain instead of {domains}; give -mosaic DEG")
        return 0.0, 1
    if domains == 0:
        notes.append("a mosaic spread without -mosaic_domains is rendered with 10 domains")
        domains = 10
    return spread, domains
