"""A whole experiment at random, as the words of a command line and the files that it names."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nbnumba.io.fdump import write_fdump
from tests.campaigns.stress.dice import Dice

#: Inner steps that an experiment may take; detectors shrink until they do.
BUDGET = 120_000
#: Inner steps of a large experiment, for which float32 phases are worth their while (``render.cpu.case.FEWEST_STEPS``).
LARGE = 10_500_000
SHAPES = ("-square_xtal", "-square_xtal", "-square_xtal", "-round_xtal", "-gauss_xtal", "-tophat_spots")
CONVENTIONS = ("", "-mosflm", "-denzo", "-adxv", "-xds", "-dials", "custom", "custom")


@dataclass
class Draft:
    """An experiment in the making.

    Attributes
    ----------
    words : list of str
        Of the command line of ``nbnumba run``.
    terms : int
        Inner steps for each pixel, about.
    correct : bool
        Whether the physics is to be the correct one.
    large : bool
        Whether the image is to have :data:`LARGE` steps, of a square crystal.
    compact : bool
        Whether spots have no tails.
    """

    dice: Dice
    folder: Path
    words: list[str] = field(default_factory=list)
    terms: int = 1
    correct: bool = False
    large: bool = False
    compact: bool = False

    def say(self, flag: str, *values: float | str) -> None:
        """Add a flag and its values, real ones with six digits: the command line is the whole truth."""
        self.words += [flag, *(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values)]

    def file(self, name: str) -> Path:
        """Path of a file that the command line names."""
        return self.folder / name


def draw(dice: Dice, folder: Path, large: bool = False) -> list[str]:
    """Words of the command line of a random experiment; its files are written into ``folder``."""
    draft = Draft(dice, folder, correct=dice.chance(0.25), large=large)
    draft.words += ["--physics", "correct"] if draft.correct else []
    wavelength = _beam(draft)
    longest = _crystal(draft, wavelength)
    _scan(draft)
    _sensor(draft)
    ratio = _detector(draft, wavelength, longest)
    _sampling(draft, wavelength, ratio, longest)
    _size(draft)
    _factors(draft, longest / wavelength)
    return draft.words


def _beam(draft: Draft) -> float:
    dice = draft.dice
    wavelength = dice.spread(0.5, 2.5) if dice.chance(0.7) else dice.spread(0.05, 50.0)
    if dice.chance(0.1):
        draft.say("-energy", 12398.42 / wavelength)
    else:
        draft.say("-lambda", wavelength)
    if dice.chance(0.3):
        draft.say("-fluence", dice.spread(1e10, 1e31))
    elif dice.chance(0.1):
        draft.say("-flux", dice.spread(1e6, 1e15))
        draft.say("-beamsize", dice.spread(1e-4, 1.0))
        draft.say("-exposure", dice.spread(1e-6, 100))
    if dice.chance(0.15):
        draft.words.append("-nopolar")
    elif dice.chance(0.6):
        draft.say("-polar", dice.pick((0.0, 1.0, -1.0, dice.real(-1.0, 1.0))))
    _sources(draft, wavelength)
    return wavelength


def _sources(draft: Draft, wavelength: float) -> None:
    dice = draft.dice
    kind = dice.pick(("one", "one", "one", "divergence", "dispersion", "both", "file", "spectrum"))
    if kind == "file":
        rows = []
        for _ in range(dice.whole(1, 6)):
            place = (-10.0, dice.real(-0.5, 0.5), dice.real(-0.5, 0.5))
            rows.append((*place, dice.spread(0.01, 10.0), 1e-10 * wavelength * dice.real(0.8, 1.2)))
        draft.file("sources.txt").write_text("".join(" ".join(f"{x:.8g}" for x in row) + "\n" for row in rows))
        draft.say("-sourcefile", str(draft.file("sources.txt")))
        if dice.chance(0.3):
            draft.words.append("--source-weights")
        draft.terms *= len(rows)
    elif kind == "spectrum":
        rows = [(wavelength * (1 + 0.01 * i), dice.spread(0.01, 1.0)) for i in range(dice.whole(2, 12))]
        draft.file("spectrum.txt").write_text("".join(f"{x:.8g} {weight:.6g}\n" for x, weight in rows))
        draft.say("--spectrum", str(draft.file("spectrum.txt")))
        if dice.chance(0.5):
            draft.say("--spectrum-steps", dice.whole(1, 8))
        draft.terms *= len(rows)
    if kind in ("divergence", "both"):
        across, up = dice.whole(1, 3), dice.whole(1, 3)
        draft.say("-hdivrange", dice.spread(0.01, 100.0))
        draft.say("-vdivrange", dice.spread(0.01, 100.0))
        draft.say("-hdivsteps", across)
        draft.say("-vdivsteps", up)
        draft.words.append(dice.pick(("-round_div", "-square_div", "-square_div")))
        draft.terms *= max(across, 2) * max(up, 2)
    if kind in ("dispersion", "both"):
        steps = dice.whole(1, 5)
        draft.say("-dispersion", dice.spread(0.01, 30.0))
        draft.say("-dispsteps", steps)
        draft.terms *= max(steps, 2)


def _angles(dice: Dice) -> tuple[float, float, float]:
    """Angles of a cell that exists."""
    alpha, beta = dice.real(50.0, 130.0), dice.real(50.0, 130.0)
    low, high = abs(alpha - beta) + 5.0, min(alpha + beta, 360.0 - alpha - beta) - 5.0
    return alpha, beta, low + (high - low) * dice.real(0.02, 0.98)


def _crystal(draft: Draft, wavelength: float) -> float:
    """Returns the longest axis, Å."""
    dice = draft.dice
    low, high = dice.pick(((20.0, 150.0), (20.0, 150.0), (2.0, 10.0), (2.0, 2000.0), (500.0, 2000.0)))
    cell = [dice.spread(low, high) for _ in range(3)]
    angles = dice.pick(((90.0, 90.0, 90.0), (90.0, dice.real(60.0, 120.0), 90.0), _angles(dice), _angles(dice)))
    if dice.chance(0.2):
        turn = np.linalg.qr(np.array([dice.direction(), (0.3, 1.0, 0.2), (0.1, -0.4, 1.0)]))[0]
        matrix = turn @ np.diag(wavelength / np.array(cell)) @ (np.eye(3) + np.diag((dice.real(-0.5, 0.5), 0.1), 1))
        draft.file("A.mat").write_text("\n".join(" ".join(f"{x:.8f}" for x in row) for row in matrix) + "\n")
        if abs(np.linalg.det(np.round(matrix, 8))) < 1e-3 * np.prod(np.linalg.norm(matrix, axis=0)):
            draft.file("A.mat").write_text("0.01 0 0\n0 0.02 0\n0 0 0.015\n")
        draft.say("-mat", str(draft.file("A.mat")))
    else:
        draft.say("-cell", *cell, *angles)
    if dice.chance(0.85):
        draft.say("-misset", *(dice.real(-180.0, 180.0) for _ in range(3)))
    shape = "-square_xtal" if draft.large else dice.pick(SHAPES)
    draft.compact = shape in ("-gauss_xtal", "-tophat_spots")
    draft.words.append(shape)
    most = dice.pick((10, 60, 60, 300, 10_000))
    N = [dice.count(1, most) if dice.chance(0.9) else 1 for _ in "abc"]
    for axis, n in zip("abc", N, strict=True):
        draft.say(f"-N{axis}", n)
    if shape == "-round_xtal" and dice.chance(0.6):
        draft.say("-fudge", dice.spread(1e-3, 1e2))
    elif draft.compact and dice.chance(0.9):
        # spots of a width, in h, that is seen: the reference's radius is scaled by the product of the cells
        scale = max(N) if draft.correct else math.prod(N) / max(cell)
        draft.say("-fudge", (20.0 if shape == "-gauss_xtal" else 0.4) / (scale * dice.spread(1e-2, 0.7)) ** 2)
    if draft.large or dice.chance(0.35):
        domains = dice.count(40, 400) if draft.large and draft.terms < 20 else dice.count(1, 60)
        draft.say("-mosaic", dice.spread(1e-3, 90.0))
        draft.say("-mosaic_domains", domains)
        draft.say("-mosaic_seed", dice.whole(0, 10**6))
        draft.terms *= domains
    return max(cell)


def _scan(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.4):
        steps = dice.whole(1, 8)
        draft.say("-phi", dice.real(-180.0, 180.0))
        draft.say("-osc", dice.spread(1e-3, 30.0))
        draft.say("-phisteps", steps)
        draft.terms *= max(steps, 2)


def _sensor(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.3):
        layers = dice.whole(1, 5)
        draft.say("-detector_thick", dice.spread(1.0, 5000.0))
        if dice.chance(0.8):
            draft.say("-detector_abs", dice.spread(1.0, 1e5))
        draft.say("-detector_thicksteps", layers)
        draft.terms *= max(layers, 2)
    for name, share in (("-point_pixel", 0.1), ("-curved_det", 0.12)):
        if dice.chance(share):
            draft.words.append(name)


def _detector(draft: Draft, wavelength: float, longest: float) -> float:
    """Returns pixel over distance."""
    dice = draft.dice
    distance = dice.spread(40.0, 400.0) if dice.chance(0.6) else dice.spread(1.0, 1e5)
    # from many pixels a spot to many spots a pixel
    if draft.compact or dice.chance(0.8):
        ratio = min(wavelength / longest * dice.spread(0.02 if draft.compact else 1e-3, 3.0), 0.1)
    else:
        ratio = dice.spread(1e-7, 0.1)
    draft.say(dice.pick(("-distance", "-distance", "-close_distance")), distance)
    draft.say("-pixel", ratio * distance)
    convention = dice.pick(CONVENTIONS)
    if convention == "custom":
        for name in dice.pick(
            (("beam",), ("fdet", "sdet"), ("fdet", "sdet", "odet"), ("polar", "twotheta"), ("beam", "polar"))
        ):
            flag = "-twotheta_axis" if name == "twotheta" else f"-{name}_vector"
            base = {"beam": (4, 0, 0), "fdet": (0, 0, 4), "sdet": (0, -4, 0), "odet": (4, 0, 0), "polar": (0, 0, 3)}
            around = base.get(name, (0, 1, 0))
            draft.say(flag, *(b + x for b, x in zip(around, dice.direction(), strict=True)))
        draft.say("-spindle_axis", *dice.direction())
        draft.say("-pivot", dice.pick(("beam", "sample")))
    elif convention:
        draft.words.append(convention)
    if dice.chance(0.5):
        for axis in "xyz":
            draft.say(f"-detector_rot{axis}", dice.real(-50.0, 50.0) if dice.chance(0.8) else 0.0)
    if dice.chance(0.25):
        draft.say("-twotheta", dice.real(-150.0, 150.0))
    far = min(1.5 / ratio, 3000.0)
    centre = dice.pick(("", "", "beam", "beam", "close", "ORG", "pix0"))
    if centre == "pix0" and convention == "custom":
        draft.say("-pix0_vector_mm", distance, distance * dice.real(-1.0, 1.0), distance * dice.real(-1.0, 1.0))
    elif centre == "ORG":
        draft.say("-ORGX", dice.real(-far, far))
        draft.say("-ORGY", dice.real(-far, far))
    elif centre in ("beam", "close"):
        draft.say(f"-X{centre}", dice.real(-far, far) * ratio * distance)
        draft.say(f"-Y{centre}", dice.real(-far, far) * ratio * distance)
    return ratio


def _sampling(draft: Draft, wavelength: float, ratio: float, longest: float) -> None:
    dice = draft.dice
    n = dice.pick((1, 1, 1, 2, 2, 3))
    draft.say("-oversample", n)
    draft.terms *= n * n
    for name in ("thick", "polar", "omega"):
        # 1/m^2 multiplies the sum after every term: beyond all numbers, by the reference's definition
        endless = name == "omega" and "-point_pixel" in draft.words
        if dice.chance(0.06) and not draft.large and not endless:
            draft.words.append(f"-oversample_{name}")
    if dice.chance(0.15):
        draft.say("-dmin", wavelength * dice.spread(0.5, 4.0))
    if dice.chance(0.15):
        draft.say("-water", dice.spread(1e-3, 1e3))
    if dice.chance(0.12) and not draft.large:
        draft.words.append("-interpolate")
    elif draft.large or dice.chance(0.9):
        draft.words.append("-nointerpolate")


def _size(draft: Draft) -> None:
    """Pixels, as many as the budget has room for, a region of them, a mask."""
    dice = draft.dice
    fpixels, spixels = dice.count(4, 48), dice.count(4, 40)
    if draft.large:
        fpixels = math.ceil(math.sqrt(LARGE / draft.terms) * dice.spread(0.5, 2.0))
        spixels = math.ceil(LARGE / draft.terms / fpixels)
    while not draft.large and fpixels * spixels * draft.terms > BUDGET and fpixels * spixels > 16:
        fpixels, spixels = max(4, fpixels * 3 // 4), max(4, spixels * 3 // 4)
    if dice.chance(0.15):
        _mask(draft, fpixels, spixels)
    draft.say("-detpixels_f", fpixels)
    draft.say("-detpixels_s", spixels)
    if dice.chance(0.2) and not draft.large:
        x, y = (sorted((dice.whole(0, n - 1), dice.whole(0, n - 1))) for n in (fpixels, spixels))
        draft.say("-roi", *x, *y)


def _mask(draft: Draft, fpixels: int, spixels: int) -> None:
    rng = np.random.default_rng(draft.dice.whole(0, 10**6))
    header = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\nSIZE1={fpixels};\nSIZE2={spixels};\n}}\f"
    pixels = (rng.random((spixels, fpixels)) < 0.8).astype("<u2")
    draft.file("mask.img").write_bytes(header.encode().ljust(512) + pixels.tobytes())
    draft.say("-mask", str(draft.file("mask.img")))


def _factors(draft: Draft, reach: float) -> None:
    """A box of structure factors that holds some of the indices of the image; ``reach``: largest index, about."""
    dice = draft.dice
    default = dice.pick((0.0 if reach < 6.0 else 5.0, 1.0, 20.0, dice.spread(0.01, 1e4)))
    if dice.chance(0.3):
        draft.say("-dump", str(draft.file("none.bin")))
        draft.say("-default_F", default or 100.0)
        return
    rng = np.random.default_rng(dice.whole(0, 10**6))
    half = math.ceil(min(max(reach, 1.0), 12.0))
    mins = tuple(-dice.whole(0, half) for _ in range(3))
    shape = tuple(dice.whole(1, 2 * half) for _ in range(3))
    grid = rng.uniform(0.0, 300.0, shape) * (rng.random(shape) < dice.pick((1.0, 0.9, 0.3)))
    write_fdump(draft.file("F.bin"), grid, mins)
    draft.say("-dump", str(draft.file("F.bin")))
    draft.say("-default_F", default)
