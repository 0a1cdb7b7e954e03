"""Comparing images: metrics by their properties, differences by their name, and another program's image with ours."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import fabio.cbfimage
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbnumba.cli.against import both_know, for_ours, run_both
from nbnumba.cli.main import main
from nbnumba.compare import Bars, compare_images, explain, read_image
from nbnumba.compare_picture import WIDTH_PX, save_comparison
from nbnumba.errors import ConfigError, FileError
from nbnumba.metrics import Metrics, correlation, find_peaks, fit_scale, match_peaks, measure, valid_pixels
from tests.conftest import GOLDEN

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["conv_mosflm_default", "cell_triclinic_flag", "shape_round_fudge"]


def measured(a: np.ndarray, b: np.ndarray, **more) -> Metrics:
    return measure(a, b, valid_pixels(a, b), **more)


# --- metrics -----------------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(2, 9), st.integers(2, 9))
#: Pixels as detectors have them; no subnormal numbers, whose squares vanish.
pixels = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))


@st.composite
def two_images(draw) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    return draw(hnp.arrays(np.float64, shape, elements=pixels)), draw(hnp.arrays(np.float64, shape, elements=pixels))


@settings(max_examples=80, deadline=None)
@given(two_images())
def test_identity(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, _ = images
    m = measured(a, a)
    assert m.correlation == pytest.approx(1.0, abs=1e-12)
    assert (m.rmse, m.max_abs, m.max_rel, m.p99_rel, m.sum_ratio, m.within) == (0, 0, 0, 0, 1, 1)
    assert m.worst is None
    assert m.peaks.n_a == m.peaks.n_b == m.peaks.n_matched
    assert compare_images(a, a).passed
    assert explain(a, a, np.ones(a.shape, bool)) == "the images are identical"


@settings(max_examples=80, deadline=None)
@given(two_images())
def test_symmetry(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    m, n = measured(a, b), measured(b, a)
    for key in ("rmse", "max_abs", "max_rel", "p99_rel", "within", "pixels"):
        assert getattr(m, key) == getattr(n, key), key
    assert m.correlation == pytest.approx(n.correlation, abs=1e-12, nan_ok=True)
    assert (m.sum_a, m.sum_b) == (n.sum_b, n.sum_a)
    if m.sum_a and m.sum_b:
        assert m.sum_ratio * n.sum_ratio == pytest.approx(1.0, rel=1e-12)
    assert m.peaks.n_matched == n.peaks.n_matched
    assert m.peaks.mean_distance == pytest.approx(n.peaks.mean_distance, rel=1e-9, nan_ok=True)
    assert math.isnan(m.correlation) or -1 <= m.correlation <= 1


@settings(max_examples=80, deadline=None)
@given(two_images(), st.floats(0.1, 10))
def test_scale(images: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    """Ratios and shares stay when both images are scaled, differences scale with them."""
    a, b = images
    m, n = measured(a, b), measured(a * factor, b * factor)
    assert n.rmse == pytest.approx(m.rmse * factor, rel=1e-9)
    assert n.max_abs == pytest.approx(m.max_abs * factor, rel=1e-9)
    for key in ("max_rel", "sum_ratio", "mean_ratio", "p99_rel"):
        assert getattr(n, key) == pytest.approx(getattr(m, key), rel=1e-7, abs=1e-12, nan_ok=True), key
    alone = measured(a, a * factor)
    if a.any():
        assert alone.sum_ratio == pytest.approx(factor, rel=1e-9)
        assert alone.median_ratio == pytest.approx(factor, rel=1e-9)
        assert fit_scale(a.ravel(), (a * factor).ravel()) == pytest.approx(factor, rel=1e-9)


def test_metrics_of_numbers_that_can_be_checked_by_hand() -> None:
    a = np.array([[1.0, 2.0], [4.0, 0.0]])
    b = np.array([[1.0, 3.0], [2.0, 0.0]])
    m = measured(a, b, rtol=0.4)
    assert m.rmse == pytest.approx(math.sqrt((0 + 1 + 4 + 0) / 4))
    assert (m.max_abs, m.max_rel) == (2.0, 0.5)
    assert m.worst is not None and (m.worst.slow, m.worst.fast, m.worst.a, m.worst.b) == (1, 0, 4.0, 2.0)
    assert (m.sum_a, m.sum_b, m.sum_ratio) == (7.0, 6.0, 6 / 7)
    assert m.mean_ratio == pytest.approx((1 + 1.5 + 0.5) / 3)
    assert m.median_ratio == 1.0
    assert m.within == 0.75
    assert m.correlation == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-12)
    assert measured(a, 2 * b, scale=2.0).rmse == m.rmse


def test_constant_images() -> None:
    flat = np.full(9, 0.1)
    assert correlation(flat, flat) == 1.0
    assert math.isnan(correlation(flat, 2 * flat))
    assert math.isnan(correlation(flat, np.arange(9.0)))
    assert not compare_images(np.full((3, 3), 1.0), np.arange(9.0).reshape(3, 3)).passed


def test_peaks_of_a_made_image() -> None:
    """Gaussian spots come back to 0.05 pixels: what a 3 x 3 centre of gravity of a spot of width 1 can do."""
    rng = np.random.default_rng(3)
    places = np.array([[i, j] for i in range(8, 60, 12) for j in range(8, 60, 12)]) + rng.uniform(-0.3, 0.3, (25, 2))
    slow, fast = np.mgrid[:64, :64]
    squared = (slow - places[:, 0, None, None]) ** 2 + (fast - places[:, 1, None, None]) ** 2
    image = (np.exp(-squared / 2 / 0.6**2) * rng.uniform(50, 100, 25)[:, None, None]).sum(axis=0)
    found = find_peaks(image, np.ones(image.shape, bool))
    match = match_peaks(places, found, radius=1.0)
    assert match.n_a == match.n_b == match.n_matched == 25
    assert match.max_distance < 0.05
    assert len(find_peaks(image, slow < 20)) < 25
    assert len(find_peaks(np.ones((5, 5)), np.ones((5, 5), bool))) == 0


def test_plateau_counts_once() -> None:
    image = np.zeros((9, 9))
    image[3:5, 3:5] = 7.0
    assert len(find_peaks(image, np.ones(image.shape, bool))) == 1


# hundredths of a pixel: distances whose squares underflow are not what this is about
coordinate = st.integers(0, 2000).map(lambda x: x / 100)
point = st.tuples(coordinate, coordinate)


@settings(max_examples=60, deadline=None)
@given(st.lists(point, max_size=5), st.lists(point, max_size=5), st.floats(0, 8))
def test_matching_is_the_best_of_all(a: list, b: list, radius: float) -> None:
    """As many pairs as any one-to-one matching has, and no larger sum of distances: by trying all of them."""
    x, y = np.array(a).reshape(-1, 2), np.array(b).reshape(-1, 2)
    best = (0, 0.0)

    def search(i: int, free: frozenset[int], n: int, total: float) -> None:
        nonlocal best
        if i == len(x):
            best = max(best, (n, -total))
            return
        search(i + 1, free, n, total)
        for j in free:
            distance = float(np.hypot(*(x[i] - y[j])))
            if distance <= radius:
                search(i + 1, free - {j}, n + 1, total + distance)

    search(0, frozenset(range(len(y))), 0, 0.0)
    match = match_peaks(x, y, radius)
    assert match.n_matched == best[0]
    if match.n_matched:
        assert match.mean_distance * match.n_matched == pytest.approx(-best[1], abs=1e-9)
        assert match.max_distance <= radius


# --- what a difference is called ---------------------------------------------------------------------------------


def hot(a: np.ndarray) -> np.ndarray:
    b = a.copy()
    b[11, 7] += 3 * a.max()
    return b


CHANGES = {
    "shifted": (lambda a: np.roll(a, 1, axis=1), r"B is A shifted by \+0 pixels along slow and \+1 along fast"),
    "shifted back": (lambda a: np.roll(a, (-2, 1), axis=(0, 1)), r"shifted by -2 pixels along slow and \+1 along fast"),
    "scaled": (lambda a: a * np.float32(1.02), r"B is A times 1\.02"),
    "hot": (hot, r"a single pixel differs: slow 11, fast 7 "),
    "pedestal": (lambda a: a + 40, r"B is A plus 40(\.0000\d)? in every pixel"),
    "mirrored": (lambda a: a[::-1], r"B is A mirrored along slow"),
    "turned": (lambda a: a[::-1, ::-1], r"B is A turned by 180 degrees"),
    "other": (lambda a: np.random.default_rng(1).permutation(a.ravel()).reshape(a.shape), r"no single change"),
    "zero": (lambda a: 0 * a, r"B is zero everywhere"),
}


@pytest.mark.golden
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_golden_images_changed(name: str, change: str, golden_images, tmp_path: Path, capsys) -> None:
    a = golden_images[name]
    changed, message = CHANGES[change]
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", changed(a))
    words = [
        "compare",
        str(tmp_path / "a.npy"),
        str(tmp_path / "b.npy"),
        "--out",
        str(tmp_path / "out"),
        "--no-picture",
    ]
    assert main(words) == 1
    assert re.search(message, capsys.readouterr().out)
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert not content["passed"] and content["failures"]
    assert re.search(message, content["explanation"])
    if change == "shifted":
        peaks = content["metrics"]["peaks"]
        assert peaks["n_matched"] > 0.8 * peaks["n_a"]
        # peaks at the edges and close neighbours pull a little
        assert (peaks["offset_slow"], peaks["offset_fast"]) == pytest.approx((0, 1), abs=0.1)
    if change == "scaled":
        assert content["metrics"]["sum_ratio"] == pytest.approx(1.02, rel=1e-6)
        assert main([*words, "--scale", "fit"]) == 0
        fitted = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
        assert fitted["scale"] == pytest.approx(1.02, rel=1e-6) and fitted["max_rel"] < 1e-6


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_golden_image_with_itself(name: str, golden_images, tmp_path: Path, capsys) -> None:
    golden_images[name].tofile(tmp_path / "a.bin")
    shape = list(map(str, golden_images[name].shape))
    words = ["compare", str(tmp_path / "a.bin"), str(tmp_path / "a.bin"), "--shape", *shape, "--out", str(tmp_path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "the images are identical" in out and re.search(r"correlation: +1\n", out)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["passed"] and content["metrics"]["correlation"] == pytest.approx(1, abs=1e-12)
    assert_picture(tmp_path / "comparison.png")


def test_rounding_is_called_so(golden_images) -> None:
    a = golden_images["conv_mosflm_default"].astype(float)
    rng = np.random.default_rng(2)
    text = compare_images(a, a * (1 + 1e-7 * rng.standard_normal(a.shape))).explanation
    assert text.endswith("of the maximum: rounding")


def test_mask_and_roi_leave_pixels_out(golden_images) -> None:
    a = golden_images["conv_mosflm_default"]
    b = hot(a)
    mask = np.ones(a.shape)
    mask[11, 7] = 0
    assert compare_images(a, b, mask=mask).explanation == "the images are identical"
    assert compare_images(a, b, roi=(8, 20, 0, 20)).passed
    assert not compare_images(a, b, roi=(7, 7, 11, 12)).passed
    assert compare_images(a, b, roi=(8, 20, 0, 20)).metrics.pixels == 13 * 21
    nan = b.copy()
    nan[11, 7] = np.nan
    assert compare_images(a, nan).metrics.pixels == a.size - 1


def test_bars() -> None:
    a = np.arange(1.0, 101).reshape(10, 10)
    b = a * 1.005
    assert compare_images(a, b).passed
    assert compare_images(a, b, bars=Bars(sum_ratio=(0.999, 1.001))).failures == (
        "sum(B) / sum(A) is 1.005, not between 0.999 and 1.001",
    )
    assert "above 0.001" in compare_images(a, b, bars=Bars(max_rel=0.001)).failures[0]
    assert compare_images(a, b * 3, bars=Bars(None, None, None)).passed
    rng = np.random.default_rng(0)
    assert "is below 0.999" in compare_images(a, rng.permutation(a), bars=Bars(max_rel=None)).failures[0]


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(4).poisson(20.0, (12, 17)).astype(np.uint16)


FLAGS = (
    "-cell 40 50 60 -default_F 100 -N 5 -distance 80 -pixel 0.3 -detpixels_f 24 -detpixels_s 16 -oversample 1".split()
)


def test_formats(tmp_path: Path, image: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", image)
    fabio.cbfimage.CbfImage(data=image.astype(np.int32)).write(str(tmp_path / "a.cbf"))
    image.astype("<f4").tofile(tmp_path / "a.bin")
    for name in ("a.npy", "a.cbf"):
        np.testing.assert_array_equal(read_image(tmp_path / name), image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.bin", (12, 17)), image)


def test_images_of_a_run(tmp_path: Path, monkeypatch, capsys) -> None:
    """SMV against bare floats, which take the SMV image's shape; the integer image is the float one, rounded."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", *FLAGS, "-nonoise", "-nopgm", "-adc", "0", "-q"]) == 0
    files = ["intimage.img", "floatimage.bin"]
    for pair in (files, files[::-1]):
        # rounding to whole counts of a brightest pixel of 55,000
        assert main(["compare", *pair, "--scale", "fit", "--max-rel", "1e-4", "--no-picture"]) == 0
        assert re.search(r"pixels compared: +384 of 384", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "b.npy", "cannot read the image"),
        (b"\x93NUMPY\x01\x00", "b.npy", "cannot read the image"),
        (b"nothing", "b.img", "is in no format that can be read"),
        (b"{\nHEADER_BYTES= 512;\n", "b.img", "b.img"),
        (b"12345678", "b.bin", "8 bytes, but 17 x 12 pixels"),
        (None, "b.npy", "no such file|No such file"),
        (None, "b.img", "b.img"),
        (None, "b.bin", "no such file"),
    ],
)
def test_unreadable_images_end_in_one_sentence(tmp_path, image, capsys, content, name, message) -> None:
    np.save(tmp_path / "a.npy", image)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["compare", str(tmp_path / "a.npy"), str(tmp_path / name), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert re.fullmatch(rf"nbnumba: error: .*({message}).*\n", err)
    assert not (tmp_path / "out").exists()


def test_arrays_that_are_no_image(tmp_path: Path, image: np.ndarray) -> None:
    for number, array in enumerate((image[0], image[None], image.astype(complex), np.array([["a", "b"]]))):
        np.save(tmp_path / f"{number}.npy", array)
        with pytest.raises(FileError, match="holds no image"):
            read_image(tmp_path / f"{number}.npy")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a.npy", "c.npy"], 1, "different shapes: A 12 x 17, B 17 x 12 "),
        (["a.bin", "a.bin"], 1, "give its size with --shape SLOW FAST"),
        (["a.npy", "a.npy", "--roi", "0", "17", "0", "3"], 1, "--roi 0 17 0 3 does not lie in the image"),
        (["a.npy", "a.npy", "--mask", "c.npy"], 1, "the mask has 17 x 12 pixels, the images 12 x 17"),
        (["a.npy", "a.npy", "--mask", "zero.npy"], 1, "no pixel is left"),
        (["a.npy", "zero.npy", "--scale", "fit"], 1, "cannot be scaled"),
        (["a.npy", "a.npy", "--rtol", "-1"], 1, "must not be negative"),
        (["a.npy", "a.npy", "--scale", "fat"], 2, "--scale needs the word fit"),
        (["a.npy", "a.npy", "--sum-ratio", "1.1"], 2, "needs LOW:HIGH"),
        (["a.npy", "a.npy", "--sum-ratio", "2:1"], 2, "needs LOW:HIGH"),
        (["a.npy"], 2, "compare needs two images, got 1"),
        (["a.npy", "a.npy", "--against", "x", "--", "-N", "3"], 2, "compares programs, not files"),
        (["--against", "x"], 2, "needs flags to run with"),
        (["--against", "--", "-N", "3"], 2, "set NB_C_BIN"),
        (["--", "-N", "3"], 2, "set NB_C_BIN"),
        (["--against", "no-such-program", "--", "-N", "3"], 1, "is no program that can be run"),
    ],
)
def test_wrong_usage(tmp_path, image, capsys, monkeypatch, words, code, message) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NB_C_BIN", raising=False)
    np.save("a.npy", image)
    np.save("c.npy", image.T)
    np.save("zero.npy", 0 * image)
    image.astype("<f4").tofile("a.bin")
    assert main(["compare", *words]) == code
    assert re.fullmatch(rf"nbnumba: error: .*{re.escape(message)}.*\n", capsys.readouterr().err)
    assert not Path("metrics.json").exists()


