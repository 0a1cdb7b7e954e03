"""AT-PARALLEL tests of intensities, which are properties of one program."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba.inspect.metrics import find_peaks, match_peaks
from nbnumba.readout.noise import noise_image
from tests.acceptance.programs import CUBIC, centroid, directions, experiment, factors, render

STILL = f"{CUBIC} -N 5 -oversample 1"


def slope(x: list[float], y: list[float]) -> tuple[float, float]:
    """Slope and R^2 of a straight line through logarithms."""
    a, b = np.log(x), np.log(y)
    line = np.polyfit(a, b, 1)
    return line[0], np.corrcoef(a, b)[0, 1] ** 2


def test_parallel_009_powers(figure):
    """N^6 where a pixel's centre is on the reflection; the default centre is between pixels, and loses with N."""
    powers = {}
    numbers = [1, 2, 3, 5, 10]
    for name, centre in {"on a pixel": "-Xbeam 12.8 -Ybeam 12.8", "default": ""}.items():
        flags = f"{CUBIC} -detpixels 256 -oversample 1 {centre}"
        maxima = [render(f"{flags} -N {n}").max() for n in numbers]
        powers[name] = slope(numbers, maxima)
    F = [50, 100, 200, 500]
    of_F = slope(
        F,
        [
            render(f"{CUBIC.replace('-default_F 100', '')} -default_F {x} -N 5 -detpixels 256 -oversample 1").max()
            for x in F
        ],
    )
    figure(
        "AT-PARALLEL-009",
        f"N^{powers['default'][0]:.2f} (R^2 {powers['default'][1]:.4f}), on a pixel's centre "
        f"N^{powers['on a pixel'][0]:.3f} (R^2 {powers['on a pixel'][1]:.5f}); F^{of_F[0]:.5f}",
    )
    assert abs(powers["on a pixel"][0] - 6) <= 0.3 and powers["on a pixel"][1] >= 0.99
    assert abs(of_F[0] - 2) <= 0.05 and of_F[1] >= 0.99
    assert powers["default"][0] < 5.7


def test_parallel_010_solid_angle(figure):
    """Each pixel keeps to the law; the sum over the detector does not, since other pixels get the spots."""
    off, sums = 0.0, {}
    for R in (50, 100, 200, 400):
        for tilt in (0, 10, 20, 30):
            flags = (
                f"-cell 100 100 100 90 90 90 -default_F 100 -N 5 -oversample 1 -pixel 0.1 -detpixels 256 -distance {R}"
            )
            flags += f" -detector_roty {tilt}"
            for found in factors(flags, (20, 30), (130, 250)):
                path, close = found["airpath"], found["close_distance_meters"]
                off = max(off, abs(found["omega_pixel"] / (1e-8 * close / path**3) - 1))
            sums["B", R, tilt] = render(flags).sum()
            if tilt == 0:
                (found,) = factors(f"{flags} -point_pixel", (20, 30))
                off = max(off, abs(found["omega_pixel"] * found["airpath"] ** 2 - 1))
                sums["A", R, tilt] = render(f"{flags} -point_pixel").sum()
    a = [sums["A", 50, 0] / sums["A", R, 0] / (R / 50) ** 2 for R in (100, 200, 400)]
    b = [sums["B", 50, 0] / sums["B", R, 0] / (R / 50) ** 2 for R in (100, 200, 400)]
    figure(
        "AT-PARALLEL-010",
        f"pixels {off:.0e} off; sums over the law, 50 mm to 100, 200, 400 mm: A {a[0]:.2f} {a[1]:.2f} {a[2]:.2f}, "
        f"B {b[0]:.2f} {b[1]:.2f} {b[2]:.2f}",
    )
    assert off < 1e-12
    assert max(abs(np.array(a) - 1)) > 0.05 and max(abs(np.array(b) - 1)) > 0.1


