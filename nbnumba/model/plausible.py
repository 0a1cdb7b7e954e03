"""Numbers that are allowed and cannot be meant: one warning for each, with the likely intention and the flag.

The rules are rows of tables. :data:`nbnumba.model.plausible_numbers.NUMBERS` are about the values of an experiment,
:data:`CONSEQUENCES` about what follows from them, and are asked only where all numbers are plausible; :data:`IMAGES` are about a
rendered image. A rule returns one sentence, or None. :func:`doubts` is called for every image of a series: a rule costs
microseconds, and what needs an array is kept (:mod:`nbnumba.model.estimates`). Rules about flags that leave no trace in the
experiment are in :mod:`nbnumba.model.plausible_flags`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.model.config import Beam
from nbnumba.model.detector import ResolvedPanel
from nbnumba.model.estimates import (
    NARROWEST,
    SAMPLE,
    brightest,
    contributing,
    largest_F,
    reach,
    sampling_error,
    sharpest_spacing,
    spacing,
    spot_width,
)
from nbnumba.model.plausible_beam import Rule
from nbnumba.model.plausible_numbers import NUMBERS

if TYPE_CHECKING:
    from nbnumba.model.experiment import Experiment

#: Cosine of the angle up to which a detector is expected to be hit by the beam: 8 degrees.
UPRIGHT = 0.99
#: Most counts of a pixel of 16 bits.
FULL = 65535
#: Relative error of a spot's photons from which on sub-pixels are recommended: for few orientations, which are judged spot
#: by spot, and for more than this number of them.
SAMPLED_BADLY, AVERAGED_BADLY, FEW = 1.0, 1.8, 2.0


def doubts(experiment: Experiment) -> list[str]:
    """Warnings about the numbers of an experiment; about what follows from them where they are plausible."""
    return _said(NUMBERS, experiment) or _said(CONSEQUENCES, experiment)


def image_doubts(experiment: Experiment, images: Sequence[np.ndarray]) -> list[str]:
    """Warnings about rendered images, one for each panel."""
    return [sentence for rule in IMAGES.values() if (sentence := rule(experiment, images)) is not None]


def too_many_subpixels(experiment: Experiment) -> str | None:
    """Which number of an experiment has asked for more sub-pixels than can be counted, if one cannot be meant."""
    return next(iter(_said(NUMBERS, experiment, ("wavelength", "distance", "pixel", "cell", "size"))), None)


def _said(rules: dict[str, Rule], experiment: Experiment, names: Collection[str] | None = None) -> list[str]:
    """What all rules say, or those of these names."""
    wanted = [rule for name, rule in rules.items() if names is None or name in names]
    return [sentence for rule in wanted if (sentence := rule(experiment)) is not None]


# --- what follows from them ------------------------------------------------------------------------------------------


def _dim(experiment: Experiment) -> str | None:
    background = experiment.simulation.background
    if experiment.detector.point_pixel or background.water_um > 0 or background.is_amorphous:
        return None
    photons = brightest(experiment)
    if not photons < 0.5 or experiment.fluence == 0 or largest_F(experiment) == 0:
        return None
    beam = experiment.simulation.beam
    if beam.flux > 0:
        how = "-flux takes photons/s, -beamsize mm"
    elif beam.fluence != Beam.fluence:
        how = "-fluence takes photons per square metre, not um2 or mm2"
    else:
        how = "check -distance and -pixel (mm), -N and F (electrons)"
    return f"no pixel has more than {photons:.1g} photons with {experiment.fluence:.3g} photons/m2: {how}"


def _beam_misses(experiment: Experiment) -> str | None:
    detector, panels = experiment.simulation.detector, experiment.detector.panels
    beam, panel = experiment.detector.frame.beam, panels[0]
    turned = max(abs(v) for v in (detector.rotx_deg, detector.roty_deg, detector.rotz_deg, detector.twotheta_deg))
    if turned < 45 and all(float(beam @ (panel.pix0 + _middle(panel))) < 0 for panel in panels):
        return "the beam points away from the detector: check -beam_vector, or the axes of the geometry file"
    if len(panels) > 1:
        nearest = math.degrees(reach(experiment).nearest)
        if nearest > 20:
            return f"the beam passes {nearest:.3g} degrees beside the nearest panel: check corner_x, corner_y and clen of the panels"
        return None
    where = (detector.Xbeam_mm, detector.Ybeam_mm, detector.ORGX, detector.ORGY, detector.Xclose_mm, detector.Yclose_mm)
    given = bool(detector.panels) or any(value is not None for value in where)
    # a detector that is turned away from the beam need not be hit by it
    if not given or abs(float(beam @ panel.odet)) < UPRIGHT:
        return None
    F, S, pixel = panel.Fbeam, panel.Sbeam, panel.pixel_size
    if -pixel <= F <= panel.detsize_f + pixel and -pixel <= S <= panel.detsize_s + pixel:
        return None
    return (
        f"the beam misses the detector: it hits its plane at {1000 * F:.4g}, {1000 * S:.4g} mm (fast, slow) from the corner, and "
        f"the detector is {1000 * panel.detsize_f:.4g} x {1000 * panel.detsize_s:.4g} mm; -Xbeam and -Ybeam take mm, -ORGX and "
        "-ORGY pixels"
    )


def _middle(panel: ResolvedPanel) -> np.ndarray:
    middle: np.ndarray = panel.detsize_f / 2 * panel.fdet + panel.detsize_s / 2 * panel.sdet
    return middle


def _reaches_nothing(experiment: Experiment) -> str | None:
    """A detector that is so far away, or a wavelength so short, that it holds no reflection but 0 0 0."""
    longest = 1 / min(experiment.crystal.recip_cell[:3])
    if max(experiment.crystal.N) < 2:
        return None
    shown = spacing(reach(experiment).farthest, experiment.simulation.beam.wavelength_A)
    if shown <= longest:
        return None
    return (
        f"the detector ends at d = {shown:.4g} A, and the crystal has no reflection beyond {longest:.4g} A: check -distance (mm), "
        "-pixel (mm), -lambda (A) and -cell (A)"
    )


def _wide_spots(experiment: Experiment) -> str | None:
    width, panel = abs(spot_width(experiment)), experiment.panel
    size = max(panel.detsize_f, panel.detsize_s)
    if (
        not size < width < math.inf
        or max(experiment.crystal.N) < 2
        or experiment.simulation.structure_factors.interpolate is not None
    ):
        return None
    return f"a spot is {1000 * width:.3g} mm wide, wider than the detector of {1000 * size:.3g} mm: check -N and -cell, -distance and -pixel"


def _oversample(experiment: Experiment) -> str | None:
    sampling = experiment.sampling
    if sampling.automatic:
        return None
    limit = SAMPLED_BADLY if contributing(experiment) <= FEW else AVERAGED_BADLY
    if sampling_error(experiment) <= limit:
        return None
    width = max(abs(spot_width(experiment)) / experiment.panel.pixel_size, NARROWEST)
    return (
        f"spots are {width:.2g} pixels wide and fall between the points where pixels are sampled: -oversample "
        f"{math.ceil(1 / width)} would follow it"
    )


CONSEQUENCES: dict[str, Rule] = {
    "dim": _dim,
    "beam_misses": _beam_misses,
    "reaches_nothing": _reaches_nothing,
    "wide_spots": _wide_spots,
    "oversample": _oversample,
}


# --- images ----------------------------------------------------------------------------------------------------------

#: Rules whose numbers make an image dark or bright.
DARKEN = ("wavelength", "sources", "distance", "pixel", "cell", "centre", "beam_misses", "reaches_nothing")
BRIGHTEN = ("distance", "pixel", "factors", "beamsize", "fluence")


def _dark(experiment: Experiment, images: Sequence[np.ndarray]) -> str | None:
    if any(image.any() for image in images):
        return None
    return f"every pixel is 0: {reason_for_darkness(experiment)}"


def reason_for_darkness(experiment: Experiment) -> str:
    """Why no pixel has a photon, and what to do."""
    simulation = experiment.simulation
    if found := _said(NUMBERS, experiment, DARKEN):
        return found[0]
    if experiment.fluence == 0:
        return "the fluence is 0; give -fluence, or -flux with -exposure"
    if largest_F(experiment) == 0:
        return "all F are 0; check the list of -hkl and -default_F"
    if simulation.mask is not None and not simulation.mask.any():
        return "the mask is 0 everywhere; pixels that are 0 in it are skipped"
    wavelength, angles = simulation.beam.wavelength_A, reach(experiment)
    nearest, farthest = (spacing(angle, wavelength) for angle in (angles.nearest, angles.farthest))
    dmin = simulation.sampling.dmin_A
    if dmin > nearest:
        return f"-dmin {dmin:g} cuts all pixels, whose d is {farthest:.3g} to {nearest:.3g} A; give a smaller one"
    table, default_F = experiment.structure_factors, simulation.structure_factors.default_F
    if table is not None and default_F == 0 and nearest < sharpest_spacing(experiment):
        return (
            f"the list of F ends at {sharpest_spacing(experiment):.3g} A, and the pixels have d from {farthest:.3g} to "
            f"{nearest:.3g} A; give a longer list, -default_F, or another -distance"
        )
    if found := _said(CONSEQUENCES, experiment, DARKEN):
        return found[0]
    return "no reflection diffracts in this orientation; turn the crystal (-misset, -osc)"


def _overloaded(experiment: Experiment, images: Sequence[np.ndarray]) -> str | None:
    bright = total = 0
    for image, (s0, s1, f0, f1) in zip(images, experiment.sampling.slices, strict=True):
        step = max(1, math.isqrt(image.size // SAMPLE))
        part = image[s0:s1:step, f0:f1:step]
        bright, total = bright + int(np.count_nonzero(part > FULL)), total + part.size
    if bright * 2 <= total:
        return None
    simulation, beam = experiment.simulation, experiment.simulation.beam
    share = f"{100 * bright / total:.0f} % of the pixels have more than {FULL} photons"
    if found := _said(NUMBERS, experiment, BRIGHTEN):
        return f"{share}: {found[0]}"
    if simulation.detector.point_pixel:
        return f"{share}: -point_pixel leaves out the solid angle of a pixel"
    if simulation.background.water_um > 0 and not beam.flux:
        return f"{share}: check -water (um) and -fluence (photons/m2)"
    if beam.flux == 0 and beam.fluence == Beam.fluence:
        return f"{share}: no -fluence or -flux is given, and the default is {Beam.fluence:.3g} photons/m2"
    how = "-flux, -exposure and -beamsize (mm)" if beam.flux > 0 else "-fluence (photons/m2)"
    return f"{share} at {experiment.fluence:.3g} photons/m2: check {how}, the number of cells and F"


IMAGES: dict[str, Callable[[Experiment, Sequence[np.ndarray]], str | None]] = {
    "dark": _dark,
    "overloaded": _overloaded,
}
