"""The text of a CrystFEL geometry file: its panels' settings and the beam's, each with its line.

A number that the file takes from the image's data can be known otherwise (:class:`Known`), as in a stream.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median_low

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.crystfel_data import data_value
from nbnumba.io.electrons import wavelength_of
from nbnumba.io.geometry import LARGEST
from nbnumba.io.matrix import NUMBER
from nbnumba.io.packed import read_unpacked
from nbnumba.io.spectrum import EV_A
from nbnumba.io.unused import unused_note
from nbnumba.model.config import DataValue

WHAT = "CrystFEL geometry file"
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
LENGTHS = {"": 1.0, "m": 1.0, "mm": 1e-3, "cm": 1e-2, "um": 1e-6}
UNITS = {
    "wavelength": {"": 1e10, "m": 1e10, "A": 1.0},
    "photon_energy": {"": 1.0, "eV": 1.0, "keV": 1e3},
    "electron_voltage": {"V": 1.0, "kV": 1e3},
}
#: Relative difference from which on two wavelengths differ.
_DIFFERENT = 1e-4
#: Units (mm) of a length in a data set: CrystFEL takes mm where none is given.
_DATA_LENGTHS = {"": 1.0, "m": 1000.0, "mm": 1.0}

Setting = tuple[str, int]
#: Characters that no statement may hold.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Known:
    """What is known about an image beside the geometry file.

    Attributes
    ----------
    numbers : mapping of str to float
        Numbers of the data file, by the names of their data sets.
    wavelength_A : float or None
    camera_length_m : float or None
        Mean over all panels of ``clen`` and ``coffset``.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    wavelength_A: float | None = None
    camera_length_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class GeomText:
    """The lines of a geometry file, which may be a part of another file.

    Attributes
    ----------
    what : str
        Kind and name of the file, for messages.
    first : int
        Number of the first line in the file.
    unused : tuple of str
        What else of the file is not used.
    """

    path: Path
    lines: Sequence[str]
    what: str
    first: int = 1
    known: Known = Known()
    unused: tuple[str, ...] = ()


@dataclass
class PanelSettings:
    """Settings of a panel as text, each with its line number."""

    name: str
    line: int
    values: dict[str, Setting] = field(default_factory=dict)


def read_geom_text(path: Path | str) -> GeomText:
    """The lines of a file.

    Raises
    ------
    FileError
        The file cannot be read, or is no text.
    """
    what = f"{WHAT} {path}"
    return GeomText(path=Path(path), lines=text_lines(read_unpacked(path, WHAT), what), what=what)


def text_lines(data: bytes, what: str) -> list[str]:
    """Lines of a text of any encoding that contains ASCII.

    Raises
    ------
    FileError
        It is no text.
    """
    if b"\0" in data:
        raise FileError(f"the {what} is not a text file: byte {data.index(0)} is 0x00")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.removesuffix("\x1a").replace("\r\n", "\n").replace("\r", "\n").split("\n")


