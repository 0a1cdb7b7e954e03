"""NumPy array: counts of all panels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nbnumba.io.npy import write_npy
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.counts import Counts
from nbnumba.readout.exposure import Exposure


class NumpyImage(Sink):
    """Counts without the offset; -1 where there is no measurement."""

    field = "npy"
    every_panel_flag = "--npy"

    def write(self, path: Path, exposure: Exposure) -> Report:
        write_npy(path, _one_array(exposure.counts))
        return Report((path,))


def _one_array(counts: Counts) -> np.ndarray:
    """(slow, fast) for one panel, (panel, slow, fast) for panels of one size; others below one another."""
    panels = [counts.marked(index) for index in range(len(counts.panels))]
    if len(panels) == 1:
        return panels[0]
    if len({panel.shape for panel in panels}) == 1:
        return np.array(panels)
    width = max(panel.shape[1] for panel in panels)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in panels])
