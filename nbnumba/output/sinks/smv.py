"""SMV: the scaled integer image, and the image with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nbnumba.io.smv import SmvGeometry, write_smv
from nbnumba.model.crystal import RTD
from nbnumba.model.experiment import Experiment
from nbnumba.model.outputs import SATURATION_16, Outputs
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.readout.exposure import Exposure


class IntegerImage(Sink):
    """Photons, scaled and rounded."""

    field = "intfile"
    first_panel = 2

    def write(self, path: Path, exposure: Exposure) -> Report:
        counts, scale = exposure.integer
        outputs = exposure.outputs
        write_smv(path, counts, smv_geometry(exposure.experiment, scale), outputs.adc_offset, outputs.smv)
        return Report((path,), facts={"intfile_scale": scale})

    def has_plain_header(self, outputs: Outputs) -> bool:
        # if there is an image with noise, data processing uses that one
        return outputs.smv == "adsc" and not outputs.has_noise


class NoiseImage(Sink):
    """Counts with noise."""

    field = "noisefile"
    first_panel = 3

    def write(self, path: Path, exposure: Exposure) -> Report:
        outputs, frame = exposure.outputs, exposure.frames[0]
        counts = np.minimum(frame.counts, SATURATION_16).astype(np.uint16)
        write_smv(path, counts, smv_geometry(exposure.experiment, outputs.gain), outputs.adc_offset, outputs.smv)
        facts = {
            "noise_photons": frame.photons,
            "noise_overloads": frame.overloads,
            "noise_seed": exposure.seed,
            "noise": exposure.noisy_photons,
        }
        return Report((path,), facts=facts)

    def has_plain_header(self, outputs: Outputs) -> bool:
        return outputs.smv == "adsc"


def smv_geometry(experiment: Experiment, gain: float = 1.0) -> SmvGeometry:
    """Values of the SMV header for the first panel; ``gain`` in counts per photon."""
    panel = experiment.panel
    return SmvGeometry(
        fpixels=panel.fpixels,
        spixels=panel.spixels,
        pixel_mm=panel.pixel_size * 1000,
        distance_mm=panel.distance * 1000,
        wavelength_A=experiment.simulation.beam.wavelength_A,
        xbeam_mm=panel.Xbeam * 1000,
        ybeam_mm=panel.Ybeam * 1000,
        fbeam_mm=panel.Fbeam * 1000,
        sbeam_mm=panel.Sbeam * 1000,
        detsize_s_mm=panel.detsize_s * 1000,
        dials_origin_mm=panel.dials_origin_mm,
        orgx=panel.ORGX,
        orgy=panel.ORGY,
        close_distance_mm=panel.close_distance * 1000,
        phi_deg=experiment.scan.start * RTD,
        osc_deg=experiment.scan.osc * RTD,
        twotheta_deg=experiment.detector.twotheta_deg,
        exposure_s=experiment.simulation.beam.exposure_s,
        gain=gain,
    )