class Content:
    """Panels in the order of the file, and the settings of the beam and of the whole detector."""

    def __init__(self, text: GeomText) -> None:
        self.text, self.what, self.known = text, f"the {text.what}", text.known
        self.whole: dict[str, Setting] = {}
        self.repeated: list[str] = []
        self.unused: Counter[str] = Counter(text.unused)
        self.differing: list[str] = []
        self.without: dict[str, list[str]] = {}
        self._defaults: dict[str, Setting] = {}
        self._panels: dict[str, PanelSettings] = {}
        self._read()
        self.panels = list(self._panels.values())
        if not self.panels:
            raise FileError(f"{self.what} has no panel (lines 'panel/min_fs = 0' and so on)")

    def _read(self) -> None:
        bad: set[str] = set()
        for line, text in enumerate(self.text.lines, self.text.first):
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
                panel = self._panels.setdefault(name, PanelSettings(name, line, dict(self._defaults)))
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

    def number(self, panel: PanelSettings, key: str) -> float:
        """A number of a panel; lengths in metres. ``coffset`` may be missing, ``clen`` may stand after the panels."""
        units = LENGTHS if key in ("clen", "coffset") else {"": 1.0}
        found = self.clen(panel) if key == "clen" else panel.values.get(key)
        if found is None:
            if key == "coffset":
                return 0.0
            hint = ": give -distance" if key == "clen" else ""
            raise FileError(f"{self.at(panel.line)}: panel {panel.name} has no {key}{hint}")
        value = self.quantity(f"{panel.name}/{key}", found, units, elsewhere=key == "clen")
        if value is None:
            value = self.known_clen(found)
        if value is None:
            raise FileError(f"{self.at(found[1])}: {key} is kept in the data file ({found[0]}): give -distance")
        return value

    def clen(self, panel: PanelSettings) -> Setting | None:
        """The setting of a panel's distance, which may stand after the panels."""
        return panel.values.get("clen") or self._defaults.get("clen")

    def known_clen(self, found: Setting) -> float | None:
        """Distance (m) that a setting names in the data file, from what is known about the image; None if it is not."""
        value = data_value("clen", found[0], _DATA_LENGTHS)
        if value is not None and value.name in self.known.numbers:
            return self.known.numbers[value.name] * value.size / 1000
        return self._camera_clen

    @cached_property
    def _camera_clen(self) -> float | None:
        """The one distance (m) that panels take from the data file, from the mean distance of all panels."""
        if self.known.camera_length_m is None:
            return None
        settings = [self.clen(panel) for panel in self.panels]
        named = [setting[0] for setting in settings if setting and re.match(r"[/A-Za-z]", setting[0])]
        if len(set(named)) != 1:
            return None
        rest = self.known.camera_length_m * len(self.panels)
        for panel, setting in zip(self.panels, settings, strict=True):
            rest -= self.number(panel, "coffset")
            if setting is None or setting[0] != named[0]:
                rest -= self.number(panel, "clen")
        return rest / len(named)

    def distance(self) -> float | None:
        """Distance of the panels (mm); None where the file does not say it."""
        with contextlib.suppress(FileError):
            clen = self.number(self.panels[0], "clen")
            return 1000 * (clen + median_low([self.number(panel, "coffset") for panel in self.panels]))
        return None

    def shifts(self) -> tuple[float, float]:
        """Shift of the whole detector along x and y (mm)."""
        return self.shift("detector_shift_x"), self.shift("detector_shift_y")

    def shift(self, key: str) -> float:
        """Shift of the whole detector (mm)."""
        if key not in self.whole:
            return 0.0
        value = self.quantity(key, self.whole[key], LENGTHS)
        if value is None:
            text, line = self.whole[key]
            name, _, unit = text.partition(" ")
            if name not in self.known.numbers or unit not in LENGTHS:
                raise FileError(
                    f"{self.at(line)}: {key} is kept in the data file ({text}): write the number in its place"
                )
            value = self.known.numbers[name] * LENGTHS[unit]
        return 1000 * value

    def wavelength(self) -> float:
        """Wavelength (Å), also that of electrons; the image's own, where it is known and another one."""
        own, key = self.known.wavelength_A, next((key for key in UNITS if key in self.whole), None)
        if own is not None and (key is None or self.quantity(key, self.whole[key], UNITS[key]) is None):
            return own
        found = self.own_wavelength(key)
        if own is None or abs(found / own - 1) < _DIFFERENT:
            return found
        self.differing.append(f"{key} = {self.whole[str(key)][0]}, but the image has {own:.6g} Å, which is taken")
        return own

    def own_wavelength(self, key: str | None) -> float:
        """Wavelength (Å) of the text."""
        if key is None:
            raise FileError(f"{self.what} has no wavelength (photon_energy or wavelength): give -lambda or -energy")
        text, line = self.whole[key]
        value = self.quantity(key, self.whole[key], UNITS[key])
        if value is None:
            raise FileError(f"{self.at(line)}: {key} is kept in the data file ({text}): give -lambda or -energy")
        if value <= 0:
            raise FileError(f"{self.at(line)}: {key} must be > 0, got {value:g}")
        if key == "electron_voltage":
            return wavelength_of(value)
        return value if key == "wavelength" else EV_A / value

    def numbers(self, panel: PanelSettings) -> list[DataValue]:
        """Wavelength and distance of a panel as the file gives them, or the data sets that it takes them from."""
        found = [data_value(key, self.whole[key][0], units) for key, units in UNITS.items() if key in self.whole]
        clen = self.clen(panel)
        if clen is not None:
            units = _DATA_LENGTHS if clen[0].startswith("/") else {**_DATA_LENGTHS, "": 1000.0}
            found.append(data_value("clen", clen[0], units, 1000 * self.number(panel, "coffset")))
        return [value for value in found if value is not None]

    def direction(self, panel: PanelSettings, key: str, default: str) -> np.ndarray:
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
        notes = [f"{self.what} says {phrase}" for phrase in self.differing]
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
