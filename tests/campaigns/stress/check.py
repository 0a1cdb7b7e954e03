"""One experiment through every kernel that may render it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.kernels.cpu.trace import record_pixel
from nbnumba.kernels.formulas.blocks import GAUSS, TOPHAT
from nbnumba.kernels.formulas.pixel import COLUMNS
from nbnumba.model.experiment import resolve
from nbnumba.render.backend import Plan
from nbnumba.render.dispatch import make_plan, renderer_of
from nbnumba.render.inputs import KernelInputs, build_inputs

#: Images whose brightest pixel is below the first hold no normal float32, above the second infinite ones.
FAINTEST, BRIGHTEST = 1e-36, 3e38
#: Largest error of each kernel over the brightest pixel. The definition's is wider where its own last bits decide.
LIMITS = {"fast32": 2e-6, "fast64": 2e-6, "spots": 2e-6, "double": 1e-7, "definition": 1e-11}
UNCERTAIN = 8
#: Pixels that are computed one by one, by the definition of the sum.
DEFINED = 24


@dataclass
class Verdict:
    """What became of an experiment.

    Attributes
    ----------
    errors : dict
        Largest difference over the brightest pixel, by name of the kernel.
    uncertain : float
        How far the definition itself is, by the last bits of float64, in the same measure.
    problems : list of str
        What is not finite, or not black where it must be.
    """

    errors: dict[str, float] = field(default_factory=dict)
    uncertain: float = 0.0
    problems: list[str] = field(default_factory=list)
    kernel: str = ""


def is_beyond(verdict: Verdict, kernel: str) -> bool:
    """Whether a kernel is farther off than it may be."""
    more = UNCERTAIN * verdict.uncertain if kernel == "definition" else 0.0
    return not verdict.errors[kernel] <= LIMITS[kernel] + more


def prepare(words: list[str]) -> KernelInputs:
    """Arguments of the kernels for a command line."""
    return build_inputs(resolve(build(parse(words))[0]))


def render(inputs: KernelInputs, plan: Plan, kind: type = np.float32) -> np.ndarray:
    """Image of a plan; whole panel, black outside the region."""
    rows = inputs.panel.s1 if not inputs.mask.size else max(inputs.panel.s1, inputs.mask.shape[0])
    image = np.zeros((rows, inputs.panel.fpixels), kind)
    renderer_of(inputs, plan).render(image)
    return image


def plans(inputs: KernelInputs) -> Iterator[tuple[str, Plan]]:
    """The fast kernels that ``auto`` takes for these inputs, and the other one that could."""
    plan = make_plan(inputs, "cpu", "auto")
    if plan.kernel == "general":
        return
    yield plan.kernel, plan
    if inputs.crystal.shape in (GAUSS, TOPHAT) and plan.kernel == "spots":
        yield "fast64", Plan("cpu", "fast64", (8, 8), "the tiles' way")


def difference(image: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest value."""
    return float(np.abs(image - expected).max(initial=0.0) / expected.max(initial=FAINTEST))


def dropped(inputs: KernelInputs, kernel: str) -> float:
    """Photons below which an image is not compared: tails that a kernel of compact spots leaves out, by its own rule.

    Spots end at 1e-12 of a Gaussian spot's peak (``spots_shell.SPOT_END``), tiles far below: an image may not be made of
    nothing but what lies beyond, in all its terms.
    """
    if inputs.crystal.shape not in (GAUSS, TOPHAT) or kernel == "double":
        return FAINTEST
    panel, crystal = inputs.panel, inputs.crystal
    F = max(abs(inputs.cell.default_F), np.abs(inputs.Fhkl).max())
    omega = 1.0 if panel.point_pixel else panel.pixel_size**2
    peak = (F * crystal.Na * crystal.Nb * crystal.Nc) ** 2 * omega / panel.close_distance**2
    share = 1e-12 / LIMITS["spots"] if kernel == "spots" else 1e-22
    return max(FAINTEST, share * inputs.beam.scale * inputs.steps_per_pixel * peak)


def judge(inputs: KernelInputs, rng: np.random.Generator) -> Verdict:
    """Hold every kernel against the general one in float64, and that against the sum's definition."""
    verdict = Verdict()
    double = make_plan(inputs, "cpu", "double")
    exact = render(inputs, double, np.float64)
    if not np.isfinite(exact).all():
        verdict.problems.append("general is not finite")
        return verdict
    if exact.min() < 0.0:
        verdict.problems.append(f"general is negative: {exact.min():.2g}")
    largest = exact.max()
    verdict.errors["definition"], verdict.uncertain = define(inputs, exact, rng)
    if largest > BRIGHTEST:
        return verdict
    images = {"double": render(inputs, double)}
    for name, plan in plans(inputs):
        images[name] = render(inputs, plan)
        verdict.kernel = verdict.kernel or name
    for name, image in images.items():
        if not np.isfinite(image).all():
            verdict.problems.append(f"{name} is not finite")
        elif largest >= (floor := dropped(inputs, name)):
            verdict.errors[name] = difference(image, exact)
        elif image.max() > 2 * floor:
            verdict.problems.append(f"{name} is not black: {image.max():.2g}")
    return verdict


def define(inputs: KernelInputs, image: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Difference of an image from the definition, and how far the definition itself is uncertain.

    Some pixels are looked at, or all where interpolation may end on the way. Uncertain: the largest change of a pixel
    when the last bits of the cell's and the beam's vectors change, which is what one rounding more or less is worth.
    """
    panel = inputs.panel
    s, f = (x.ravel() for x in np.mgrid[panel.s0 : panel.s1, panel.f0 : panel.f1])
    if inputs.mask.size:
        seen = inputs.mask[s, f] != 0
        s, f = s[seen], f[seen]
    if not inputs.cell.interpolate and len(s) > DEFINED:
        chosen = rng.choice(len(s), DEFINED, replace=False)
        s, f = s[chosen], f[chosen]
    if image.max(initial=0.0) < FAINTEST:
        return 0.0, 0.0
    values = pixel_by_pixel(inputs, s, f)
    moved = 0.0
    for _ in range(4):
        cells = inputs.cells * (1.0 + 2.0**-52 * rng.choice((-1.0, 1.0), inputs.cells.shape))
        sources = inputs.sources.copy()
        sources[:, :3] += 2.0**-53 * rng.choice((-1.0, 1.0), sources[:, :3].shape)
        other = pixel_by_pixel(replace(inputs, cells=cells, sources=sources), s, f)
        moved = max(moved, difference(other, values))
    return difference(image[s, f], values), moved


def pixel_by_pixel(inputs: KernelInputs, s: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Values of pixels in raster order, each by the definition of the sum."""
    record, interpolating, values = np.zeros((1, COLUMNS)), inputs.cell.interpolate, np.zeros(len(s))
    blocks = (inputs.panel, inputs.crystal, inputs.cell, inputs.beam)
    for i in range(len(s)):
        values[i], interpolating = record_pixel(
            record, s[i], f[i], *blocks, inputs.sources, inputs.cells, inputs.Fhkl, interpolating, inputs.cells
        )
    return values
