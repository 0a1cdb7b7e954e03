"""Symmetry of reflections: expansion to P1, rows that name one reflection, and groups by the names that files give.

A reflection h of a list stands for h R of every rotation R of the group, with the same amplitude, and for its Friedel
mates. Where a list gives F(+) and F(-), the mates -h R carry F(-); where one of the two is missing the other is used,
and centric reflections, for which the two are equal, get their mean. A row that names an index, directly or through
symmetry, takes precedence over one that reaches it only as a Friedel mate: a list with h k l and -h -k -l in separate
rows keeps the pair apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import gemmi
import numpy as np

from nbnumba.errors import ConfigError

#: What describes symmetry: a group of the tables, or operations that no table has.
Group = gemmi.SpaceGroup | gemmi.GroupOps

#: Rows of one reflection whose values differ by less than this part of the largest one are copies of one value.
SAME = 2e-3

#: Most products of operations by which a list of them is checked to be a group.
MOST_PRODUCTS = 100_000

#: Tags of CIF files, of mmCIF and of small molecules: operations, Hall symbol, number of the space group.
_OPERATIONS = (
    *("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz"),
    *("_space_group_symop.operation_xyz", "_symmetry_equiv.pos_as_xyz"),
)
_HALL = (
    *("_space_group_name_Hall", "_symmetry_space_group_name_Hall"),
    *("_space_group.name_Hall", "_symmetry.space_group_name_Hall"),
)
_NUMBER = (
    *("_space_group_IT_number", "_symmetry_Int_Tables_number"),
    *("_space_group.IT_number", "_symmetry.Int_Tables_number"),
)
#: Point groups as CrystFEL names them whose Hermann-Mauguin symbol of a space group is not "P " and the same letters.
_POINT_GROUPS = {
    **{"2/m": "P 1 1 2/m", "2": "P 1 1 2", "m": "P 1 1 m", "mmm": "P m m m", "222": "P 2 2 2", "mm2": "P m m 2"},
    **{"4/mmm": "P 4/m m m", "422": "P 4 2 2", "-42m": "P -4 2 m", "-4m2": "P -4 m 2", "4mm": "P 4 m m"},
    **{"3_H": "P 3", "-3_H": "P -3", "321_H": "P 3 2 1", "312_H": "P 3 1 2", "3m1_H": "P 3 m 1", "31m_H": "P 3 1 m"},
    **{"-3m1_H": "P -3 m 1", "-31m_H": "P -3 1 m", "3_R": "R 3:R", "-3_R": "R -3:R", "32_R": "R 3 2:R"},
    **{"3m_R": "R 3 m:R", "-3m_R": "R -3 m:R", "6/mmm": "P 6/m m m", "622": "P 6 2 2", "-62m": "P -6 2 m"},
    **{"-6m2": "P -6 m 2", "6mm": "P 6 m m", "23": "P 2 3", "m-3": "P m -3", "432": "P 4 3 2", "-43m": "P -4 3 m"},
    **{"m-3m": "P m -3 m", "1": "P 1", "-1": "P -1", "4": "P 4", "4/m": "P 4/m", "-4": "P -4", "6": "P 6"},
    **{"6/m": "P 6/m", "-6": "P -6"},
}
#: Changes of basis that make the axis c of the table above the unique axis a, b or c.
_UNIQUE_AXES = {"_uaa": "z,x,y", "_uab": "y,z,x", "_uac": "x,y,z"}


def operations(group: Group) -> gemmi.GroupOps:
    """Operations of a group."""
    return group if isinstance(group, gemmi.GroupOps) else group.operations()


def rotations(group: Group) -> list[np.ndarray]:
    """Rotation parts, (3, 3) whole numbers, each once; h R are the mates of the row vector h."""
    parts = {tuple(np.ravel(op.rot)) for op in operations(group).sym_ops}
    return [np.reshape(part, (3, 3)) // gemmi.Op.DEN for part in sorted(parts, reverse=True)]


def absent(indices: np.ndarray, group: Group) -> np.ndarray:
    """Which of the indices (n, 3) the group extinguishes, (n,) bool."""
    found = operations(group).systematic_absences(np.ascontiguousarray(indices, dtype=np.int32))
    return np.asarray(found, dtype=bool)


def group_of_operations(triplets: Iterable[str]) -> Group | None:
    """Group of operations like ``-x, y+1/2, -z``; None if one of them cannot be read, they form none, or there is none.

    A space group of the tables if it has exactly these operations.
    """
    try:
        ops = {gemmi.Op("".join(text.lower().split())).wrap() for text in triplets}
        if not ops or any(abs(op.det_rot()) != gemmi.Op.DEN**3 for op in ops):
            return None
        ops.add(gemmi.Op())  # lists may leave the identity out
        found = gemmi.GroupOps(list(ops))
        found.add_missing_elements()
        named = gemmi.find_spacegroup_by_ops(found)
    except (RuntimeError, ValueError):
        return None
    if not _is_generated(found, ops):
        return None
    return found if named is None else named


def _is_generated(group: gemmi.GroupOps, ops: set[gemmi.Op]) -> bool:
    """Whether the operations generate the group: gemmi drops an operation whose rotation it knows with another shift."""
    whole = set(group)
    if len(whole) * len(ops) > MOST_PRODUCTS:
        return False
    return ops <= whole and all((first * second).wrap() in whole for first in ops for second in whole)


def preferred(listed: Group | None, named: Group | None, path: Path | str) -> tuple[Group | None, list[str]]:
    """The group of the operations that a file lists, else the one that it names; a sentence if the two differ."""
    if listed is None or named is None:
        return listed or named, []
    if set(operations(named)) == set(operations(listed)):
        return named, []
    says = getattr(listed, "hm", f"a group of {len(operations(listed))} operations")
    called = getattr(named, "hm", "another group")
    if says == called:  # a name without the choice of its origin
        return listed, []
    return listed, [f"{path} names {called}, but its operations are those of {says}, which are used"]


def _first(block: gemmi.cif.Block, tags: Iterable[str]) -> list[str]:
    """Values of the first of the tags that a block has."""
    values = ([gemmi.cif.as_string(value) for value in block.find_values(tag)] for tag in tags)
    return next((found for found in values if found), [])


def useless_operations(block: gemmi.cif.Block, path: Path | str) -> list[str]:
    """The sentence about operations that a block lists and that make no group; none if they do, or there are none."""
    listed = _first(block, _OPERATIONS)
    if not any(text.strip() for text in listed) or group_of_operations(listed) is not None:
        return []
    return [
        f"the symmetry operations of {path} form no group with shifts in 24ths: the space group is what its name says"
    ]


def group_in_block(block: gemmi.cif.Block) -> tuple[Group | None, Group | None]:
    """Groups that a block of a CIF file, of either dictionary, gives by its operations, and by a symbol or number."""
    by_operations = group_of_operations(_first(block, _OPERATIONS))
    hall, number = _first(block, _HALL), _first(block, _NUMBER)
    named = None
    try:
        named = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall[0])) if hall and hall[0].strip() else None
    except (RuntimeError, ValueError):  # no Hall symbol
        named = None
    if named is None and number and number[0].isascii() and number[0].isdigit() and 1 <= int(number[0][:4]) <= 230:
        named = gemmi.find_spacegroup_by_number(int(number[0]))
    return by_operations, named


def named_group(name: str, cell: tuple[float, ...] | None = None) -> Group | None:
    """Group by the name or number of a space group (``P 21 21 21``, ``p212121``, ``19``), or by a point group.

    Point groups are named as CrystFEL does: ``422``, ``2/m_uab``, ``321_H``. ``4``, ``23`` and ``222`` are numbers of
    space groups. None if there is no such group.
    """
    name = name.strip()
    if name.isascii() and name.isdigit():
        return gemmi.find_spacegroup_by_number(int(name)) if 1 <= int(name) <= 230 else point_group(name)
    alpha, gamma = (cell[3], cell[5]) if cell is not None else (0.0, 0.0)
    found = gemmi.find_spacegroup_by_name(name, alpha, gamma)
    if found is None and name[:1].islower():
        found = gemmi.find_spacegroup_by_name(name[0].upper() + name[1:], alpha, gamma)
    return point_group(name) if found is None else found


def wanted_group(name: str) -> Group:
    """The group of ``--symmetry``, named as for :func:`named_group`.

    Raises
    ------
    ConfigError
        There is none of this name.
    """
    found = named_group(name)
    if found is None:
        raise ConfigError(
            f"--symmetry {name}: there is no such group; give a space group (P212121, 19) or a point group (422)"
        )
    return found


def point_group(name: str) -> Group | None:
    """Point group by CrystFEL's name; None if there is none of this name."""
    base, axis = (name[:-4], name[-4:]) if name[-4:] in _UNIQUE_AXES else (name, "_uac")
    symbol = _POINT_GROUPS.get(base)
    found = None if symbol is None else gemmi.find_spacegroup_by_name(symbol)
    if found is None or axis == "_uac":
        return found
    turned = found.operations()
    turned.change_basis_forward(gemmi.Op(_UNIQUE_AXES[axis]))
    return turned


