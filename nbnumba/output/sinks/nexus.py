"""NXmx: counts of all panels, their mask and their position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nbnumba.model.data_layout import Layout
from nbnumba.model.frames import ImageGeometry
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.counts import GAP, Counts
from nbnumba.readout.exposure import Exposure


class NexusImage(Sink):
    """Counts without the offset, with the geometry and the limits that data processing needs."""

    field = "nexus"
    every_panel_flag = "--nexus"

    def write(self, path: Path, exposure: Exposure) -> Report:
        from nbnumba.io.nexus import ValidCounts, write_nexus

        counts, layout = exposure.counts, exposure.geometry.layout
        mask = _mask(counts, layout)
        valid = ValidCounts(saturation=counts.saturation, underload=counts.underload, pixel_mask=mask)
        said = write_nexus(path, layout.arrange(counts.panels, valid.gap), exposure.geometry, valid)
        return Report((path,), (*_notes(path, layout), *said))

    def join(self, path: Path, parts: Sequence[Path], geometry: ImageGeometry) -> None:
        from nbnumba.io.nexus import join_nexus

        join_nexus(path, parts, geometry)


def _mask(counts: Counts, layout: Layout) -> np.ndarray | None:
    """Mask of all panels; None where it would not tell more than the modules do."""
    if any(mask.any() for mask in counts.masks) or any(view.masks for view in layout.views):
        return layout.arrange(counts.masks, GAP)
    # DIALS 3.12 cannot cut a mask for panels that are narrower than the array: gaps alone are no reason for one there
    wide = all(fast == layout.shape[1] for _, fast in layout.sizes)
    return layout.arrange(counts.masks, GAP) if layout.has_gaps and wide else None


def _notes(path: Path, layout: Layout) -> tuple[str, ...]:
    if not layout.shared:
        return ()
    first, second = layout.shared
    return (
        f"panels {first} and {second} of the geometry have the same pixels of the data, or other dimensions: "
        f"{path} has each panel as an array of its own, which the geometry file does not describe",
    )
