"""Numbers of an experiment that cannot be meant: the rules of :data:`NUMBERS`.

Lengths and angles in a wrong unit, F that are intensities, numbers of cells that are not given, and the rules about the beam
(:mod:`nbnumba.model.plausible_beam`). Each rule returns one sentence, with the number, the likely intention and the flag, or None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nbnumba.io.values import FTable
from nbnumba.model.estimates import largest_F, sharpest_spacing, spread_of
from nbnumba.model.plausible_beam import BEAM, Rule

if TYPE_CHECKING:
    from nbnumba.model.experiment import Experiment

#: Distances and pixels (mm), edges of cells (Å).
DISTANCES, PIXELS, EDGES = (2.0, 9000.0), (0.002, 3.0), (2.2, 2500.0)
#: Widest detector (mm), thinnest sensor (µm).
LARGEST_DETECTOR, THINNEST = 700.0, 3.0
#: Smallest d (Å) of any list of F, and most electrons in a cubic Å: osmium has 5.4.
SHARPEST, DENSEST = 0.25, 6.0
#: <F^2>/<F>^2 in a shell, and the excess of the fourth moment: above, intensities, and not a list with weak and strong halves;
#: below, square roots of amplitudes, if not all values are equally likely.
INTENSITIES, PEAKED, ROOTS, EQUALLY_LIKELY = 1.75, 1.5, 1.105, -0.7
#: Values of two decimals that are nearly always radians.
FAMOUS = (1.57, 3.14, 6.28)


def _distance(experiment: Experiment) -> str | None:
    mm = abs(experiment.panel.distance) * 1000
    shortest, longest = DISTANCES
    if shortest <= mm <= longest:
        return None
    readings = [
        f"{mm:.4g} {unit} are {mm * factor:.4g}"
        for unit, factor in (("m", 1000.0), ("um", 0.001), ("A", 1e-7))
        if 20 <= mm * factor <= 2000
    ]
    file = " (clen and coffset of a .geom file take metres)" if experiment.simulation.detector.panels else ""
    return f"the detector is {mm:.4g} mm from the crystal: -distance takes mm{file}{_appended(readings)}"


def _pixel(experiment: Experiment) -> str | None:
    mm = experiment.panel.pixel_size * 1000
    smallest, largest = PIXELS
    if smallest <= mm <= largest:
        return None
    readings = [
        f"{mm:.4g} {unit} are {mm * factor:.4g}"
        for unit, factor in (("m", 1000.0), ("um", 0.001))
        if 0.005 <= mm * factor <= largest
    ]
    file = " (res of a .geom file takes pixels per metre)" if experiment.simulation.detector.panels else ""
    return f"the pixels are {mm:.4g} mm wide: -pixel takes mm{file}{_appended(readings)}"


def _size_of_detector(experiment: Experiment) -> str | None:
    detector = experiment.simulation.detector
    if detector.panels or detector.fpixels is not None or detector.detsize_f_mm <= LARGEST_DETECTOR:
        return None
    return f"the detector is {detector.detsize_f_mm:g} mm wide: -detsize takes mm; -detpixels {detector.detsize_f_mm:g} gives pixels"


def _sensor(experiment: Experiment) -> str | None:
    thickness = experiment.simulation.detector.thickness_um
    if not 0 < thickness < THINNEST:
        return None
    return f"a sensor of {thickness:g} um absorbs nothing: -detector_thick takes um, {thickness:g} mm are {1000 * thickness:g}"


def _cell(experiment: Experiment) -> str | None:
    edges, given = experiment.crystal.unit_cell[:3], experiment.simulation.crystal.cell
    if given is not None and len(given) > 3 and max(given[3:]) <= 2.5:
        angles = " ".join(f"{math.degrees(angle):.4g}" for angle in given[3:])
        return f"the angles of the cell are below 3 degrees: -cell takes degrees, not radians: {angles}"
    sharpest = sharpest_spacing(experiment)
    if EDGES[0] <= max(edges) <= EDGES[1] and sharpest >= SHARPEST:
        return None
    said, nm, pm = (listed(edge * factor for edge in edges) for factor in (1.0, 10.0, 0.01))
    if max(edges) < EDGES[0]:
        return f"a cell of {said} A is smaller than an atom: -cell takes A, {said} nm are {nm}"
    if max(edges) > EDGES[1]:
        return f"a cell of {said} A is larger than that of any crystal: -cell takes A, {said} pm are {pm}"
    return (
        f"with a cell of {said} A the list of F ends at {sharpest:.2g} A, which no crystal reaches: -cell takes A "
        f"({said} nm are {nm}), or the list is another crystal's"
    )


def _centre(experiment: Experiment) -> str | None:
    """Beam centre (mm) in pixels or metres; XDS' origin (pixels) in mm."""
    detector, panel = experiment.simulation.detector, experiment.panel
    if detector.panels:
        return None
    pixel, sizes = panel.pixel_size * 1000, (panel.detsize_f * 1000, panel.detsize_s * 1000)
    for names, pair, used in (
        ("-Xbeam and -Ybeam", (detector.Xbeam_mm, detector.Ybeam_mm), experiment.detector.pivot == "BEAM"),
        ("-Xclose and -Yclose", (detector.Xclose_mm, detector.Yclose_mm), experiment.detector.pivot == "SAMPLE"),
    ):
        given = [value for value in pair if value is not None]
        if not given or not used:
            continue
        said = " ".join(f"{value:g}" for value in given)
        if max(given) > min(sizes) and _in_the_middle([value * pixel for value in given], sizes):
            meant = " ".join(f"{value * pixel:.5g}" for value in given)
            return f"{names} take mm, and {said} is off the detector: pixels {said} are {meant}"
        if max(given) < 1 and _in_the_middle([value * 1000 for value in given], sizes):
            meant = " ".join(f"{value * 1000:.5g}" for value in given)
            return f"{names} take mm, and {said} is at the detector's corner: {said} m are {meant}"
    given = [value for value in (detector.ORGX, detector.ORGY) if value is not None]
    middle = [value / pixel / n for value, n in zip(given, (panel.fpixels, panel.spixels), strict=False)]
    if len(given) == 2 and experiment.detector.pivot == "SAMPLE" and all(abs(place - 0.5) < 0.1 for place in middle):
        said, meant = (" ".join(f"{value / by:.5g}" for value in given) for by in (1.0, pixel))
        if max(given) < 0.4 * min(panel.fpixels, panel.spixels):
            return f"-ORGX and -ORGY take pixels, and {said} is far from the detector's middle: {said} mm are {meant} pixels"
    return None


