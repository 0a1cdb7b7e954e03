"""NXmx: counts of all panels, their mask and their position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nbnumba.model.frames import ImageGeometry
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.counts import GAP
from nbnumba.readout.exposure import Exposure


class NexusImage(Sink):
    """Counts without the offset, with the geometry and the limits that data processing needs."""

    field = "nexus"
    every_panel_flag = "--nexus"

    def write(self, path: Path, exposure: Exposure) -> Report:
        from nbnumba.io.nexus import ValidCounts, stack_panels, write_nexus

        counts = exposure.counts
        # no mask if all pixels are valid: DIALS 3.12 cannot split one for panels of different widths
        mask = stack_panels(counts.masks, GAP) if any(mask.any() for mask in counts.masks) else None
        valid = ValidCounts(saturation=counts.saturation, underload=counts.underload, pixel_mask=mask)
        write_nexus(path, stack_panels(counts.panels), exposure.geometry, valid)
        return Report((path,))

    def join(self, path: Path, parts: Sequence[Path], geometry: ImageGeometry) -> None:
        from nbnumba.io.nexus import join_nexus

        join_nexus(path, parts, geometry)
