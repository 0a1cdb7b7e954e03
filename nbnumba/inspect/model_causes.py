"""Causes of the difference of two images that need the experiment: each is rendered, and compared with the other image.

One of two images is that of an experiment. Each of :data:`CHANGES` makes candidates of what the other program may have done
instead. The candidate nearest to the other image is the cause, if it is that image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nbnumba.inspect.causes import Cause
from nbnumba.inspect.trace import interpolation_state, pixel_record
from nbnumba.kernels.formulas import pixel as record_of
from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.model.editions import edition_of
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.sampling import resolve_scan
from nbnumba.render.background import background_images
from nbnumba.render.dispatch import make_renderer
from nbnumba.render.first_pixel import first_pixel
from nbnumba.render.inputs import KernelInputs, build_inputs, orientations

#: Largest |candidate - image| / |image| (roots of squares) of a candidate that is the image, and the largest share of the
#: difference without it.
SAME, SHARE = 1e-3, 0.1
#: Differing pixels that are named where no cause is known.
NAMED = 3


class Candidate(NamedTuple):
    """What another program may have done: the name of the cause, its sentence, and the inputs that do the same."""

    name: str
    text: str
    inputs: KernelInputs


def explain_by_model(a: np.ndarray, b: np.ndarray, valid: np.ndarray, experiment: Experiment) -> Cause:
    """The known cause of the difference between two images, one of which is that of an experiment.

    Parameters
    ----------
    a, b : (slow, fast) float64
    valid : (slow, fast) bool
        Pixels that count.

    Returns
    -------
    Cause
        Without a name if none of the known ones turns the experiment's image into the other; its text then has the largest
        differences, with their indices.
    """
    inputs = build_inputs(experiment)
    image = _render(experiment, inputs)[valid]
    apart = [float(np.linalg.norm(x[valid] - image) / np.linalg.norm(image)) for x in (b, a)]
    if min(apart) > SAME:
        return Cause("", "no known cause: neither image is that of the flags", False)
    own, other, names = (b, a, ("B", "A")) if apart[0] <= apart[1] else (a, b, ("A", "B"))
    wanted = other[valid]
    size = float(np.linalg.norm(wanted))
    before = float(np.linalg.norm(own[valid] - wanted))
    best: tuple[float, Candidate, float] | None = None
    for candidate in candidates(experiment, inputs):
        image = _render(experiment, candidate.inputs)[valid]
        off = float(np.linalg.norm(image - wanted))
        if off <= SAME * size and off <= SHARE * before and (best is None or off < best[0]):
            best = off, candidate, float(np.abs(image - wanted).max()) / float(np.abs(wanted).max() or 1.0)
    if best is None:
        return Cause("", unexplained(a, b, valid, inputs), False)
    _, candidate, most = best
    text = f"{names[1]} is explained by {candidate.text} (max difference {most:.2g} of the brightest pixel)"
    return Cause(candidate.name, text, True)


def candidates(experiment: Experiment, inputs: KernelInputs) -> Iterator[Candidate]:
    """Everything that is tried, without what would change nothing."""
    for change in CHANGES:
        yield from change(experiment, inputs)


def _editions(experiment: Experiment, inputs: KernelInputs) -> Iterator[Candidate]:
    """The C program's cell at phi = 0, its rule for -oversample_*, and both."""
    physics, sampling = experiment.simulation.physics, experiment.simulation.sampling
    edition = edition_of(physics)
    if not edition.last_values:
        return
    stale = resolve_scan(experiment.simulation.scan, "released")
    meets_zero = bool((stale.cell_phi != stale.phi).any())
    oversampled = sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega
    known = {
        "released": ("phi 0", "the C program's stale cell at phi = 0: --physics released gives its image", meets_zero),
        "reference": ("phi 0", "the mended cell at phi = 0: --physics reference gives its image", meets_zero),
        "upstream": (
            "oversample rule",
            "-oversample_* factors of each term, not of the running sum: --physics upstream gives its image",
            oversampled,
        ),
    }
    for name, (cause, text, matters) in known.items():
        if name == physics or not matters:
            continue
        if physics == "upstream" and oversampled:
            cause = "oversample rule"
            text = f"-oversample_* factors of the running sum, not of each term: --physics {name} gives its image"
        yield Candidate(cause, text, build_inputs(resolve(experiment.simulation.changed(physics=name))))


