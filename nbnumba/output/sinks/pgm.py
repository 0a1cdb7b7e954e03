"""PGM: grey levels."""

from __future__ import annotations

from pathlib import Path

from nbnumba.io.pgm import write_pgm
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class GreyImage(Sink):
    """8-bit grey levels."""

    field = "pgmfile"
    first_panel = 4

    def write(self, path: Path, exposure: Exposure) -> Report:
        levels, scale = exposure.grey_levels
        write_pgm(path, levels, scale)
        return Report((path,), facts={"pgm_scale": scale})
