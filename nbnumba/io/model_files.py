"""Atomic models, known by their content: mmCIF, mmJSON, PDB of any age, and CIF files of small molecules, through gemmi.

What stands beside the first model of a file counts: copies by non-crystallographic symmetry that the file does not list are
made, and the models of an ensemble whose occupancies add up to one atom are put together. Symmetry is that of the operations,
where a file lists them: those of a setting that no table has are applied to the atoms as they are.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.packed import read_unpacked
from nbnumba.io.symmetry import Group, group_in_block, group_of_operations, preferred, useless_operations
from nbnumba.io.unused import unused_note

WHAT = "model"
#: Sum of the occupancies of an atom in all models up to which they are parts of one structure.
WHOLE_ATOM = 1.1
#: Distance (A) of two images of an atom up to which they are one.
SPECIAL = 0.4
#: Columns of a PDB line that all versions of the format share.
OLD_WIDTH = 72
_RECORD = re.compile(rb"(?:^|\n)(?:ATOM  |HETATM|CRYST1|HEADER|MODEL |REMARK|TITLE |SCALE1|ORIGX1)")
#: An operation of a PDB file: its number, the cell it leads to, and the operation.
_OPERATION = re.compile(r"REMARK 290\s+\d+555\s+(\S+,\s*\S+,\s*\S+)\s*$")
_SHELX = re.compile(rb"(?:^|\n)(?:TITL\b[^\n]*\n)?CELL +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ ")


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds.

    Attributes
    ----------
    structure : gemmi.Structure
    notes : tuple of str
        One sentence for each thing that the user may not expect.
    group : SpaceGroup, GroupOps or None
        Symmetry; None where it is what the structure's name of the space group says.
    """

    structure: gemmi.Structure
    notes: tuple[str, ...] = ()
    group: Group | None = None


def read_structure(path: Path) -> Contents:
    """What a file of atoms holds.

    Raises
    ------
    FileError
        The file cannot be read, or is in no format of atoms that is read.
    """
    data = read_unpacked(path, WHAT)
    where = f"the {WHAT} {path}"
    kind = _kind(data)
    try:
        if kind == "cif":
            return _read_cif(data, path)
        if kind == "json":
            block = gemmi.cif.read_mmjson_string(data)[0]
            return Contents(_merged_parts(gemmi.make_structure_from_block(block)))
        if kind == "pdb":
            return _read_pdb(data, path)
    except FileError:
        raise
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        raise FileError(f"{where} cannot be read as mmCIF or PDB: {first_line(error)}") from error
    raise FileError(f"{where} is {kind}")


def _kind(data: bytes) -> str:
    """Format of a file by its content; a sentence about those that are not read."""
    if data.startswith(b"MTZ "):
        return "an MTZ file of reflections: give it as -hkl"
    lines = (line.strip() for line in data[: 1 << 16].removeprefix(b"\xef\xbb\xbf").splitlines())
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    if first[:5].lower() == b"data_":
        return "cif"
    if first.startswith(b"{"):
        return "json"
    if _RECORD.search(data):
        return "pdb"
    if _SHELX.search(data):
        return "a SHELX instruction file, which is not read: give the CIF file that SHELXL writes with ACTA"
    return "neither mmCIF nor PDB nor a CIF file of a small molecule"


def _merged_parts(structure: gemmi.Structure) -> gemmi.Structure:
    """The structure, with chains put together that the file has in parts, as gemmi reads named files."""
    structure.merge_chain_parts()
    return structure


