"""Values in memory that can be given in place of files. Readers of files make them, too.

They are not copied and must not be changed; two values are equal only if they are the same object.
"""

from __future__ import annotations

import hashlib
from abc import ABC
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nbnumba.errors import ConfigError

if TYPE_CHECKING:
    import gemmi

#: Largest index accepted: a larger one is a typing error, and the table that holds it would fill the memory.
MAX_INDEX = 1_000_000


class Given(ABC):
    """Base class of values that can be given in place of the name of a file.

    Attributes
    ----------
    described : str
        What can be given, for messages.
    widths : tuple of int
        Of arrays from which a value can be made: 1 for (n,), else the number of columns. Empty: it cannot.
    """

    described: ClassVar[str]
    widths: ClassVar[tuple[int, ...]] = ()

    @classmethod
    def taken(cls, value: Any) -> Self | None:
        """Convert a value to this class: as given, or from a sequence of arrays; None if it is of another kind.

        Raises
        ------
        ConfigError
            The kind of the value is right, but its content is not allowed.
        """
        if isinstance(value, cls):
            return value
        found = columns(value, cls.widths) if cls.widths else None
        return None if found is None else cls(*found)

    def digest(self) -> str:
        """Checksum of all fields."""
        found = hashlib.sha256()
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            found.update(entry.name.encode())
            is_array = isinstance(value, np.ndarray)
            found.update(np.ascontiguousarray(value).tobytes() if is_array else repr(value).encode())
        return f"sha256:{found.hexdigest()}"

    def __str__(self) -> str:
        return f"{type(self).__name__} in memory"


def is_given(kind: Any) -> bool:
    """Whether the type of a field is a class of such values."""
    return isinstance(kind, type) and issubclass(kind, Given)


def columns(value: Any, widths: tuple[int, ...]) -> list[np.ndarray] | None:
    """Float64 arrays (n,), or (n, width) where the width is not 1, from a sequence of them; None if it is something else."""
    if not isinstance(value, tuple | list) or len(value) != len(widths):
        return None
    found = []
    for one, width in zip(value, widths, strict=True):
        try:
            array = np.asarray(one, dtype=np.float64)
        except (TypeError, ValueError):
            return None
        if array.ndim != (1 if width == 1 else 2) or (width > 1 and array.shape[1] != width):
            return None
        found.append(np.ascontiguousarray(array))
    return found if len({len(array) for array in found}) == 1 and len(found[0]) else None


@dataclass(frozen=True, eq=False)
class Reflections(Given):
    """Structure factors of the whole sphere of P1, with a row for each symmetry and Friedel mate.

    Attributes
    ----------
    indices : (n, 3) int32
        h, k, l.
    F : (n,) float64
        Electrons.
    cell : (6,) tuple of float, or None
        The file's unit cell, Å and degrees.
    spacegroup : gemmi.SpaceGroup, gemmi.GroupOps or None
        Its systematic absences that have no row are 0, instead of ``default_F``.
    label : str
        Columns of the file that were used.
    notes : tuple of str
        One sentence for each choice that the user may not expect.
    """

    described = "Reflections, (indices, F), a gemmi.Mtz or a gemmi.ReflnBlock"
    widths = (3, 1)

    indices: np.ndarray
    F: np.ndarray
    cell: tuple[float, ...] | None = None
    spacegroup: gemmi.SpaceGroup | gemmi.GroupOps | None = None
    label: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            indices, F = np.asarray(self.indices), np.asarray(self.F, dtype=np.float64)
            whole = np.asarray(indices, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"reflections need indices (n, 3) and F (n,) of numbers: {error}") from error
        if indices.ndim != 2 or indices.shape[1:] != (3,) or F.shape != (len(indices),) or not len(F):
            raise ConfigError(
                f"reflections need indices (n, 3) and F (n,), at least one: got shapes {indices.shape} and {F.shape}"
            )
        if not np.isfinite(F).all():
            raise ConfigError(f"reflections: F of row {int(np.argmin(np.isfinite(F)))} is not a finite number")
        wrong = ~((whole == np.rint(whole)) & (np.abs(whole) <= MAX_INDEX)).all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ConfigError(f"reflections: h k l of row {row} must be whole numbers up to {MAX_INDEX}: {whole[row]}")
        object.__setattr__(self, "indices", np.ascontiguousarray(whole, dtype=np.int32))
        object.__setattr__(self, "F", np.ascontiguousarray(F))

    @classmethod
    def from_gemmi(cls, value: gemmi.Mtz | gemmi.ReflnBlock, label: str | None = None) -> Reflections:
        """Reflections of an object of gemmi, expanded to P1 by its space group.

        Parameters
        ----------
        label : str, optional
            As in :func:`nbnumba.io.reflections.read_reflections`.

        Raises
        ------
        FileError
            The reflections are not merged, or have no such column, no cell or no space group.
        """
        from nbnumba.io.reflections import reflections_of

        return reflections_of(value, label)

    @classmethod
    def expanded(
        cls,
        indices: np.ndarray,
        F: np.ndarray,
        spacegroup: gemmi.SpaceGroup | str,
        F_minus: np.ndarray | None = None,
    ) -> Reflections:
        """Reflections of an asymmetric unit, expanded to P1 with Friedel mates.

        Parameters
        ----------
        indices : (n, 3) int
        F, F_minus : (n,) float
            Amplitudes of h k l and of -h -k -l; NaN: missing.
        spacegroup : gemmi.SpaceGroup or str
            ``"P 43 21 2"``.

        Raises
        ------
        ConfigError
            There is no such space group, or a value is not allowed.
        """
        import gemmi

        from nbnumba.io.symmetry import expand_to_p1

        group = gemmi.find_spacegroup_by_name(spacegroup) if isinstance(spacegroup, str) else spacegroup
        if group is None:
            raise ConfigError(f"reflections: there is no space group {spacegroup!r}")
        return cls(*expand_to_p1(indices, F, F_minus, group), spacegroup=group)


