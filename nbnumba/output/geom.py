"""A CrystFEL geometry file with refined panels: the file that a refinement began with, changed where a number has changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.crystfel import panel_of
from nbnumba.io.electrons import voltage_of
from nbnumba.io.files import atomic_write
from nbnumba.io.geom_content import LENGTHS, UNITS, WHAT, Content, PanelSettings, Setting, read_geom_text
from nbnumba.io.matrix import NUMBER
from nbnumba.io.packed import read_unpacked
from nbnumba.io.spectrum import EV_A
from nbnumba.model.experiment import Experiment
from nbnumba.model.geometry_files import geometry_kind
from nbnumba.model.vectors import unit
from nbnumba.output.crystfel import to_crystfel

#: Relative change of a number from which on it is written.
_CHANGED = 1e-9


@dataclass(frozen=True, eq=False)
class _Place:
    """Corner (mm) and edges of a pixel (mm) of a panel in CrystFEL's frame."""

    corner: np.ndarray
    fast: np.ndarray
    slow: np.ndarray


def write_geom(path: Path | str, experiment: Experiment, start: Path | str, begun: Experiment | None = None) -> None:
    """Write the geometry file ``start`` with the panels and the wavelength of an experiment.

    ``fs``, ``ss``, ``corner_x``, ``corner_y`` and ``coffset`` of the panels, and ``clen`` and the wavelength where they are
    numbers, are replaced where they have changed; a panel that has no such line of its own gets one. Everything else stays as
    it is. What the panels of a ``clen`` moved along the beam, by their median, is in ``clen``.

    Parameters
    ----------
    start : path
        A geometry file, or a stream, of which it is the geometry file.
    begun : Experiment, optional
        The experiment that was read from ``start``. It is needed where ``clen`` is in the data files: how far panels have
        moved since is then in their ``coffset``.

    Raises
    ------
    ConfigError
        The experiment has other panels than ``start``, or ``begun`` is needed.
    FileError
        ``start`` cannot be read, or the file cannot be written.
    """
    lines, content = _read(Path(start))
    edits = _Edits(lines, content)
    places = _places(experiment, content)
    edits.move(places, None if begun is None else _places(begun, content))
    edits.wavelength(experiment.simulation.beam.wavelength_A)
    with atomic_write(path) as handle:
        handle.write("".join(edits.result()).encode("latin-1"))


def _read(start: Path) -> tuple[list[str], Content]:
    """Lines of a geometry file with their ends, each byte a letter, and their content."""
    if (kind := geometry_kind(start)) not in ("stream", "crystfel"):
        raise FileError(f"{start} is no geometry file of CrystFEL, and none can be made of it")
    if kind == "stream":
        from nbnumba.io.stream import read_stream_geom

        text = read_stream_geom(start)
        return [line.encode().decode("latin-1") + "\n" for line in text.lines], Content(text)
    data = read_unpacked(start, WHAT).decode("latin-1")
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", data), Content(read_geom_text(start))


def _places(experiment: Experiment, content: Content) -> list[_Place]:
    """Where the panels of an experiment are, in the order of a geometry file."""
    turn = to_crystfel(experiment)
    found = [
        _Place(
            turn @ panel.pix0 * 1000,
            turn @ panel.fdet * panel.pixel_size * 1000,
            turn @ panel.sdet * panel.pixel_size * 1000,
        )
        for panel in experiment.detector.panels
    ]
    names = [panel.name for panel in content.panels]
    given = [panel.name for panel in experiment.simulation.detector.panels]
    if not given and len(names) == 1:  # moved by flags, it is no longer a list of panels
        return found
    if sorted(given) != sorted(names):
        odd = sorted(set(given) ^ set(names))
        raise ConfigError(
            f"{content.what} has other panels than the experiment: {', '.join(odd[:3]) or 'not one each'}"
        )
    return [found[given.index(name)] for name in names]


