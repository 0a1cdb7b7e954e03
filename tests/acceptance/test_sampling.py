"""Acceptance tests of steps, corrections of a pixel, absorption, polarization and water."""

from __future__ import annotations

import numpy as np

from tests.acceptance.programs import CUBIC, directions, experiment, factors, render

#: 64 large pixels near the detector, whose sub-pixels differ in solid angle and polarization.
COARSE = "-cell 30 30 30 90 90 90 -default_F 100 -N 5 -distance 30 -pixel 2 -detpixels 16 -lambda 1"


def test_sam_001_steps_divide_the_sum(figure):
    flags = f"{CUBIC} -N 5 -lambda 1 -detpixels 64 -oversample 1"
    one, two = render(flags), render(f"{flags} -osc 0 -phisteps 2")
    assert experiment(f"{flags} -osc 0 -phisteps 2").steps == 2
    off = np.abs(two - one).max() / one.max()
    figure("AT-SAM-001", f"{off:.0e} of the maximum off")
    assert off < 1e-7  # float32 pixels


def test_sam_002_corrections_of_the_first_sub_pixel(figure):
    """Computed once, for the first sub-pixel; with -oversample_omega for each, and the running sum is multiplied."""
    pixel = (1, 14)
    (found,) = factors(f"{COARSE} -oversample 2", pixel)
    first = found["pixel_pos_meters"]
    last = first + 1e-3 * (found["fdet_vec"] + found["sdet_vec"])
    close = found["close_distance_meters"]
    omega = [4e-6 / (p @ p) * close / np.sqrt(p @ p) for p in (first, last)]
    polar = [0.5 * (1 + (p[0] / np.sqrt(p @ p)) ** 2) for p in (first, last)]
    assert abs(found["omega_pixel"] / omega[0] - 1) < 1e-13 and abs(found["polar"] / polar[0] - 1) < 1e-13
    apart = max(abs(omega[1] / omega[0] - 1), abs(polar[1] / polar[0] - 1))
    assert apart > 0.005
    # with the flag: (((t1 w1 + t2) w2 + t3) w3 + t4) w4, the last factor stays the last
    terms, factor = sub_pixels(pixel)
    total = 0.0
    for term, w in zip(terms, factor, strict=True):
        total = (total + term) * w
    (flagged,) = factors(f"{COARSE} -oversample 2 -oversample_omega", pixel)
    off = abs(flagged["I_before_scaling"] / total - 1)
    assert off < 1e-12
    figure("AT-SAM-002", f"first and last sub-pixel differ by {apart:.1%}; running sum {off:.0e} off")


def sub_pixels(pixel: tuple[int, int]) -> tuple[list[float], list[float]]:
    """F^2 of the terms of a pixel with 2 x 2 sub-pixels, and their solid angles, of pixels of half the size."""
    # MOSFLM's default centre of the large pixels, 17 mm, plus half of one, less half a small one
    half = COARSE.replace("-pixel 2 -detpixels 16", "-pixel 1 -detpixels 32 -Xbeam 17.5 -Ybeam 17.5")
    s, f = pixel
    fine = factors(f"{half} -oversample 1", *((2 * s + i, 2 * f + j) for i in (0, 1) for j in (0, 1)))
    return [x["I_before_scaling"] for x in fine], [4 * x["omega_pixel"] for x in fine]


def test_sam_003_resolution_limit(figure):
    flags = f"{COARSE} -oversample 1"
    full, cut = render(flags), render(f"{flags} -dmin 2.5")
    incident, diffracted = directions(flags)
    d = 1.0 / np.maximum(np.linalg.norm(diffracted - incident, axis=-1), 1e-9)  # a wavelength of 1 Å
    figure("AT-SAM-003", f"{np.count_nonzero(d < 2.5)} of {d.size} pixels beyond 2.5 Å, all 0")
    assert (d < 2.5).any() and (d > 2.5).any()
    assert not cut[d < 2.5].any() and (cut[d > 2.5] == full[d > 2.5]).all()