@pytest.mark.parametrize(("K", "limit"), [(0.0, 0.01), (0.95, 0.02)])
def test_parallel_011_polarization(K, limit, figure):
    """Image by image without polarization, against Kahn's factor from the angles. 1 mm pixels: angles up to 60 degrees."""
    flags = "-cell 100 100 100 90 90 90 -default_F 100 -N 1 -oversample 1 -distance 100 -pixel 1 -detpixels 256"
    got = render(f"{flags} -polar {K}") / render(f"{flags} -nopolar")
    i, d = directions(flags)
    cos2 = (d @ i) ** 2
    psi = np.arctan2(d @ np.array([0.0, 1, 0]), d @ np.array([0.0, 0, 1]))  # E along z in MOSFLM's convention
    wanted = 0.5 * (1 + cos2 - K * np.cos(2 * psi) * (1 - cos2))
    r_sqr = 1 - ((got - wanted) ** 2).sum() / ((got - got.mean()) ** 2).sum()
    error = np.mean(np.abs(got / wanted - 1))
    figure("AT-PARALLEL-011", f"K = {K:g}: 1 - R^2 {max(1 - r_sqr, 0):.0e}, mean error {error:.0e}")
    assert r_sqr >= 0.95 and error <= limit


def test_parallel_013_same_bits(figure):
    """Of one machine: the same bits for any number of threads."""
    flags = (
        "-misset -89.968546 -31.328953 177.753396 -cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1 -detpixels 256"
    )
    one, two = render(flags, threads=1), render(flags, threads=2)
    figure("AT-PARALLEL-013", f"{np.count_nonzero(one != two)} pixels differ between 1 and 2 threads")
    assert (one == two).all()


def test_parallel_014_noise(figure):
    flags = f"{STILL} -lambda 6.2 -detpixels 256"
    image = render(flags, precision="auto")
    image = (image * (1000 / image.mean())).astype(np.float32)
    noisy = {seed: noise_image(image, (0, 256, 0, 256), seed) for seed in (123, 456)}
    means = [abs(noise.counts.mean() / (image.mean() + 40) - 1) for noise in noisy.values()]
    tops = find_peaks(image, np.ones(image.shape, bool), 20).round().astype(int)
    shifts = []
    for noise in noisy.values():
        for s, f in tops:
            window = np.s_[max(s - 3, 0) : s + 4, max(f - 3, 0) : f + 4]
            shifts.append(np.hypot(*(centroid(noise.counts[window] - 40.0, 0.0) - centroid(image[window], 0.0))))
    # a hundred times as bright, since 1000 photons on average saturate no pixel
    overloads = [noise_image(image * np.float32(100), (0, 256, 0, 256), seed).overloads for seed in noisy]
    figure(
        "AT-PARALLEL-014",
        f"means {max(means):.2%} off, centroids {np.median(shifts):.2f} px (90 %: {np.percentile(shifts, 90):.2f}), "
        f"overloads at 100 times the mean {overloads[0]} and {overloads[1]}",
    )
    assert max(means) <= 0.01 and np.median(shifts) <= 0.5 and np.percentile(shifts, 90) <= 1.0
    assert 0 < max(overloads) <= 1.1 * min(overloads)


SAME = [
    ("-lambda 1.239842", "-energy 10000"),
    ("-detpixels 64 -pixel 0.1", "-detsize 6.4 -pixel 0.1"),
    ("-xtalsize 0.00005", "-Na 5 -Nb 5 -Nc 5"),
    ("-fluence 2e22", "-flux 2e12 -exposure 0.01 -beamsize 0.001"),
    ("-divergence 1 -hdivsteps 3 -vdivsteps 3", "-hdivrange 1 -vdivrange 1 -divsteps 3"),
]


def test_parallel_015_units(figure):
    worst = 0.0
    for one, other in SAME:
        images = [render(f"{CUBIC} -detpixels 64 -N 5 -oversample 1 {flags}") for flags in (one, other)]
        worst = max(worst, np.abs(images[0] - images[1]).max() / images[0].max())
    figure("AT-PARALLEL-015", f"{worst:.0e} of the maximum between two ways to say the same")
    assert worst < 1e-6  # float32 pixels, and 12398.42 eV Å in six digits of -lambda


def nearest(flags: str) -> np.ndarray:
    """Nearest reflection of every pixel, (s, f, 3)."""
    i, d = directions(flags)
    found = experiment(flags)
    wavelength = found.simulation.beam.wavelength_A
    return np.ceil((d - i) / wavelength @ found.crystal.direct.T - 0.5).astype(int)