# --- picture -----------------------------------------------------------------------------------------------------


def assert_picture(path: Path) -> None:
    """A PNG of the promised width with dark, coloured and white dots."""
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    assert pixels.shape[1] == WIDTH_PX == 1600
    assert (pixels.min(axis=-1) > 0.99).mean() > 0.3  # paper
    assert (pixels.max(axis=-1) < 0.3).any()  # ink
    assert (np.ptp(pixels, axis=-1) > 0.5).any()  # the colour bar of the difference


@pytest.mark.parametrize("kind", ["golden", "zeros", "negative", "masked", "wide", "tall", "large"])
def test_picture_of_any_image(kind: str, golden_images, tmp_path: Path) -> None:
    a = golden_images["conv_mosflm_default"].astype(float)
    mask = None
    if kind == "zeros":
        a = 0 * a
    elif kind == "negative":
        a = -a
    elif kind == "masked":
        mask = np.zeros(a.shape)
        mask[10:20, 10:30] = 1
    elif kind == "wide":
        a = a[:3]
    elif kind == "tall":
        a = a[:, :3]
    elif kind == "large":
        a = np.tile(a, (8, 8))
    save_comparison(tmp_path / "picture.png", compare_images(a, 1.02 * a, mask=mask), name_a="x" * 200, unit="photons")
    assert_picture(tmp_path / "picture.png")


