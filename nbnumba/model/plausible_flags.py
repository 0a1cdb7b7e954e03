"""Flags that cannot be meant together, or without one another: rules as in :mod:`nbnumba.model.plausible`.

These depend on what is given, which an experiment does not know: a default and the same value given are one to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbnumba.io.spectrum import EV_A
from nbnumba.model.config import Beam

#: Wavelengths (Å) of laboratory sources, whose beam is hardly polarized: Ag, Mo, Ga, Cu, Co, Fe and Cr, K alpha (1, mean, 2 of each).
ANODES = (
    *(0.5594, 0.5608, 0.5638, 0.7093, 0.7107, 0.7136, 1.3401, 1.3414, 1.3440, 1.5406, 1.5418, 1.5444),
    *(1.7889, 1.7902, 1.7929, 1.9360, 1.9373, 1.9400, 2.2897, 2.2910, 2.2936),
)
#: Relative difference up to which a wavelength is that of an anode; longest wavelength (Å) of a synchrotron's crystallography.
SAME, LONGEST = 2e-4, 6.5


def flag_doubts(given: Mapping[str, Any], source: Mapping[str, str]) -> list[str]:
    """Warnings about values that are given, by ``part.field``, with the flag or file that each came from."""
    return [sentence for rule in FLAGS.values() if (sentence := rule(given, source)) is not None]


def _beamsize(given: Mapping[str, Any], source: Mapping[str, str]) -> str | None:
    if not given.get("beam.flux") or "beam.beamsize_mm" in given:
        return None
    return (
        f"{source['beam.flux']} without -beamsize: the photons go through a square of {Beam.beamsize_mm:g} mm, the default; "
        "give -beamsize (mm)"
    )


def _flux(given: Mapping[str, Any], source: Mapping[str, str]) -> str | None:
    """Exposure or size of the beam, where nothing says how many photons there are."""
    if "beam.flux" in given or "beam.fluence" in given:
        return None
    # the beam's size also cuts the crystal, and is the width of a background
    used = (
        any(given.get("crystal.size_mm", ())) or given.get("background.thickness_mm") or given.get("background.air_mm")
    )
    names = ["beam.exposure_s"] + ["beam.beamsize_mm"] * (not used)
    flags = [source[name] for name in names if name in given]
    if not flags:
        return None
    return (
        f"{' and '.join(flags)} without -flux: the fluence stays the default, {Beam.fluence:.3g} photons/m2; "
        "give -flux (photons/s)"
    )


def _polarization(given: Mapping[str, Any], source: Mapping[str, str]) -> str | None:
    file = source.get("detector.convention", "")
    if not file.startswith("--geometry") or "beam.kahn_factor" in given or given.get("beam.nopolar"):
        return None
    wavelength = given.get("beam.wavelength_A", Beam.wavelength_A)
    if wavelength > LONGEST or any(abs(wavelength / line - 1) < SAME for line in ANODES):
        return None
    return (
        f"{file.removeprefix('--geometry ')} does not say how the beam is polarized, and it is taken as unpolarized: at "
        f"{EV_A / wavelength:.5g} eV it is most probably that of a synchrotron or laser; give -polar 0.99, or -polar 0"
    )


FLAGS: dict[str, Callable[[Mapping[str, Any], Mapping[str, str]], str | None]] = {
    "beamsize": _beamsize,
    "flux": _flux,
    "polarization": _polarization,
}


def swapped(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes are those of one detector with fast and slow swapped."""
    return tuple(shape) == tuple(other)[::-1] and shape[0] != shape[1]


#: What an error about two shapes ends with if they are swapped.
SWAPPED = "; fast and slow are swapped: -detpixels_x is fast"