def test_abs_001_sensor_layers(figure):
    """Layers are thickness/(n - 1) apart, so that they add up to more than the sensor; the last one's share multiplies."""
    n, thick, mu = 4, 450e-6, 1 / 500e-6
    flags = f"{CUBIC} -N 1 -lambda 1 -detpixels 400 -oversample 1 -detector_thick 450 -detector_abs 500 -thicksteps {n}"
    pixel = (10, 390)
    (found,), (bare,) = factors(flags, pixel), factors(flags.partition("-detector_thick")[0], pixel)
    step = thick / (n - 1)
    depth = bare["pixel_pos_meters"] + np.outer(np.arange(n) * step, bare["odet_vec"])
    rho = depth @ bare["odet_vec"] / np.linalg.norm(depth, axis=1)
    t = np.arange(n)
    shares = np.exp(-t * step * mu / rho) - np.exp(-(t + 1) * step * mu / rho)
    off = abs(found["capture_fraction"] / shares[-1] - 1)
    total = shares.sum() / (1 - np.exp(-thick * mu / rho[0]))
    total_as_text = 1 - np.exp(-n * step * mu / rho[0])
    assert off < 1e-12
    assert abs(shares.sum() / total_as_text - 1) < 1e-4  # rho changes a little from layer to layer
    running = 0.0
    (flagged,) = factors(f"{flags} -oversample_thick", pixel)
    for share in shares:
        running = (running + found["I_before_scaling"] / n) * share
    # N = 1: every layer has the same term
    assert abs(flagged["I_before_scaling"] / running - 1) < 1e-9
    figure("AT-ABS-001", f"last share {off:.0e} off; the {n} layers capture {total:.3f} of what the sensor would")
    assert total > 1.05


def kahn(found: dict, K: float, axis: np.ndarray) -> float:
    """Kahn's factor of a pixel."""
    i, d = found["incident_vec"], found["diffracted_vec"]
    B = np.cross(axis, i)
    B /= np.linalg.norm(B)
    E = np.cross(i, B)
    psi = -np.arctan2(d @ B, d @ E)
    cos2 = (i @ d) ** 2
    return 0.5 * (1 + cos2 - K * np.cos(2 * psi) * (1 - cos2))


def test_pol_001_polarization(figure):
    pixels = [(0, 0), (2, 13), (8, 15), (15, 4)]
    off = 0.0
    for found in factors(f"{COARSE} -oversample 1 -polar 0.7", *pixels):
        off = max(off, abs(found["polar"] / kahn(found, 0.7, np.array([0.0, 0, 1])) - 1))
    figure("AT-POL-001", f"{off:.0e} of the factor off")
    assert off < 1e-13
    assert all(found["polar"] == 1 for found in factors(f"{COARSE} -oversample 1 -nopolar", *pixels))
    # one term only, so that the running sum is that term
    (held,) = factors(f"{COARSE} -oversample 1 -polar 0.7", pixels[1])
    (flagged,) = factors(f"{COARSE} -oversample 1 -polar 0.7 -oversample_polar", pixels[1])
    assert flagged["I_before_scaling"] == held["I_before_scaling"] * held["polar"]


def test_bkg_001_water(folder, figure):
    (folder / "none.hkl").write_text("50 50 50 0\n")
    flags = "-cell 30 30 30 90 90 90 -hkl none.hkl -nointerpolate -N 5 -detpixels 16 -pixel 2 -oversample 1"
    (found,) = factors(f"{flags} -water 20 -fluence 1e24", (3, 5))
    wanted = 2.57**2 * 7.94079248018965e-30 * 1e24 * 20e-6**3 * 1e6 * 6.02214179e23 / 18
    off = abs(found["I_before_scaling"] / wanted - 1)
    figure("AT-BKG-001", f"{off:.0e} of the background off")
    assert off < 1e-14