def test_picture_that_cannot_be_written(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(FileError, match="does not exist"):
        save_comparison(tmp_path / "none" / "picture.png", compare_images(image, image))


# --- another simulator -------------------------------------------------------------------------------------------


def stand_in(folder: Path, body: str, name: str = "simulator") -> Path:
    """An executable Python script."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport os, sys, pathlib\nargs = sys.argv[1:]\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


#: nbnumba itself, as another program: with a flag of its own where the test wants a difference.
OURS = (
    f"sys.path.insert(0, {str(ROOT)!r})\n"
    "from nbnumba.cli.main import main\n"
    "assert os.listdir('.') == ['log.txt'], os.listdir('.')\n"
    "print('hello')\n"
    "sys.exit(main(['run', *args, '-q', *MORE]))"
)


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return tmp_path


def test_against_a_program_that_agrees(clean: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("NB_C_BIN", str(stand_in(clean, "MORE = []\n" + OURS)))
    (clean / "Fdump.bin").write_bytes(b"stale")
    for words in (["--against", "--"], ["--"]):
        assert main(["compare", "--out", "out", "--keep", *words, *FLAGS, "-nonoise"]) == 0
        out = capsys.readouterr().out
        assert "the images are identical" in out and "time of A" in out and "time of B" in out
    content = json.loads((clean / "out" / "metrics.json").read_text())
    assert content["passed"] and content["seconds"]["A"] > 0 and content["flags"] == [*FLAGS, "-nonoise"]
    assert sorted(path.name for path in (clean / "out").iterdir()) == [
        "comparison.png",
        "metrics.json",
        "nbnumba.bin",
        "nbnumba.log",
        "other.bin",
        "other.log",
    ]
    assert "hello" in (clean / "out" / "other.log").read_text()
    # nothing else was written where the user stands
    assert sorted(path.name for path in clean.iterdir()) == ["Fdump.bin", "out", "simulator"]
    assert (clean / "Fdump.bin").read_bytes() == b"stale"


def test_against_a_program_that_differs(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = stand_in(clean, "MORE = ['-fluence', '1e28']\n" + OURS)
    words = [*FLAGS, "-fluence", "2e28", "-osc", "1", "-phisteps", "2"]
    assert main(["compare", "--against", str(program), "--no-picture", "--", *words]) == 1
    out = capsys.readouterr().out
    assert "B is A times 2" in out and "one of the phi steps is exactly 0" in out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('no licence')", "fails with exit code 1: no licence"),
        ("print('done')", "wrote no float image; its last words: done"),
        ("pathlib.Path(args[args.index('-floatfile') + 1]).write_bytes(b'1234')", "has 4 bytes"),
        ("os.kill(os.getpid(), 9)", "fails with exit code -9: nothing"),
    ],
)
def test_against_a_program_that_fails(clean: Path, capsys, body: str, message: str) -> None:
    program = stand_in(clean, body)
    assert main(["compare", "--against", str(program), "--", *FLAGS]) == 1
    assert re.fullmatch(rf"nbnumba: error: .*{re.escape(message)}.*\n", capsys.readouterr().err)
    assert not (clean / "metrics.json").exists()


def test_against_with_flags_that_ours_refuses(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = stand_in(clean, "sys.exit('must not run')")
    assert main(["compare", "--against", str(program), "--", *FLAGS, "-hdiv", "3"]) == 1
    assert "unknown option -hdiv" in capsys.readouterr().err


def test_against_a_file_that_is_no_program(clean: Path) -> None:
    program = clean / "simulator"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    with pytest.raises(FileError, match="cannot run"):
        run_both(str(program), FLAGS)
    with pytest.raises(ConfigError, match="no program"):
        run_both(str(clean), FLAGS)


def test_flags_for_clean_folders(clean: Path) -> None:
    here = os.getcwd()
    words = ["-hkl", "P1.hkl", "-matrix", "A.mat", "-floatfile", "x.bin", "-nonoise", "-dump", "d.bin", "-cell", "-5"]
    words += ["--precision", "double", "--json=x.json", "--preview", "x.png", "-noisefile", "n.img", "--device=cpu"]
    words += ["-trace_pixel", "1", "2", "-scale", "3", "-mask", "/m.img", "-misset", "-1", "2", "3"]
    kept = ["-hkl", f"{here}/P1.hkl", "-matrix", f"{here}/A.mat", "-cell", "-5"]
    tail = ["-scale", "3", "-mask", "/m.img", "-misset", "-1", "2", "3"]
    assert both_know(words) == [*kept, *tail]
    assert for_ours(words) == [*kept, "--precision", "double", "--device", "cpu", *tail]
    # without -hkl the dump is read
    assert both_know(["-dump", "d.bin"]) == ["-dump", f"{here}/d.bin"]


REFERENCE = os.environ.get("NB_C_BIN")


@pytest.mark.golden
@pytest.mark.skipif(REFERENCE is None, reason="NB_C_BIN names no build of the reference program")
def test_against_the_reference_program(clean: Path) -> None:
    assert REFERENCE is not None
    shutil.copytree(GOLDEN / "inputs", clean / "inputs")
    words = [
        "-hkl",
        "inputs/hex.hkl",
        "-cell",
        "52.4",
        "52.4",
        "38.7",
        "90",
        "90",
        "120",
        "-N",
        "5",
        "-detpixels",
        "64",
    ]
    assert main(["compare", "--against", REFERENCE, "--max-rel", "2e-6", "--no-picture", "--", *words]) == 0
