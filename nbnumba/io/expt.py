"""DIALS' experiment lists (``.expt``): JSON with beam, detector, goniometer, scan and crystal.

The file's frame is kept as it is. Its beam ``direction`` points from the crystal to the source. A crystal's vectors are
those before the goniometer: with S and F the setting and the fixed rotation, e the axis as mounted, the crystal stands
at S R(e, phi) F A = R(S e, phi) S F A. For stills (no goniometer, no scan, or no oscillation) DIALS takes A as it is.
Panels are given in the frame of their group, the groups nested (dxtbx, ``virtual_panel.h``, ``multi_axis_goniometer.h``).
Of scan-varying models, which have a value at the start of each image and one at the end of the last, the middle of the
image is taken.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.geometry import (
    LARGEST,
    FileGeometry,
    make_panel,
    pixel_sizes,
    polarization,
    reciprocal_of,
    rotation,
    vector,
)
from nbnumba.io.kept import kept
from nbnumba.io.packed import read_unpacked
from nbnumba.io.unused import unused_note
from nbnumba.model.config import Panel, Vector

#: Scans with less than this width (deg) are stills to dxtbx.
MIN_OSC = 1e-7
Entry = dict[str, Any]


def read_expt(path: Path | str, image: int | None = None, index: int | None = None) -> FileGeometry:
    """Geometry of one experiment of an ``.expt`` file.

    Parameters
    ----------
    image : int, optional
        Number of the image in the scan; by default the first. Scan-varying models are evaluated in the image's middle.
    index : int, optional
        Which experiment of the list, counted from 0 as DIALS does; by default the first.

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
            content = kept(path, "expt", lambda: json.loads(read_unpacked(path, "experiment list")))
        except ValueError as error:  # also for bytes that are not UTF-8
            raise FileError(f"{self.what} is not JSON: {error}") from error
        except RecursionError as error:
            raise FileError(f"{self.what} is nested too deeply") from error
        if not isinstance(content, dict) or not isinstance(content.get("experiment"), list):
            raise FileError(f"{self.what} has no list 'experiment'")
        self.content: Entry = content
        self.notes: list[str] = []
        self.unused: list[str] = []

    def read(self, image: int | None, index: int | None) -> FileGeometry:
        experiment = self.choose(index)
        scan = self.scan(self.model(experiment, "scan"), image)
        point = None if scan is None else scan[3]
        beam_entry = self.model(experiment, "beam")
        if beam_entry is None:
            raise FileError(f"{self.what}: experiment {index or 0} has no beam")
        found = self.beam(*beam_entry, point)
        if (entry := self.model(experiment, "detector")) is not None:
            found = self.detector(*entry, found)
        spindle, setting, fixed = self.goniometer(self.model(experiment, "goniometer"), point)
        # without a rotation the crystal's vectors are those of the image
        turning = spindle is not None and scan is not None and abs(scan[1]) > MIN_OSC
        if turning:
            assert scan is not None and spindle is not None
            # a scan that runs backwards is one that runs forwards about the opposite axis
            sense = math.copysign(1.0, scan[1])
            spindle = vector(sense * np.array(spindle))
            found = replace(found, phi_deg=sense * scan[0], osc_deg=abs(scan[1]), images=scan[2])
        if (entry := self.model(experiment, "crystal")) is not None:
            A = self.crystal(*entry, point)
            found = replace(found, reciprocal=setting @ fixed @ A if turning else A)
        self.see_imageset(experiment)
        notes = (*self.notes, *unused_note(self.what.removeprefix("the "), self.unused))
        return replace(found, spindle=spindle, notes=notes)

    def choose(self, index: int | None) -> Any:
        """The experiment that is wanted."""
        experiments = self.content["experiment"]
        if not 0 <= (index or 0) < len(experiments):
            last = f", 0 to {len(experiments) - 1}" if len(experiments) > 1 else ""
            raise FileError(f"{self.what} has {len(experiments)} experiments{last}: there is no number {index or 0}")
        if len(experiments) > 1 and index is None:
            self.notes.append(
                f"{self.what} has {len(experiments)} experiments: number 0 is taken; --experiment N takes another one"
            )
        return experiments[index or 0]

    def see_imageset(self, experiment: Any) -> None:
        """Note what the images' own corrections and the profile of the spots would change."""
        if (entry := self.model(experiment, "imageset")) is not None:
            names = [name for name in ("dx", "dy", "mask", "gain", "pedestal") if entry[0].get(name)]
            self.unused += [f"imageset {name}" for name in names]
        if self.model(experiment, "profile") is not None:
            self.unused.append("a profile model (its spot size and mosaicity)")

    def see(self, entry: Entry, where: str, **usual: float) -> None:
        """Note numbers that differ from those that change nothing."""
        for key, nothing in usual.items():
            value = entry.get(key, nothing)
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value - nothing) > 1e-6:
                self.unused.append(f"{where.rpartition(': ')[2]}.{key} {value:g}")

    def at_point(self, entry: Entry, key: str, count: int, where: str, point: float | None) -> np.ndarray | None:
        """``count`` numbers for both ends of the image, (2, count); None where the model does not vary."""
        varying = entry.get(key)
        if not isinstance(varying, list) or len(varying) < 2:
            return None
        if point is None:
            self.unused.append(f"{where.rpartition(': ')[2]}.{key}, as it has no scan")
            return None
        low = max(min(math.floor(point), len(varying) - 2), 0)
        return np.array([self.numbers({key: varying[i]}, key, count, f"{where}.{key}[{i}]") for i in (low, low + 1)])

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

    def beam(self, entry: Entry, where: str, point: float | None) -> FileGeometry:
        direction = vector(-self.axis(entry, "direction", where))
        wavelength = None
        if entry.get("__id__") == "polychromatic" or "wavelength" not in entry:
            self.notes.append(f"{where} has no single wavelength: give --spectrum FILE or -lambda")
        else:
            wavelength = self.number(entry, "wavelength", where)
            if wavelength <= 0:
                raise FileError(f"{where}.wavelength must be > 0, got {wavelength:g}")
        s0 = self.at_point(entry, "s0_at_scan_points", 3, where, point)
        if s0 is not None:
            lengths = np.linalg.norm(s0, axis=1)
            if not lengths.all() or np.linalg.norm(s0.mean(axis=0)) < 1e-6 * lengths.max():
                raise FileError(f"{where}.s0_at_scan_points must be vectors along the beam")
            direction = vector(s0.mean(axis=0) / np.linalg.norm(s0.mean(axis=0)))
            if wavelength is not None and not math.isclose(wavelength * lengths.mean(), 1, rel_tol=1e-6):
                wavelength = 1 / float(lengths.mean())
        if entry.get("probe", "x-ray") not in ("x-ray", None):
            self.notes.append(
                f"{where}.probe is {str(entry['probe'])[:20]}: it is simulated as X-rays of its wavelength; check F and "
                "give -nopolar"
            )
        self.see(entry, where, divergence=0, sigma_divergence=0)
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
        fpixels, spixels = self.numbers(entry, "image_size", 2, where)
        offset = self.numbers(entry, "raw_image_offset", 2, where) if "raw_image_offset" in entry else None
        return make_panel(
            where,
            pix0_mm=vector(corner),
            fast_axis=vector(axes[:, 0]),
            slow_axis=vector(axes[:, 1]),
            fpixels=int(fpixels),
            spixels=int(spixels),
            **pixel_sizes(*self.numbers(entry, "pixel_size", 2, where)),
            name=str(entry.get("name", "")),
            offset=None if offset is None or offset.min() < 0 else (int(offset[0]), int(offset[1])),
        )

    def goniometer(
        self, found: tuple[Entry, str] | None, point: float | None
    ) -> tuple[Vector | None, np.ndarray, np.ndarray]:
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
            setting = self.varying_setting(entry, where, point, setting)
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
        setting = self.varying_setting(entry, where, point, setting)
        return vector(setting @ turned[scan_axis]), setting, fixed

    def varying_setting(self, entry: Entry, where: str, point: float | None, setting: np.ndarray) -> np.ndarray:
        """The setting rotation in the middle of the image; the fixed one where it does not vary."""
        ends = self.at_point(entry, "setting_rotation_at_scan_points", 9, where, point)
        if ends is None:
            return setting
        # the rotation nearest to the mean of two
        U, sizes, V = np.linalg.svd(ends.mean(axis=0).reshape(3, 3))
        if sizes[-1] < 0.5 or np.linalg.det(U @ V) < 0:
            raise FileError(f"{where}.setting_rotation_at_scan_points must be rotations")
        return np.asarray(U @ V)

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
        self.see(entry, where, mosaicity=0, ML_half_mosaicity_deg=0, ML_domain_size_ang=0)
        ends = self.at_point(entry, "A_at_scan_points", 9, where, point)
        if ends is not None:
            for A in ends:
                reciprocal_of(f"{where}.A_at_scan_points", *A.reshape(3, 3).T)  # three vectors in one plane are refused
            return _midway(*(A.reshape(3, 3) for A in ends))
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
