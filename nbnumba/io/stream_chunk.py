"""A chunk of a CrystFEL stream: an image, the crystals that were found in it and their reflections."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.geometry import LARGEST, reciprocal_of
from nbnumba.io.matrix import NUMBER
from nbnumba.io.spectrum import EV_A

BEGIN_CRYSTAL, _END_CRYSTAL = "--- Begin crystal", "--- End crystal"
_BEGIN_PEAKS, _END_PEAKS = "Peaks from peak search", "End of peak list"
_BEGIN_REFLECTIONS, _END_REFLECTIONS = "Reflections measured after indexing", "End of reflections"
#: Columns of a list of reflections, by their titles: those that are read, and their names and types.
_COLUMNS = {
    **{title: (title, "i4") for title in "hkl"},
    "fs/px": ("fs", "f8"),
    "ss/px": ("ss", "f8"),
    "I": ("I", "f8"),
    "sigma(I)": ("sigma", "f8"),
}
#: Longest name of a panel (CrystFEL's limit), and largest index.
_MOST_NAME, _MOST_INDEX = 63, 1_000_000
#: First letters of lattices as solution files have them.
_LATTICES = {
    **{"triclinic": "a", "monoclinic": "m", "orthorhombic": "o", "tetragonal": "t"},
    **{"cubic": "c", "rhombohedral": "r", "hexagonal": "h"},
}
#: Lines about the beam that nothing is made of, and the value from which on they are named.
_UNUSED = {"beam_divergence": 1e-9, "beam_bandwidth": 1e-6}
#: A number that was copied from the data file; old files begin with ``hdf5``. One that is not finite is passed over.
_HEADER = re.compile(rf"(?:header/(?:float|int)/|hdf5)/*([^\s=]+)\s*=\s*({NUMBER.pattern})", re.ASCII)
_ROW = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII)


@dataclass(frozen=True, eq=False)
class StreamChunk:
    """An image of a stream, and the crystals that were found in it.

    Attributes
    ----------
    number : int
        Of the chunk in the file, from 1.
    image, event : str
        File, and event in it (``//`` or nothing: the file has one image).
    crystals : tuple of (3, 3) float
        a*, b*, c* of each crystal as columns (1/Å).
    shifts_mm : tuple of (float, float)
        By how much each crystal's detector stands further along x and y than the geometry file says.
    lattices : tuple of str
        Lattice of each crystal as CrystFEL's solution files have it: ``tPc``, ``aP``.
    reflections : tuple of array
        A structured array for each crystal: h, k, l, fs, ss, panel, I, sigma. fs and ss count pixels as the data file does, 0
        at the outer edge of the first one of all panels; those of a panel begin at its ``offset``.
    profile_radii : tuple of float or None
        ``profile_radius`` of each crystal (1/nm).
    camera_length_m : float or None
    numbers : dict of str to float
        Numbers that were copied from the data file, by the names of their data sets.
    unused : tuple of str
        What would change an image, and nothing is made of.
    """

    number: int
    image: str
    event: str
    wavelength_A: float
    crystals: tuple[np.ndarray, ...]
    shifts_mm: tuple[tuple[float, float], ...]
    lattices: tuple[str, ...]
    reflections: tuple[np.ndarray, ...]
    profile_radii: tuple[float | None, ...]
    camera_length_m: float | None
    numbers: dict[str, float]
    unused: tuple[str, ...] = ()


class Wrong(Exception):
    """Damage in a line of a chunk, which is counted from 0."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def parse_chunk(lines: list[str], number: int) -> StreamChunk:
    """A chunk from its lines.

    Raises
    ------
    Wrong
        It is damaged.
    """
    return _Parser(lines).read(number)


class _Parser:
    """Parser of the lines of one chunk."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.at = lines, 0
        self.numbers: dict[str, float] = {}
        self.unused: list[str] = []
        self.radii: list[float | None] = []
        self.reciprocal: list[np.ndarray] = []
        self.shifts: list[tuple[float, float]] = []
        self.lattices: list[str] = []
        self.tables: list[np.ndarray] = []

    def read(self, number: int) -> StreamChunk:
        texts = {"Image filename": "", "Event": ""}
        energy = length = None
        while (line := self.next()) is not None:
            key, _, value = line.partition(": ")
            if key in texts:
                texts[key] = value.strip()
            elif line.startswith(_BEGIN_PEAKS):
                self.skip_to(_END_PEAKS)
            elif line.startswith(BEGIN_CRYSTAL):
                self.crystal()
            elif match := _HEADER.fullmatch(line):
                self.numbers["/" + match[1]] = float(match[2])
            elif match := _ROW.fullmatch(line):
                if match[1] == "photon_energy_eV":
                    energy = self.number(match[2])
                elif match[1] == "average_camera_length":
                    length = self.number(match[2])
                elif match[1] in _UNUSED and self.number(match[2]) > _UNUSED[match[1]]:
                    self.unused.append(f"{match[1]} {match[2][:30]}")
        if energy is None or energy <= 0:
            given = "no photon_energy_eV" if energy is None else f"the photon energy {energy:g} eV"
            raise Wrong(0, f"the chunk has {given}")
        return StreamChunk(
            number=number,
            image=texts["Image filename"],
            event=texts["Event"],
            wavelength_A=EV_A / energy,
            crystals=tuple(self.reciprocal),
            shifts_mm=tuple(self.shifts),
            lattices=tuple(self.lattices),
            reflections=tuple(self.tables),
            profile_radii=tuple(self.radii),
            camera_length_m=length,
            numbers=self.numbers,
            unused=tuple(self.unused),
        )

    def next(self) -> str | None:
        """The next line; None after the last."""
        if self.at >= len(self.lines):
            return None
        self.at += 1
        return self.lines[self.at - 1].rstrip()

    def skip_to(self, mark: str) -> int:
        """Pass over the lines up to one that begins with a mark, and that one; its number, or that of all lines."""
        ends = (number for number in range(self.at, len(self.lines)) if self.lines[number].startswith(mark))
        end = next(ends, len(self.lines))
        self.at = end + 1
        return end

    def wrong(self, message: str) -> Wrong:
        return Wrong(self.at - 1, message)

    def number(self, text: str) -> float:
        """The number at the beginning of a text, as C reads it."""
        match = re.match(rf"\s*({NUMBER.pattern})(?![\w.])", text, re.ASCII)
        if match is None or not abs(float(match[1])) < LARGEST:
            raise self.wrong(f"expected a number, got {text[:40]!r}")
        return float(match[1])

    def crystal(self) -> None:
        """From its beginning to its end."""
        begin, rows, words, shift = self.at, {}, {}, (0.0, 0.0)
        table = _table(list(_COLUMNS), [])
        while (line := self.next()) is not None and not line.startswith(_END_CRYSTAL):
            if line.startswith(_BEGIN_REFLECTIONS):
                table = self.reflections()
            elif match := re.match(r"predict_refine/det_shift x = (\S+) y = (\S+)", line):
                shift = self.number(match[1]), self.number(match[2])
            elif match := _ROW.fullmatch(line):
                if match[1] in ("astar", "bstar", "cstar"):
                    rows[match[1]] = [self.number(word) for word in match[2].split()[:3]]
                words[match[1]] = match[2]
        vectors = [rows.get(key, []) for key in ("astar", "bstar", "cstar")]
        if any(len(row) != 3 for row in vectors):
            raise Wrong(begin - 1, "the crystal has no astar, bstar and cstar of three numbers each")
        try:
            reciprocal_of("the crystal", *vectors)
        except FileError as error:
            raise Wrong(begin - 1, f"{error}: check astar, bstar and cstar") from None
        self.reciprocal.append(np.array(vectors).T / 10)
        self.shifts.append(shift)
        self.lattices.append(_lattice(words))
        self.tables.append(table)
        self.radii.append(self.number(words["profile_radius"]) if "profile_radius" in words else None)

    def reflections(self) -> np.ndarray:
        """A list of reflections, by the titles of its columns."""
        titles = (self.next() or "").split()
        missing = [title for title in _COLUMNS if title not in titles]
        if missing:
            raise self.wrong(f"the list of reflections has no column {missing[0]}")
        begin = self.at
        rows = [line.split() for line in self.lines[begin : self.skip_to(_END_REFLECTIONS)]]
        try:
            return _table(titles, rows)
        except ValueError:
            number = next(number for number, row in enumerate(rows) if not _is_reflection(titles, row))
            line = self.lines[begin + number]
            raise Wrong(
                begin + number, f"expected the {len(titles)} columns of a reflection, got {line[:60]!r}"
            ) from None


def _table(titles: list[str], rows: list[list[str]]) -> np.ndarray:
    """Reflections as a structured array.

    Raises
    ------
    ValueError
        A row has not a number in each column that is read, or a panel has a name that is too long.
    """
    if any(len(row) != len(titles) for row in rows):
        raise ValueError
    columns = list(zip(*rows, strict=True)) or [()] * len(titles)
    panels = columns[titles.index("panel")] if "panel" in titles else ("",) * len(rows)
    longest = max(map(len, panels), default=0)
    kinds = {**dict(_COLUMNS.values()), "panel": f"U{max(longest, 1)}"}
    if longest > _MOST_NAME:
        raise ValueError
    table = np.zeros(len(rows), [(name, kinds[name]) for name in ("h", "k", "l", "fs", "ss", "panel", "I", "sigma")])
    for title, (name, kind) in _COLUMNS.items():
        values = list(map(int if kind == "i4" else float, columns[titles.index(title)]))
        if kind == "i4" and max(map(abs, values), default=0) > _MOST_INDEX:
            raise ValueError
        table[name] = values
    table["panel"] = panels
    return table


def _is_reflection(titles: list[str], row: list[str]) -> bool:
    try:
        _table(titles, [row])
    except ValueError:
        return False
    return True


def _lattice(words: dict[str, str]) -> str:
    """Type, centring and unique axis of a lattice, as solution files have them."""
    kind, centring = _LATTICES.get(words.get("lattice_type", ""), "a"), words.get("centering", "P")[:1] or "P"
    axis = words.get("unique_axis", "*")[:1] or "*"
    return kind + centring + (axis if kind in "mth" else "")
