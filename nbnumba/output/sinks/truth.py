"""Table of the origin of each pixel."""

from __future__ import annotations

from pathlib import Path

from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class TruthTables(Sink):
    """Reflections, Bragg photons and background of all pixels, and a list of spots (HDF5)."""

    field = "truth"

    def write(self, path: Path, exposure: Exposure) -> Report:
        from nbnumba.output.truth import find_truth, write_truth

        write_truth(path, find_truth(exposure.result), exposure.geometry)
        return Report((path,))