def _half_step(experiment: Experiment, inputs: KernelInputs) -> Iterator[Candidate]:
    step = experiment.scan.step
    if step == 0 or experiment.scan.osc == 0:
        return
    for sign, word in ((0.5, "later"), (-0.5, "earlier")):
        cells = orientations(experiment, experiment.scan.cell_phi + sign * step)
        text = f"phi steps half a step {word}" + ("; --physics correct centres them" if sign > 0 else "")
        yield Candidate("half a phi step", text, replace(inputs, cells=cells))


def _shifts(experiment: Experiment, inputs: KernelInputs) -> Iterator[Candidate]:
    """Half a pixel and a whole one, along either axis and along both."""
    panel = inputs.panel
    fdet, sdet = (np.array([getattr(panel, f"{axis}_{x}") for x in "xyz"]) for axis in ("fdet", "sdet"))
    steps = [(s, f) for s in (-0.5, 0.0, 0.5) for f in (-0.5, 0.0, 0.5) if (s, f) != (0.0, 0.0)]
    for slow, fast in [*steps, *((2 * s, 2 * f) for s, f in steps)]:
        move = panel.pixel_size * (slow * sdet + fast * fdet)
        moved = {f"pix0_{x}": getattr(panel, f"pix0_{x}") - float(d) for x, d in zip("xyz", move, strict=True)}
        text = f"a shift of the image by {slow:+g} pixels along slow and {fast:+g} along fast: another beam centre"
        yield Candidate("shift", text, replace(inputs, panel=panel._replace(**moved)))


def _light(experiment: Experiment, inputs: KernelInputs) -> Iterator[Candidate]:
    """Water counted otherwise, and the polarization correction on or off."""
    beam = inputs.beam
    if beam.has_water:
        for factor, word in ((2.0, "twice"), (0.5, "half"), (0.0, "not at all")):
            yield Candidate(
                "water", f"water that counts {word}", replace(inputs, beam=beam._replace(I_bg=beam.I_bg * factor))
            )
    word = "the polarization correction" if beam.nopolar else "no polarization correction"
    yield Candidate("polarization", word, replace(inputs, beam=beam._replace(nopolar=1 - beam.nopolar)))


def _indices(experiment: Experiment, inputs: KernelInputs) -> Iterator[Candidate]:
    """Structure factors with exchanged indices, and without or with Friedel mates."""
    F, cell = inputs.Fhkl, inputs.cell
    if not cell.has_hkl:
        return
    least = (cell.h_min, cell.k_min, cell.l_min)
    for order in ((2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)):
        letters = " ".join("hkl"[axis] for axis in order)
        yield Candidate(
            "exchanged indices",
            f"structure factors whose indices are in the order {letters}",
            replace(
                inputs,
                Fhkl=np.ascontiguousarray(F.transpose(order)),
                cell=_moved(cell, F.transpose(order), [least[i] for i in order]),
            ),
        )
    yield Candidate(
        "Friedel mates",
        "structure factors of the opposite indices, -h -k -l",
        replace(
            inputs,
            Fhkl=np.ascontiguousarray(F[::-1, ::-1, ::-1]),
            cell=_moved(cell, F, [-(n + m - 1) for n, m in zip(least, F.shape, strict=True)]),
        ),
    )
    h, k, l = (np.arange(n, n + m) for n, m in zip(least, F.shape, strict=True))
    first = (h[:, None, None] > 0) | (
        (h[:, None, None] == 0) & ((k[None, :, None] > 0) | ((k[None, :, None] == 0) & (l >= 0)))
    )
    by_l = (l > 0) | ((l == 0) & ((h[:, None, None] > 0) | ((h[:, None, None] == 0) & (k[None, :, None] >= 0))))
    for half in (first, ~first, np.broadcast_to(by_l, F.shape), ~np.broadcast_to(by_l, F.shape)):
        kept = np.where(half, F, cell.default_F)
        yield Candidate(
            "Friedel mates", "missing Friedel mates: -h -k -l of half of the reflections", replace(inputs, Fhkl=kept)
        )
    filled = _with_mates(F, cell.default_F, least)
    if filled is not None:
        yield Candidate(
            "Friedel mates",
            "Friedel mates that the list of reflections leaves out",
            replace(inputs, Fhkl=filled[0], cell=_moved(cell, *filled)),
        )