def test_parallel_027_squares_of_F(folder, figure):
    """Ratios of F^2, pixel by pixel, against even structure factors; (1,0,0) and (2,0,0) lie along the beam."""
    F = {(0, 0, 0): 100, (1, 0, 0): 50, (0, 1, 0): 25, (1, 1, 0): 12.5, (2, 0, 0): 200, (0, 2, 0): 150}
    (folder / "pattern.hkl").write_text("".join(f"{h} {k} {l} {x}\n" for (h, k, l), x in F.items()))
    flags = "-cell 100 100 100 90 90 90 -lambda 6.2 -N 5 -pixel 0.1 -distance 100 -oversample 1"
    even_flags = f"{flags} -default_F 100 -dump none.bin"
    on_text = {tuple(hkl) for hkl in nearest(f"{even_flags} -detpixels 64").reshape(-1, 3).tolist()}
    image, even = (render(f"{words} -detpixels 300") for words in (f"{flags} -hkl pattern.hkl", even_flags))
    hkl = nearest(f"{even_flags} -detpixels 300")
    seen = {tuple(row) for row in hkl.reshape(-1, 3).tolist()}
    worst = 0.0
    for one in seen:
        there = (hkl == one).all(axis=-1)
        wanted = even[there] * (F.get(one, 0) / 100) ** 2
        worst = max(worst, (np.abs(image[there] - wanted) / even[there]).max())
    figure(
        "AT-PARALLEL-027",
        f"ratios {worst:.0e} off; of the list {len(seen & F.keys())} reflections are on 300 x 300 pixels, "
        f"{len(on_text & F.keys())} on 64 x 64",
    )
    assert worst < 1e-6  # float32 pixels
    assert {(0, 0, 0), (0, 1, 0), (0, 2, 0)} <= seen and not seen & {(1, 0, 0), (2, 0, 0)}


def test_parallel_029_sub_pixels(figure):
    flags = f"{CUBIC.replace('-distance 100', '-distance 50')} -N 5 -lambda 1 -detpixels 256"
    images = {n: render(f"{flags} -oversample {n}", precision="auto") for n in (1, 2, 4, 8)}
    high = {n: high_frequencies(image) for n, image in images.items()}
    width = {n: sharpness(image) for n, image in images.items()}
    valid = np.ones((256, 256), bool)
    tops = {n: find_peaks(image, valid, 20) for n, image in images.items()}
    drift = max(match_peaks(tops[8], tops[n], 1.5).max_distance for n in (1, 2, 4))
    figure(
        "AT-PARALLEL-029",
        f"high frequencies {high[2] / high[1]:.2f} {high[4] / high[1]:.2f} {high[8] / high[1]:.2f} of those without; "
        f"widths {width[4]:.3f}, {width[8]:.3f} px; peaks drift {drift:.2f} px",
    )
    assert high[4] <= 0.5 * high[1] < high[2] < 0.6 * high[1]  # the text wants half for 2 sub-pixels a side, too
    assert abs(width[8] / width[4] - 1) <= 0.05 and drift <= 0.5


def high_frequencies(image: np.ndarray) -> float:
    """Share of the power spectrum above 64 cycles per image."""
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    cycles = np.abs(np.fft.fftfreq(len(image)) * len(image))
    above = np.hypot(*np.meshgrid(cycles, cycles)) > 64
    return float(power[above].sum())


def sharpness(image: np.ndarray) -> float:
    """Mean width at half maximum of the ten brightest maxima, pixels, along the fast axis."""
    widths = []
    tops = find_peaks(image, np.ones(image.shape, bool), 40).round().astype(int)
    for s, f in [(s, f) for s, f in tops if 5 < s < 250 and 5 < f < 250][:10]:
        line = image[s, f - 5 : f + 6] / image[s, f]
        edges = []
        for step in (-1, 1):
            i = 5
            while 0 < i < 10 and line[i] > 0.5:
                i += step
            inner = line[i - step]
            edges.append(abs(i - 5) - (0.5 - line[i]) / (inner - line[i]) if inner != line[i] else abs(i - 5))
        widths.append(sum(edges))
    return float(np.mean(widths))
