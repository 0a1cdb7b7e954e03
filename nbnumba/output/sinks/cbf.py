"""miniCBF: counts of one panel."""

from __future__ import annotations

from pathlib import Path

from nbnumba.model.outputs import Outputs
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class CbfImage(Sink):
    """Counts without the offset; -1 where there is no measurement."""

    field = "cbf"
    first_panel = 6

    def write(self, path: Path, exposure: Exposure) -> Report:
        from nbnumba.io.cbf import write_cbf

        counts = exposure.counts
        write_cbf(path, counts.marked(0), exposure.geometry, counts.saturation, exposure.outputs.gain)
        return Report((path,))

    def has_plain_header(self, outputs: Outputs) -> bool:
        return True
