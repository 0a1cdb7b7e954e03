"""The sample: the crystal, its structure factors, and other material in the beam."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.values import AtomicModel, FTable, Reflections, StolTable, is_of_gemmi
from nbnumba.model.checked import Checked, check
from nbnumba.model.instrument import Vector

Shape = Literal["square", "round", "gauss", "tophat"]

#: Most unit cells along an axis: a crystal of kilometres.
MOST_CELLS = 10**12
#: Largest deviation of a rotation times its transpose from 1.
ORTHOGONAL = 1e-6
#: Shortest and longest edge of a cell (Å).
SHORTEST_EDGE, LONGEST_EDGE = 1e-3, 1e6


@dataclass(frozen=True, kw_only=True)
class Crystal(Checked):
    """The crystal and its lattice transform.

    Attributes
    ----------
    A_matrix : (9,) float or None
        MOSFLM's A, row by row: columns a*, b*, c*, multiplied by the wavelength.
    cell : tuple of 1 to 6 float or None
        a, b, c in Å and alpha, beta, gamma in degrees; missing lengths equal a, missing angles 90.
    misset_deg : (3,) float, "random" or None
        Rotations about x, then y, then z, applied to the orientation above.
    Na, Nb, Nc : int
        Whole cells along each axis; ``size_mm`` (x, y, z; 0 where not given) replaces them.
    fudge : float
        Scales the squared radius of round, gauss and tophat spots.
    mosaic_rotations : (domains, 3, 3) float or None
        Rotation of each mosaic domain, applied after phi; replaces ``mosaic_spread_deg``, ``mosaic_domains`` and
        ``mosaic_seed``.
    """

    A_matrix: tuple[float, ...] | None = None
    cell: tuple[float, ...] | None = None
    misset_deg: Vector | Literal["random"] | None = None
    misset_seed: int | None = None
    Na: int = 1
    Nb: int = 1
    Nc: int = 1
    size_mm: Vector = (0.0, 0.0, 0.0)
    shape: Shape = "square"
    fudge: float = 1.0
    mosaic_spread_deg: float | None = None
    mosaic_domains: int | None = None
    mosaic_seed: int = 12345678
    mosaic_rotations: np.ndarray | None = None

    def _validate(self) -> None:
        if self.A_matrix is None and self.cell is None:
            raise ConfigError("crystal needs a matrix or a cell: give -mat FILE or -cell a b c alpha beta gamma")
        if self.A_matrix is not None:
            if len(self.A_matrix) != 9:
                raise ConfigError(f"crystal.A_matrix must hold 9 numbers, got {len(self.A_matrix)}")
            matrix = np.reshape(self.A_matrix, (3, 3))
            lengths = np.linalg.norm(matrix, axis=0)
            if not lengths.all() or abs(np.linalg.det(matrix / lengths)) < 1e-9:
                raise ConfigError("crystal.A_matrix is singular: its three reciprocal vectors span no volume")
        if self.cell is not None:
            lengths, angles = self.cell[:3], self.cell[3:]
            if not self.cell or len(self.cell) > 6 or any(v <= 0 for v in self.cell):
                raise ConfigError(f"crystal.cell must be 1 to 6 positive numbers, got {self.cell}")
            if any(not SHORTEST_EDGE <= v <= LONGEST_EDGE for v in lengths):
                raise ConfigError(
                    f"crystal.cell: edges are {SHORTEST_EDGE:g} to {LONGEST_EDGE:g} Å long, got {self.cell[:3]}"
                )
            full = [*angles, *(90.0,) * (3 - len(angles))]
            half = sum(full) / 2
            if any(v >= 180 for v in full) or half >= 180 or any(half - v <= 0 for v in full):
                raise ConfigError(f"crystal.cell: no cell has the angles {full[0]:g} {full[1]:g} {full[2]:g}")
        self._not_negative("Na", "Nb", "Nc", "mosaic_domains", "mosaic_seed", "misset_seed")
        for key in ("mosaic_seed", "misset_seed"):
            check(self, key, "below 2**63", (getattr(self, key) or 0) < 2**63)
        for key in ("Na", "Nb", "Nc"):
            check(self, key, f"at most {MOST_CELLS:.0e}", getattr(self, key) <= MOST_CELLS)
        check(self, "size_mm", "not negative", all(v >= 0 for v in self.size_mm))
        if self.mosaic_rotations is not None:
            check_rotations(self.mosaic_rotations)
            if self.mosaic_spread_deg or self.mosaic_domains:
                raise ConfigError(
                    "crystal.mosaic_rotations replaces mosaic_spread_deg and mosaic_domains: leave those out"
                )
        check(self, "mosaic_spread_deg", ">= 0", (self.mosaic_spread_deg or 0) >= 0)
        self._not_negative("fudge")


def check_rotations(rotations: np.ndarray) -> None:
    """Raise ConfigError unless all matrices are rotations.

    Raises
    ------
    ConfigError
        The shape is not (n, 3, 3), or a matrix is not orthogonal or has a negative determinant.
    """
    name = "crystal.mosaic_rotations"
    if rotations.ndim != 3 or rotations.shape[1:] != (3, 3) or not len(rotations):
        raise ConfigError(f"{name} must be an array (domains, 3, 3), got one of shape {rotations.shape}")
    if not np.isfinite(rotations).all():
        raise ConfigError(f"{name} must hold finite numbers")
    product = np.einsum("nij,nkj->nik", rotations, rotations)
    wrong = ~(np.abs(product - np.eye(3)).max(axis=(1, 2)) < ORTHOGONAL) | ~(np.linalg.det(rotations) > 0)
    if wrong.any():
        raise ConfigError(f"{name}: matrix {int(np.argmax(wrong))} is no rotation")


@dataclass(frozen=True, kw_only=True)
class StructureFactors(Checked):
    """Origin of F_cell: a list of reflections, an atomic model, an earlier run's dump, or one value for all.

    Attributes
    ----------
    hkl : Path, Reflections, tuple of arrays, gemmi.Mtz, gemmi.ReflnBlock, FTable or None
        Text file, h k l F per line, for the whole P1 sphere; or MTZ, CIF or a list of another program, recognized by
        content and expanded to P1 by the file's space group. In memory: reflections, or arrays (indices (n, 3), F (n,)), of the
        whole P1 sphere; an object of gemmi; or a finished table.
    hkl_label : str or None
        Column of an MTZ or CIF file: its label, or its type (G, F, K, J); None: the first of these types. F or J say
        what the values of a text list are: amplitudes or intensities.
    hkl_dataset : str or None
        Data set of an MTZ file, block of a CIF file, or ``wavelength_id=2`` of a loop with several; None: the first.
    hkl_symmetry : str or None
        Space group or point group that expands a text list; None: the list is the whole sphere.
    hkl_average : bool
        Average the rows of a reflection; else a file that gives one several times, with different values, is refused.
    model : Path, gemmi.Structure or None
        Atomic model (mmCIF, CIF or PDB file, or an object of gemmi) that F is calculated from, to ``model_dmin_A``; instead of
        ``hkl``.
    model_dmin_A : float or None
        Resolution of the calculated F; needed with a model.
    model_wavelength_A : float or None
        Wavelength of the anomalous scattering of its atoms; None: no anomalous scattering.
    solvent_k, solvent_B : float
        Bulk solvent of a model: density (electrons per Å^3; 0: none) and B (Å^2).
    dump : Path
        Binary copy: read when there is no ``hkl``, else written (``write_dump``).
    default_F : float
        F of every reflection that the files do not hold, in electrons.
    interpolate : bool or None
        Tricubic interpolation between reflections; None: for crystals of up to two cells along an axis.
    """

    hkl: Path | Reflections | FTable | None = None
    hkl_label: str | None = None
    hkl_dataset: str | None = None
    hkl_symmetry: str | None = None
    hkl_average: bool = False
    model: Path | AtomicModel | None = None
    model_dmin_A: float | None = None
    model_wavelength_A: float | None = None
    solvent_k: float = 0.35
    solvent_B: float = 46.0
    dump: Path = Path("Fdump.bin")
    write_dump: bool = True
    default_F: float = 0.0
    interpolate: bool | None = None

    def with_table(self, table: FTable | None) -> StructureFactors:
        """The same with a table in the place of a list or model, and of how that is read; None: with neither."""
        return replace(
            self,
            hkl=table,
            hkl_label=None,
            hkl_dataset=None,
            hkl_symmetry=None,
            hkl_average=False,
            model=None,
        )

    def __post_init__(self) -> None:
        given: Any = self.hkl
        if is_of_gemmi(given, "Mtz", "ReflnBlock"):
            object.__setattr__(self, "hkl", Reflections.from_gemmi(given, self.hkl_label))
            object.__setattr__(self, "hkl_label", None)
        super().__post_init__()

    def _validate(self) -> None:
        self._positive("model_dmin_A", "model_wavelength_A")
        self._not_negative("solvent_k", "solvent_B")
        if self.hkl is not None and self.model is not None:
            raise ConfigError("structure factors come from a list or from a model: give -hkl or --model, not both")
        if not isinstance(self.hkl, Path):
            for value, does in (
                (self.hkl_label, "--label chooses a column of"),
                (self.hkl_dataset, "--dataset chooses a part of"),
                (self.hkl_symmetry, "--symmetry expands"),
                (self.hkl_average or None, "--average merges the rows of"),
            ):
                if value is not None:
                    raise ConfigError(f"{does} the file of -hkl: give -hkl FILE")


@dataclass(frozen=True, kw_only=True)
class Background(Checked):
    """Material in the beam besides the crystal.

    Attributes
    ----------
    water_um : float
        The reference's water: edge of a cube, which scatters equally in all directions.
    thickness_mm : float
        Amorphous material along the beam, as wide as the beam (``nbnumba.render.background``).
    stol : Path, tuple of arrays or None
        Its structure factor: sin(theta)/lambda (1/Å) and F (electrons per molecule) per line, or as arrays; ``stol_scale`` turns
        the first column into sin(theta)/lambda where it is something else.
    density_g_cm3, molar_mass_g : float
        Of the material; water's by default.
    air_mm : float
        Air along the beam, at the crystal.
    """

    water_um: float = 0.0
    thickness_mm: float = 0.0
    stol: Path | StolTable | None = None
    stol_scale: float = 1.0
    density_g_cm3: float = 1.0
    molar_mass_g: float = 18.0
    air_mm: float = 0.0

    def _validate(self) -> None:
        self._not_negative("water_um", "thickness_mm", "air_mm")
        self._positive("stol_scale", "density_g_cm3", "molar_mass_g")

    @property
    def is_amorphous(self) -> bool:
        """Whether there is amorphous material or air."""
        return self.thickness_mm > 0 or self.air_mm > 0
