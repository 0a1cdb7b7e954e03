"""Editions of the physics: sets of odd rules of the C program, one table for all of them.

The code asks ``edition_of(physics)`` for a rule. docs/quirks.md is generated from the table by ``docs/make_quirks.py``.
What the rules say about a run is in :mod:`nbnumba.model.odd_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

Physics = Literal["released", "reference", "upstream", "correct"]
PHYSICS: tuple[str, ...] = get_args(Physics)


@dataclass(frozen=True)
class Edition:
    """Whether each odd rule of the C program holds; :data:`RULES` describes them.

    Attributes
    ----------
    name : str
    what : str
        One line for users.
    """

    name: str
    what: str
    stale_cell: bool = True
    factors_on_sum: bool = True
    last_values: bool = True
    layers_at_fronts: bool = True
    oblique_angles: bool = True
    water_twice: bool = True
    equal_sources: bool = True
    ends_interpolation: bool = True
    starts_of_slices: bool = True
    product_of_cells: bool = True
    forgets_size: bool = True


@dataclass(frozen=True)
class Rule:
    """An odd rule of the C program.

    Attributes
    ----------
    name : str
        Field of :class:`Edition`.
    title : str
    program, instead : str
        Formula, or text, where the rule holds and where it does not; Markdown.
    text : str
        What else there is to say, golden cases included; Markdown.
    """

    name: str
    title: str
    program: str
    instead: str
    text: str


RULES = (
    Rule(
        "stale_cell",
        "The cell at phi 0",
        "a step whose phi is exactly 0 takes the cell of the step before it, in the order of the loops; at the first step that "
        "is the last step of the source, sub-pixel or pixel before. Only the very first term of the image has the unrotated cell",
        "a step at phi = 0 has the unrotated cell",
        "The C program rotates the cell only if phi is not 0, into variables that keep their values. With `-phi 0`, its default, "
        "every sum of several phi steps has its first step at the wrong end of the slice. With threads each has a first term of "
        "its own; nbnumba has the order of one thread. The golden images of `phi_steps_only`, `phi_step_only` and "
        "`phi_osc_steps_zero` have the cell mended, those named `released_*` have it as released.",
    ),
    Rule(
        "factors_on_sum",
        "The oversample flags",
        "`I += F_cell^2 F_latt^2; I *= factor` for each term",
        "`I += F_cell^2 F_latt^2 factor`, in `upstream`; in `correct` these flags have no effect, as every term has all of its own "
        "factors",
        "For m terms of equal size t and a constant factor x the C program gives `t (x + x^2 + ... + x^m)` instead of `m t x`: "
        "with `-oversample_omega` all terms but the last few are lost, and images of the two editions differ by orders of magnitude. "
        "Water, with which the sum begins, is multiplied as well in the C program, and never in `upstream`. "
        "`-oversample_polar` also brings back the polarization that `-nopolar` switched off, in both. Cases: `oversample_polar`, "
        "`oversample_omega`, `oversample_all`, `det_thick_oversample_thick`, `quirk_nopolar_oversample_polar`, `polar_kahn`.",
    ),
    Rule(
        "last_values",
        "Corrections",
        "pixel = r_e^2 fluence / steps * I * capture_fraction * polar * omega, with I = SUM F_cell^2 F_latt^2 and the three values "
        "of the variables when the loops end ([last values](physics.md#one-pixel))",
        "pixel = r_e^2 fluence / steps * SUM w capture_fraction polar omega F_cell^2 F_latt^2, each factor that of its own layer, "
        "sub-pixel and source",
        "There is no warning about the use of one value per pixel as such: it applies to nearly every run, and changes little for "
        "small pixels.",
    ),
    Rule(
        "layers_at_fronts",
        "Sensor layers",
        "layer_step = t / (n - 1) if n layers are given, t/2 for the automatic two; layer j diffracts at depth j layer_step; the sum "
        "over all layers is multiplied by the last layer's capture fraction",
        "layer_step = t / n; layer j diffracts at depth (j + 1/2) layer_step; each layer has its own capture fraction",
        "In both `capture_fraction = exp(-j layer_step mu / parallax) - exp(-(j + 1) layer_step mu / parallax)`. Cases: "
        "`det_thick_auto`, `det_thick_abs_steps`.",
    ),
    Rule(
        "oblique_angles",
        "The cell as given",
        "c\\*_z = \\|c\\*\\| V / (a b c sin gamma\\*)",
        "c\\*_z = 1 / (V \\|a\\*\\| \\|b\\*\\| sin gamma\\*)",
        "The two agree unless all three angles are oblique. Cases: `cell_triclinic_flag`, `mask`, `img_header`, "
        "`quirk_img_close_distance`.",
    ),
    Rule(
        "water_twice",
        "Water once",
        "pixel gets (r_e^2 fluence)^2 W / steps * capture_fraction * polar * omega, and nothing where `-dmin` cuts every source",
        "pixel gets r_e^2 fluence W * mean(w capture_fraction polar omega), the mean over sources and sub-pixels, layers added, "
        "everywhere",
        "W is the squared scattering of all molecules, `2.57^2 size^3 1e6 N_A / 18`. Cases: `water_background`, `quirk_water_dmin`.",
    ),
    Rule(
        "equal_sources",
        "Source weights",
        "every source counts 1",
        "source i counts w_i / mean(w)",
        "The wavelengths of a source file are used in both. Cases: `sourcefile_full`, `sourcefile_partial`.",
    ),
    Rule(
        "ends_interpolation",
        "Interpolation",
        "F_cell = tricubic(h, k, l) until the first evaluation out of range, in the order of the loops; nearest(h, k, l) from that "
        "one on, to the end of the run",
        "F_cell = tricubic(h, k, l) in range, nearest(h, k, l) out of range, for each evaluation",
        "Cases: `quirk_interp_falls_out`, `quirk_xtalsize_auto_interpolation`.",
    ),
    Rule(
        "starts_of_slices",
        "Phi at midpoints",
        "phi_n = phi + n step, n = 0 ... phisteps - 1",
        "phi_n = phi + (n + 1/2) step",
        "The C program samples each slice at its start, so the mean orientation of a frame is half a step early. Cases: "
        "`phi_osc_only`, `phi_steps_only`.",
    ),
    Rule(
        "product_of_cells",
        "Radius of Gaussian and top-hat spots",
        "r^2 = \\|dh a\\* + dk b\\* + dl c\\*\\|^2 (Na Nb Nc)^2, a\\* in 1/Å",
        "r^2 = (Na dh)^2 + (Nb dk)^2 + (Nc dl)^2",
        "In the C program the width of a spot depends on the product of the three numbers of cells and on the unit of length. Cases: "
        "`shape_gauss_fudge`, `shape_tophat`, `shape_gauss_phi_mosaic`.",
    ),
    Rule(
        "forgets_size",
        "Interpolation of a crystal with a size",
        "F is interpolated if -N, -Na, -Nb or -Nc is 1 or 2, 1 being the default, although -xtalsize replaces them",
        "F is interpolated if the crystal has 1 or 2 cells along an axis",
        "The C program decides before it counts the cells of a size in mm. A large crystal with interpolated F has nearly the "
        "same spots, and takes some hundred times longer, as no fast kernel can render it. Case: `quirk_xtalsize_auto_interpolation`.",
    ),
)

_RELEASED = Edition("released", "the C program as released, to the last digit of each pixel")
_NONE: dict[str, bool] = {entry.name: False for entry in fields(Edition) if entry.name not in ("name", "what")}
#: By name, nearest to the C program first.
EDITIONS: dict[str, Edition] = {
    edition.name: edition
    for edition in (
        _RELEASED,
        replace(_RELEASED, name="reference", what="the C program with the cell at phi = 0 mended", stale_cell=False),
        replace(
            _RELEASED,
            name="upstream",
            what="the C program with its three proposed corrections: the cell at phi = 0, -oversample_* factors of each term, "
            "-curved_det as the last word",
            stale_cell=False,
            factors_on_sum=False,
        ),
        Edition("correct", "without any of the odd rules", **_NONE),
    )
}


def edition_of(physics: str) -> Edition:
    """The edition of this name, one of :data:`PHYSICS`."""
    return EDITIONS[physics]
