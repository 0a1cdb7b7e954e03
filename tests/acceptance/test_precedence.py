"""Acceptance tests of headers, masks, regions of interest, pivots and statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbnumba.io.smv import read_smv
from tests.acceptance.programs import CUBIC, facts, run
from tests.cli.test_golden import header_keys


def smv(path: Path, pixels: np.ndarray, **keys: float) -> None:
    """An SMV image with these keys in its header."""
    spixels, fpixels = pixels.shape
    text = "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\n"
    text += f"SIZE1={fpixels};\nSIZE2={spixels};\n" + "".join(f"{k}={v};\n" for k, v in keys.items()) + "}\f"
    path.write_bytes(text.encode().ljust(512) + pixels.astype("<u2").tobytes())


def region(xmin: int, xmax: int, ymin: int, ymax: int) -> np.ndarray:
    """Pixels of ``-roi`` with these numbers, in 16 x 16 pixels."""
    inside = np.zeros((16, 16), bool)
    inside[ymin : ymax + 1, xmin : xmax + 1] = True
    return inside


def masked(folder: Path) -> np.ndarray:
    """``mask.img`` and ``head.img``, whose headers disagree; returns the mask, 16 x 16 with a block of zeros."""
    mask = np.ones((16, 16), int)
    mask[4:7, 8:12] = 0
    smv(folder / "mask.img", mask, PIXEL_SIZE=0.2, DISTANCE=80, WAVELENGTH=1.5, BEAM_CENTER_X=1, BEAM_CENTER_Y=1.2)
    smv(
        folder / "head.img",
        np.zeros((16, 16)),
        PIXEL_SIZE=0.3,
        DISTANCE=120,
        WAVELENGTH=0.9,
        BEAM_CENTER_X=2,
        BEAM_CENTER_Y=2.1,
        PHI=3,
        TWOTHETA=8,
    )
    return mask


CRYSTAL = "-cell 30 31 32 90 90 90 -default_F 100 -N 3"
KEYS = ("pixel_m", "distance_m", "lambda0_m", "Xbeam_m", "Ybeam_m", "phi_start_deg")


def test_pre_001_headers(folder, figure):
    """-img is read after -mask, in whatever order they are given; TWOTHETA of a header is not used."""
    masked(folder)
    of_image = pytest.approx((0.3e-3, 0.12, 0.9e-10, 2e-3, 2.1e-3, 3.0), rel=1e-12)
    for flags in ("-img head.img -mask mask.img", "-mask mask.img -img head.img"):
        found = facts(f"{CRYSTAL} {flags}")
        assert tuple(found[key] for key in KEYS) == of_image
        assert found["odet_vector"] == [1, 0, 0]
    alone = facts(f"{CRYSTAL} -mask mask.img")
    figure("AT-PRE-001", f"-img counts in both orders; mask alone: Ybeam {alone['Ybeam_m'] * 1e3:g} mm of 3.2 - 1.2")
    assert alone["Ybeam_m"] == pytest.approx(3.2e-3 - 1.2e-3, rel=1e-12)


def test_pre_002_flags_of_the_beam_centre(figure):
    """They set the pivot of CUSTOM only, the last one counts, -pivot too; MOSFLM and XDS have their own."""
    centre = {"-Xbeam 3 -Ybeam 3": "beam", "-Xclose 3 -Yclose 3": "sample", "-ORGX 30 -ORGY 30": "sample"}
    right = 0
    for flags, pivot in centre.items():
        base = f"{CUBIC.replace('-distance 100', '')} -detpixels 64"
        other = "sample" if pivot == "beam" else "beam"
        for more, expected in {
            f"-spindle_axis 0 0 1 {flags}": pivot,
            f"-spindle_axis 0 0 1 {flags} -pivot {other}": other,
            f"-spindle_axis 0 0 1 -pivot {other} {flags}": pivot,
            f"-mosflm {flags} -pivot sample": "beam",
            f"-xds {flags} -pivot beam": "sample",
        }.items():
            assert facts(f"{base} {more}")["pivot"] == expected, more
            right += 1
    figure("AT-PRE-002", f"{right} of {right} as the C program")


def test_cli_003_conventions(folder, figure):
    """Centres of the header by the rules of each convention; -pivot does not override a convention."""
    off = 0.0
    for convention, pivot, flags in (
        ("mosflm", "beam", "-Xbeam 2.9 -Ybeam 3.3 -pivot sample"),
        ("xds", "sample", "-ORGX 30 -ORGY 35 -pivot beam"),
    ):
        record = run(f"{CUBIC} -detpixels 64 -roi 20 40 20 40 -{convention} {flags}")
        found, header = record["facts"], header_keys(read_smv("int.img").header_text)
        assert found["pivot"] == pivot
        F, S = found["Fbeam_m"] * 1e3, found["Sbeam_m"] * 1e3
        wanted = {
            "ADXV_CENTER_X": F,
            "ADXV_CENTER_Y": 6.4 - S,
            "MOSFLM_CENTER_X": S - 0.05,
            "MOSFLM_CENTER_Y": F - 0.05,
            "DENZO_X_BEAM": S,
            "DENZO_Y_BEAM": F,
            "XDS_ORGX": found["Fclose_m"] / 1e-4 + 0.5,
            "XDS_ORGY": found["Sclose_m"] / 1e-4 + 0.5,
        }
        off = max(off, *(abs(float(header[key]) - value) for key, value in wanted.items()))
        given = {"mosflm": (3.35, 2.95), "xds": (2.95, 3.45)}[convention]
        assert pytest.approx(given, abs=1e-12) == (F, S)
    figure("AT-CLI-003", f"centres {off:.0e} off their relations; -pivot has no effect")
    assert off < 1e-5  # six digits in a header


def test_cli_004_mask(folder, figure):
    """Masked pixels are 0 in the float image and have the offset in the others; the rmsd alone counts them."""
    mask = masked(folder)
    record = run(f"{CRYSTAL} -mask mask.img -img head.img -noisefile noise.img -seed 1 -roi 2 13 1 14 -oversample 1")
    image = np.fromfile("float.bin", "<f4").reshape(16, 16).astype(float)
    inside = region(2, 13, 1, 14)
    assert record["facts"]["distance_m"] == pytest.approx(0.12)
    assert not image[mask == 0].any() and image[inside & (mask == 1)].all()
    counts = np.unique([read_smv(file).data[mask == 0] for file in ("int.img", "noise.img")])
    assert counts.tolist() == [40]
    kept = image[inside & (mask == 1)]
    assert record["facts"]["mean"] == pytest.approx(kept.mean(), rel=1e-6)
    figure(
        "AT-CLI-004", f"{image[mask == 0].max():g} photons and {counts[0]} counts in masked pixels; mean without them"
    )


@pytest.mark.parametrize("name", ["AT-ROI-001", "AT-CLI-005"])
def test_roi(folder, name, figure):
    """AT-ROI-001, AT-CLI-005: nothing outside the region, which includes its last row and column, in any output."""
    mask = masked(folder)
    flags = "-mask mask.img" if name == "AT-ROI-001" else "-pixel 0.2 -detpixels 16"
    record = run(f"{CRYSTAL} {flags} -noisefile noise.img -seed 1 -roi 2 13 1 10 -oversample 1")
    inside = region(2, 13, 1, 10)
    image = np.fromfile("float.bin", "<f4").reshape(16, 16)
    images = [image, read_smv("int.img").data, read_smv("noise.img").data]
    outside = sum(np.count_nonzero(pixels[~inside]) for pixels in images)
    used = inside & (mask == 1) if name == "AT-ROI-001" else inside
    figure(name, f"{outside} pixels outside are not 0, {record['statistics']['n']} counted of {inside.sum()} inside")
    assert outside == 0 and image[used].all() and not image[~used].any()
    assert record["statistics"]["n"] == used.sum()


def test_sta_001_statistics(folder, figure):
    """Of the pixels inside and unmasked, but for the rmsd, which counts the masked ones as 0."""
    mask = masked(folder)
    record = run(f"{CRYSTAL} -mask mask.img -roi 2 13 1 14 -oversample 2")
    image = np.fromfile("float.bin", "<f4").reshape(16, 16).astype(float)
    inside = region(2, 13, 1, 14)
    kept = image[inside & (mask == 1)]
    s, f = np.unravel_index(image.argmax(), image.shape)
    wanted = {
        "max": image.max(),
        "max_I_fast_m": 0.2e-3 * (f + 0.75),
        "max_I_slow_m": 0.2e-3 * (s + 0.75),
        "mean": kept.mean(),
        "rms": np.sqrt((kept**2).sum() / (kept.size - 1)),
        "rmsd": np.sqrt(((image[inside] - kept.mean()) ** 2).sum() / (inside.sum() - 1)),
    }
    off = max(abs(record["facts"][key] / value - 1) for key, value in wanted.items())
    text = np.sqrt(((kept - kept.mean()) ** 2).sum() / (kept.size - 1))
    figure("AT-STA-001", f"{off:.0e} off; the rmsd without masked pixels would be {text / wanted['rmsd']:.3f} of it")
    assert off < 1e-6