def _in_the_middle(values: Iterable[float], sizes: tuple[float, float]) -> bool:
    return all(0.15 * min(sizes) <= value <= 0.85 * max(sizes) for value in values)


def _angles(experiment: Experiment) -> str | None:
    """Angles in radians: too exact multiples of a degree."""
    simulation = experiment.simulation
    crystal, scan, detector = simulation.crystal, simulation.scan, simulation.detector
    misset = crystal.misset_deg if isinstance(crystal.misset_deg, tuple) else ()
    for flag, values, least in (
        ("-misset", misset, 1.0),
        ("-phi", (scan.phi_deg,), 1.0),
        ("-osc", (scan.osc_deg or 0.0,), 0.05),
        ("-mosaic", (crystal.mosaic_spread_deg or 0.0,), 0.05),
        ("-twotheta", (detector.twotheta_deg,), 1.0),
        ("-detector_rotx, -roty, -rotz", (detector.rotx_deg, detector.roty_deg, detector.rotz_deg), 1.0),
    ):
        if looks_like_radians(values, least):
            return f"{flag} {listed(values)} looks like {listed(map(math.degrees, values))} degrees in radians: it takes degrees"
    if 0 < (scan.osc_deg or 0) < 0.02 and not scan.phistep_deg:
        return f"-osc {scan.osc_deg:g} is a very narrow image: it takes degrees ({scan.osc_deg:g} rad are {math.degrees(scan.osc_deg or 0):.4g})"
    return None


def _mosaic(experiment: Experiment) -> str | None:
    spread, domains = experiment.crystal.mosaic_spread_deg, len(experiment.crystal.umats)
    if 5 <= spread < 60 and domains < 1000:
        return (
            f"a mosaic spread of {spread:g} degrees in {domains} domains is not one of a single crystal: -mosaic takes degrees, "
            f"{spread:g} mrad are {math.degrees(spread / 1000):.3g}"
        )
    if 0 < spread < 0.01 and not looks_like_radians((spread,), 0.05):
        return (
            f"a mosaic spread of {spread:g} degrees is hardly one: -mosaic takes degrees, {spread:g} rad are "
            f"{math.degrees(spread):.3g}"
        )
    return None