class _Edits:
    """Lines of a geometry file, and what becomes of them."""

    def __init__(self, lines: list[str], content: Content) -> None:
        self.lines, self.content = list(lines), content
        self.added: dict[int, list[str]] = {}

    def result(self) -> list[str]:
        """All lines."""
        whole = []
        for number, line in enumerate(self.lines):
            added = self.added.get(number, [])
            end = re.search(r"[\r\n]*\Z", line)
            assert end is not None
            whole += [line if end[0] or not added else f"{line}\n", *(f"{text}{end[0] or chr(10)}" for text in added)]
        return whole

    def replace(self, setting: Setting, value: str) -> None:
        """Write another value for a setting; what is before and behind it in its line stays."""
        number = setting[1] - self.content.text.first
        body, semicolon, comment = self.lines[number].partition(";")
        key, equals, old = body.partition("=")
        before, behind = old[: len(old) - len(old.lstrip())] or " ", old[len(old.rstrip()) :]
        self.lines[number] = f"{key}{equals}{before}{value}{behind}{semicolon}{comment}"

    def set(self, panel: PanelSettings, key: str, value: str) -> None:
        """Write a panel's value: in its own line, or in one that is added to the panel's."""
        found = panel.values.get(key)
        # a default that a panel has is of a line before its first one
        if found is not None and found[1] >= panel.line:
            self.replace(found, value)
        else:
            last = max(line for _, line in panel.values.values()) - self.content.text.first
            self.added.setdefault(last, []).append(f"{panel.name}/{key} = {value}")

    def move(self, places: Sequence[_Place], begun: Sequence[_Place] | None) -> None:
        """Write the panels."""
        moved = self.distances(places, begun)
        shift = self.content.shifts()
        for panel, place, dz in zip(self.content.panels, places, moved, strict=True):
            pixel = 1000 / self.content.number(panel, "res")
            old = panel_of(self.content, panel, 0.0, shift)
            sizes = old.pixel_mm, old.slow_pixel_mm or old.pixel_mm
            axes = unit(old.fast_axis) * sizes[0], unit(old.slow_axis) * sizes[1]
            for key, was, now in zip(("fs", "ss"), axes, (place.fast, place.slow), strict=True):
                if np.abs(now - was).max() > _CHANGED * pixel:
                    self.set(panel, key, _direction(now / pixel))
            for i, key in enumerate(("corner_x", "corner_y")):
                if abs(place.corner[i] - old.pix0_mm[i]) > _CHANGED * (pixel + abs(old.pix0_mm[i])):
                    self.set(panel, key, f"{(place.corner[i] - shift[i]) / pixel:.12g}")
            if dz:
                self.set(panel, "coffset", f"{self.content.number(panel, 'coffset') + dz / 1000:.12g}")

    def distances(self, places: Sequence[_Place], begun: Sequence[_Place] | None) -> list[float]:
        """Write every ``clen``; by how much each panel has moved (mm) further than that says."""
        moved, groups = [], dict[Setting, list[int]]()
        for number, (panel, place) in enumerate(zip(self.content.panels, places, strict=True)):
            setting = self.content.clen(panel)
            value = None if setting is None else self.content.quantity("clen", setting, LENGTHS)
            if setting is not None and value is not None:
                groups.setdefault(setting, []).append(number)
                was = 1000 * (value + self.content.number(panel, "coffset"))
            elif begun is not None:
                was = float(begun[number].corner[2])
            else:
                where = "missing" if setting is None else f"in the data files ({setting[0]})"
                raise ConfigError(f"clen of {self.content.what} is {where}: give the experiment that was read from it")
            change = float(place.corner[2]) - was
            moved.append(change if abs(change) > _CHANGED * (1 + abs(was)) else 0.0)
        for setting, members in groups.items():
            if common := median_low(moved[number] for number in members):
                value = self.content.quantity("clen", setting, LENGTHS)
                assert value is not None
                own = _unit_of(setting[0])
                text = f"{(value + common / 1000) / LENGTHS[own]:.12g}"
                self.replace(setting, f"{text} {own}".rstrip())
                for number in members:
                    rest = moved[number] - common
                    moved[number] = rest if abs(rest) > _CHANGED * (1 + abs(places[number].corner[2])) else 0.0
        return moved

    def wavelength(self, wavelength_A: float) -> None:
        """Write the wavelength, in the words and the unit of the file, if it has one."""
        key = next((key for key in UNITS if key in self.content.whole), None)
        if key is None:
            return
        setting = self.content.whole[key]
        value = self.content.quantity(key, setting, UNITS[key])
        if value is None:
            return
        now = {"wavelength": wavelength_A, "photon_energy": EV_A / wavelength_A}.get(key)
        now = voltage_of(wavelength_A) if now is None else now
        if abs(now - value) > _CHANGED * value:
            own = _unit_of(setting[0])
            self.replace(setting, f"{now / UNITS[key][own]:.12g} {own}".rstrip())


def _unit_of(text: str) -> str:
    """The unit behind a number."""
    match = re.fullmatch(rf"{NUMBER.pattern}\s*([A-Za-z]*)", text, re.ASCII)
    return "" if match is None else match[1]


def _direction(vector: np.ndarray) -> str:
    """A vector as CrystFEL writes one; it reads no exponents."""
    parts = [f"{value:+.10f}{axis}" for value, axis in zip(vector, "xyz", strict=True) if abs(value) > 5e-11]
    return " ".join(parts)
