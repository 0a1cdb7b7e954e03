"""Geometry that differs from image to image of a file: a crystal, a beam or a goniometer at the points of a scan."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from nbnumba.cli.build_geometry import image_geometry_of
from nbnumba.cli.series_flags import SeriesRequest
from nbnumba.errors import ConfigError
from nbnumba.io.geometry import FileGeometry
from nbnumba.model.config import Beam, Simulation
from nbnumba.model.geometry_files import orientation, settings
from nbnumba.series.shots import Changes

log = logging.getLogger("nbnumba")

#: What is not followed: a series has a start and a width of its own.
_OWN = ("scan.phi_deg", "scan.osc_deg", "detector.panels")
#: Most images of a scan that are compared to see whether they differ.
_MOST_SEEN = 200
#: Difference of angles (deg) that is none.
_SAME_DEG = 1e-6


def changes_by_image(request: SeriesRequest, simulation: Simulation) -> tuple[Changes, ...]:
    """Fields of the simulation that the file of ``--geometry`` gives to each image of a series; empty: all are alike.

    Parameters
    ----------
    simulation : Simulation
        That of the first image.

    Raises
    ------
    ConfigError
        The file's scan has fewer images than the series.
    FileError
        The file cannot be read.
    """
    found = image_geometry_of(request.invocation, request.invocation.values.get("input.geometry_image"))
    if found is None or found.images is None:
        return ()
    first = request.invocation.values.get("input.geometry_image") or found.images[0]
    last = found.images[1]

    def changes(number: int) -> Changes:
        return _changes(request, simulation, number)

    start = changes(first)
    # the images of a scan differ smoothly: some of a long one are enough to see it
    seen = sorted({round(number) for number in np.linspace(first, last, min(last - first + 1, _MOST_SEEN))})
    values = [changes(number) for number in seen]
    if all(one == start for one in values):
        return ()
    differing = _differing(*values)
    if reason := _reason(request, simulation, found):
        log.warning(f"in {found.path} {_listed(differing)} from image to image: {reason}")
        return ()
    if first + request.images - 1 > last:
        begins = f" after --geometry-image {first}" if "input.geometry_image" in request.invocation.values else ""
        raise ConfigError(
            f"in {found.path} {_listed(differing)} from image to image, {found.images[0]} to {last}: "
            f"give --images {last - first + 1} or fewer{begins}"
        )
    every = tuple(changes(number) for number in range(first, first + request.images))
    names = {name for one in every for name, value in one if dict(start).get(name) != value}
    return tuple(tuple((name, value) for name, value in one if name in names) for one in every)


def _changes(request: SeriesRequest, simulation: Simulation, number: int) -> Changes:
    """What the file gives to one image, as :func:`nbnumba.cli.build.build` does for a run."""
    given = request.invocation.values
    found = image_geometry_of(request.invocation, number)
    assert found is not None
    wanted: dict[str, Any] = settings(found, given)
    if simulation.beam.spectrum is not None:
        wanted.pop("beam.wavelength_A", None)
    wavelength = wanted.get("beam.wavelength_A", simulation.beam.wavelength_A or Beam.wavelength_A)
    if "input.matrix" not in given:
        wanted["crystal.A_matrix"] = orientation(found, wavelength, given.get("crystal.cell"))
    return tuple((name, value) for name, value in sorted(wanted.items()) if name not in _OWN)


def _differing(*changes: Changes) -> list[str]:
    """What differs, in words."""
    words = {
        "crystal.A_matrix": "the crystal",
        "beam.wavelength_A": "the wavelength",
        "detector.spindle_axis": "the spindle",
    }
    values: dict[str, list[Any]] = {}
    for one in changes:
        for name, value in one:
            values.setdefault(name, []).append(value)
    different = [name for name, found in values.items() if any(value != found[0] for value in found)]
    return list(dict.fromkeys(words.get(name, "the beam") for name in different))


def _listed(names: list[str]) -> str:
    return names[0] + " changes" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} change"


def _reason(request: SeriesRequest, simulation: Simulation, found: FileGeometry) -> str | None:
    """Why the images of a series are not those of the file; None: they are."""
    first = request.invocation.values.get("input.geometry_image") or (found.images or (1,))[0]
    throughout = f"those of image {first} are taken throughout"
    if request.kind == "stills":
        return f"{throughout}, as stills are no scan"
    scan = simulation.scan
    same = (
        abs(scan.phi_deg - (found.phi_deg or 0.0)) < _SAME_DEG
        and abs((scan.osc_deg or 0.0) - (found.osc_deg or 0.0)) < _SAME_DEG
    )
    return None if same else f"{throughout}, as -phi or -osc make other images than those of the file"
