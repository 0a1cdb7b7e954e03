"""Dump of the structure factors, for a later run without -hkl."""

from __future__ import annotations

from pathlib import Path

from nbnumba.errors import FileError
from nbnumba.io.fdump import write_fdump
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class StructureFactorDump(Sink):
    """Binary copy of the structure factors of ``hkl``; an error is only a note."""

    def target(self, exposure: Exposure) -> Path | None:
        config = exposure.experiment.simulation.structure_factors
        wanted = config.hkl is not None and config.write_dump and exposure.experiment.structure_factors is not None
        return config.dump if wanted else None

    def write(self, path: Path, exposure: Exposure) -> Report:
        grid = exposure.experiment.structure_factors
        assert grid is not None
        try:
            write_fdump(path, grid.grid, (grid.h_min, grid.k_min, grid.l_min))
        except FileError as error:
            return Report(notes=(f"no dump of the structure factors: {error}",))
        return Report((path,))
