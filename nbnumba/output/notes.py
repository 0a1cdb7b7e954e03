"""Notes for readers of the files of a run that the files cannot hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nbnumba.model.frames import dials_import_words
from nbnumba.output.sinks.sink import Sink
from nbnumba.readout.exposure import Exposure


def reader_notes(sinks: Iterable[Sink], exposure: Exposure) -> list[str]:
    """One sentence for each property that files of the run cannot hold."""
    sinks = tuple(sinks)
    return [*_panel_notes(sinks, exposure), *_dials_notes(sinks, exposure)]


def _panel_notes(sinks: tuple[Sink, ...], exposure: Exposure) -> list[str]:
    """Note about files that have one panel of several."""
    number = len(exposure.result.images)
    held = sorted((sink.first_panel, path) for sink in sinks if (path := _path(sink, exposure)) and sink.first_panel)
    if number == 1 or not held:
        return []
    names = ", ".join(str(path) for _, path in held)
    flags = " or ".join(f"{sink.every_panel_flag} FILE" for sink in sinks if sink.every_panel_flag)
    return [f"{names} hold the first of {number} panels: {flags} hold them all"]


def _dials_notes(sinks: tuple[Sink, ...], exposure: Exposure) -> list[str]:
    """Notes about parameters of ``dials.import``, and about the names of files that DIALS needs."""
    # the last one written comes first
    plain = [
        path for sink in reversed(sinks) if (path := _path(sink, exposure)) and sink.has_plain_header(exposure.outputs)
    ]
    if not plain:
        return []
    notes = []
    if words := dials_import_words(exposure.geometry):
        names, told = " and ".join(map(str, plain)), f"dials.import {' '.join(words)}"
        notes.append(f"the header of {names} cannot describe detector, spindle and polarization; give: {told}")
    unnumbered = [path.name for path in plain if not any(letter.isdigit() for letter in path.name)]
    if unnumbered:
        notes.append(f"DIALS needs a number in the names of images: rename {unnumbered[0]}, for example to image_0001")
    return notes


def _path(sink: Sink, exposure: Exposure) -> Path | None:
    """The file of a sink, or None if it is not written."""
    return exposure.outputs.files.get(sink.field or "")