def _moved(cell: CellBlock, F: np.ndarray, least: Sequence[int]) -> CellBlock:
    """The block of a box of structure factors that begins at these indices."""
    sizes = dict(zip(("h_range", "k_range", "l_range"), F.shape, strict=True))
    return cell._replace(h_min=int(least[0]), k_min=int(least[1]), l_min=int(least[2]), **sizes)


def _with_mates(F: np.ndarray, default: float, least: tuple[int, int, int]) -> tuple[np.ndarray, list[int]] | None:
    """A box that holds -h -k -l wherever it holds h k l and not the former, and its least indices; None: nothing is added."""
    most = [max(abs(n), abs(n + m - 1)) for n, m in zip(least, F.shape, strict=True)]
    box = np.full([2 * n + 1 for n in most], default)
    at = tuple(slice(n + big, n + big + m) for n, big, m in zip(least, most, F.shape, strict=True))
    box[at] = F
    mates = box[::-1, ::-1, ::-1]
    filled = np.where(box == default, mates, box)
    return None if np.array_equal(filled, box) else (filled, [-n for n in most])


#: What is tried, cheap and likely causes first.
CHANGES: tuple[Callable[[Experiment, KernelInputs], Iterator[Candidate]], ...] = (
    _editions,
    _half_step,
    _light,
    _shifts,
    _indices,
)


def _render(experiment: Experiment, inputs: KernelInputs) -> np.ndarray:
    """Image of other inputs, (slow, fast) float64."""
    renderer = make_renderer(inputs)
    image = renderer.new_image(experiment.panel.shape)
    renderer.render(image)
    begin = first_pixel(inputs)
    if begin is not None:
        renderer.put(image, begin.slow, begin.fast, begin.value)
    light = background_images(experiment, (inputs,))
    return image.astype(np.float64) + (0.0 if light is None else light[0])


def unexplained(a: np.ndarray, b: np.ndarray, valid: np.ndarray, inputs: KernelInputs) -> str:
    """Sentence about a difference of no known cause: the largest ones, and the reflections there."""
    off = np.where(valid, np.abs(a - b), -math.inf)
    places = np.column_stack(np.unravel_index(np.argsort(-off, axis=None, kind="stable")[:NAMED], off.shape))
    said = []
    for slow, fast in places.tolist():
        _, record = pixel_record(inputs, slow, fast, interpolation_state(inputs, slow, fast)[1])
        terms = record[1 : int(min(record[0, record_of.COUNT], len(record) - 1)) + 1]
        near = ""
        if len(terms):
            strongest = terms[np.argmax((terms[:, record_of.LATT] * terms[:, record_of.F_CELL]) ** 2)]
            h, k, l = (math.ceil(v - 0.5) for v in strongest[record_of.H : record_of.H + 3])
            near = f", hkl {h} {k} {l}"
        said.append(f"slow {slow}, fast {fast} ({a[slow, fast]:.6g} in A, {b[slow, fast]:.6g} in B{near})")
    return f"no known cause; the largest differences: {'; '.join(said)}"
