"""DIALS' experiment lists (``.expt``): JSON with beam, detector, goniometer, scan and crystal.

The file's frame is kept as it is. Its beam ``direction`` points from the crystal to the source. A crystal's vectors are
those before the goniometer: with S and F the setting and the fixed rotation, e the axis as mounted, the crystal stands
at S R(e, phi) F A = R(S e, phi) S F A. For stills (no goniometer, no scan, or no oscillation) DIALS takes A as it is.
Panels are given in the frame of their group, the groups nested (dxtbx, ``virtual_panel.h``, ``multi_axis_goniometer.h``).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.files import read_bytes
from nbnumba.io.geometry import (
    LARGEST,
    FileGeometry,
    make_panel,
    polarization,
    reciprocal_of,
    rotation,
    square_pixel,
    vector,
)
from nbnumba.io.kept import kept
from nbnumba.model.config import Panel, Vector

#: Scans with less than this width (deg) are stills to dxtbx.
MIN_OSC = 1e-7
Entry = dict[str, Any]


def read_expt(path: Path | str, image: int | None = None, index: int = 0) -> FileGeometry:
    """Geometry of one experiment of an ``.expt`` file.

    Parameters
    ----------
    image : int, optional
        Number of the image in the scan; by default the first. A scan-varying crystal is evaluated in the image's
        middle.
    index : int
        Which experiment of the list.

    Raises
    ------
    FileError
        The file cannot be read, is no experiment list, or has no beam.
    """
    return _Reader(Path(path)).read(image, index)


class _Reader:
    """An experiment list; ``what`` and ``where`` name the file and the entry in error messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.what = f"the experiment list {path}"
        try:
            # a series reads it once for each image
            content = kept(path, "expt", lambda: json.loads(read_bytes(path, "experiment list")))
        except ValueError as error:  # also for bytes that are not UTF-8
            raise FileError(f"{self.what} is not JSON: {error}") from error
        except RecursionError as error:
            raise FileError(f"{self.what} is nested too deeply") from error
        if not isinstance(content, dict) or not isinstance(content.get("experiment"), list):
            raise FileError(f"{self.what} has no list 'experiment'")
        self.content: Entry = content
        self.notes: list[str] = []

    def read(self, image: int | None, index: int) -> FileGeometry:
        experiments = self.content["experiment"]
        if not 0 <= index < len(experiments):
            raise FileError(f"{self.what} has {len(experiments)} experiments: there is no number {index}")
        if len(experiments) > 1:
            self.notes.append(f"{self.what} has {len(experiments)} experiments: number {index} is taken")
        beam_entry = self.model(experiments[index], "beam")
        if beam_entry is None:
            raise FileError(f"{self.what}: experiment {index} has no beam")
        found = self.beam(*beam_entry)
        if (entry := self.model(experiments[index], "detector")) is not None:
            found = self.detector(*entry, found)
        spindle, setting, fixed = self.goniometer(self.model(experiments[index], "goniometer"))
        scan = self.scan(self.model(experiments[index], "scan"), image)
        # without a rotation the crystal's vectors are those of the image
        turning = spindle is not None and scan is not None and abs(scan[1]) > MIN_OSC
        if turning:
            assert scan is not None and spindle is not None
            # a scan that runs backwards is one that runs forwards about the opposite axis
            sense = math.copysign(1.0, scan[1])
            spindle = vector(sense * np.array(spindle))
            found = replace(found, phi_deg=sense * scan[0], osc_deg=abs(scan[1]), images=scan[2])
        if (entry := self.model(experiments[index], "crystal")) is not None:
            A = self.crystal(*entry, None if scan is None else scan[3])
            found = replace(found, reciprocal=setting @ fixed @ A if turning else A)
        return replace(found, spindle=spindle, notes=tuple(self.notes))

    def model(self, experiment: Any, name: str) -> tuple[Entry, str] | None:
        """The beam, detector, ... of an experiment, with its place; None where it has none."""
        number = experiment.get(name) if isinstance(experiment, dict) else None
        if number is None:
            return None
        models = self.content.get(name)
        if not isinstance(models, list) or not isinstance(number, int) or not 0 <= number < len(models):
            raise FileError(f"{self.what}: an experiment names {name} {number}, which is not in the file")
        if not isinstance(models[number], dict):
            raise FileError(f"{self.what}: {name}[{number}] is not an object")
        return models[number], f"{self.what}: {name}[{number}]"

    def numbers(self, entry: Entry, key: str, count: int, where: str) -> np.ndarray:
        """``count`` finite numbers."""
        if key not in entry:
            raise FileError(f"{where} has no {key}")
        try:
            values = np.array(entry[key], dtype=float).ravel()
        except (ValueError, TypeError, OverflowError):
            values = np.zeros(0)
        if len(values) != count or not np.all(np.abs(values) < LARGEST):
            raise FileError(f"{where}.{key} must be {count} finite numbers, got {str(entry[key])[:60]}")
        return values

    def axis(self, entry: Entry, key: str, where: str) -> np.ndarray:
        """A unit vector."""
        values = self.numbers(entry, key, 3, where)
        length = float(np.linalg.norm(values))
        if length == 0:
            raise FileError(f"{where}.{key} has no length")
        # a vector that has unit length up to rounding is kept unchanged
        return values if abs(length - 1) < 1e-15 else values / length

    def number(self, entry: Entry, key: str, where: str, default: float | None = None) -> float:
        """One finite number."""
        if entry.get(key) is None and default is not None:
            return default
        return float(self.numbers({key: [entry.get(key)]} if key in entry else entry, key, 1, where)[0])

    def beam(self, entry: Entry, where: str) -> FileGeometry:
        direction = vector(-self.axis(entry, "direction", where))
        wavelength = None
        if entry.get("__id__") == "polychromatic" or "wavelength" not in entry:
            self.notes.append(f"{where} has no single wavelength: give --spectrum FILE or -lambda")
        else:
            wavelength = self.number(entry, "wavelength", where)
            if wavelength <= 0:
                raise FileError(f"{where}.wavelength must be > 0, got {wavelength:g}")
        if entry.get("probe", "x-ray") != "x-ray":
            raise FileError(f"{where}.probe is {entry['probe']}: only x-rays can be simulated")
        polar = kahn = None
        if "polarization_normal" in entry:
            normal = self.axis(entry, "polarization_normal", where)
            fraction = self.number(entry, "polarization_fraction", where, 0.999)
            polar, kahn = polarization(where, normal, fraction, direction)
        return FileGeometry(
            path=self.path, format="expt", beam=direction, wavelength_A=wavelength, polar=polar, kahn_factor=kahn
        )

    def detector(self, entry: Entry, where: str, found: FileGeometry) -> FileGeometry:
        panels = entry.get("panels")
        if not isinstance(panels, list) or not panels or not all(isinstance(panel, dict) for panel in panels):
            raise FileError(f"{where} has no panels")
        frames = self.frames(entry, len(panels), where)
        made = tuple(
            self.panel(panel, f"{where}.panels[{i}]", *frames.get(i, (np.eye(3), np.zeros(3))))
            for i, panel in enumerate(panels)
        )
        sensors = {(self.number(p, "thickness", where, 0.0), self.number(p, "mu", where, 0.0)) for p in panels}
        if len(sensors) > 1:
            raise FileError(f"{where}: its panels have different thickness or mu, which is not supported")
        thickness, mu = sensors.pop()
        found = replace(found, panels=made)
        if thickness > 0 and mu > 0:
            return replace(found, thickness_um=1000 * thickness, attenuation_um=1000 / mu)
        return found

    def frames(self, entry: Entry, count: int, where: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Orientation (columns fast, slow, normal) and origin of the group that each panel is in."""
        frames: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        hierarchy = entry.get("hierarchy")
        stack = [(hierarchy, np.eye(3), np.zeros(3), f"{where}.hierarchy")] if isinstance(hierarchy, dict) else []
        while stack:
            node, orientation, origin, place = stack.pop()
            turned, moved = self.frame(node, place)
            orientation, origin = orientation @ turned, origin + orientation @ moved
            children = node.get("children", [])
            for i, child in enumerate(children if isinstance(children, list) else []):
                if not isinstance(child, dict):
                    raise FileError(f"{place}.children[{i}] is not an object")
                if "panel" not in child:
                    stack.append((child, orientation, origin, f"{place}.children[{i}]"))
                elif not isinstance(child["panel"], int) or not 0 <= child["panel"] < count:
                    raise FileError(f"{place} names panel {child['panel']}, which is not in the file")
                else:
                    frames[child["panel"]] = orientation, origin
        return frames

    def frame(self, node: Entry, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Axes as columns, and origin, of a group or panel in the frame around it."""
        fast, slow = self.axis(node, "fast_axis", where), self.axis(node, "slow_axis", where)
        return np.column_stack([fast, slow, np.cross(fast, slow)]), self.numbers(node, "origin", 3, where)

    def panel(self, entry: Entry, where: str, orientation: np.ndarray, origin: np.ndarray) -> Panel:
        axes, corner = self.frame(entry, where)
        axes, corner = orientation @ axes, origin + orientation @ corner
        pixel = square_pixel(where, *self.numbers(entry, "pixel_size", 2, where))
        fpixels, spixels = self.numbers(entry, "image_size", 2, where)
        offset = self.numbers(entry, "raw_image_offset", 2, where) if "raw_image_offset" in entry else None
        return make_panel(
            where,
            pix0_mm=vector(corner),
            fast_axis=vector(axes[:, 0]),
            slow_axis=vector(axes[:, 1]),
            fpixels=int(fpixels),
            spixels=int(spixels),
            pixel_mm=pixel,
            name=str(entry.get("name", "")),
            offset=None if offset is None or offset.min() < 0 else (int(offset[0]), int(offset[1])),
        )

    def goniometer(self, found: tuple[Entry, str] | None) -> tuple[Vector | None, np.ndarray, np.ndarray]:
        """Spindle in the laboratory, setting rotation, fixed rotation."""
        if found is None:
            return None, np.eye(3), np.eye(3)
        entry, where = found
        setting, fixed = np.eye(3), np.eye(3)
        if "axes" not in entry:
            datum = self.axis(entry, "rotation_axis", where)
            if entry.get("fixed_rotation") is not None:
                fixed = self.numbers(entry, "fixed_rotation", 9, where).reshape(3, 3)
            if entry.get("setting_rotation") is not None:
                setting = self.numbers(entry, "setting_rotation", 9, where).reshape(3, 3)
            return vector(setting @ datum), setting, fixed
        axes, scan_axis = entry["axes"], entry.get("scan_axis")
        if not isinstance(axes, list) or not isinstance(scan_axis, int) or not 0 <= scan_axis < len(axes):
            raise FileError(f"{where}.scan_axis must be the number of one of its axes, got {scan_axis}")
        angles = self.numbers(entry, "angles", len(axes), where)
        turned = [self.axis({"axes": axis}, "axes", where) for axis in axes]
        # axes are listed from the crystal outwards
        for i, (axis, angle) in enumerate(zip(turned, angles, strict=True)):
            if i < scan_axis:
                fixed = rotation(axis, angle) @ fixed
            elif i > scan_axis:
                setting = rotation(axis, angle) @ setting
        return vector(setting @ turned[scan_axis]), setting, fixed

    def scan(
        self, found: tuple[Entry, str] | None, image: int | None
    ) -> tuple[float, float, tuple[int, int], float] | None:
        """Start and width of the image (deg), first and last image number, and the image's middle in scan points."""
        if found is None:
            return None
        entry, where = found
        first, last = (int(v) for v in self.numbers(entry, "image_range", 2, where))
        count = last - first + 1
        properties = entry.get("properties", {})
        if "oscillation" in entry:
            start, width = self.numbers(entry, "oscillation", 2, where)
        elif isinstance(properties, dict) and "oscillation" in properties:
            starts = self.numbers(properties, "oscillation", count, f"{where}.properties")
            width = starts[1] - starts[0] if count > 1 else 0.0
            if count == 1 and "oscillation_width" in properties:
                width = self.numbers(properties, "oscillation_width", 1, f"{where}.properties")[0]
            start = starts[0]
        else:
            start = width = 0.0
        number = first if image is None else image
        if not first <= number <= last:
            raise FileError(f"{where} holds images {first} to {last}: there is no image {number}")
        return float(start + (number - first) * width), float(width), (first, last), number - first + 0.5

    def crystal(self, entry: Entry, where: str, point: float | None) -> np.ndarray:
        """a*, b*, c* as columns (1/Å), before the goniometer."""
        varying = entry.get("A_at_scan_points")
        if isinstance(varying, list) and len(varying) > 1 and point is not None:
            low = min(math.floor(point), len(varying) - 2)
            pair = [self.numbers({"A": varying[i]}, "A", 9, f"{where}.A_at_scan_points[{i}]") for i in (low, low + 1)]
            for A in pair:
                reciprocal_of(f"{where}.A_at_scan_points", *A.reshape(3, 3).T)  # three vectors in one plane are refused
            return _midway(*(A.reshape(3, 3) for A in pair))
        direct = [self.numbers(entry, f"real_space_{axis}", 3, where) for axis in "abc"]
        return reciprocal_of(where, *direct)


def _midway(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) half way from one to another: the same step leads to it and on, T^(1/2) first with T = last/first.

    The mean of the two would lie on the chord of their rotation: its cell is too large, by 4e-5 for one degree. Newton's
    iteration for the square root is exact after a few steps for the small T of an image; the mean is its start.
    """
    T = last @ np.linalg.inv(first)
    root = (np.eye(3) + T) / 2
    if np.linalg.norm(T - np.eye(3)) > 0.5:  # no crystal turns that far in an image
        return np.asarray(root @ first)
    for _ in range(6):
        root = (root + np.linalg.solve(root, T)) / 2
    return np.asarray(root @ first)
