"""The true models of a series for DIALS: an experiment list (``.expt``) in the frame of its images.

A rotation series is one experiment with a scan, or, if its crystal, beam or spindle differ from image to image, one
experiment for each image; each still is an experiment with a crystal of its own. Vectors are in
the frame of :mod:`nbnumba.model.frames`, so that the file can be compared with the result of ``dials.import``. It
expects the images in its own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbnumba.model.experiment import Experiment
from nbnumba.model.frames import to_imgcif
from nbnumba.output.expt import (
    CORRECTIONS,
    CountRange,
    Models,
    beam_model,
    crystal_model,
    detector_model,
    goniometer_model,
    scan_model,
    still_model,
)
from nbnumba.series.shots import Series


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
    models_of(series, experiments).write(path)


def models_of(series: Series, experiments: Iterator[tuple[int, Experiment]]) -> Models:
    """Content of the file."""
    models, counts = Models(), CountRange.of(series.outputs)
    for number, experiment in experiments:
        turn = to_imgcif(experiment)
        numbers = {
            "beam": models.place("beam", beam_model(experiment, turn)),
            "detector": models.place("detector", detector_model(experiment, turn, counts)),
            "crystal": models.place("crystal", crystal_model(experiment, turn)),
        }
        if series.kind == "rotation":
            # one image if each has models of its own
            images = range(number, number + 1 if series.by_image else series.images + 1)
            numbers |= {
                "goniometer": models.place("goniometer", goniometer_model(experiment, turn)),
                "scan": models.place("scan", scan_model(experiment, images)),
                "imageset": models.place("imageset", _sequence(series)),
            }
        else:
            numbers["imageset"] = models.place("imageset", still_model(series.shot(number).files[0].name))
        models.add(**numbers)
        if series.kind == "rotation" and not series.by_image:
            break
    return models


def _sequence(series: Series) -> dict[str, Any]:
    whole = {"single_file_indices": list(range(series.images))} if series.has_master else {}
    return {"__id__": "ImageSequence", "template": series.template, **whole, **CORRECTIONS}
