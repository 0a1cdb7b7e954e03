"""The true models of a series for DIALS: an experiment list (``.expt``) in the frame of its images.

A rotation series is one experiment with a scan, or, if its crystal, beam or spindle differ from image to image, one
experiment for each image; each still is an experiment with a crystal of its own. Vectors are in
the frame of :mod:`nbnumba.model.frames`, so that the file can be compared with the result of ``dials.import``. It
expects the images in its own folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.io.files import atomic_write
from nbnumba.model.experiment import Experiment
from nbnumba.model.frames import image_geometry, to_imgcif
from nbnumba.model.outputs import Outputs
from nbnumba.series.shots import Series, main_image


def write_models(path: Path, series: Series, experiments: Iterator[tuple[int, Experiment]]) -> None:
    """Write the experiment list.

    Parameters
    ----------
    experiments : iterator of (int, Experiment)
        Number and experiment of every shot; of a rotation series whose models do not change only the first is used.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    content = experiment_list(series, experiments)
    with atomic_write(path) as handle:
        handle.write(f"{json.dumps(content, indent=1)}\n".encode())


def experiment_list(series: Series, experiments: Iterator[tuple[int, Experiment]]) -> dict[str, Any]:
    """Content of the file."""
    lists: dict[str, list[Any]] = {key: [] for key in ("imageset", "beam", "detector", "goniometer", "scan", "crystal")}
    known: dict[str, int] = {}

    def place(kind: str, model: dict[str, Any]) -> int:
        """Number of a model in its list; equal models are listed once."""
        key = kind + json.dumps(model)
        if key not in known:
            known[key] = len(lists[kind])
            lists[kind].append(model)
        return known[key]

    entries = []
    for number, experiment in experiments:
        models = {
            "beam": place("beam", _beam(experiment)),
            "detector": place("detector", _detector(experiment, series.outputs)),
            "crystal": place("crystal", _crystal(experiment)),
        }
        if series.kind == "rotation":
            models |= {
                "goniometer": place("goniometer", _goniometer(experiment)),
                "scan": place("scan", _scan(series, experiment, number)),
                "imageset": place("imageset", _sequence(series)),
            }
        else:
            models["imageset"] = place("imageset", _still(series.shot(number).files[0].name))
        entries.append({"__id__": "Experiment", "identifier": "", **models})
        if series.kind == "rotation" and not series.by_image:
            break
    return {"__id__": "ExperimentList", "experiment": entries, **lists, "profile": [], "scaling_model": []}


def _plain(vector: np.ndarray) -> list[float]:
    return [float(v) for v in vector]


def _beam(experiment: Experiment) -> dict[str, Any]:
    turn, frame, beam = to_imgcif(experiment), experiment.detector.frame, experiment.simulation.beam
    return {
        "__id__": "monochromatic",
        "direction": _plain(-turn @ frame.beam),
        "wavelength": beam.wavelength_A,
        "divergence": 0.0,
        "sigma_divergence": 0.0,
        "polarization_normal": _plain(turn @ np.cross(frame.beam, frame.polar)),
        # dxtbx: share of the intensity in the plane; 1/2 is unpolarized
        "polarization_fraction": 0.5 if beam.nopolar else (1 + beam.kahn_factor) / 2,
        "flux": beam.flux,
        "transmission": 1.0,
        "probe": "x-ray",
    }


def _detector(experiment: Experiment, outputs: Outputs) -> dict[str, Any]:
    panels = []
    detector, readout = experiment.detector, _readout(outputs)
    geometry = image_geometry(experiment)
    for index, panel in enumerate(geometry.panels):
        slow, fast = geometry.layout.corners[index]
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
                "trusted_range": readout["trusted_range"],
                "thickness": detector.thickness * 1000,
                "material": "",
                "mu": detector.mu / 1000,
                "identifier": "",
                "mask": [],
                "gain": readout["gain"],
                "pedestal": readout["pedestal"],
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


def _readout(outputs: Outputs) -> dict[str, Any]:
    """What ``dials.import`` finds in the images: their offset, counts per photon, and the range of measurements."""
    file, files = main_image(outputs), outputs.files
    offset = outputs.pedestal if file in (files.get("noisefile"), files.get("intfile")) else 0
    gain = outputs.gain
    if file == files.get("intfile"):
        gain = outputs.scale if outputs.scale > 0 else 1.0
    largest = outputs.saturation_counts - outputs.pedestal
    return {"pedestal": float(offset), "gain": gain, "trusted_range": [-1.0 - offset, float(largest)]}


def _crystal(experiment: Experiment) -> dict[str, Any]:
    vectors = experiment.crystal.direct @ to_imgcif(experiment).T
    named = dict(zip(("real_space_a", "real_space_b", "real_space_c"), map(_plain, vectors), strict=True))
    return {"__id__": "crystal", **named, "space_group_hall_symbol": " P 1"}


def _goniometer(experiment: Experiment) -> dict[str, Any]:
    identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    axis = _plain(image_geometry(experiment).spindle)
    return {"rotation_axis": axis, "fixed_rotation": identity, "setting_rotation": identity}


def _scan(series: Series, experiment: Experiment, number: int) -> dict[str, Any]:
    """The scan that begins with image ``number``: one image if each has models of its own."""
    geometry, exposure = image_geometry(experiment), experiment.simulation.beam.exposure_s
    numbers = range(number, number + 1 if series.by_image else series.images + 1)
    return {
        "image_range": [numbers[0], numbers[-1]],
        "batch_offset": 0,
        "oscillation": [geometry.phi_deg, geometry.osc_deg],
        "exposure_time": [exposure] * len(numbers),
        "epochs": [exposure * (number - 1) for number in numbers],
        "valid_image_ranges": {},
    }


def _sequence(series: Series) -> dict[str, Any]:
    whole = {"single_file_indices": list(range(series.images))} if series.has_master else {}
    return {"__id__": "ImageSequence", "template": series.template, **whole, **_CORRECTIONS}


def _still(image: str) -> dict[str, Any]:
    return {"__id__": "ImageSet", "images": [image], **_CORRECTIONS}


_CORRECTIONS: dict[str, Any] = {"mask": "", "gain": "", "pedestal": "", "dx": "", "dy": "", "params": {}}
