"""AT-PARALLEL tests of places and orientations, which are properties of one program."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba.inspect.metrics import find_peaks, match_peaks
from tests.acceptance.programs import CUBIC, centroid, factors, facts, peak, render, turned

STILL = f"{CUBIC} -N 5 -oversample 1"


@pytest.mark.parametrize("n", [64, 128, 256, 512, 1024])
def test_parallel_001_default_beam_centre(n, figure):
    """Half a pixel beyond the middle in MOSFLM's convention, and the spot one pixel."""
    flags = f"{CUBIC} -N 3 -lambda 6.2 -detpixels {n} -oversample 1"
    found = facts(flags)
    slow, fast = peak(render(flags))
    if n == 1024:
        figure("AT-PARALLEL-001", f"centre {found['Xbeam_m'] * 1e3:.2f} mm, peak at {slow}, {fast} of {n // 2}")
    assert found["Xbeam_m"] == pytest.approx((n / 2 + 0.5) * 1e-4, rel=1e-12)
    assert max(abs(slow - n / 2), abs(fast - n / 2)) <= 2


def test_parallel_002_pixel_sizes(figure):
    """Peaks in mm are the same for all pixel sizes, in the corner of 12.4 mm that all four images show."""
    flags = "-cell 100 100 100 90 90 90 -default_F 100 -distance 100 -N 5 -lambda 2 -detpixels 256 -oversample 1"
    places, off_centre = {}, 0.0
    for pixel in (0.05, 0.1, 0.2, 0.4):
        whole = f"{flags} -pixel {pixel} -Xbeam 25.6 -Ybeam 25.6"
        corner = render(whole)[: round(12.4 / pixel), : round(12.4 / pixel)]
        # MOSFLM adds half a pixel to the beam centre, which differs in mm
        places[pixel] = find_peaks(corner, np.ones(corner.shape, bool)) * pixel
        off_centre = max(off_centre, abs(facts(whole)["Xbeam_m"] / (pixel * 1e-3) - 25.6 / pixel))
    worst, shares = 0.0, []
    for pixel in (0.1, 0.2):  # a spot is 0.4 mm wide: 0.4 mm pixels do not show its place
        strongest = places[pixel][:15]
        pairs = match_peaks(strongest, places[0.05], pixel)
        shares.append(pairs.n_matched / len(strongest))
        worst = max(worst, pairs.max_distance / pixel)
    figure(
        "AT-PARALLEL-002",
        f"centre {off_centre:.0e} px off; {min(shares):.0%} of 15 peaks within {worst:.2f} px",
    )
    assert off_centre < 0.1 and min(shares) == 1


@pytest.mark.parametrize(
    ("n", "X", "Y"),
    [(256, 20, 20), *((512, X, Y) for X, Y in ((20, 20), (30, 40), (45, 25))), (1024, 30, 40), (1024, 60, 60)],
)
def test_parallel_003_given_beam_centres(n, X, Y, figure):
    """X is the slow coordinate in MOSFLM's convention."""
    slow, fast = peak(render(f"{STILL} -lambda 6.2 -detpixels {n} -Xbeam {X} -Ybeam {Y}"))
    if (n, X) == (1024, 60):
        figure("AT-PARALLEL-003", f"peak at {slow}, {fast} of {X * 10}, {Y * 10}")
    assert abs(slow - X * 10) <= 1 and abs(fast - Y * 10) <= 1
    assert (slow / fast) / (X / Y) == pytest.approx(1, abs=0.02)


def test_parallel_004_half_a_pixel(figure):
    """Between -Xbeam of MOSFLM and the same centre by ORGX of XDS, which takes no -Xbeam."""
    flags = f"{STILL} -lambda 6.2 -detpixels 256"
    mosflm = render(f"{flags} -mosflm -Xbeam 12.8 -Ybeam 12.8")
    xds = render(f"{flags} -xds -ORGX 128.5 -ORGY 128.5")
    apart = centroid(mosflm) - centroid(xds)
    aligned = render(f"{flags} -xds -ORGX 129 -ORGY 129")
    correlation = np.corrcoef(mosflm.ravel(), aligned.ravel())[0, 1]
    ignored = np.abs(render(f"{flags} -xds -Xbeam 25.6 -Ybeam 25.6") - xds).max() / xds.max()
    figure(
        "AT-PARALLEL-004", f"{apart[0]:.3f} and {apart[1]:.3f} px apart; aligned: 1 - correlation {1 - correlation:.0e}"
    )
    assert (apart >= 0.4).all() and (apart <= 0.6).all() and correlation >= 0.9999 and ignored < 1e-6


