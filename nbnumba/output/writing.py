"""Writing the files of a result: all of them get their names together, or none does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.io.files import together
from nbnumba.model.outputs import Outputs
from nbnumba.output.notes import reader_notes
from nbnumba.output.sinks.table import SINKS
from nbnumba.readout.exposure import Exposure
from nbnumba.render.simulate import Result
from nbnumba.render.threads import thread_safe


@dataclass(frozen=True)
class Written:
    """Files of a run, and the values that were chosen or counted while they were written.

    ``noise`` holds the photons of the noise image, (spixels, fpixels) float32, its pedestal subtracted.
    """

    files: tuple[Path, ...]
    intfile_scale: float
    pgm_scale: float | None = None
    noise_photons: float | None = None
    noise_overloads: int | None = None
    noise_seed: int | None = None
    notes: tuple[str, ...] = ()
    noise: np.ndarray | None = None


@thread_safe
def write_outputs(result: Result, outputs: Outputs) -> Written:
    """Write all requested files, except the record of the command (``outputs.json``).

    Raises
    ------
    FileError
        One of them cannot be written; then none is, and files of the same names are unchanged.
    """
    exposure = Exposure(result, outputs)
    with together():
        wanted = [(sink, path) for sink in SINKS if (path := sink.target(exposure)) is not None]
        reports = [sink.write(path, exposure) for sink, path in wanted]
    files = tuple(path for report in reports for path in report.files)
    notes = tuple(note for report in reports for note in report.notes)
    facts = {key: value for report in reports for key, value in report.facts.items()}
    return Written(files=files, notes=(*notes, *reader_notes(SINKS, exposure)), **facts)
