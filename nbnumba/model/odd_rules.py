"""What the odd rules of an edition do to a run, one sentence for each rule that has an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.model.crystal import RTD
from nbnumba.model.editions import edition_of
from nbnumba.model.sources import uses_weights

if TYPE_CHECKING:
    from nbnumba.model.experiment import Experiment

#: Known only after an image has been rendered.
INTERPOLATION_ENDED = (
    "interpolation went out of range: the reference switches it off for the rest of the image; "
    "--physics correct falls back for each evaluation; -nointerpolate avoids it"
)
#: Degrees by which an angle of the cell is off before it is worth a word.
LEAST_ANGLE = 1e-3


def bites(experiment: Experiment) -> dict[str, list[str]]:
    """Sentences about the rules of the experiment's edition that change its image, by the rules' names."""
    edition = edition_of(experiment.simulation.physics)
    found = {name: list(sentences(experiment)) for name, sentences in _SENTENCES.items() if getattr(edition, name)}
    if not edition.factors_on_sum:
        found["factors_on_sum"] = list(_factors_mended(experiment))
    return {name: sentences for name, sentences in found.items() if sentences}


def _stale_cell(experiment: Experiment) -> Iterator[str]:
    steps = np.flatnonzero(experiment.scan.cell_phi != experiment.scan.phi)
    if len(steps):
        where = ", ".join(str(step + 1) for step in steps)
        yield (
            f"the C program does not rotate the cell at phi = 0: step {where} of {experiment.scan.phisteps} has the cell of the "
            "step before it; --physics reference gives it the unrotated one"
        )


def _oversampled(experiment: Experiment) -> list[str]:
    """Which of the -oversample_* flags have an effect."""
    sampling, names = experiment.simulation.sampling, ("thick", "polar", "omega")
    several = experiment.steps * experiment.detector.layers > 1
    return [name for name in names if getattr(sampling, f"oversample_{name}") and several]


def _factors_on_sum(experiment: Experiment) -> Iterator[str]:
    for name in _oversampled(experiment):
        yield (
            f"the reference's -oversample_{name} multiplies the running sum after every term; "
            "--physics upstream multiplies each term, --physics correct gives every term its own factor"
        )


def _factors_mended(experiment: Experiment) -> Iterator[str]:
    sampling = experiment.simulation.sampling
    if not edition_of(experiment.simulation.physics).last_values:
        if sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega:
            yield "-oversample_* has no effect: with --physics correct every term has its own corrections"
        return
    for name in _oversampled(experiment):
        yield (
            f"-oversample_{name} multiplies each term by its own factor, and not the running sum as the released program does: "
            "their images differ by orders of magnitude; --physics reference gives the latter"
        )


def _water_twice(experiment: Experiment) -> Iterator[str]:
    if experiment.simulation.background.water_um > 0:
        yield (
            f"the reference multiplies water by r_e^2 * fluence twice and divides it by the {experiment.steps} steps; "
            "--physics correct counts it once"
        )


def _product_of_cells(experiment: Experiment) -> Iterator[str]:
    crystal = experiment.crystal
    if crystal.shape in ("gauss", "tophat") and max(crystal.N) > 1:
        yield (
            f"the reference scales the radius of {crystal.shape} spots by Na*Nb*Nc; "
            "--physics correct scales each axis by its own number of cells"
        )


def _layers_at_fronts(experiment: Experiment) -> Iterator[str]:
    detector, given = experiment.detector, experiment.simulation.detector
    if detector.layers > 1 and not experiment.simulation.sampling.oversample_thick:
        yield (
            "the reference multiplies the sum over all sensor layers by the last layer's capture fraction; "
            "--physics correct gives every layer its own"
        )
    if detector.thickness > 0 and given.thicksteps:
        layers = detector.layers
        yield (
            f"the reference spaces {layers} sensor layers by thickness/{layers - 1}, as if the sensor were "
            f"{given.thickness_um * layers / (layers - 1):g} um thick; --physics correct spaces them by thickness/{layers}"
        )


def _oblique_angles(experiment: Experiment) -> Iterator[str]:
    crystal = experiment.simulation.crystal
    if crystal.cell is None or crystal.A_matrix is not None:
        return
    angles = crystal.cell[3:]
    wanted = np.array((*angles, *(90.0,) * (3 - len(angles))))
    got = np.array(experiment.crystal.unit_cell[3:])
    if np.abs(got - wanted).max() > LEAST_ANGLE:
        said, made = (" ".join(f"{v:.4g}" for v in angles) for angles in (wanted, got))
        yield f"the reference's -cell turns the angles {said} into {made}; --physics correct keeps them"


def _equal_sources(experiment: Experiment) -> Iterator[str]:
    beam = experiment.simulation.beam
    weights = experiment.sources.weights
    if beam.sourcefile is not None and not uses_weights(beam, experiment.simulation.physics) and np.ptp(weights) > 0:
        yield "the reference ignores the weights in the source file; --physics correct uses them"


def _starts_of_slices(experiment: Experiment) -> Iterator[str]:
    scan = experiment.scan
    if scan.step > 0:
        yield (
            f"the reference's {scan.phisteps} phi steps start at the frame's edge, half a step ({scan.step * RTD / 2:.4g} deg) "
            "before the middle; --physics correct centres them"
        )


def _forgets_size(experiment: Experiment) -> Iterator[str]:
    given, crystal = experiment.simulation.crystal, experiment.crystal
    chosen = experiment.interpolate and experiment.interpolation_choice == "tricubic"
    if chosen and any(given.size_mm) and min(crystal.N) > 2:
        yield (
            f"the reference interpolates F, as -N is {min(given.Na, given.Nb, given.Nc)}, although the size in mm makes "
            f"{crystal.Na} x {crystal.Nb} x {crystal.Nc} cells: this takes some 100 times longer; -nointerpolate or "
            "--physics correct avoids it"
        )


_SENTENCES: dict[str, Callable[[Experiment], Iterator[str]]] = {
    "stale_cell": _stale_cell,
    "oblique_angles": _oblique_angles,
    "layers_at_fronts": _layers_at_fronts,
    "equal_sources": _equal_sources,
    "starts_of_slices": _starts_of_slices,
    "water_twice": _water_twice,
    "product_of_cells": _product_of_cells,
    "factors_on_sum": _factors_on_sum,
    "forgets_size": _forgets_size,
}