def _read_pdb(data: bytes, path: Path) -> Contents:
    """A PDB file; of an old one only the columns that have kept their meaning."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    structure = None
    if not _is_old(data):
        try:
            structure = gemmi.read_pdb_string(data)
        except (RuntimeError, ValueError):
            structure = None
    notes: tuple[str, ...] = ()
    if structure is None:
        structure = gemmi.read_pdb_string(data, max_line_length=OLD_WIDTH)
        notes = (
            f"columns 73 to 80 of {path} are not used: they hold no element and charge, as in files of before 1996",
        )
    group = None
    if structure.find_spacegroup() is None:
        listed = [found[1] for line in structure.raw_remarks if (found := _OPERATION.match(line.rstrip()))]
        group = group_of_operations(listed)
    return Contents(_merged_parts(structure), notes, group)


def _is_old(data: bytes) -> bool:
    """Whether columns 77 to 80 hold line numbers, instead of an element and a charge."""
    tails = [line[76:80].strip() for line in data.splitlines() if line.startswith((b"ATOM", b"HETATM"))]
    filled = [tail for tail in tails if tail]
    return len(filled) > 0 and sum(map(bytes.isdigit, filled)) > 0.9 * len(filled)


def _read_cif(data: bytes, path: Path) -> Contents:
    """The first block with atoms of a CIF file, of either dictionary."""
    document = gemmi.cif.read_string(data.decode("utf-8", "replace").removeprefix("\ufeff"))
    kinds = [(block, _atoms_of(block)) for block in document]
    found = [(block, kind) for block, kind in kinds if kind]
    if not found:
        beside = ": it holds reflections, give it as -hkl" if any(_has_reflections(block) for block in document) else ""
        raise FileError(f"the {WHAT} {path} holds no atoms{beside}")
    notes = unused_note(path, (f"the atoms of data_{block.name}" for block, _ in found[1:]))
    block, kind = found[0]
    if kind == "small":
        structure, group, differ = _small(block, path)
        return Contents(structure, (*notes, *differ), group)
    structure = _merged_parts(gemmi.make_structure_from_block(block))
    symmetry, differ = preferred(group_in_block(block)[0], structure.find_spacegroup(), path)
    return Contents(structure, (*notes, *differ, *useless_operations(block, path)), symmetry)


def _atoms_of(block: gemmi.cif.Block) -> str:
    """Which dictionary the atoms of a block follow: ``mm`` or ``small``; empty if it has none."""
    if len(block.find_values("_atom_site.Cartn_x")):
        return "mm"
    return "small" if len(block.find_values("_atom_site_fract_x")) else ""


def _has_reflections(block: gemmi.cif.Block) -> bool:
    return any(len(block.find_values(tag)) > 0 for tag in ("_refln.index_h", "_refln_index_h"))


def _small(block: gemmi.cif.Block, path: Path) -> tuple[gemmi.Structure, Group, list[str]]:
    """The atoms of a small molecule, with occupancies divided by the multiplicity of special positions; the symmetry.

    Last, a sentence if the file says two things about its symmetry.
    """
    small = gemmi.make_small_structure_from_block(block)
    listed, numbered = group_in_block(block)
    angles = small.cell.alpha, small.cell.gamma
    named = gemmi.find_spacegroup_by_name(small.spacegroup_hm, *angles) if small.spacegroup_hm.strip() else None
    group, differ = preferred(listed, named, path)
    if listed is None:  # gemmi and the Hall symbol know the choice of the origin
        group = small.spacegroup or numbered or named
    if group is None:
        raise FileError(
            f"the {WHAT} {path} names no space group that is known, and has no symmetry operations that form a group"
        )
    structure = gemmi.Structure()
    structure.name, structure.cell = small.name, small.cell
    if isinstance(group, gemmi.SpaceGroup):
        structure.spacegroup_hm = group.xhm()
        structure.setup_cell_images()
    chain = gemmi.Chain("A")
    for i, site in enumerate(small.sites):
        if not all(map(math.isfinite, site.fract.tolist())):
            raise FileError(f"the {WHAT} {path}: atom {site.label} has no coordinates")
        if isinstance(group, gemmi.SpaceGroup):
            copies = 1 + structure.cell.is_special_position(site.fract, SPECIAL)
        else:
            copies = _copies(site.fract, group, structure.cell)
        chain.add_residue(_residue(site, structure.cell, i, copies))
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    return structure, group, differ + useless_operations(block, path)


def _copies(place: gemmi.Fractional, group: gemmi.GroupOps, cell: gemmi.UnitCell) -> int:
    """How many of the operations leave a place where it is."""
    own = np.array(place.tolist())
    moved = np.array([op.apply_to_xyz(place.tolist()) for op in group]) - own
    away = (moved - np.round(moved)) @ np.array(cell.orth.mat.tolist()).T
    return max(1, int(np.count_nonzero(np.linalg.norm(away, axis=1) < SPECIAL)))


def _residue(site: gemmi.SmallStructure.Site, cell: gemmi.UnitCell, number: int, copies: int) -> gemmi.Residue:
    """A residue with one atom, which ``copies`` operations put at one place."""
    atom = gemmi.Atom()
    atom.name, atom.element = site.label[:6], site.element
    atom.pos = cell.orthogonalize(site.fract)
    atom.occ = (site.occ if math.isfinite(site.occ) else 1.0) / copies
    if site.aniso.nonzero():
        # U along the axes of the reciprocal cell, to U along x, y, z
        to_orthogonal = np.array(cell.orth.mat.tolist()) @ np.diag(cell.reciprocal().parameters[:3])
        U = to_orthogonal @ np.array(site.aniso.as_mat33().tolist()) @ to_orthogonal.T
        atom.aniso = gemmi.SMat33f(U[0, 0], U[1, 1], U[2, 2], U[0, 1], U[0, 2], U[1, 2])
        atom.b_iso = float(8 * np.pi**2 * np.trace(U) / 3)
    else:
        atom.b_iso = 8 * math.pi**2 * site.u_iso if math.isfinite(site.u_iso) else 0.0
    residue = gemmi.Residue()
    residue.name, residue.seqid = "UNL", gemmi.SeqId(number % 9999 + 1, " ")
    residue.add_atom(atom)
    return residue


def assemble(structure: gemmi.Structure, path: Path | str) -> tuple[str, ...]:
    """Put all that scatters into the first model of a structure, which is changed; returns sentences for the log.

    Copies by non-crystallographic symmetry that are not given are made, and models whose occupancies add up to whole atoms
    are put together.
    """
    notes: list[str] = []
    extra = sum(not op.given for op in structure.ncs)
    if extra:
        before = structure[0].count_atom_sites()
        structure.expand_ncs(gemmi.HowToNameCopiedChain.AddNumber)
        after = structure[0].count_atom_sites()
        notes.append(
            f"{extra} copies by the MTRIX or NCS operators of {path} are made: {after} atoms instead of {before}"
        )
    if len(structure) > 1:
        notes.append(_join_models(structure, path))
    return tuple(notes)


def _join_models(structure: gemmi.Structure, path: Path | str) -> str:
    """Add the atoms of all models to the first if they are parts of one structure; the sentence about it."""
    n = len(structure)
    sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for model in structure:
        for chain in model:
            for residue in chain:
                for atom in residue:
                    sums[chain.name, str(residue.seqid), residue.name, atom.name] += atom.occ
    if float(np.mean(list(sums.values()))) > WHOLE_ATOM:
        return (
            f"{path} holds {n} models of full occupancy: the first is used, {n - 1} are not; give occupancies of "
            f"1/{n} to have their mean"
        )
    for model in list(structure)[1:]:
        for chain in model:
            structure[0].add_chain(chain)
    del structure[1:]
    return f"{path} holds {n} models whose occupancies add up to one: all are used, together"


def apply_operations(structure: gemmi.Structure, group: gemmi.GroupOps, path: Path | str) -> str:
    """Add the images of all atoms of the first model, whose structure then has no symmetry; the sentence about it."""
    whole = gemmi.Model(1)
    for op in group:
        image = structure[0].clone()
        image.transform_pos_and_adp(structure.cell.op_as_transform(op))
        for chain in image:
            whole.add_chain(chain)
    del structure[:]
    structure.add_model(whole)
    structure.spacegroup_hm = "P 1"
    return (
        f"the symmetry operations of {path} are those of no space group in the tables, in any setting: its atoms are "
        "repeated by them"
    )
