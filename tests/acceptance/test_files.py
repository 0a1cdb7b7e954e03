"""Acceptance tests of noise and of files that are written."""

from __future__ import annotations

from math import lgamma
from pathlib import Path

import numpy as np
import pytest

from nbnumba.io.pgm import read_pgm
from nbnumba.readout.noise import noise_image
from tests.acceptance.programs import CUBIC, run

SMALL = f"{CUBIC} -N 5 -lambda 6.2 -detpixels_x 48 -detpixels_y 40 -oversample 1"
KEYS = """HEADER_BYTES DIM BYTE_ORDER TYPE SIZE1 SIZE2 PIXEL_SIZE DISTANCE WAVELENGTH BEAM_CENTER_X BEAM_CENTER_Y
 ADXV_CENTER_X ADXV_CENTER_Y MOSFLM_CENTER_X MOSFLM_CENTER_Y DENZO_X_BEAM DENZO_Y_BEAM DIALS_ORIGIN XDS_ORGX XDS_ORGY
 CLOSE_DISTANCE PHI OSC_START OSC_RANGE TWOTHETA DETECTOR_SN BEAMLINE""".split()


def drawn(mean: float, n: int) -> np.ndarray:
    """Deviates before offset and clipping: pixels of one image, or where they do not fit, sums of images of one pixel."""
    if mean < 60000:
        image = np.full((1, n), mean, np.float32)
        return noise_image(image, (0, 1, 0, n), 1, 0.0).counts.ravel().astype(float)
    pixel = np.full((1, 1), mean, np.float32)
    return np.array([noise_image(pixel, (0, 1, 0, 1), 7919 * seed).photons for seed in range(1, n + 1)])


def test_noise_001_three_ranges(figure):
    n = 4000
    ratios = []
    for mean in (5.0, 1000.0, 5e6):
        values = drawn(mean, n)
        # five standard deviations of the mean, and of the variance of a normal distribution
        assert abs(values.mean() - mean) < 5 * np.sqrt(mean / n)
        ratios.append(values.var(ddof=1) / mean)
        assert abs(ratios[-1] - 1) < 5 * np.sqrt(2 / n) * 1.1
    k = np.arange(13)
    expected = n * np.exp(k * np.log(5) - 5 - np.array([lgamma(i + 1) for i in k]))
    chi = np.sum((np.bincount(drawn(5.0, n).astype(int), minlength=40)[:13] - expected) ** 2 / expected)
    assert chi < 40  # 12 degrees of freedom: once in 14,000 times, and the seed is fixed
    image = np.full((20, 20), 70000.0, np.float32)
    image[:10] = 30.0
    first, again, other = (noise_image(image, (0, 20, 0, 20), seed, 40.0) for seed in (1, 1, 2))
    assert (first.counts == again.counts).all() and (first.counts != other.counts).any()
    assert first.overloads == 200 and (first.counts[10:] == 65535).all()
    figure(
        "AT-NOISE-001",
        f"variance/mean at 5, 1000, 5e6: {', '.join(f'{ratio:.3f}' for ratio in ratios)}; chi^2 {chi:.0f} of 12; {first.overloads} overloads of 200",
    )


def test_io_001_smv(figure):
    """The keys of the text in its order; DIALS_ORIGIN has its semicolon, and ADC_OFFSET is one more."""
    run(f"{SMALL} -noisefile noise.img -seed 3 -scale 1 -adc 10")
    for file in ("int.img", "noise.img"):
        raw = Path(file).read_bytes()
        size = int(raw[len("{\nHEADER_BYTES=") :].split(b";")[0])
        header = raw[:size].decode()
        assert header.startswith("{\n") and header.rstrip(" ").endswith("}\f") and size % 512 == 0
        lines = header.strip("{}\f \n").split("\n")
        assert all(line.endswith(";") for line in lines)
        names = [line.split("=")[0] for line in lines]
        assert [name for name in names if name != "ADC_OFFSET"] == KEYS
        assert len(raw) == size + 2 * 48 * 40
    image = np.fromfile("float.bin", "<f4").reshape(40, 48)
    counts = np.frombuffer(Path("int.img").read_bytes()[-2 * 48 * 40 :], "=u2").reshape(40, 48)
    assert np.abs(counts - np.clip(image + 10.0, 0, 65535)).max() <= 0.5
    figure("AT-IO-001", f"{len(KEYS)} keys in order, {size} bytes; counts[slow, fast]")


@pytest.mark.parametrize("scale", [None, 0.05])
def test_io_002_pgm(scale, figure):
    run(f"{SMALL} -pgmfile image.pgm" + (f" -pgmscale {scale}" if scale else ""))
    lines = Path("image.pgm").read_bytes().split(b"\n", 4)
    assert lines[0] == b"P5" and lines[1] == b"48 40" and lines[3] == b"255" and len(lines[4]) == 48 * 40
    assert lines[2].startswith(b"# pixels scaled by ")
    pixels, written = read_pgm("image.pgm")
    image = np.fromfile("float.bin", "<f4").reshape(40, 48).astype(float)
    deviation = np.sqrt(((image - image.mean()) ** 2).sum() / (image.size - 1))
    used = scale or 250 / (5 * deviation)
    assert written == pytest.approx(used, rel=1e-5)  # six digits
    wrong = np.count_nonzero(pixels != np.floor(np.minimum(image * used, 255)))
    if scale:
        figure("AT-IO-002", f"{wrong} of {image.size} bytes differ")
    assert wrong == 0
