"""Raw file of photons."""

from __future__ import annotations

from pathlib import Path

from nbnumba.io.raw import write_float_image
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class FloatImage(Sink):
    """Photons per pixel as 4-byte floats without a header."""

    field = "floatfile"
    first_panel = 1

    def write(self, path: Path, exposure: Exposure) -> Report:
        write_float_image(path, exposure.result.image)
        return Report((path,))
