"""Models of experiments as DIALS writes them: the parts of an experiment list (``.expt``), and a list of images.

A rotation image is an experiment with a goniometer and a scan of one image; a still has neither, and its crystal stands
as it does in the image. Equal models are listed once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.expt import MIN_OSC
from nbnumba.io.files import atomic_write
from nbnumba.model.crystal import RTD
from nbnumba.model.experiment import Experiment
from nbnumba.model.frames import layout, panels_in, to_imgcif
from nbnumba.model.outputs import IMAGES, Outputs
from nbnumba.model.vectors import rotate_axis, unit

#: Endings of formats of which a file can hold many images.
_MANY = {".h5", ".hdf5", ".nxs", ".nx5", ".cxi"}
#: What an imageset says about corrections: there are none.
CORRECTIONS: dict[str, Any] = {"mask": "", "gain": "", "pedestal": "", "dx": "", "dy": "", "params": {}}
Model = dict[str, Any]


@dataclass
class Models:
    """The lists of an experiment list; :meth:`content` is the whole of it."""

    experiments: list[Model] = field(default_factory=list)
    lists: dict[str, list[Model]] = field(
        default_factory=lambda: {key: [] for key in ("imageset", "beam", "detector", "goniometer", "scan", "crystal")}
    )
    _known: dict[str, int] = field(default_factory=dict)

    def place(self, kind: str, model: Model, name: str = "") -> int:
        """Number of a model in its list; equal models, of the same ``name`` if they have one, are listed once."""
        key = f"{kind} {name} {json.dumps(model)}"
        if key not in self._known:
            self._known[key] = len(self.lists[kind])
            self.lists[kind].append(model)
        return self._known[key]

    def add(self, **numbers: int) -> None:
        """Add an experiment of these models."""
        self.experiments.append({"__id__": "Experiment", "identifier": "", **numbers})

    def content(self) -> Model:
        """Content of the file."""
        ends: Model = {"profile": [], "scaling_model": []}
        return {"__id__": "ExperimentList", "experiment": self.experiments, **self.lists, **ends}

    def write(self, path: Path) -> None:
        """Write the file.

        Raises
        ------
        FileError
            It cannot be written.
        """
        with atomic_write(path) as handle:
            handle.write(f"{json.dumps(self.content(), indent=1)}\n".encode())


@dataclass(frozen=True)
class CountRange:
    """What a detector model says about counts: their offset, counts per photon, and the range of measurements."""

    pedestal: float = 0.0
    gain: float = 1.0
    trusted: tuple[float, float] = (-1.0, float(Outputs().saturation_counts))

    @classmethod
    def of(cls, outputs: Outputs) -> CountRange:
        """Counts of the main image of a run, as ``dials.import`` finds them in the file."""
        files = outputs.files
        name = next((name for name in IMAGES if name in files), None)
        offset = outputs.pedestal if name in ("noisefile", "intfile") else 0
        gain = outputs.gain
        if name == "intfile":
            gain = outputs.scale if outputs.scale > 0 else 1.0
        largest = outputs.saturation_counts - outputs.pedestal
        return cls(float(offset), gain, (-1.0 - offset, float(largest)))


def write_expt(
    path: Path | str,
    experiments: Sequence[Experiment],
    images: Sequence[str | Path],
    outputs: Outputs | CountRange | None = None,
    indices: Sequence[int] | None = None,
    turn: np.ndarray | None = None,
) -> None:
    """Write an experiment list: an experiment for each of ``experiments``.

    Experiments whose geometry is from a file (convention CUSTOM) keep its laboratory axes, others have those of their
    images (:mod:`nbnumba.model.frames`). Where the crystal was turned by phi to a still, it is written as it stands there.

    Parameters
    ----------
    images : sequence of path
        The image of each experiment. Those of the same image share its imageset: several lattices.
    outputs : Outputs or CountRange, optional
        Gain, offset and saturation of the images; by default a count is a photon, up to 65535.
    indices : sequence of int, optional
        Index of each image in its file, from 0, for files of many images.
    turn : (3, 3) float, optional
        Rotation from the laboratory axes of all experiments to those of the file, in place of that choice.

    Raises
    ------
    ConfigError
        There are not as many images as experiments, or no experiment at all.
    FileError
        The file cannot be written.
    """
    places = list(zip(images, [0] * len(images) if indices is None else indices, strict=False))
    if not experiments or not len(experiments) == len(images) == len(places):
        raise ConfigError(
            f"an experiment list needs an image for each experiment: {len(experiments)} and {len(places)}"
        )
    models, counts = Models(), CountRange.of(outputs) if isinstance(outputs, Outputs) else outputs or CountRange()
    for experiment, (image, index) in zip(experiments, places, strict=True):
        axes = file_axes(experiment) if turn is None else turn
        _add(models, experiment, axes, counts, _name_from(Path(path), image), int(index))
    models.write(Path(path))


def _add(models: Models, experiment: Experiment, axes: np.ndarray, counts: CountRange, image: str, index: int) -> None:
    """Add an experiment with its models; those of the same image and index have one imageset."""
    numbers = {
        "beam": models.place("beam", beam_model(experiment, axes)),
        "detector": models.place("detector", detector_model(experiment, axes, counts)),
    }
    if is_rotation(experiment):
        images, number = _sequence(image, index)
        crystal = crystal_model(experiment, axes)
        numbers["goniometer"] = models.place("goniometer", goniometer_model(experiment, axes))
        numbers["scan"] = models.place("scan", scan_model(experiment, [number]))
    else:
        images = still_model(image) | ({"single_file_indices": [index]} if _holds_many(image) else {})
        crystal = crystal_model(experiment, axes, experiment.scan.start)
    numbers["crystal"] = models.place("crystal", crystal)
    numbers["imageset"] = models.place("imageset", images, f"{image} {index}")
    models.add(**numbers)


def file_axes(experiment: Experiment) -> np.ndarray:
    """Rotation from the laboratory axes of an experiment to those that its list has by default."""
    return np.eye(3) if experiment.detector.convention == "CUSTOM" else to_imgcif(experiment)


def is_rotation(experiment: Experiment) -> bool:
    """Whether the crystal turns during the exposure, by so much that dxtbx takes it as a rotation."""
    return experiment.scan.osc * RTD > MIN_OSC


def beam_model(experiment: Experiment, turn: np.ndarray) -> Model:
    """The beam; ``turn`` (3, 3) rotates the laboratory axes of the experiment to those of the file."""
    frame, beam = experiment.detector.frame, experiment.simulation.beam
    normal = np.cross(frame.beam, frame.polar)
    if not normal.any():  # a polarization along the beam has no plane
        normal = unit(np.cross(frame.beam, np.eye(3)[np.argmin(np.abs(frame.beam))]))
    return {
        "__id__": "monochromatic",
        "direction": _plain(-turn @ frame.beam),
        "wavelength": beam.wavelength_A,
        "divergence": 0.0,
        "sigma_divergence": 0.0,
        "polarization_normal": _plain(turn @ normal),
        # dxtbx: share of the intensity in the plane; 1/2 is unpolarized
        "polarization_fraction": 0.5 if beam.nopolar else (1 + beam.kahn_factor) / 2,
        "flux": beam.flux,
        "transmission": 1.0,
        "probe": "x-ray",
    }


def detector_model(experiment: Experiment, turn: np.ndarray, counts: CountRange) -> Model:
    """The panels, in one group; ``turn`` as for :func:`beam_model`."""
    panels = []
    detector, corners = experiment.detector, layout(experiment).corners
    for index, panel in enumerate(panels_in(experiment, turn)):
        slow, fast = corners[index]
        panels.append(
            {
                "name": panel.name or f"panel{index}",
                "type": "SENSOR_PAD",
                "fast_axis": _plain(panel.fast),
                "slow_axis": _plain(panel.slow),
                "origin": _plain(panel.origin_mm),
                "raw_image_offset": [fast, slow],
                "image_size": [panel.fpixels, panel.spixels],
                "pixel_size": [panel.pixel_mm, panel.slow_mm],
                "trusted_range": list(counts.trusted),
                "thickness": detector.thickness * 1000,
                "material": "",
                "mu": detector.mu / 1000,
                "identifier": "",
                "mask": [],
                "gain": counts.gain,
                "pedestal": counts.pedestal,
                "px_mm_strategy": {"type": "SimplePxMmStrategy"},
            }
        )
    group = {
        "name": "",
        "type": "",
        "fast_axis": [1.0, 0.0, 0.0],
        "slow_axis": [0.0, 1.0, 0.0],
        "origin": [0.0, 0.0, 0.0],
        "raw_image_offset": [0, 0],
        "image_size": [0, 0],
        "pixel_size": [0.0, 0.0],
        "trusted_range": [0.0, 0.0],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "identifier": "",
        "mask": [],
        "gain": 1.0,
        "pedestal": 0.0,
        "px_mm_strategy": {"type": "SimplePxMmStrategy"},
        "children": [{"panel": index} for index in range(len(panels))],
    }
    return {"panels": panels, "hierarchy": group}


def crystal_model(experiment: Experiment, turn: np.ndarray, phi: float = 0.0) -> Model:
    """The crystal, turned by ``phi`` (rad) about the spindle; ``turn`` as for :func:`beam_model`."""
    direct = experiment.crystal.direct
    if phi:
        direct = rotate_axis(direct, experiment.detector.frame.spindle, phi)
    vectors = direct @ turn.T
    named = dict(zip(("real_space_a", "real_space_b", "real_space_c"), map(_plain, vectors), strict=True))
    return {"__id__": "crystal", **named, "space_group_hall_symbol": " P 1"}


def goniometer_model(experiment: Experiment, turn: np.ndarray) -> Model:
    """A goniometer of one axis; ``turn`` as for :func:`beam_model`."""
    identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    axis = _plain(turn @ experiment.detector.frame.spindle)
    return {"rotation_axis": axis, "fixed_rotation": identity, "setting_rotation": identity}


def scan_model(experiment: Experiment, numbers: Sequence[int]) -> Model:
    """A scan of the images with these numbers, of which ``experiment`` is the first."""
    exposure = experiment.simulation.beam.exposure_s
    return {
        "image_range": [numbers[0], numbers[-1]],
        "batch_offset": 0,
        "oscillation": [experiment.scan.start * RTD, experiment.scan.osc * RTD],
        "exposure_time": [exposure] * len(numbers),
        "epochs": [exposure * (number - 1) for number in numbers],
        "valid_image_ranges": {},
    }


def still_model(image: str) -> Model:
    """The imageset of a still."""
    return {"__id__": "ImageSet", "images": [image], **CORRECTIONS}


def _sequence(image: str, index: int) -> tuple[Model, int]:
    """The imageset of one image of a rotation, and the image's number in it.

    DIALS finds a file by a template, in which # stands for the digits of the number: the last ones before a dot.
    """
    digits = list(re.finditer(r"[0-9]+(?=\.[^/]*$|$)", image)) or list(re.finditer(r"[0-9]+(?=[^/]*$)", image))
    if _holds_many(image) or not digits:
        whole = {"single_file_indices": [index]}
        return {"__id__": "ImageSequence", "template": image, **whole, **CORRECTIONS}, index + 1
    start, end = digits[-1].span()
    template = image[:start] + "#" * (end - start) + image[end:]
    return {"__id__": "ImageSequence", "template": template, **CORRECTIONS}, int(image[start:end])


def _holds_many(image: str) -> bool:
    """Whether a file of this name can hold many images."""
    return Path(image).suffix.lower() in _MANY


def _name_from(path: Path, image: str | Path) -> str:
    """Name of an image as the list at ``path`` has it: relative for one in its folder or below, else absolute."""
    full, folder = Path(os.path.abspath(image)), Path(os.path.abspath(path)).parent
    return full.relative_to(folder).as_posix() if full.is_relative_to(folder) else str(full)


def _plain(vector: np.ndarray) -> list[float]:
    return [float(v) for v in vector]
