"""Numbers of the beam that cannot be meant: its wavelengths, divergence, size and photons."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.io.spectrum import EV_A
from nbnumba.model.config import Beam
from nbnumba.model.estimates import brightest
from nbnumba.model.sources import uses_weights

if TYPE_CHECKING:
    from nbnumba.model.experiment import Experiment

Rule = Callable[["Experiment"], str | None]

#: Wavelengths (Å) of diffraction by crystals, 2 to 78 keV; below the last one only electrons are usual.
SHORTEST, LONGEST, ELECTRONS = 0.16, 6.5, 0.04
#: Highest energy of X-ray diffraction (keV), that of the shortest wavelength.
MOST_KEV = 78.0
#: Sizes of a beam (mm): 5 nm to 5 mm.
BEAMSIZES = (5e-6, 5.0)
#: Photons of a spot from which on the default fluence cannot be meant.
TOO_BRIGHT = 1e8


def _wavelength(experiment: Experiment) -> str | None:
    beam = experiment.simulation.beam
    A = beam.wavelength_A
    if SHORTEST <= A <= LONGEST:
        return None
    eV = EV_A / A
    readings = []
    if beam.spectrum is not None and A > LONGEST:
        readings.append(_of_spectrum(A))
    elif 2 <= eV <= MOST_KEV:
        readings.append(f"-energy takes eV: {eV:.4g} keV are {1000 * eV:.6g}")
    elif LONGEST < A <= MOST_KEV:
        readings.append(f"-lambda takes A: {A:.4g} keV are -energy {1000 * A:.6g}")
    if 0.002 <= eV <= 0.15:
        readings.append(f"-energy takes eV: {eV:.4g} MeV are {1e6 * eV:.6g}")
    if 2000 <= A <= 150_000:
        readings.append(f"-lambda takes A: for {A:g} eV give -energy {A:g}")
    for unit, factor in (("m", 1e10), ("nm", 10.0), ("pm", 0.01)):
        if SHORTEST <= A * factor <= LONGEST and not (readings and unit == "pm" and A < 50):
            readings.append(f"-lambda takes A: {A:.4g} {unit} are {A * factor:.4g}")
    if 0.015 < A < ELECTRONS:
        readings.append("electrons, which have such wavelengths, are scattered otherwise than X-rays")
    return f"a wavelength of {A:.4g} A ({eV:.4g} eV) is not one of X-ray diffraction: {_or(readings, 'check -lambda or -energy')}"


def _of_spectrum(A: float) -> str:
    return f"--spectrum takes numbers below 100 as A, others as eV: {A:.4g} keV are {1000 * A:.4g} eV"


def _sources(experiment: Experiment) -> str | None:
    beam, sources = experiment.simulation.beam, experiment.sources
    if beam.sourcefile is None and beam.spectrum is None:
        return None
    A = sources.wavelengths * 1e10
    weights = sources.weights if uses_weights(beam, experiment.simulation.physics) else None
    mean, low, high = float(np.average(A, weights=weights)), float(A.min()), float(A.max())
    if beam.sourcefile is not None and not SHORTEST <= mean <= LONGEST:
        metres = mean / 1e10
        units = (("A", 1e-10), ("nm", 1e-9))
        meant = [
            f", {metres:.4g} {unit} are {metres * x:.4g}" for unit, x in units if 0.5 <= metres * x * 1e10 <= LONGEST
        ]
        return (
            f"the sources of -sourcefile have wavelengths of {metres:.4g} m on average: its last column takes metres"
            f"{meant[0] if meant else ' (1e-10 is 1 A)'}"
        )
    nominal = beam.wavelength_A
    if beam.spectrum is not None and mean > LONGEST >= nominal:
        return f"the spectrum has a mean wavelength of {mean:.4g} A: {_of_spectrum(mean)}"
    if low * 0.9995 <= nominal <= high * 1.0005 and abs(mean / nominal - 1) <= 0.03:
        return None
    what = "--spectrum" if beam.spectrum is not None else "-sourcefile"
    return (
        f"the mean wavelength of {what} is {mean:.5g} A, the nominal one {nominal:.5g} A: leave -lambda out, or give "
        f"-lambda {mean:.5g}"
    )


def _spectrum(experiment: Experiment) -> str | None:
    beam = experiment.simulation.beam
    if 0 < beam.dispersion_percent < 0.006:
        percent = beam.dispersion_percent
        return f"a dispersion of {percent:g} % is narrower than any monochromator's: -dispersion takes percent ({percent:g} is {100 * percent:g} %)"
    for flag, full, number in (
        ("-hdivrange", beam.hdivrange_mrad, beam.hdivsteps),
        ("-vdivrange", beam.vdivrange_mrad, beam.vdivsteps),
    ):
        if (
            full is None
            and (number or 0) > 1
            and max(experiment.sources.hdiv.range, experiment.sources.vdiv.range) >= 1
        ):
            return (
                f"{number} steps of divergence without {flag} are spread over 1 rad (57 degrees): give {flag} in mrad"
            )
        if full and not 0.003 <= full <= 150:
            meant = f"{full:g} rad are {1000 * full:g}" if full < 1 else f"{full:g} urad are {full / 1000:g}"
            return f"a divergence of {full:g} mrad is not one of an X-ray beam: {flag} takes mrad, {meant}"
    return None


def _beamsize(experiment: Experiment) -> str | None:
    beam = experiment.simulation.beam
    mm, (smallest, largest) = beam.beamsize_mm, BEAMSIZES
    if beam.flux <= 0 or smallest <= mm <= largest:
        return None
    unit, meant = ("m", 1000 * mm) if mm < smallest else ("um", mm / 1000)
    return f"the beam is {mm:.4g} mm wide: -beamsize takes mm, {mm:.4g} {unit} are {meant:.4g}"


def _fluence(experiment: Experiment) -> str | None:
    beam = experiment.simulation.beam
    if beam.flux > 0 and beam.exposure_s == 0:
        return f"-exposure is 0 s, and so the fluence is not that of -flux, but {experiment.fluence:.3g} photons/m2: give -exposure (s)"
    if experiment.fluence == 0 or experiment.fluence != Beam.fluence or beam.flux > 0:
        return None
    if experiment.detector.point_pixel or not brightest(experiment) >= TOO_BRIGHT:
        return None
    return (
        f"no -fluence or -flux is given: with the default of {Beam.fluence:.3g} photons/m2 spots have up to "
        f"{brightest(experiment):.0e} photons a pixel; give -flux (photons/s), -exposure (s) and -beamsize (mm)"
    )


def _or(readings: list[str], otherwise: str) -> str:
    return "; or ".join(readings) or otherwise


BEAM: dict[str, Rule] = {
    "wavelength": _wavelength,
    "sources": _sources,
    "spectrum": _spectrum,
    "beamsize": _beamsize,
    "fluence": _fluence,
}