def expand_to_p1(
    miller: np.ndarray, plus: np.ndarray, minus: np.ndarray | None, spacegroup: Group
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of all symmetry mates and Friedel mates.

    Parameters
    ----------
    miller : (n, 3) int
        h, k, l of an asymmetric unit (any choice of it) or of more.
    plus, minus : (n,) float, minus may be None
        F of h k l and of -h -k -l; NaN where there is none; None: the same.

    Returns
    -------
    indices : (m, 3) int32
        Each index once, sorted.
    F : (m,) float64
        As given.
    """
    miller = np.asarray(miller, dtype=np.int64).reshape(-1, 3)
    plus = np.asarray(plus, dtype=np.float64)
    turns = rotations(spacegroup)
    if minus is None:
        minus = np.full_like(plus, np.nan)
    else:
        minus = np.asarray(minus, dtype=np.float64)
        both = is_centric(miller, turns) & np.isfinite(plus) & np.isfinite(minus)
        plus = np.where(both, (plus + minus) / 2, plus)
        minus = np.where(both, np.nan, minus)
    rows, values = [], []
    # direct mentions first, Friedel mates of the same rows after them: the first of an index counts
    for sign in (1, -1):
        for F, hand in ((plus, 1), (minus, -1)):
            known = np.isfinite(F)
            for R in turns:
                rows.append(sign * hand * (miller[known] @ R))
                values.append(F[known])
    everything, F = np.concatenate(rows), np.concatenate(values)
    if len(F) == 0:
        return np.zeros((0, 3), np.int32), F
    indices, first = np.unique(everything, axis=0, return_index=True)
    return indices.astype(np.int32), F[first]


def is_centric(miller: np.ndarray, turns: list[np.ndarray]) -> np.ndarray:
    """Which of the reflections (n, 3) a rotation maps onto their Friedel mates, (n,) bool."""
    found: np.ndarray = np.any([(miller @ R == -miller).all(axis=1) for R in turns], axis=0)
    return found


def same_reflection(miller: np.ndarray, group: Group, friedel: bool = False) -> tuple[np.ndarray, int]:
    """Number of the reflection that each row names, (n,) int, and how many there are.

    Parameters
    ----------
    friedel : bool
        Whether Friedel mates are one reflection.
    """
    miller = np.asarray(miller, dtype=np.int64).reshape(-1, 3)
    best = miller.copy()
    for R in rotations(group):
        for sign in (1, -1) if friedel else (1,):
            mate = sign * (miller @ R)
            larger = np.zeros(len(best), dtype=bool)
            level = np.ones(len(best), dtype=bool)
            for axis in range(3):
                larger |= level & (mate[:, axis] > best[:, axis])
                level &= mate[:, axis] == best[:, axis]
            best[larger] = mate[larger]
    unique, number = np.unique(best, axis=0, return_inverse=True)
    return number.ravel(), len(unique)


def conflicts(miller: np.ndarray, values: np.ndarray, group: Group) -> list[tuple[int, int]]:
    """Pairs of rows that name one reflection and give different values; at most one pair for a reflection.

    The two mates of a centric reflection, each in a row of its own, are two measurements of one merged file.
    """
    known = np.flatnonzero(np.isfinite(values))
    rows, of = np.asarray(miller, dtype=np.int64)[known], values[known]
    number, n = same_reflection(rows, group)
    if n == len(rows):
        return []
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(n))
    most, least = np.maximum.reduceat(of[order], starts), np.minimum.reduceat(of[order], starts)
    counts = np.diff([*starts, len(order)])
    differ = (counts > 1) & (most - least > SAME * np.maximum(np.abs(most), np.abs(least)))
    found = []
    for reflection in np.flatnonzero(differ).tolist():
        own = order[starts[reflection] : starts[reflection] + counts[reflection]]
        if len(own) == 2 and (rows[own[0]] == -rows[own[1]]).all():
            continue
        low, high = own[np.argmin(of[own])], own[np.argmax(of[own])]
        found.append((int(known[min(low, high)]), int(known[max(low, high)])))
    return found


def averaged(
    miller: np.ndarray, columns: list[np.ndarray], group: Group, friedel: bool = False
) -> tuple[np.ndarray, list[np.ndarray]]:
    """One row for each reflection, with the mean of its rows' values in every column; NaN values do not count."""
    number, n = same_reflection(miller, group, friedel)
    _, first = np.unique(number, return_index=True)
    means = []
    for values in columns:
        known = np.isfinite(values)
        total = np.bincount(number[known], weights=values[known], minlength=n)
        count = np.bincount(number[known], minlength=n)
        means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.asarray(miller)[first], means
