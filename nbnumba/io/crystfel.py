"""CrystFEL's ``.geom`` files: a detector of panels, and the wavelength.

CrystFEL's frame: z along the beam, y up, x completing the right-handed system. A panel's corner lies at
(corner_x, corner_y) pixels and at clen + coffset along z. ``fs`` and ``ss`` are the edges of a pixel in units of 1/res
metres, of any length. A value without a panel's name holds for the panels that are first named after it; where two lines
say the same, the last one holds.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.crystfel_data import data_place, data_value
from nbnumba.io.electrons import wavelength_of
from nbnumba.io.geometry import LARGEST, FileGeometry, make_panel, pixel_sizes, vector
from nbnumba.io.matrix import NUMBER
from nbnumba.io.packed import read_unpacked
from nbnumba.io.spectrum import EV_A
from nbnumba.io.unused import unused_note
from nbnumba.model.config import DataValue, Panel

_WHAT = "CrystFEL geometry file"
_TERM = re.compile(r"([+-]?)\s*((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)?\s*\*?\s*([xyz])", re.ASCII)
#: Keys that are read of one panel, or without a panel's name as a default for the panels after them.
_PANEL_KEYS = {
    *("min_fs", "max_fs", "min_ss", "max_ss", "corner_x", "corner_y", "fs", "ss"),
    *("res", "clen", "coffset", "no_index"),
}
_BEAM_KEYS = {"photon_energy", "wavelength", "electron_voltage"}
_SHIFT_KEYS = {"detector_shift_x", "detector_shift_y"}
#: Keys about the layout of the data file and its counts, which no image depends on.
_LAYOUT = re.compile(
    r"data|dim\d*|adu_per_(photon|eV)|badrow_direction|peak_list(_type)?|peak_info_location|rigid_group.*|group_.*|"
    r"saturation_map_file|mask\d*_file|mask_edge_pixels|minimum_.*|n_panels|peak_sep|integr_radius"
)
_LENGTHS = {"": 1.0, "m": 1.0, "mm": 1e-3, "cm": 1e-2, "um": 1e-6}
_UNITS = {
    "wavelength": {"": 1e10, "m": 1e10, "A": 1.0},
    "photon_energy": {"": 1.0, "eV": 1.0, "keV": 1e3},
    "electron_voltage": {"V": 1.0, "kV": 1e3},
}
#: Largest movement of a corner (pixels) by which ``fs`` and ``ss`` count as unit vectors that were rounded.
_ROUNDING = 1e-3
#: Units (mm) of a length in a data set: CrystFEL takes mm where none is given.
_DATA_LENGTHS = {"": 1.0, "m": 1000.0, "mm": 1.0}

Setting = tuple[str, int]


#: Characters that no statement may hold.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass
class _Panel:
    """Settings of a panel as text, each with its line number."""

    name: str
    line: int
    values: dict[str, Setting] = field(default_factory=dict)


def read_geom(path: Path | str, *, distance_mm: float | None = None, wavelength_A: float | None = None) -> FileGeometry:
    """Beam and panels of a CrystFEL geometry file; panels with ``no_index = 1`` are kept, bad regions are not read.

    Parameters
    ----------
    distance_mm : float, optional
        Distance of the detector instead of the file's ``clen``, which may be a path inside an HDF5 file. ``coffset``
        then only counts relative to that of the other panels, because it may turn an encoder's reading into a distance.
    wavelength_A : float, optional
        Wavelength instead of the file's, for the same reason.

    Raises
    ------
    FileError
        The file cannot be read, a panel is incomplete, or a required value is missing or only in the data file.
    """
    content = _Content(path)
    shift = [content.shift(key) for key in ("detector_shift_x", "detector_shift_y")]
    away = None
    if distance_mm is not None:
        away = distance_mm - median_low([1000 * content.number(panel, "coffset") for panel in content.panels])
    panels = tuple(_panel(content, panel, away, shift) for panel in content.panels)
    wavelength = content.wavelength() if wavelength_A is None else wavelength_A
    return FileGeometry(
        path=Path(path),
        format="crystfel",
        beam=(0.0, 0.0, 1.0),
        wavelength_A=wavelength,
        # horizontal, as at nearly all sources of X-rays
        polar=(1.0, 0.0, 0.0),
        panels=panels,
        distance_taken=distance_mm is not None,
        distance_mm=None if distance_mm is None else content.distance(),
        notes=content.all_notes(away),
    )


def _lines(path: Path | str) -> list[str]:
    data = read_unpacked(path, _WHAT)
    if b"\0" in data:
        raise FileError(f"the {_WHAT} {path} is not a text file: byte {data.index(0)} is 0x00")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.removesuffix("\x1a").replace("\r\n", "\n").replace("\r", "\n").split("\n")


class _Content:
    """Panels in the order of the file, and the settings of the beam and of the whole detector."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.what = f"the {_WHAT} {path}"
        self.whole: dict[str, Setting] = {}
        self.repeated: list[str] = []
        self.unused: Counter[str] = Counter()
        self.without: dict[str, list[str]] = {}
        self._defaults: dict[str, Setting] = {}
        self._panels: dict[str, _Panel] = {}
        self._read()
        self.panels = list(self._panels.values())
        if not self.panels:
            raise FileError(f"{self.what} has no panel (lines 'panel/min_fs = 0' and so on)")

    def _read(self) -> None:
        bad: set[str] = set()
        for line, text in enumerate(_lines(self.path), 1):
            # a blank of any kind is one; comments may hold anything
            bare = " ".join(text.split(";")[0].split())
            if not bare:
                continue
            if strange := _CONTROL.search(bare):
                raise FileError(f"{self.at(line)} holds the control character 0x{ord(strange[0]):02x}: delete it")
            key, equals, value = (part.strip() for part in bare.partition("="))
            if not equals:
                raise FileError(f"{self.at(line)}: expected 'key = value', got {bare[:40]!r}")
            name, slash, own = key.partition("/")
            if not slash:
                self._top_level(key, (value, line))
            elif name.startswith("bad"):  # bad regions look like panels
                bad.add(name)
            else:
                panel = self._panels.setdefault(name, _Panel(name, line, dict(self._defaults)))
                self._store(panel.values, own, (value, line), f"{name}/{own}", since=panel.line)
        if bad:
            self.unused[f"{len(bad)} bad region{'s' if len(bad) > 1 else ''}"] += 1

    def _top_level(self, key: str, setting: Setting) -> None:
        if key in _BEAM_KEYS | _SHIFT_KEYS | {"bandwidth"}:
            if key in _BEAM_KEYS:  # one wavelength in three spellings
                for other in _BEAM_KEYS & self.whole.keys():
                    if other != key:
                        self._note_repeated(
                            f"{other} = {self.whole.pop(other)[0]}", f"{key} = {setting[0]}", setting[1]
                        )
            self._store(self.whole, key, setting, key, since=0)
        else:
            # a default may change from panel to panel
            started = max((panel.line for panel in self._panels.values()), default=0)
            self._store(self._defaults, key, setting, key, since=started)

    def _store(self, values: dict[str, Setting], key: str, setting: Setting, name: str, *, since: int) -> None:
        """Keep a setting; ``since``: line from which on an earlier one is about the same."""
        before = values.get(key)
        if before is not None and before[1] >= since and before[0] != setting[0]:
            self._note_repeated(f"{name} = {before[0]}", setting[0], setting[1])
        values[key] = setting
        if values is not self.whole and key not in _PANEL_KEYS and not _LAYOUT.fullmatch(key):
            self.unused["mask" if key.startswith("mask") else key] += 1

    def _note_repeated(self, old: str, new: str, line: int) -> None:
        self.repeated.append(f"{old[:40]} ({new[:40]} of line {line} holds)")

    def at(self, line: int) -> str:
        """Place of a line, for messages."""
        return f"line {line} of {self.what}"

    def quantity(self, key: str, found: Setting, units: dict[str, float], *, elsewhere: bool = True) -> float | None:
        """A number with its unit; None where the value names one in the data file, if it may be ``elsewhere``."""
        text, line = found
        match = re.fullmatch(rf"({NUMBER.pattern})\s*([A-Za-z]*)", text, re.ASCII)
        if match is None and elsewhere and re.match(r"[/A-Za-z]", text):
            return None
        if match is None and not elsewhere:
            match = self.leading(key, found)
        if match is None or match[2] not in units:
            known = ", ".join(unit for unit in units if unit)
            raise FileError(
                f"{self.at(line)}: {key} must be a number{f' in {known}' if known else ' without a unit'}, got {text[:40]!r}"
            )
        number = float(match[1]) * units[match[2]]
        if not abs(number) < LARGEST:
            raise FileError(f"{self.at(line)}: {key} = {text[:40]} is out of range")
        return number

    def leading(self, key: str, found: Setting) -> re.Match[str] | None:
        """The number at the beginning of a value, as C's atof reads it; None where a unit or nothing follows it."""
        text, line = found
        match = re.match(rf"({NUMBER.pattern})(\s)", text, re.ASCII)
        words = text.split()[1:]
        if match is None or (len(words) == 1 and re.fullmatch("[A-Za-z]{1,3}", words[0])):
            return None
        self.unused[f"{' '.join(words)[:40]!r} behind the number of {key} in line {line}"] = 1
        return re.match(rf"({NUMBER.pattern})()", text, re.ASCII)

    def number(self, panel: _Panel, key: str) -> float:
        """A number of a panel; lengths in metres. ``coffset`` may be missing, ``clen`` may stand after the panels."""
        units = _LENGTHS if key in ("clen", "coffset") else {"": 1.0}
        found = panel.values.get(key)
        if found is None and key == "clen":
            found = self._defaults.get(key)
        if found is None:
            if key == "coffset":
                return 0.0
            hint = ": give -distance" if key == "clen" else ""
            raise FileError(f"{self.at(panel.line)}: panel {panel.name} has no {key}{hint}")
        value = self.quantity(f"{panel.name}/{key}", found, units, elsewhere=key == "clen")
        if value is None:
            raise FileError(f"{self.at(found[1])}: {key} is kept in the data file ({found[0]}): give -distance")
        return value

    def distance(self) -> float | None:
        """Distance of the panels (mm); None where the file does not say it."""
        with contextlib.suppress(FileError):
            clen = self.number(self.panels[0], "clen")
            return 1000 * (clen + median_low([self.number(panel, "coffset") for panel in self.panels]))
        return None

    def shift(self, key: str) -> float:
        """Shift of the whole detector (mm)."""
        if key not in self.whole:
            return 0.0
        value = self.quantity(key, self.whole[key], _LENGTHS)
        if value is None:
            text, line = self.whole[key]
            raise FileError(f"{self.at(line)}: {key} is kept in the data file ({text}): write the number in its place")
        return 1000 * value

    def wavelength(self) -> float:
        """Wavelength (Å), also that of electrons."""
        key = next((key for key in _UNITS if key in self.whole), None)
        if key is None:
            raise FileError(f"{self.what} has no wavelength (photon_energy or wavelength): give -lambda or -energy")
        text, line = self.whole[key]
        value = self.quantity(key, self.whole[key], _UNITS[key])
        if value is None:
            raise FileError(f"{self.at(line)}: {key} is kept in the data file ({text}): give -lambda or -energy")
        if value <= 0:
            raise FileError(f"{self.at(line)}: {key} must be > 0, got {value:g}")
        if key == "electron_voltage":
            return wavelength_of(value)
        return value if key == "wavelength" else EV_A / value

    def numbers(self, panel: _Panel) -> list[DataValue]:
        """Wavelength and distance of a panel as the file gives them, or the data sets that it takes them from."""
        found = [data_value(key, self.whole[key][0], units) for key, units in _UNITS.items() if key in self.whole]
        clen = panel.values.get("clen") or self._defaults.get("clen")
        if clen is not None:
            units = _DATA_LENGTHS if clen[0].startswith("/") else {**_DATA_LENGTHS, "": 1000.0}
            found.append(data_value("clen", clen[0], units, 1000 * self.number(panel, "coffset")))
        return [value for value in found if value is not None]

    def direction(self, panel: _Panel, key: str, default: str) -> np.ndarray:
        """``-0.003x +0.999y`` as a vector."""
        if key not in panel.values:
            self.without.setdefault(panel.name, []).append(f"{key} = {default}")
        text, line = panel.values.get(key, (default, panel.line))
        found = np.zeros(3)
        for match in _TERM.finditer(text):
            size = float(match[2]) if match[2] else 1.0
            found["xyz".index(match[3])] += -size if match[1] == "-" else size
        if _TERM.sub("", text).strip() or not found.any() or not np.abs(found).max() < LARGEST:
            raise FileError(f"{self.at(line)}: {panel.name}/{key} must be like '+1.0x -0.002y', got {text[:40]!r}")
        return found

    def all_notes(self, away: float | None) -> tuple[str, ...]:
        """Everything that the user should know about the file."""
        notes = []
        if "electron_voltage" in self.whole:
            notes.append(
                f"{self.what} is about electrons: they are simulated as X-rays of their wavelength; check F and give -nopolar"
            )
        if away is not None:
            offsets = [1000 * self.number(panel, "coffset") for panel in self.panels]
            if (common := median_low(offsets)) and abs(common) > 1.0:
                notes.append(
                    f"{self.what} adds a coffset of {common:g} mm to clen: with -distance it is left out, so that the "
                    "detector stands where -distance says"
                )
        for name, axes in list(self.without.items())[:1]:
            more = f" (and {len(self.without) - 1} more)" if len(self.without) > 1 else ""
            notes.append(f"{self.what} does not say how panel {name}{more} lies: {' and '.join(axes)} is taken")
        if self.repeated:
            more = f" and {len(self.repeated) - 2} more" if len(self.repeated) > 2 else ""
            notes.append(f"{self.what} says twice: {', '.join(self.repeated[:2])}{more}")
        things = [f"{key} ({count} times)" if count > 1 else key for key, count in self.unused.items()]
        if "bandwidth" in self.whole:
            things.append(f"bandwidth {self.whole['bandwidth'][0]} (see -dispersion)")
        hidden = sum(panel.values.get("no_index", ("0", 0))[0].lower() not in ("0", "false") for panel in self.panels)
        if hidden:
            things.append(f"no_index of {hidden} panel{'s' if hidden > 1 else ''}")
        return (*notes, *unused_note(self.what.removeprefix("the "), things))