@dataclass(frozen=True, eq=False)
class FTable(Given):
    """F of every index in a box.

    Attributes
    ----------
    grid : (nh, nk, nl) float64, C-contiguous
        F in electrons; ``grid[h - h_min, k - k_min, l - l_min]``.
    n_reflections : int
        Reflections from which the box was made, or indices in the box of a dump.
    default_F : float
        F outside the box, and of its holes where the box was made from reflections.
    source : str
        File that it was read from.
    cell : (6,) tuple of float, or None
        Unit cell of that file, Å and degrees.
    """

    described = "an FTable"

    grid: np.ndarray
    h_min: int
    k_min: int
    l_min: int
    n_reflections: int
    default_F: float
    source: str
    cell: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        grid = self.grid
        good = isinstance(grid, np.ndarray) and grid.ndim == 3 and grid.dtype == np.float64 and grid.size > 0
        if not good or not grid.flags.c_contiguous:
            raise ConfigError("a table of structure factors needs a grid (nh, nk, nl) of float64, C-contiguous")
        whole = (self.h_min, self.k_min, self.l_min, self.n_reflections)
        if not all(isinstance(n, int | np.integer) for n in whole) or not np.isfinite(float(self.default_F)):
            raise ConfigError("a table of structure factors needs whole h_min, k_min, l_min and a finite default_F")


@dataclass(frozen=True, eq=False)
class AtomicModel(Given):
    """An atomic model that structure factors are calculated from."""

    described = "a gemmi.Structure"

    structure: gemmi.Structure

    def __post_init__(self) -> None:
        if not is_of_gemmi(self.structure, "Structure"):
            raise ConfigError(f"an atomic model needs a gemmi.Structure, got {type(self.structure).__name__}")

    @classmethod
    def taken(cls, value: Any) -> Self | None:
        """The model as given, or from a ``gemmi.Structure``."""
        return cls(value) if is_of_gemmi(value, "Structure") else super().taken(value)

    def digest(self) -> str:
        """Checksum of the model as mmCIF."""
        text = self.structure.make_mmcif_document().as_string()
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, eq=False)
class SourceTable(Given):
    """A list of X-ray sources.

    Attributes
    ----------
    rows : (n, 5) float64
        X, Y, Z from the crystal to the source (m), weight, wavelength (m); NaN: the default of ``-sourcefile``.
    """

    described = "an array (n, 5) of X, Y, Z (m), weight, wavelength (m)"
    widths = (5,)

    rows: np.ndarray

    def __post_init__(self) -> None:
        found = columns((self.rows,), self.widths)
        if found is None or np.isinf(found[0]).any():
            raise ConfigError(f"a table of sources needs {self.described}, numbers or NaN")
        object.__setattr__(self, "rows", found[0])

    @classmethod
    def taken(cls, value: Any) -> Self | None:
        """The table as given, or from an array (n, 5)."""
        return super().taken(value if isinstance(value, cls) else (value,))


@dataclass(frozen=True, eq=False)
class StolTable(Given):
    """Structure factor of an amorphous material.

    Attributes
    ----------
    stol : (n,) float64
        sin(theta)/lambda (1/Å), or a quantity that ``stol_scale`` converts to it; increasing, at least two.
    F : (n,) float64
        Electrons per molecule.
    """

    described = "arrays (stol, F)"
    widths = (1, 1)

    stol: np.ndarray
    F: np.ndarray

    def __post_init__(self) -> None:
        found = columns((self.stol, self.F), self.widths)
        good = found is not None and len(found[0]) > 1 and np.isfinite(found).all() and (np.diff(found[0]) > 0).all()
        if found is None or not good:
            raise ConfigError("a table of an amorphous material needs at least two points (stol, F), stol increasing")
        object.__setattr__(self, "stol", found[0])
        object.__setattr__(self, "F", found[1])


def is_of_gemmi(value: Any, *names: str) -> bool:
    """Whether a value is an object of one of these classes of gemmi, without importing gemmi."""
    kind = type(value)
    return kind.__module__.split(".")[0] == "gemmi" and kind.__name__ in names
