"""Rows of the acceptance tests against the C program, of speed, and of the tool that compares."""

from __future__ import annotations

from tests.acceptance.row import C_FOLLOWED, HOLDS, MISSED, Row

AGREES = "test_against_c.test_agrees_with_the_c_program"
BRIGHTEST = "test_against_c.test_brightest_pixel"


PARALLEL: dict[str, Row] = {
    "AT-PARALLEL-001": Row(
        "default beam centre by the detector's size",
        C_FOLLOWED,
        ("test_parallel_places.test_parallel_001_default_beam_centre", AGREES),
        "MOSFLM's default is half a pixel beyond the middle, and the spot one pixel; within the two pixels of the text.",
    ),
    "AT-PARALLEL-002": Row("pixel sizes", HOLDS, ("test_parallel_places.test_parallel_002_pixel_sizes", AGREES)),
    "AT-PARALLEL-003": Row(
        "given beam centres",
        HOLDS,
        ("test_parallel_places.test_parallel_003_given_beam_centres",),
        "Where the beam is on the detector; X is the slow coordinate.",
    ),
    "AT-PARALLEL-004": Row(
        "half a pixel between MOSFLM and XDS",
        C_FOLLOWED,
        ("test_parallel_places.test_parallel_004_half_a_pixel", AGREES),
        "XDS ignores `-Xbeam`, and 25.6 mm is the edge of 256 pixels; with `-ORGX` for the same place it is half a pixel.",
    ),
    "AT-PARALLEL-005": Row(
        "three ways to give the beam centre",
        C_FOLLOWED,
        ("test_parallel_places.test_parallel_005_flags_of_the_beam_centre",),
        "Equal in CUSTOM only: MOSFLM uses `-Xbeam` alone, XDS `-ORGX` alone.",
    ),
    "AT-PARALLEL-006": Row(
        "Bragg angle of one reflection",
        HOLDS,
        ("test_parallel_places.test_parallel_006_bragg_angle", AGREES),
        "Of (0,1,0), turned into the reflecting position; (1,0,0) lies along the beam.",
    ),
    "AT-PARALLEL-007": Row("rotated detector", HOLDS, (AGREES,), "With `-N 5`: one cell has no peaks."),
    "AT-PARALLEL-008": Row("triclinic pattern", HOLDS, (AGREES,)),
    "AT-PARALLEL-009": Row(
        "powers of N and F",
        C_FOLLOWED,
        ("test_parallel_intensities.test_parallel_009_powers", AGREES),
        "N^6 needs a pixel centre on the reflection. The default beam centre is a corner of pixels, where a larger crystal "
        "loses more; the C program has the same slope.",
    ),
    "AT-PARALLEL-010": Row(
        "solid angle and distance",
        C_FOLLOWED,
        ("test_parallel_intensities.test_parallel_010_solid_angle", AGREES),
        "The law holds for each pixel. It cannot hold for the sum over a detector, since a spot has more pixels at a "
        "larger distance and the detector sees other reflections; the C program has the same sums.",
    ),
    "AT-PARALLEL-011": Row(
        "polarization factor by pixel", HOLDS, ("test_parallel_intensities.test_parallel_011_polarization", AGREES)
    ),
    "AT-PARALLEL-012": Row("four reference patterns", HOLDS, (AGREES,)),
    "AT-PARALLEL-013": Row(
        "the same numbers everywhere",
        HOLDS,
        ("test_parallel_intensities.test_parallel_013_same_bits", AGREES),
        "One machine; images of another processor are those of `tests/golden/`.",
    ),
    "AT-PARALLEL-014": Row(
        "noise keeps means and peaks", HOLDS, ("test_parallel_intensities.test_parallel_014_noise",)
    ),
    "AT-PARALLEL-015": Row("units of input", HOLDS, ("test_parallel_intensities.test_parallel_015_units",)),
    "AT-PARALLEL-016": Row("extreme sizes", HOLDS, (AGREES,)),
    "AT-PARALLEL-017": Row("steep tilts", HOLDS, ("test_parallel_places.test_parallel_017_grazing",)),
    "AT-PARALLEL-018": Row("special orientations", HOLDS, ("test_parallel_places.test_parallel_018_boundaries",)),
    "AT-PARALLEL-020": Row(
        "all effects together", HOLDS, (AGREES,), "With `--physics released`: the scan begins at phi = 0."
    ),
    "AT-PARALLEL-021": Row(
        "phi rotation",
        C_FOLLOWED,
        ("test_parallel_places.test_parallel_021_starts_of_slices", AGREES),
        "A slice is sampled at its start, so that one step of 90 degrees is the still at 0 and not at 45; `--physics "
        "correct` takes the middle. Compared with `--physics released`.",
    ),
    "AT-PARALLEL-022": Row(
        "phi rotation and rotated detector", HOLDS, (AGREES,), "With `--physics released`: the scan begins at phi = 0."
    ),
    "AT-PARALLEL-023": Row("misset angles", HOLDS, ("test_parallel_places.test_parallel_023_misset", AGREES)),
    "AT-PARALLEL-024": Row(
        "random orientation by its seed",
        HOLDS,
        ("test_parallel_places.test_parallel_024_random_misset", AGREES),
        "The seed stands before `-misset random`: after it the C program takes the seed's flag for angles.",
    ),
    "AT-PARALLEL-025": Row("brightest pixel", HOLDS, (BRIGHTEST,)),
    "AT-PARALLEL-026": Row("brightest pixel of a triclinic crystal", HOLDS, (BRIGHTEST,)),
    "AT-PARALLEL-027": Row(
        "uneven structure factors",
        C_FOLLOWED,
        ("test_parallel_intensities.test_parallel_027_squares_of_F", AGREES),
        "Ratios of F^2 hold for each pixel. (1,0,0) and (2,0,0) lie along the beam and are on no detector; their ratio "
        "would be 16, of which the text also says 4.",
    ),
    "AT-PARALLEL-028": Row(
        "speed against the C program",
        HOLDS,
        (),
        "Of the rendering. A whole process takes 0.7 s of one core, most of it for Python and its packages, so that a "
        "single image of this size has a fifth of the C program's throughput. GPU: the row '16 Mpixel, one orientation' "
        "of an H200 in `bench/results/`.",
        "128 Mpixel/s, 17.9 times the C program's 7.15; GPU: 3.4e10 pixels/s",
    ),
    "AT-PARALLEL-029": Row(
        "sub-pixels against aliasing",
        MISSED,
        ("test_parallel_intensities.test_parallel_029_sub_pixels", AGREES),
        "The power above 64 cycles falls to 54 % with 2 sub-pixels a side, where the text wants 50 %, and below that with "
        "4; the C program's images are the same. All other limits hold.",
    ),
}