def _panel(content: _Content, panel: _Panel, away: float | None, shift: list[float]) -> Panel:
    def get(key: str) -> float:
        return content.number(panel, key)

    where = f"{content.at(panel.line)}: panel {panel.name}"
    if (res := get("res")) <= 0:
        raise FileError(f"{where}: res must be > 0 pixels per metre, got {res:g}")
    pixel = 1000 / res
    z = (1000 * get("clen") if away is None else away) + 1000 * get("coffset")
    edges = [content.direction(panel, key, default) for key, default in (("fs", "x"), ("ss", "y"))]
    corner = [get("min_fs"), get("min_ss")]
    counts = [int(get(f"max_{key}")) - int(low) + 1 for key, low in zip(("fs", "ss"), corner, strict=True)]
    lengths = [float(np.linalg.norm(edge)) for edge in edges]
    if all(abs(length - 1) * count < _ROUNDING for length, count in zip(lengths, counts, strict=True)):
        lengths = [1.0, 1.0]
    return make_panel(
        where,
        pix0_mm=vector([get("corner_x") * pixel + shift[0], get("corner_y") * pixel + shift[1], z]),
        fast_axis=vector(edges[0]),
        slow_axis=vector(edges[1]),
        fpixels=counts[0],
        spixels=counts[1],
        **pixel_sizes(lengths[0] * pixel, lengths[1] * pixel),
        name=panel.name,
        offset=(int(corner[0]), int(corner[1])),
        place=data_place(panel.values, content.numbers(panel)),
    )
