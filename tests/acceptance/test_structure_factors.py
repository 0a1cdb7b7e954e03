"""Acceptance tests of structure factors and lattice factors, and of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbnumba.io.fdump import read_fdump
from tests.acceptance.programs import CUBIC, factors, facts, render, run

#: A still with reflections on and off a short list.
STILL = "-cell 30 31 32 90 90 90 -misset 10 20 30 -N 5 -distance 30 -pixel 2 -detpixels 16 -lambda 1 -oversample 1"

#: A quarter of its pixels.
PIXELS = [(s, f) for s in range(0, 16, 2) for f in range(1, 16, 2)]


def box(path: Path, half: int, F) -> None:
    """A list of all reflections with indices up to ``half``."""
    span = range(-half, half + 1)
    path.write_text("".join(f"{h} {k} {l} {F(h, k, l):.17g}\n" for h in span for k in span for l in span))


def test_str_001_nearest_reflection(folder, figure):
    box(folder / "box.hkl", 4, lambda h, k, l: 1000 + 100 * h + 10 * k + l)
    found = factors(f"{STILL} -hkl box.hkl -default_F 7 -nointerpolate", *PIXELS)
    inside = 0
    for pixel in found:
        h, k, l = pixel["hkl_rounded"]
        listed = max(abs(h), abs(k), abs(l)) <= 4
        inside += listed
        assert pixel["F_cell"] == (1000 + 100 * h + 10 * k + l if listed else 7)
    assert 3 < inside < 61
    figure("AT-STR-001", f"{len(found)} pixels exact, {inside} on the list")


def test_str_002_interpolation_and_its_end(folder, figure):
    """Cubic in range; out of range the nearest reflection, if it is on the list, and nothing is interpolated any more."""

    def cubic(h, k, l):
        return 500 + 3 * h - 2 * k**2 + 0.5 * l**3 + h * k * l

    box(folder / "box.hkl", 18, cubic)
    found = factors(f"{STILL} -lambda 2 -hkl box.hkl -interpolate", *PIXELS[::3])
    off = max(abs(pixel["F_cell"] / cubic(*pixel["hkl_frac"]) - 1) for pixel in found)
    assert off < 1e-9  # rounding of Neville's scheme with values up to 18^3
    box(folder / "small.hkl", 4, lambda h, k, l: 1000 + 100 * h + 10 * k + l)
    flags = f"{STILL} -hkl small.hkl -interpolate -default_F 7"
    ended = [p for p in factors(flags, *PIXELS[::3]) if not p["interpolating"]]
    for pixel in ended:
        h, k, l = pixel["hkl_rounded"]
        listed = max(abs(h), abs(k), abs(l)) <= 4
        assert pixel["F_cell"] == (1000 + 100 * h + 10 * k + l if listed else 7)
    figure("AT-STR-002", f"cubic {off:.0e} off; {len(ended)} pixels after the end take the nearest reflection")
    # the evaluation that ends it: its reflection is on the list, without the margin of four
    corner = flags.replace("-misset 10 20 30", "-mosflm -Xbeam 0 -Ybeam 0").replace("small", "tiny")
    (folder / "tiny.hkl").write_text("0 0 0 55\n1 0 0 44\n")
    (first,) = factors(corner, (0, 0))
    assert first["F_cell"] == 55


def test_str_003_lattice_factors(figure):
    flags = "-cell 30 40 50 80 95 105 -default_F 100 -distance 200 -pixel 0.1 -detpixels 64 -lambda 1 -oversample 1"
    N = np.array([3, 4, 5])
    pixels = [(28, 30), (33, 33), (40, 36), (20, 50)]
    # the C program's vectors: with three oblique angles not quite the inverse of the cell
    star = np.array([facts(flags)[f"{v}_star_vector"] for v in "abc"])
    shapes = {"square": 0.0, "round": 0.0, "gauss": 0.0, "tophat": 0.0}
    for shape in shapes:
        switch = "-tophat_spots" if shape == "tophat" else f"-{shape}_xtal"
        for found in factors(f"{flags} -Na 3 -Nb 4 -Nc 5 -fudge 1.3 {switch}", *pixels):
            hkl, dh = found["hkl_frac"], found["hkl_frac"] - found["hkl_rounded"]
            radius = np.sum((dh @ star) ** 2) * np.prod(N) ** 2 * 1.3
            x = np.pi * np.sqrt(1.3 * np.sum((dh * N) ** 2))
            wanted = {
                "square": np.prod(np.sin(np.pi * N * hkl) / np.sin(np.pi * hkl)),
                "round": np.prod(N) * 0.723601254558268 * 3 * (np.sin(x) / x - np.cos(x)) / x**2,
                "gauss": np.prod(N) * np.exp(-radius / 0.63),
                "tophat": np.prod(N) * (radius < 0.3969),
            }[shape]
            shapes[shape] = max(shapes[shape], abs(found["F_latt"] - wanted) / np.prod(N))
    figure("AT-STR-003", ", ".join(f"{name} {off:.0e}" for name, off in shapes.items()) + " of Na Nb Nc off")
    assert max(shapes.values()) < 1e-10


def test_str_004_gaps_in_the_list(folder, figure):
    """I(0,0,0) : I(0,1,0) : I(0,2,0), each against the same pixel with F = 100 everywhere."""
    (folder / "sparse.hkl").write_text("0 0 0 100\n2 0 0 80\n0 2 0 60\n")
    flags = CUBIC.replace("-default_F 100", "") + " -lambda 6.2 -N 5 -detpixels 300 -oversample 1"
    sparse = render(f"{flags} -hkl sparse.hkl -default_F 10")
    even = render(f"{flags} -default_F 100 -dump none.bin")
    middle, spacing = 151, 62  # pixels; 62: 6.2 Å * 100 mm / 100 Å, and 127 of the second order
    ratios = [(sparse / even)[middle - up, middle] for up in (0, spacing, 127)]
    figure("AT-STR-004", f"I(000)/I(010) = {ratios[0] / ratios[1]:.8g}, I(020)/I(010) = {ratios[2] / ratios[1]:.8g}")
    assert ratios[0] / ratios[1] == pytest.approx(100, rel=1e-6)  # float32 pixels
    assert ratios[2] / ratios[1] == pytest.approx(36, rel=1e-6)


def test_io_003_dump(folder, figure):
    (folder / "list.hkl").write_text("-1 0 0 11\n0 0 2 22\n1 1 0 33\n")
    flags = "-cell 30 31 32 90 90 90 -N 5 -distance 30 -pixel 2 -detpixels 16 -nointerpolate"
    run(f"{flags} -hkl list.hkl -default_F 5")
    first, raw = np.fromfile("float.bin", "<f4"), Path("Fdump.bin").read_bytes()
    assert raw.startswith(b"-1 1 0 1 0 2\n\f")
    data = np.frombuffer(raw[len(b"-1 1 0 1 0 2\n\f") :], "=f8").reshape(4, 3, 4)  # one more than reflections each way
    assert data[0, 0, 0] == 11 and data[1, 0, 2] == 22 and data[2, 1, 0] == 33
    assert np.count_nonzero(data[:3, :2, :3] == 5) == 15
    grid, mins = read_fdump("Fdump.bin")
    assert mins == (-1, 0, 0) and (grid == data[:3, :2, :3]).all()
    run(f"{flags} -default_F 5")
    again = np.fromfile("float.bin", "<f4")
    figure("AT-IO-003", f"{np.count_nonzero(again != first)} of {first.size} pixels differ")
    assert first.any() and (again == first).all()


def test_io_004_columns_of_the_list(folder, figure):
    rng = np.random.default_rng(1)
    rows = [(*hkl, rng.uniform(10, 100)) for hkl in np.ndindex(5, 5, 5)]
    rows = [(h - 2, k - 2, l - 2, F) for h, k, l, F in rows]
    more = {"plain": "", "phase": " 45.0", "sigma": " 3.5 45.0"}
    images, dumps = [], []
    for name, columns in more.items():
        (folder / f"{name}.hkl").write_text("".join(f"{h} {k} {l} {F:.3f}{columns}\n" for h, k, l, F in rows))
        run(f"{STILL} -hkl {name}.hkl -nointerpolate")
        images.append(np.fromfile("float.bin", "<f4"))
        dumps.append(Path("Fdump.bin").read_bytes())
        (folder / "float.bin").unlink()
    run(f"{STILL} -nointerpolate")
    images.append(np.fromfile("float.bin", "<f4"))
    differ = sum(np.count_nonzero(image != images[0]) for image in images[1:])
    figure("AT-IO-004", f"{differ} pixels differ among three lists and the dump")
    assert images[0].any() and differ == 0 and len(set(dumps)) == 1