def test_parallel_005_flags_of_the_beam_centre(figure):
    """The same place in CUSTOM; MOSFLM takes -Xbeam alone, XDS -ORGX alone."""
    flags = f"{CUBIC.replace('-distance 100', '')} -detpixels 256"
    ways = ["-Xbeam 10 -Ybeam 11", "-Xclose 10 -Yclose 11", "-ORGX 100.5 -ORGY 110.5"]
    places = []
    for way in ways:
        found = facts(f"{flags} -spindle_axis 0 0 1 {way}")
        places.append((found["Fbeam_m"], found["Sbeam_m"]))
    off = np.ptp(np.array(places), axis=0).max() / 1e-4
    assert off <= 0.5 and places[0] == pytest.approx((0.010, 0.011), rel=1e-12)
    spots = {
        convention: [round(facts(f"{flags} -{convention} {way}")["Fbeam_m"] * 1e4, 6) for way in ways]
        for convention in ("mosflm", "xds")
    }
    assert spots == {"mosflm": [110.0 + 0.5, 129.0, 129.0], "xds": [128.0, 128.0, 100.0]}
    ignored = max(np.ptp(places) for places in spots.values())
    figure("AT-PARALLEL-005", f"CUSTOM: {off:.0e} px apart; MOSFLM and XDS: up to {ignored:g} px, as they ignore flags")


def test_parallel_006_bragg_angle(folder, figure):
    """The reflection (0,1,0) in reflecting position: b* turned by theta about z."""
    (folder / "one.hkl").write_text("0 1 0 100\n")
    places = {}
    for distance in (50, 100, 200):
        for wavelength in (1.0, 1.5, 2.0):
            theta = np.degrees(np.arcsin(wavelength / 200))
            image = render(
                f"-cell 100 100 100 90 90 90 -hkl one.hkl -nointerpolate -N 20 -pixel 0.1 -detpixels 128 -distance {distance}"
                f" -lambda {wavelength} -misset 0 0 {theta} -Xbeam 6.4 -Ybeam 6.4 -oversample 4"
            )
            found = 64 - centroid(image, 0.3)[0]  # the beam is on the middle of pixel 64; y is up, against slow
            places[distance, wavelength] = found, distance * np.tan(2 * np.radians(theta)) * 10
    off = max(abs(found - wanted) for found, wanted in places.values())
    ratios = [places[d, w][0] / places[50, w][0] / (d / 50) for d in (100, 200) for w in (1.0, 1.5, 2.0)]
    laws = [
        places[d, w][0] / places[d, 1.0][0] / (places[d, w][1] / places[d, 1.0][1])
        for d in (50, 100, 200)
        for w in (1.5, 2)
    ]
    figure(
        "AT-PARALLEL-006",
        f"{off:.2f} px off; distances {max(abs(np.array(ratios) - 1)):.1%}, wavelengths {max(abs(np.array(laws) - 1)):.1%}",
    )
    assert off <= 0.5 and max(abs(np.array(ratios) - 1)) <= 0.02 and max(abs(np.array(laws) - 1)) <= 0.01


@pytest.mark.parametrize(
    "flags", ["-detector_roty 50", "-twotheta 65", "-detector_rotx 10 -detector_roty 46 -twotheta 20"]
)
def test_parallel_017_grazing(flags, figure):
    flags = f"{CUBIC} -N 5 -lambda 1 -detpixels 64 -pixel 2 -oversample 1 {flags}"
    found, image = facts(flags), render(flags)
    axes = np.array([found["fdet_vector"], found["sdet_vector"], found["odet_vector"]])
    off = np.abs(axes @ axes.T - np.eye(3)).max()
    place = factors(flags, (0, 0), (63, 63), (0, 63))
    for pixel in place:
        path, close = pixel["airpath"], pixel["close_distance_meters"]
        off = max(off, abs(pixel["omega_pixel"] / (4e-6 * close / path**3) - 1))
    if "rotx" in flags:
        figure("AT-PARALLEL-017", f"axes and solid angles {off:.0e} off, all {image.size} pixels finite")
    assert off < 1e-12 and np.isfinite(image).all() and (image >= 0).all() and image.any()