def _size(experiment: Experiment) -> str | None:
    crystal = experiment.simulation.crystal
    largest = max(crystal.size_mm)
    edge = max(experiment.crystal.unit_cell[:3]) * 1e-7
    if largest > 2:
        return f"the crystal is {largest:g} mm wide: -xtalsize takes mm, {largest:g} um are {largest / 1000:g}"
    if 0 < largest < edge:
        return f"the crystal is {largest:g} mm wide, less than a cell: -xtalsize takes mm, {largest:g} m are {1000 * largest:g}"
    return None


def _cells(experiment: Experiment) -> str | None:
    given = experiment.simulation.crystal
    if (
        max(experiment.crystal.N) > 1
        or any(given.size_mm)
        or experiment.simulation.structure_factors.interpolate is not None
    ):
        return None
    return "a crystal of one cell has no spots, and -N is 1 unless it is given: give -N 20, or -interpolate if one cell is meant"


def _factors(experiment: Experiment) -> str | None:
    if _cell(experiment) is not None:
        return None
    volume, largest = experiment.crystal.volume, largest_F(experiment)
    table, default_F = experiment.structure_factors, experiment.simulation.structure_factors.default_F
    if largest > DENSEST * volume:
        what = "-default_F" if default_F >= largest else f"the list of F{_from(table)}"
        return (
            f"{what} has an F of {largest:.4g} electrons, more than a cell of {volume:.4g} A3 can hold: intensities are F squared, "
            f"F would be {math.sqrt(largest):.4g}"
        )
    spread = None if table is None else spread_of(table)
    if spread is None or table is None or any("vary like intensities" in note for note in experiment.table_notes):
        return None
    if spread.moment > INTENSITIES and spread.peak > PEAKED:
        return (
            f"the F{_from(table)} are distributed like intensities (<F^2>/<F>^2 is {spread.moment:.2f}, of amplitudes 1.27 to "
            "1.57): -hkl takes amplitudes, the square roots of intensities"
        )
    # only where square roots were taken: other lists may have any distribution
    rooted = any("square root" in note for note in experiment.table_notes)
    if rooted and 1.02 < spread.moment < ROOTS and spread.peak > EQUALLY_LIKELY:
        return (
            f"the F{_from(table)} are distributed like square roots of amplitudes (<F^2>/<F>^2 is {spread.moment:.2f}, of "
            "amplitudes 1.27 to 1.57): amplitudes have been taken for intensities; choose the column with --label"
        )
    return None


def looks_like_radians(values: Sequence[float], least: float) -> bool:
    """Whether all values that are not 0 are whole multiples of ``least`` degrees in radians, to their last decimal.

    Values of few decimals are not: 0.5 is a round number of degrees. The fewer the values and their decimals, the rounder the
    angles have to be, so that less than one in a hundred of all numbers looks like radians by chance.
    """
    angles = [abs(value) for value in values if value]
    if not angles or max(angles) > 2 * math.pi + 0.01 or any(round(angle, 1) == angle for angle in angles):
        return False
    if all(any(abs(angle - known) < 1e-9 for known in FAMOUS) for angle in angles):
        return True
    decimals = min(_decimals(angle) for angle in angles)
    if decimals < 2 or (decimals == 2 and len(angles) < 3):
        return False
    least *= 1 if decimals > 2 and len(angles) > 1 else 5
    return all(_is_multiple(angle, least) for angle in angles)


def _decimals(value: float) -> int:
    return next((n for n in range(12) if abs(round(value, n) - value) < 1e-12), 12)


def _is_multiple(angle: float, least: float) -> bool:
    """Whether an angle (rad) is a multiple of ``least`` (degrees) to its own last decimal."""
    degrees = math.degrees(angle)
    nearest = round(degrees / least) * least
    rounding = math.degrees(0.5 * 10.0 ** -_decimals(angle))
    return nearest > 0 and abs(degrees - nearest) <= max(1.05 * rounding, 1e-6) and rounding < 0.1 * least


def listed(values: Iterable[float]) -> str:
    """Numbers, one after another."""
    return " ".join(f"{value:.4g}" for value in values)


def _appended(readings: list[str]) -> str:
    return f", {' or '.join(readings)}" if readings else ""


def _from(table: FTable | None) -> str:
    return f" of {table.source}" if table is not None and table.source else ""


NUMBERS: dict[str, Rule] = {
    **BEAM,
    "distance": _distance,
    "pixel": _pixel,
    "size_of_detector": _size_of_detector,
    "sensor": _sensor,
    "cell": _cell,
    "centre": _centre,
    "angles": _angles,
    "mosaic": _mosaic,
    "size": _size,
    "cells": _cells,
    "factors": _factors,
}