def test_parallel_018_boundaries(figure):
    """Whole indices, angles of 0 and 90 degrees: finite, and continuous to each side."""
    worst = 0.0
    for flags in (
        "-misset 0 0 0",
        "-misset 90 0 0",
        "-misset 0 90 90",
        "-phi 0",
        "-phi 90",
        "-detector_rotx 0 -twotheta 0",
    ):
        base = f"{STILL} -lambda 1 -detpixels 128 -Xbeam 6.4 -Ybeam 6.4 {flags}"
        image = render(base)
        assert np.isfinite(image).all() and image.max() > 0
        for angle in (-1e-7, 1e-7):
            words = base.split()
            words[-1] = str(float(words[-1]) + angle)
            worst = max(worst, np.abs(render(" ".join(words)) - image).max() / image.max())
    figure("AT-PARALLEL-018", f"{worst:.0e} of the maximum within 1e-7 degrees")
    assert worst < 1e-6


def test_parallel_021_starts_of_slices(figure):
    """One step of 90 degrees is the still at its start; nine are the mean of nine stills. --physics correct: midpoints."""
    flags = f"{STILL} -lambda 1 -detpixels 128"
    one = render(f"{flags} -phi 0 -osc 90 -phisteps 1")
    start, middle = render(f"{flags} -phi 0"), render(f"{flags} -phi 45")
    nine = render(f"{flags} -phi 0 -osc 90 -phistep 10 -phisteps 9")
    mean = np.mean([render(f"{flags} -phi {phi}") for phi in range(0, 90, 10)], axis=0)
    correct = render(f"{flags} -phi 0 -osc 90 -phisteps 1 --physics correct")
    there = render(f"{flags} -phi 45 --physics correct")
    off = max(np.abs(one - start).max() / start.max(), np.abs(nine - mean).max() / mean.max())
    midway = np.abs(correct - there).max() / there.max()
    apart = np.corrcoef(one.ravel(), middle.ravel())[0, 1]
    figure("AT-PARALLEL-021", f"starts of slices {off:.0e} off; correlation with phi = 45: {apart:.2f}")
    assert off < 1e-6 and midway < 1e-6 and apart < 0.99


def test_parallel_023_misset(figure):
    off = 0.0
    for cell in ("70 80 90 75 85 95", "100 100 100 90 90 90"):
        rest = facts(f"-cell {cell} -default_F 100 -misset 0 0 0 -detpixels 16")
        for angles in ((10.5, 0, 0), (0, 10.25, 0), (0, 0, 9.75), (15, 20.5, 30.25)):
            x, y, z = angles
            found = facts(f"-cell {cell} -default_F 100 -misset {x} {y} {z} -detpixels 16")
            for name in ("a_star_vector", "b_star_vector", "c_star_vector"):
                vector = np.array(rest[name])
                for axis, angle in zip(np.eye(3), np.radians(angles), strict=True):
                    vector = turned(vector, axis, angle)
                off = max(off, np.abs(vector - found[name]).max())
    figure("AT-PARALLEL-023", f"reciprocal vectors {off:.0e} 1/Å off")
    assert off < 1e-16


def test_parallel_024_random_misset(figure):
    flags = f"{STILL} -lambda 1 -detpixels 256"
    images = {seed: render(f"{flags} -misset_seed {seed} -misset random") for seed in (12345, 54321)}
    again = render(f"{flags} -misset_seed 12345 -misset random")
    seeds = np.corrcoef(images[12345].ravel(), images[54321].ravel())[0, 1]
    figure(
        "AT-PARALLEL-024",
        f"same seed: {np.count_nonzero(again != images[12345])} pixels differ; other: correlation {seeds:.2f}",
    )
    assert (again == images[12345]).all() and seeds <= 0.7
